"""The pass: equal kernels, empty dispatches, locations, errors."""

from __future__ import annotations

import pytest
from xdsl.context import Context
from xdsl.dialects import func
from xdsl.dialects.builtin import (
    DenseIntOrFPElementsAttr,
    ModuleOp,
    TensorType,
    f32,
)
from xdsl.ir import Attribute, Block, Operation, Region

from nnc.dialects.nn.base import set_location
from nnc.dialects.nn.elementwise import ExpOp, ReluOp, UnaryOp
from nnc.dialects.nn.movement import BroadcastOp
from nnc.dialects.nn.structure import ConstantOp, YieldOp
from nnc.dialects.nn.types import I32, tensor_type
from nnc.dialects.rt import BufferType, DispatchOp, LaunchOp
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches import LowerDispatchesPass, lower
from nnc.symbolic import Dim, DimLike

N, M = Dim.symbol("N"), Dim.symbol("M")


def unary_dispatch(
    op: type[UnaryOp], x: Block, dims: list[DimLike], element: Attribute = f32
) -> DispatchOp:
    """A dispatch from the first to the second argument of a block."""
    body = Block(arg_types=[tensor_type(element, dims)])
    made = op(body.args[0])
    body.add_ops([made, YieldOp(made)])
    set_location("node", made)
    return DispatchOp([x.args[0]], [x.args[1]], Region(body))


def module_of(*shapes: list[DimLike], op: type[UnaryOp] = ReluOp) -> ModuleOp:
    """A module with one function a shape, each with one dispatch."""
    functions: list[Operation] = []
    for number, dims in enumerate(shapes):
        type_ = BufferType(f32, dims)
        block = Block(arg_types=[type_, type_])
        dispatch = unary_dispatch(op, block, dims)
        set_location(f"node{number}", dispatch)
        block.add_ops([dispatch, func.ReturnOp()])
        functions.append(func.FuncOp(f"f{number}", ([type_, type_], []), Region(block)))
    return ModuleOp(functions)


def lowered(module: ModuleOp) -> tuple[list[LaunchOp], list[str]]:
    LowerDispatchesPass("avx2").apply(Context(), module)
    module.verify()
    launches = [op for op in module.walk() if isinstance(op, LaunchOp)]
    kernels = [
        op.sym_name.data
        for op in module.ops
        if isinstance(op, func.FuncOp) and not op.sym_name.data.startswith("f")
    ]
    return launches, kernels


def test_equal_dispatches_share_a_kernel() -> None:
    launches, kernels = lowered(module_of([4, 8], [4, 8], [8, 4]))
    assert kernels == ["pointwise_0"]
    assert [launch.kernel.root_reference.data for launch in launches] == kernels * 3


def test_kernels_that_differ_in_symbols_only_are_shared() -> None:
    launches, kernels = lowered(module_of([N, 8], [M, 8]))
    assert len(kernels) == 1
    dims = [launch.dims.dims for launch in launches]
    assert dims[0] != dims[1]


def test_different_sizes_have_kernels_of_their_own() -> None:
    _, kernels = lowered(module_of([17], [18]))
    assert kernels == ["pointwise_0", "pointwise_1"]


def test_launch_has_the_location_of_its_dispatch() -> None:
    launches, _ = lowered(module_of([4], [4]))
    names = [str(launch.attributes["loc_name"]) for launch in launches]
    assert names == ['"node0"', '"node1"']


def test_nothing_to_compute_needs_no_launch() -> None:
    launches, kernels = lowered(module_of([0, 8]))
    assert not launches
    assert not kernels


def test_unsupported_element_type_names_the_node() -> None:
    type_ = BufferType(I32, [4])
    block = Block(arg_types=[type_, type_])
    body = Block(arg_types=[tensor_type(I32, [4])])
    made = ExpOp.create(operands=[body.args[0]], result_types=[body.args[0].type])
    body.add_ops([made, YieldOp(made)])
    set_location("the node", made)
    block.add_ops(
        [DispatchOp([block.args[0]], [block.args[1]], Region(body)), func.ReturnOp()]
    )
    module = ModuleOp([func.FuncOp("f", ([type_, type_], []), Region(block))])
    with pytest.raises(CompileError, match="the node: nn.exp of i32 elements"):
        LowerDispatchesPass("avx2").apply(Context(), module)


def test_pass_twice_equals_once() -> None:
    module = module_of([4, 8])
    lowered(module)
    before = str(module)
    LowerDispatchesPass("avx2").apply(Context(), module)
    assert str(module) == before


def test_lowering_is_deterministic() -> None:
    texts = []
    for _ in range(2):
        module = module_of([N, 8], [5, 7, 9])
        lowered(module)
        texts.append(str(module))
    assert texts[0] == texts[1]


def test_zeros_of_different_sign_have_kernels_of_their_own() -> None:
    functions: list[Operation] = []
    for number, zero in enumerate((0.0, -0.0)):
        type_ = BufferType(f32, [4])
        block = Block(arg_types=[type_])
        dense = DenseIntOrFPElementsAttr.from_list(TensorType(f32, []), [zero])
        constant = ConstantOp(dense)
        spread = BroadcastOp(constant, [4])
        body = Block()
        body.add_ops([constant, spread, YieldOp(spread)])
        dispatch = DispatchOp([], [block.args[0]], Region(body))
        block.add_ops([dispatch, func.ReturnOp()])
        functions.append(func.FuncOp(f"f{number}", ([type_], []), Region(block)))
    _, kernels = lowered(ModuleOp(functions))
    assert len(kernels) == 2


def test_dispatch_of_nothing_is_not_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    # Schedules divide by sizes.
    monkeypatch.setattr(lower, "SCHEDULES", {})
    assert lowered(module_of([4, 0], [0, N])) == ([], [])
