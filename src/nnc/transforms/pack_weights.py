"""
pack-weights: constant operands of contractions are kept in panels.

Before::

    %0 = nn.dispatch(%x, %w) {
    ^bb0(%a, %b):
      %1 = nn.matmul %a, %b
      nn.yield %1
    }

After::

    %p = nn.pack %w {panel = 32 : i64, groups = 1 : i64}
    %0 = nn.dispatch(%x, %p) {
    ^bb0(%a, %b):
      %u = nn.unpack %b {panel = 32 : i64, groups = 1 : i64}
      %1 = nn.matmul %a, %u
      nn.yield %1
    }

`fold-constants` then evaluates the packing. The panel's width comes from the target, or
from the `tile` of the dispatch.

The module's attribute `nnc.target` tells from then on which target that was.

On entry: dispatches are formed. On exit: every contraction whose second operand is a
constant matrix or filter reads it packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import BlockArgument, OpResult, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from nnc.analysis.dispatches import is_contraction
from nnc.dialects.nn.base import copy_location, ints
from nnc.dialects.nn.conv import ConvOp
from nnc.dialects.nn.linear import MatmulOp, PackOp, UnpackOp
from nnc.dialects.nn.structure import ConstantOp, DispatchOp, WeightOp
from nnc.dialects.nn.types import (
    dims_of,
    element_type_of,
    rank_of,
    static_shape,
    tensor_type_of,
)
from nnc.dialects.nn.winograd import WinogradProductOp
from nnc.lowering import tiling
from nnc.symbolic import Dim, dim_product
from nnc.target import Target
from nnc.target_record import record_target
from nnc.transforms.regions import program_blocks
from nnc.transforms.worklist import erase_dead

Packable = ConvOp | MatmulOp | WinogradProductOp


def pack_operand(dispatch: DispatchOp, target: Target) -> bool:
    """Let the contraction of `dispatch`, if any, read its constant operand packed."""
    anchor = next((op for op in dispatch.block.ops if is_contraction(op)), None)
    if not isinstance(anchor, Packable):
        return False
    argument = anchor.operands[1]
    if not isinstance(argument, BlockArgument) or not argument.has_one_use():
        return False
    weight = dispatch.arguments[argument.index]
    if not _is_packable(anchor, weight):
        return False
    shape = static_shape(weight)
    assert shape is not None
    groups = anchor.groups.value.data if isinstance(anchor, ConvOp) else 1
    element_type = element_type_of(weight)
    if dispatch.tile is None:
        panel = tiling.panel_width(
            target,
            element_type,
            shape[-1] // groups,
            _row_sizes(anchor),
            may_halve=not isinstance(anchor, WinogradProductOp),
        )
    else:
        width = tiling.vector_width(target, element_type)
        panel = dispatch.tile.vectors.data * width
    pack = PackOp(weight, panel, groups)
    copy_location(dispatch, pack)
    outer = dispatch.parent
    assert outer is not None
    outer.insert_op_before(pack, dispatch)
    dispatch.operands[argument.index] = pack.result
    unpack_type = tensor_type_of(argument)
    Rewriter.replace_value_with_new_type(argument, pack.result.type)
    inner = dispatch.block.args[argument.index]
    unpack = UnpackOp(inner, unpack_type, panel, groups)
    dispatch.block.insert_op_before(unpack, anchor)
    anchor.operands[1] = unpack.result
    return True


def _row_sizes(anchor: Packable) -> Sequence[Dim]:
    """The axes of rows of the product, one of which is cut into tiles."""
    if isinstance(anchor, WinogradProductOp):
        return ()
    sizes = dims_of(anchor.result)[:-1]
    if isinstance(anchor, ConvOp) and any(
        size != 1 for size in (*anchor.kernel, *ints(anchor.strides))
    ):
        return sizes
    return (dim_product(sizes),)


def _is_packable(anchor: Packable, weight: SSAValue) -> bool:
    """Whether `weight` is a constant that is one matrix for all of the anchor."""
    if not isinstance(weight, OpResult):
        return False
    if not isinstance(weight.op, WeightOp | ConstantOp):
        return False
    if isinstance(anchor, MatmulOp):
        return rank_of(weight) == 2
    return isinstance(anchor, WinogradProductOp) or anchor.channels_last


@dataclass(frozen=True)
class PackWeightsPass(ModulePass):
    """Pack the constant operands of contractions."""

    name: ClassVar[str] = "pack-weights"

    target: str = "native"
    """Name of the target that panels are made for."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all dispatches."""
        _ = ctx
        # Asking the machine imports LLVM.
        from nnc.backend.host import resolve_target

        target = resolve_target(self.target)
        record_target(op, target)
        for block in program_blocks(op):
            for dispatch in list(block.ops):
                if isinstance(dispatch, DispatchOp):
                    pack_operand(dispatch, target)
            erase_dead(block)
