"""
Kernels of row programs: softmax, layer normalisation, any reduction.

Lanes run either along the row or across rows, whichever reads memory better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchForm
from nnc.lowering.lower_dispatches.kernel_builder import BufferArg, KernelBuilder
from nnc.lowering.lower_dispatches.pointwise import accesses_of, lane_cost
from nnc.lowering.lower_dispatches.row_program import analyze_rows
from nnc.lowering.lower_dispatches.rows_across import AcrossRows
from nnc.lowering.lower_dispatches.rows_along import AlongRows
from nnc.lowering.lower_dispatches.stores import (
    vector_width,
)
from nnc.symbolic import Dim


def build_rows(
    kb: KernelBuilder,
    form: DispatchForm,
    inputs: Mapping[SSAValue, BufferArg],
    outputs: Sequence[BufferArg],
    aliased: Mapping[SSAValue, AbstractSet[SSAValue]] | None = None,
) -> tuple[Dim, str]:
    """
    Emit the kernel; gives its task count and the name of the schedule.

    `aliased` maps pointers of outputs to those of the inputs that they overwrite.
    """
    program = analyze_rows(form, inputs, outputs)
    if any(e == 0 for e in program.kept.extents):
        return Dim.of(0), "rows"
    stores = [*(s for _, s in program.full), *program.reduced]
    nodes = [r.node for r in program.reductions]
    width = vector_width(kb.target, stores, nodes)
    accesses = accesses_of(stores, nodes)
    candidates = [
        *zip(reversed(program.row.axes), reversed(program.row.extents), strict=True),
        *zip(reversed(program.kept.axes), reversed(program.kept.extents), strict=True),
    ]
    if not candidates:
        width = 1
        lane = None
    else:
        lane, _ = min(candidates, key=lambda c: lane_cost(accesses, c[0], c[1], width))
    if lane is None or lane in program.row.axes:
        along = AlongRows(kb, program, lane, width, aliased or {})
        return along.emit(), "rows along"
    across = AcrossRows(kb, program, lane, width)
    return across.emit(), "rows across"
