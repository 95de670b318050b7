from __future__ import annotations

from collections.abc import Callable

import pytest
from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.elementwise import AddOp, MulOp, ReluOp, SigmoidOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.testing_passes import Network, check_passes_keep_meaning

PIPELINE = "choose-layout,canonicalize-nn,fold-constants,eliminate-common-ops"
H = Dim.symbol("H")


def gated(net: Network, x: SSAValue) -> SSAValue:
    """Squeeze and excite."""
    gate = net.add(nn.ReduceOp(x, "max", [2, 3]))
    gate = net.add(nn.ConvOp(gate, net.weight(8, 8, 1, 1)))
    gate = net.add(SigmoidOp(gate))
    return net.add(MulOp(x, net.add(nn.BroadcastOp(gate, dims_of(x)))))


def shuffled(net: Network, x: SSAValue) -> SSAValue:
    """The channel shuffle of two groups."""
    n, c, h, w = dims_of(x)
    x = net.add(nn.ReshapeOp(x, [n, 2, c // 2, h, w]))
    x = net.add(nn.TransposeOp(x, [0, 2, 1, 3, 4]))
    return net.add(nn.ReshapeOp(x, [n, c, h, w]))


def flattened(net: Network, x: SSAValue) -> SSAValue:
    """Pixels as a sequence, as a vision transformer takes them."""
    n, c, h, w = dims_of(x)
    x = net.add(nn.ReshapeOp(x, [n, c, h * w]))
    x = net.add(nn.TransposeOp(x, [0, 2, 1]))
    x = net.add(nn.MatmulOp(x, net.weight(8, 8)))
    x = net.add(nn.TransposeOp(x, [0, 2, 1]))
    return net.add(nn.ReshapeOp(x, [n, c, h, w]))


def resized(net: Network, x: SSAValue) -> SSAValue:
    n, c, h, w = dims_of(x)
    return net.add(nn.ResizeOp(x, [n, c, 2 * h, 2 * w], [1, 1, 2, 2]))


def joined(net: Network, x: SSAValue) -> SSAValue:
    n, _, h, w = dims_of(x)
    both = net.add(nn.ConcatOp([x, x], 1))
    return net.add(nn.SliceOp(both, [0, 3, 0, 0], [n, 8, h, w]))


def padded(net: Network, x: SSAValue) -> SSAValue:
    return net.add(nn.PadOp(x, [0, 0, 1, 2], [0, 0, 0, 1], mode="edge"))


@pytest.mark.parametrize(
    ("middle", "transposes"),
    [
        (gated, 2),
        # A shuffle moves elements.
        (shuffled, 3),
        (flattened, 2),
        (resized, 2),
        (joined, 2),
        (padded, 2),
    ],
)
def test_choose_layout_leaves_transposes_at_the_borders_only(
    middle: Callable[[Network, SSAValue], SSAValue], transposes: int
) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        x = net.add(nn.ConvOp(x, net.weight(8, 3, 3, 3), padding=[1] * 4))
        x = net.add(ReluOp(x))
        x = middle(net, x)
        return net.add(nn.PoolOp(x, "max", [2, 2], strides=[2, 2]))

    network = Network([tensor_type(F32, [2, 3, H, 8])], build)
    check_passes_keep_meaning(network, PIPELINE, H=6)
    assert network.names().count("nn.transpose") == transposes


def test_choose_layout_residual_from_input_is_transposed_once() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.ConvOp(x, net.weight(4, 4, 1, 1)))
        y = net.add(AddOp(y, x))
        return net.add(AddOp(y, x))

    network = Network([tensor_type(F32, [2, 4, 5, 6])], build)
    check_passes_keep_meaning(network, PIPELINE)
    assert network.names().count("nn.transpose") == 2


def test_choose_layout_one_spatial_axis() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.ConvOp(x, net.weight(4, 4, 3), padding=[1, 1]))
        y = net.add(ReluOp(y))
        return net.add(nn.ConvOp(y, net.weight(4, 1, 3), groups=4))

    network = Network([tensor_type(F32, [2, 4, H])], build)
    check_passes_keep_meaning(network, PIPELINE, H=9)
    assert network.names().count("nn.transpose") == 2


def test_choose_layout_channels_last_model_loses_its_transposes() -> None:
    """What an exporter of a channels-last framework writes."""

    def build(net: Network, x: SSAValue) -> SSAValue:
        for _ in range(2):
            y = net.add(nn.TransposeOp(x, [0, 3, 1, 2]))
            y = net.add(nn.ConvOp(y, net.weight(4, 4, 3, 3), padding=[1] * 4))
            x = net.add(nn.TransposeOp(y, [0, 2, 3, 1]))
            x = net.add(ReluOp(x))
        return x

    network = Network([tensor_type(F32, [2, 5, 6, 4])], build)
    check_passes_keep_meaning(network, PIPELINE)
    assert "nn.transpose" not in network.names()


def test_choose_layout_decomposed_conv_transpose_keeps_its_epilogue() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.ConvTransposeOp(x, net.weight(4, 4, 2, 2), strides=[2, 2]))
        bias = net.add(nn.BroadcastOp(net.weight(4, 1, 1), dims_of(y)))
        y = net.add(ReluOp(net.add(AddOp(y, bias))))
        return net.add(nn.ConvOp(y, net.weight(4, 4, 1, 1)))

    network = Network([tensor_type(F32, [2, 4, 5, 6])], build)
    check_passes_keep_meaning(network, f"decompose-nn,{PIPELINE}")
    names = network.names()
    # conv, bias and relu, then the shuffle and the next conv.
    first = names.index("nn.conv")
    assert names[first + 1 : first + 5].count("nn.relu") == 1
    assert names.count("nn.transpose") == 3
