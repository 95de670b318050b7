"""
Where the values of a loop lie.

A carried value has two buffers, one behind the other: iteration `i` reads buffer
`i mod 2` and writes the other one, so that nothing is copied. Slices and stacked
elements are views whose offset moves with the iteration.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from nnc.dialects import rt
from nnc.dialects.nn.control import LoopOp
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.lowering.bufferize.places import Place, Root, RootKind
from nnc.symbolic import Dim


def carried_root(value: SSAValue) -> Root:
    """Memory for a carried value like `value`, twice."""
    type_ = rt.BufferType(element_type_of(value), (2, *dims_of(value)))
    return Root(RootKind.ALLOC, type_, is_shared=True)


def carried_place(root: Root, iteration: Dim | int, *, is_next: bool = False) -> Place:
    """Where the value lies that an iteration reads, or writes for the next one."""
    span = root.type.stride_dims[0]
    offset = Dim.of(iteration) % 2 * span
    return Place(
        root,
        root.type.dims[1:],
        root.type.stride_dims[1:],
        span - offset if is_next else offset,
    )


def slice_place(place: Place, iteration: Dim) -> Place:
    """One position of the first axis of `place`."""
    return Place(
        place.root,
        place.dims[1:],
        place.strides[1:],
        place.offset + iteration * place.strides[0],
    )


def final_iteration(op: LoopOp, ended: Dim) -> Dim:
    """How many iterations have run after the loop."""
    trips = op.trip_dim
    return ended if trips is None or op.condition is not None else trips


def loop_symbols(number: int) -> tuple[str, str]:
    """Names of the symbols of a loop: its iteration, and how many there were."""
    # Frontends do not make names with a dollar sign.
    return f"loop${number}", f"loop${number}.n"


def loop_numbers(ops: Sequence[object]) -> dict[LoopOp, int]:
    """A number for each loop among `ops`."""
    loops = [op for op in ops if isinstance(op, LoopOp)]
    return {op: number for number, op in enumerate(loops)}
