from __future__ import annotations

import pytest
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType, f32
from xdsl.ir import Block, Operation, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.dispatches import (
    DispatchKind,
    analyze,
    classify,
    is_depthwise,
    is_storable_view,
    view_chain,
)
from nnc.dialects import nn
from nnc.dialects.nn.elementwise import AddOp, ExpOp, MulOp, ReluOp, SubOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type


class Body:
    """The block of a dispatch, filled op by op."""

    def __init__(self, *shapes: tuple[int, ...]) -> None:
        self.block = Block(arg_types=[tensor_type(F32, s) for s in shapes])
        self.args = self.block.args

    def add(self, op: Operation) -> SSAValue:
        self.block.add_op(op)
        return op.results[0]

    def end(self, *values: SSAValue) -> Block:
        self.block.add_op(nn.YieldOp(*values))
        return self.block


def conv(x: SSAValue, w: SSAValue, groups: int = 1, padding: int = 0) -> nn.ConvOp:
    return nn.ConvOp(x, w, groups=groups, padding=[padding] * 2, layout="channels_last")


def test_classify_contraction_names_its_parts() -> None:
    body = Body((4, 8), (8, 2), (2,))
    x, w, b = body.args
    product = body.add(nn.MatmulOp(x, w))
    bias = body.add(nn.BroadcastOp(b, [4, 2]))
    total = body.add(AddOp(product, bias))
    form = analyze(body.end(total))
    assert form.kind is DispatchKind.CONTRACTION
    assert form.anchor is product.owner
    assert [c.root for c in form.operands] == [x, w]
    assert list(form.epilogue) == [bias.owner, total.owner]
    assert form.yields[0].value is total
    assert form.full_dims == (4, 2)


def test_classify_contraction_reads_operand_through_views() -> None:
    body = Body((4, 3, 8), (8, 2))
    x, w = body.args
    turned = body.add(nn.TransposeOp(x, [1, 0, 2]))
    form = analyze(body.end(body.add(nn.MatmulOp(turned, w))))
    assert form.operands[0].root is x
    assert form.operands[0].ops == (turned.owner,)


def test_classify_contraction_with_computed_operand_is_refused() -> None:
    body = Body((4, 8), (8, 2))
    x, w = body.args
    with pytest.raises(VerifyException, match="operand 0 of nn.matmul must be a view"):
        classify(body.end(body.add(nn.MatmulOp(body.add(ReluOp(x)), w))))


def test_classify_contraction_stores_through_trailing_views() -> None:
    body = Body((2, 3, 5, 5), (2, 3, 5, 4))
    product = body.add(nn.MatmulOp(*body.args))
    turned = body.add(nn.TransposeOp(product, [0, 2, 1, 3]))
    merged = body.add(nn.ReshapeOp(turned, [2, 5, 12]))
    (result,) = analyze(body.end(merged)).yields
    assert result.value is product
    assert result.views == (turned.owner, merged.owner)


def test_classify_views_between_anchor_and_epilogue_are_refused() -> None:
    body = Body((4, 8), (8, 2))
    product = body.add(nn.MatmulOp(*body.args))
    turned = body.add(nn.TransposeOp(product, [1, 0]))
    with pytest.raises(VerifyException, match=r"nn\.(transpose|relu)"):
        classify(body.end(body.add(ReluOp(turned))))


def test_classify_window_takes_prologue_and_epilogue() -> None:
    body = Body((1, 8, 4), (3, 1, 4))
    x, w = body.args
    before = body.add(ReluOp(x))
    window = body.add(conv(before, w, groups=4, padding=1))
    after = body.add(ExpOp(window))
    form = analyze(body.end(after))
    assert form.kind is DispatchKind.WINDOW
    assert form.prologue == (before.owner,)
    assert form.epilogue == (after.owner,)


def test_classify_scan() -> None:
    body = Body((4, 8))
    picked = body.add(nn.ArgReduceOp(body.args[0], "max", 1))
    assert classify(body.end(picked)) is DispatchKind.SCAN


def test_classify_rows_tells_shapes_and_axes() -> None:
    body = Body((4, 8))
    (x,) = body.args
    largest = body.add(nn.ReduceOp(x, "max", [1]))
    spread = body.add(nn.BroadcastOp(largest, [4, 8]))
    powers = body.add(ExpOp(body.add(SubOp(x, spread))))
    total = body.add(nn.ReduceOp(powers, "sum", [1]))
    form = analyze(body.end(powers, total))
    assert form.kind is DispatchKind.ROWS
    assert form.full_dims == (4, 8)
    assert form.reduced_dims == (4, 1)
    assert form.reduced_axes == (1,)
    assert [r.kind.data for r in form.reductions] == ["max", "sum"]


def test_classify_rows_that_transpose_inside_are_refused() -> None:
    body = Body((4, 4))
    (x,) = body.args
    turned = body.add(nn.TransposeOp(body.add(ExpOp(x)), [1, 0]))
    total = body.add(nn.ReduceOp(turned, "sum", [1]))
    with pytest.raises(VerifyException, match=r"nn\.transpose from"):
        classify(body.end(total))


def test_classify_pointwise_may_move_elements() -> None:
    body = Body((4, 8))
    (x,) = body.args
    turned = body.add(nn.TransposeOp(body.add(ExpOp(x)), [1, 0]))
    assert classify(body.end(turned)) is DispatchKind.POINTWISE


def test_classify_contraction_and_reduction_are_refused() -> None:
    body = Body((4, 8), (8, 2))
    product = body.add(nn.MatmulOp(*body.args))
    with pytest.raises(VerifyException, match=r"nn\.matmul and nn\.reduce"):
        classify(body.end(body.add(nn.ReduceOp(product, "sum", [1]))))


def test_classify_channels_first_is_refused() -> None:
    body = Body((1, 4, 8), (2, 4, 3))
    with pytest.raises(VerifyException, match="must be channels_last"):
        classify(body.end(body.add(nn.ConvOp(*body.args))))


def test_classify_constant_of_several_values_is_refused() -> None:
    body = Body((2,))
    values = DenseIntOrFPElementsAttr.from_list(TensorType(f32, [2]), [1.0, 2.0])
    constant = body.add(nn.ConstantOp(values))
    with pytest.raises(VerifyException, match="must be an operand"):
        classify(body.end(body.add(MulOp(body.args[0], constant))))


def test_classify_yielded_operand_is_refused() -> None:
    body = Body((4, 8), (8, 2))
    body.add(nn.MatmulOp(*body.args))
    with pytest.raises(VerifyException, match="must not yield an operand"):
        classify(body.end(body.args[0]))


@pytest.mark.parametrize(
    ("groups", "depth", "expected"),
    [(4, 1, True), (1, 4, False), (2, 2, False), (1, 1, False)],
)
def test_is_depthwise_needs_one_channel_a_group(
    groups: int, depth: int, expected: bool
) -> None:
    body = Body((1, 8, groups * depth), (3, depth, 4))
    assert is_depthwise(conv(*body.args, groups=groups)) is expected


def test_is_storable_view_of_split_last_axis_is_false() -> None:
    body = Body((2, 5, 12))
    heads = body.add(nn.ReshapeOp(body.args[0], [2, 5, 3, 4]))
    turned = body.add(nn.TransposeOp(heads, [0, 2, 1, 3]))
    chain = view_chain(turned)
    assert dims_of(turned) == (2, 3, 5, 4)
    # [2, 3, 5, 4] dense holds [5, 3*4] rows apart: their last axis is no single stride.
    assert not is_storable_view(chain.ops)
