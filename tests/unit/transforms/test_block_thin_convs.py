from __future__ import annotations

import pytest
from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.elementwise import AddOp, SigmoidOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.testing_passes import Network, check_passes_keep_meaning

PASS = "block-thin-convs{target=avx512}"
L = Dim.symbol("L")


@pytest.mark.parametrize("size", [64, 71, 100, L], ids=str)
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 3), (3, 2)])
@pytest.mark.parametrize("padding", [(0, 0), (5, 3)])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_block_thin_convs_keeps_meaning(
    size: int | Dim, stride: int, dilation: int, padding: tuple[int, int], channels: int
) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        op = nn.ConvOp(
            x,
            net.weight(1, 13, 3, channels),
            strides=[1, stride],
            dilations=[1, dilation],
            padding=[0, padding[0], 0, padding[1]],
            layout="channels_last",
        )
        y = net.add(op)
        bias = net.add(nn.BroadcastOp(net.weight(channels), dims_of(y)))
        return net.add(SigmoidOp(net.add(AddOp(y, bias))))

    network = Network([tensor_type(F32, [2, 2, size, 3])], build)
    check_passes_keep_meaning(network, PASS, L=77)


@pytest.mark.parametrize("length", [31, 77])
def test_block_thin_convs_without_bias(length: int) -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        op = nn.ConvOp(x, net.weight(16, 1, 1), layout="channels_last")
        return net.add(op)

    network = Network([tensor_type(F32, [1, length, 1])], build)
    check_passes_keep_meaning(network, PASS)
    assert "nn.reshape" in network.names()
