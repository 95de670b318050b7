"""
Evaluate ops on constants while compiling, through the reference interpreter.

Before::

    %w = nn.weight "conv1.w" : tensor<64x3x7x7xf32>
    %0 = nn.transpose %w {permutation = array<i64: 2, 3, 1, 0>} : (...) -> (...)

After::

    %0 = nn.weight "conv1.w.transpose" : tensor<7x7x3x64xf32>

Postcondition: no op has only constant operands, but those that were left on purpose:
ops on weights without data, results above `max_bytes`, ops that fail, and repetition
(`nn.broadcast` and `nn.iota` cost nothing as views, but memory as weights).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Block, Operation, SSAValue, Use
from xdsl.passes import ModulePass
from xdsl.traits import IsTerminator

from nnc.context import weights_of
from nnc.dialects.nn.base import LOCATION, copy_location
from nnc.dialects.nn.constants import constant_value, make_constant
from nnc.dialects.nn.control import LoopOp
from nnc.dialects.nn.conv import ConvOp, ConvTransposeOp
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS, ThreefryOp
from nnc.dialects.nn.linear import MatmulOp
from nnc.dialects.nn.movement import BroadcastOp, IotaOp
from nnc.dialects.nn.structure import (
    MAX_INLINE_ELEMENTS,
    ConstantOp,
    RunSeedOp,
    WeightOp,
)
from nnc.dialects.nn.types import (
    ShapeAttr,
    bit_width,
    dims_of,
    element_type_of,
    static_shape,
)
from nnc.dialects.nn.winograd import WinogradProductOp
from nnc.errors import RunError
from nnc.interpreters.nn import evaluate_op, has_reference
from nnc.transforms.regions import program_blocks
from nnc.weights import Array, WeightStore


@dataclass(frozen=True)
class FoldConstantsPass(ModulePass):
    """Replaces ops on constants by their results."""

    name = "fold-constants"

    max_bytes: int = 64 << 20
    """Results of more bytes, and much larger than their operands, are not folded."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Fold in every function, and in the branches and loops in it."""
        readers = Counter(o.resource.data for o in op.walk() if type(o) is WeightOp)
        for block in program_blocks(op):
            _Folder(weights_of(ctx), self.max_bytes, readers).run(block)


class _Folder:
    """Evaluates forwards, then replaces backwards what is needed as a constant."""

    def __init__(
        self, weights: WeightStore, max_bytes: int, readers: Mapping[str, int]
    ) -> None:
        self.weights = weights
        self.max_bytes = max_bytes
        self.readers = readers
        """How many ops name each resource."""
        self.gone: set[Operation] = set()
        """Evaluated ops that `replace` will certainly remove."""
        self.known: dict[SSAValue, Array] = {}
        self.names: dict[SSAValue, str] = {}
        """Resources that values were made from, where there was one."""
        self.extents: dict[SSAValue, int] = {}
        """Elements of the constants that values were made from."""

    def run(self, block: Block) -> None:
        folded: list[Operation] = []
        for op in block.ops:
            if self.fold(op):
                folded.append(op)
                self.release_operands(op)
        for op in reversed(folded):
            self.replace(op)
        for op in list(block.ops):
            if isinstance(op, ConstantOp | WeightOp) and not op.result.uses:
                op.detach()
                op.erase()

    def fold(self, op: Operation) -> bool:
        """Whether the results of `op` are now known and may replace it."""
        if isinstance(op, ConstantOp | WeightOp):
            self.remember(op, op.result)
            return False
        if op.has_trait(IsTerminator) or any(o not in self.known for o in op.operands):
            return False
        if any(isinstance(inner, LoopOp) for inner in op.walk()):
            # A loop may go on for as long as it likes when it runs, but not now.
            return False
        if is_random(op) or not has_reference(op) or depends_on_sizes(op):
            return False
        if not self.fits(op):
            return False
        try:
            results = evaluate_op(op, [self.known[o] for o in op.operands])
        except RunError:
            # Raised again when the model runs, if control ever gets there.
            return False
        root = next((self.names[o] for o in op.operands if o in self.names), None)
        extent = sum(self.extents[o] for o in op.operands)
        for value, array in zip(op.results, results, strict=True):
            self.known[value], self.extents[value] = array, extent
            if root is not None:
                self.names[value] = root
        return True

    def release_operands(self, op: Operation) -> None:
        """
        Forget the operands that only ops need which are evaluated already.

        Weights are as large as all other memory: after each is packed, and not after
        all are, the bytes that it came in are free for the next one.
        """
        if isinstance(op, BroadcastOp | IotaOp):
            return
        self.gone.add(op)
        for value in dict.fromkeys(op.operands):
            if any(use.operation not in self.gone for use in value.uses):
                continue
            self.known.pop(value, None)
            source = value.owner
            if isinstance(source, WeightOp):
                resource = source.resource.data
                if self.readers[resource] == 1:
                    self.weights.discard(resource)

    def remember(self, op: ConstantOp | WeightOp, value: SSAValue) -> None:
        array = constant_value(value, self.weights)
        if array is not None:
            self.known[value], self.extents[value] = array, array.size
        if isinstance(op, WeightOp):
            self.names[value] = op.resource.data

    def fits(self, op: Operation) -> bool:
        """
        Whether the results have known sizes within the bound.

        Rearranged weights may be as large as they are, packed ones a little larger.
        """
        if any(is_weight_operand(use) for result in op.results for use in result.uses):
            return all(static_shape(r) is not None for r in op.results)
        known = sum(self.known[o].nbytes for o in op.operands)
        most = max(self.max_bytes, 2 * known)
        inner = (r for o in op.walk() if o is not op for r in o.results)
        if any((_bytes_of(r) or most) > most for r in inner):
            return False
        sizes = [_bytes_of(r) for r in op.results]
        return None not in sizes and sum(s or 0 for s in sizes) <= most

    def replace(self, op: Operation) -> None:
        """Put constants in the place of `op`, whose users were replaced before it."""
        if any(r.uses for r in op.results) and self.repeats(op):
            return
        block = op.parent
        assert block is not None
        for result in op.results:
            if not result.uses:
                continue
            constants = self.constant_for(op, result)
            copy_location(op, *constants)
            block.insert_ops_before(constants, op)
            result.replace_all_uses_with(constants[-1].results[0])
        op.detach()
        op.erase()

    def constant_for(self, op: Operation, value: SSAValue) -> list[Operation]:
        """Ops of which the last one gives the known value of `value`."""
        array = self.known[value]
        if (
            isinstance(op, ELEMENTWISE_OPS)
            and array.size > max(MAX_INLINE_ELEMENTS, self.extents[value])
            and np.all(array == array.reshape(-1)[0])
        ):
            scalar = make_constant(array.reshape(-1)[:1].reshape(()), "", self.weights)
            return [scalar, BroadcastOp(scalar, array.shape)]
        return [make_constant(array, self.name_for(op, value), self.weights)]

    def repeats(self, op: Operation) -> bool:
        """Whether `op` only repeats elements, and is better kept as a view."""
        return (
            isinstance(op, BroadcastOp | IotaOp)
            and self.known[op.result].size > MAX_INLINE_ELEMENTS
            and not any(is_weight_operand(use) for use in op.result.uses)
        )

    def name_for(self, op: Operation, value: SSAValue) -> str:
        kind = op.name.removeprefix("nn.")
        location = op.attributes.get(LOCATION)
        source = location.data if isinstance(location, StringAttr) else None
        root = self.names.get(value, source)
        return kind if root is None else f"{root}.{kind}"


def is_weight_operand(use: Use) -> bool:
    """Whether a contraction reads a value as weights: kernels want those as memory."""
    return use.index == 1 and isinstance(
        use.operation, ConvOp | ConvTransposeOp | MatmulOp | WinogradProductOp
    )


def is_random(op: Operation) -> bool:
    """
    Whether `op` makes random numbers.

    Those of a run are not known yet, others take less memory as code than as weights.
    """
    return any(
        isinstance(inner, RunSeedOp)
        or (isinstance(inner, ThreefryOp) and bool(dims_of(inner.result)))
        for inner in op.walk()
    )


def depends_on_sizes(op: Operation) -> bool:
    """
    Whether a property of `op`, or a type in its regions, names a symbol.

    The types of its own results are looked at apart.
    """
    inner = [o for o in op.walk() if o is not op]
    return any(_bytes_of(r) is None for o in inner for r in o.results) or any(
        isinstance(attribute, ShapeAttr) and attribute.ints is None
        for o in (op, *inner)
        for attribute in o.properties.values()
    )


def _bytes_of(value: SSAValue) -> int | None:
    """How large a value is, if that is known."""
    shape = static_shape(value)
    if shape is None:
        return None
    return math.prod(shape) * bit_width(element_type_of(value)) // 8
