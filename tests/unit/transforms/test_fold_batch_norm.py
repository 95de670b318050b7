from __future__ import annotations

import numpy as np
import pytest
from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn.conv import Layout
from nnc.dialects.nn.elementwise import AddOp, DivOp, MulOp, SubOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.testing_passes import Network, check_passes_keep_meaning
from nnc.transforms.fold_batch_norm import _factors

PASS = "fold-batch-norm"


def per_channel(net: Network, like: SSAValue, axis: int) -> SSAValue:
    dims = dims_of(like)
    size = dims[axis].as_int()
    assert size is not None
    constant = net.weight(size, *[1] * (len(dims) - 1 - axis))
    return net.add(nn.BroadcastOp(constant, dims))


def batch_norm(net: Network, x: SSAValue, axis: int) -> SSAValue:
    size = dims_of(x)[axis].as_int()
    assert size is not None
    return net.add(nn.BatchNormOp(x, *(net.weight(size) for _ in range(4)), axis=axis))


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_fold_chain_behind_convolution(
    layout: Layout, groups: int, is_transposed: bool
) -> None:
    last = layout == "channels_last"
    axis = 3 if last else 1

    def build(net: Network, x: SSAValue) -> SSAValue:
        if is_transposed:
            shape = (2, 2, 6 // groups, 4) if last else (4, 6 // groups, 2, 2)
            op: nn.ConvOp | nn.ConvTransposeOp = nn.ConvTransposeOp(
                x, net.weight(*shape), groups=groups, strides=[2, 2], layout=layout
            )
        else:
            shape = (3, 3, 4 // groups, 6) if last else (6, 4 // groups, 3, 3)
            op = nn.ConvOp(x, net.weight(*shape), groups=groups, layout=layout)
        y = net.add(op)
        y = net.add(AddOp(y, per_channel(net, y, axis)))
        y = batch_norm(net, y, axis)
        y = net.add(MulOp(per_channel(net, y, axis), y))
        return net.add(SubOp(y, per_channel(net, y, axis)))

    shape = [2, 5, 5, 4] if last else [2, 4, 5, 5]
    network = Network([tensor_type(F32, shape)], build)
    check_passes_keep_meaning(network, PASS)
    names = network.names()
    assert names.count("nn.add") == 1
    assert not {"nn.mul", "nn.sub", "nn.batch_norm"} & set(names)


def test_fold_chain_behind_matmul() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.MatmulOp(x, net.weight(4, 5)))
        y = net.add(DivOp(y, per_channel(net, y, 2)))
        return net.add(MulOp(y, net.add(nn.BroadcastOp(net.weight(), [2, 3, 5]))))

    network = Network([tensor_type(F32, [2, 3, 4])], build)
    check_passes_keep_meaning(network, PASS)
    assert network.names() == ["nn.weight", "nn.matmul", "func.return"]


def test_fold_batch_norm_of_shared_convolution_is_scale_and_shift() -> None:
    def build(net: Network, x: SSAValue) -> list[SSAValue]:
        y = net.add(nn.ConvOp(x, net.weight(6, 4, 3)))
        return [y, batch_norm(net, y, 1)]

    network = Network([tensor_type(F32, [2, 4, 9])], build)
    check_passes_keep_meaning(network, PASS)
    assert {"nn.mul", "nn.add"} <= set(network.names())


def test_fold_scale_of_rows_of_matmul_stays() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.MatmulOp(x, net.weight(4, 3)))
        return net.add(MulOp(y, per_channel(net, y, 0)))

    network = Network([tensor_type(F32, [3, 4])], build)
    check_passes_keep_meaning(network, PASS)
    assert "nn.mul" in network.names()


def test_fold_chain_with_other_axes_stops_between_them() -> None:
    def build(net: Network, x: SSAValue) -> SSAValue:
        y = net.add(nn.ConvOp(x, net.weight(6, 4, 3)))
        y = net.add(MulOp(y, per_channel(net, y, 1)))
        return net.add(MulOp(y, per_channel(net, y, 2)))

    network = Network([tensor_type(F32, [2, 4, 9])], build)
    check_passes_keep_meaning(network, PASS)
    assert network.names().count("nn.mul") == 1


def test_scales_that_float32_holds_give_equal_bits():
    generator = np.random.default_rng(0)
    weight = generator.standard_normal((64, 32)).astype(np.float32)
    weight[0, :4] = [0, -0.0, np.float32(1e-42), np.float32(3e38)]
    scale = generator.standard_normal(32).astype(np.float32).astype(np.float64)
    scale[:4] = [8, 0.125, 0.3, 1.1]
    scale[2:4] = scale[2:4].astype(np.float32)
    array, factor = _factors(weight, scale)
    assert array.dtype == factor.dtype == np.float32
    expected = (weight.astype(np.float64) * scale).astype(np.float32)
    assert (array * factor).tobytes() == expected.tobytes()


def test_scales_that_float32_does_not_hold_are_float64():
    array, factor = _factors(np.ones(3, np.float32), np.array([0.1]))
    assert array.dtype == factor.dtype == np.float64
