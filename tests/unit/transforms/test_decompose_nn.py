from __future__ import annotations

import itertools
from math import gcd

import pytest
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.elementwise import AddOp
from nnc.dialects.nn.movement import PadMode
from nnc.dialects.nn.reduction import ReduceKind
from nnc.dialects.nn.types import F16, F32, F64, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.testing import compare, random_inputs
from nnc.testing_passes import Network, check_passes_keep_meaning
from nnc.transforms.decompose_nn import LEGAL_OPS
from nnc.transforms.decomposition.conv_transpose import plan_axis

H = Dim.symbol("H")


def check_decomposed(network: Network, **sizes: int) -> None:
    check_passes_keep_meaning(network, "decompose-nn", **sizes)
    legal = {op.name for op in LEGAL_OPS} | {"func.return"}
    assert set(network.names()) <= legal


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_decompose_softmax(axis: int) -> None:
    types = [tensor_type(F32, [2, H, 5])]

    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(nn.SoftmaxOp(x, axis))

    network = Network(types, build)
    check_decomposed(network, H=7)


def test_decompose_softmax_of_f16_is_not_less_exact() -> None:
    types = [tensor_type(F16, [3, 100])]

    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(nn.SoftmaxOp(x))

    network = Network(types, build)
    inputs = random_inputs(network.module)
    before = network.run(inputs)
    from xdsl.utils.arg_spec import ArgSpec

    network.apply(ArgSpec("decompose-nn", {}))
    for ours, theirs in zip(network.run(inputs), before, strict=True):
        compare(ours, theirs)


@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.parametrize("has_bias", [False, True])
def test_decompose_layer_norm(axis: int, has_bias: bool) -> None:
    dims = [3, 4][axis % 3 - 1 :]

    def build(
        net: Network, x: SSAValue, scale: SSAValue, bias: SSAValue
    ) -> list[SSAValue]:
        norm = nn.LayerNormOp(x, scale, bias if has_bias else None, axis, 1e-3)
        return [net.add(norm), bias]

    types = [tensor_type(F32, [H, 3, 4]), *[tensor_type(F32, dims)] * 2]
    check_decomposed(Network(types, build), H=2)


@pytest.mark.parametrize("element_type", [F32, F64], ids=str)
@pytest.mark.parametrize("axes", [[1], [0, 2], [1, 2]])
@pytest.mark.parametrize("keep_dims", [False, True])
def test_decompose_mean(
    element_type: Attribute, axes: list[int], keep_dims: bool
) -> None:
    kind: ReduceKind = "mean"
    types = [tensor_type(element_type, [2, H, 5])]

    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(nn.ReduceOp(x, kind, axes, keep_dims))

    network = Network(types, build)
    check_decomposed(network, H=7)


@pytest.mark.parametrize("axis", [1, 2])
def test_decompose_batch_norm_of_inputs(axis: int) -> None:
    def build(net: Network, x: SSAValue, *parameters: SSAValue) -> SSAValue:
        # A variance is not negative.
        scale, bias, mean, deviation = parameters
        variance = net.add(AddOp(net.weight(4), net.weight(4)))
        norm = nn.BatchNormOp(x, scale, bias, mean, variance, axis)
        spread = net.add(nn.BroadcastOp(deviation, [4, 4, 4]))
        return net.add(AddOp(net.add(norm), spread))

    types = [tensor_type(F32, [4, 4, 4]), *[tensor_type(F32, [4])] * 4]
    check_decomposed(Network(types, build))


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize(
    ("low", "high", "is_split"),
    [
        ([0, 0, 1], [0, 0, 0], True),
        ([0, 2, 1], [0, 1, 3], True),
        ([0, 2, 3], [0, 2, 3], True),
        ([0, 0, 0], [0, 0, 9], False),
        ([1, 0, 0], [0, 0, 1], False),
    ],
)
def test_decompose_padding(
    mode: PadMode, low: list[int], high: list[int], is_split: bool
) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        return net.add(nn.PadOp(x, low, high, mode=mode))

    network = Network([tensor_type(F32, [H, 3, 4])], build)
    check_passes_keep_meaning(network, "decompose-nn", H=2)
    # A border of one repeated element may have any length.
    is_split = is_split or (mode == "edge" and not low[0])
    assert ("nn.pad" in network.names()) == (not is_split)


def conv_transpose_cases() -> list[tuple[int, ...]]:
    every = itertools.product(
        [1, 2, 3, 4], [1, 2, 3], [1, 2], [0, 1, 2], [0, 1, 3], [0, 1], [1, 2]
    )
    sound = [
        case
        for case in every
        for kernel, stride, dilation, low, high, extra, _ in [case]
        if (not extra or extra < max(stride, dilation))
        and 2 * stride + (kernel - 1) * dilation + 1 - low - high + extra > 0
    ]
    # All there are take a while; these are spread over them.
    return sound[::11]


@pytest.mark.parametrize("case", conv_transpose_cases(), ids=str)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_decompose_conv_transpose(case: tuple[int, ...], layout: str) -> None:
    kernel, stride, dilation, low, high, extra, groups = case
    last = layout == "channels_last"

    def build(net: Network, x: SSAValue, w: SSAValue) -> SSAValue:
        return net.add(
            nn.ConvTransposeOp(
                x,
                w,
                strides=[stride],
                dilations=[dilation],
                padding=[low, high],
                output_padding=[extra],
                groups=groups,
                layout="channels_last" if last else "channels_first",
            )
        )

    shapes = [[2, 3, 4], [kernel, 3, 4]] if last else [[2, 4, 3], [4, 3, kernel]]
    check_decomposed(Network([tensor_type(F32, s) for s in shapes], build))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_decompose_conv_transpose_with_bias_of_symbolic_size(groups: int) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        op = nn.ConvTransposeOp(
            x,
            net.weight(4, 3, 2, 3),
            strides=[2, 3],
            padding=[0, 1, 0, 1],
            groups=groups,
        )
        y = net.add(op)
        bias = net.weight(3 * groups, 1, 1)
        return net.add(AddOp(y, net.add(nn.BroadcastOp(bias, dims_of(y)))))

    network = Network([tensor_type(F32, [1, 4, H, 5])], build)
    check_decomposed(network, H=3)
    names = network.names()
    # The bias is in the epilogue of the convolution.
    assert names.index("nn.add") < len(names) - 1 - names[::-1].index("nn.reshape")


@pytest.mark.parametrize("case", conv_transpose_cases(), ids=str)
@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_decompose_wide_conv_transpose(case: tuple[int, ...], layout: str) -> None:
    kernel, stride, dilation, low, high, extra, groups = case
    last = layout == "channels_last"
    step = stride // gcd(stride, dilation)

    def build(net: Network, x: SSAValue, w: SSAValue) -> SSAValue:
        op = nn.ConvTransposeOp(
            x,
            w,
            strides=[1, stride],
            dilations=[1, dilation],
            padding=[0, low, 1, high],
            output_padding=[0, extra],
            groups=groups,
            layout="channels_last" if last else "channels_first",
        )
        bias = net.weight(*((8 * groups,) if last else (8 * groups, 1, 1)))
        y = net.add(op)
        return net.add(AddOp(y, net.add(nn.BroadcastOp(bias, dims_of(y)))))

    shapes = (
        [[2, 5, 3, 4], [2, kernel, 8, 4]] if last else [[2, 4, 5, 3], [4, 8, 2, kernel]]
    )
    network = Network([tensor_type(F32, s) for s in shapes], build)
    check_decomposed(network)
    # One convolution a phase, unless there is one phase or a phase without taps.
    is_split = stride > 1 and step == stride and kernel >= stride
    assert network.names().count("nn.conv") == (stride if is_split else 1)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("low", [0, 1])
def test_decompose_wide_conv_transpose_of_symbolic_size(kernel: int, low: int) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        op = nn.ConvTransposeOp(
            x,
            net.weight(4, 8, kernel, kernel),
            strides=[2, 2],
            padding=[low, low, low, low],
            output_padding=[kernel % 2, 0],
        )
        return net.add(op)

    network = Network([tensor_type(F32, [1, 4, H, 5])], build)
    check_decomposed(network, H=3)
    assert network.names().count("nn.conv") == 4


def test_plan_axis_kernel_of_stride_needs_one_tap_and_no_padding() -> None:
    plan = plan_axis(2, 2, 1, 0, 0, 0)
    assert (plan.taps, plan.low, plan.high, plan.offset) == (1, 0, 0, 0)


def test_plan_axis_low_padding_skips_whole_positions() -> None:
    # Taps 3 of 6 = 2 * 3; 3 cut positions are one whole step of the convolution.
    plan = plan_axis(6, 2, 1, 3, 0, 0)
    assert (plan.taps, plan.low, plan.offset) == (3, 1, 1)


def test_legal_ops_are_ops() -> None:
    assert all(issubclass(op, Operation) for op in LEGAL_OPS)
    assert nn.SoftmaxOp not in LEGAL_OPS
