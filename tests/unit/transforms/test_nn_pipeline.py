"""The whole nn stage on small networks: same outputs, text that parses to itself."""

from __future__ import annotations

import pytest
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from nnc.analysis.dispatches import DispatchKind, classify
from nnc.dialects import nn
from nnc.dialects.nn.elementwise import AddOp, ClampOp, DivOp, ErfOp, MulOp, ReluOp
from nnc.dialects.nn.types import F32, dims_of, tensor_type
from nnc.pipelines import PIPELINES, PipelineOptions, Stage, steps, to_text
from nnc.symbolic import Dim
from nnc.testing_passes import Build, Network, check_passes_keep_meaning

N, S = Dim.symbol("N"), Dim.symbol("S")


def pipeline(target: str) -> str:
    options = PipelineOptions(target=target)
    return to_text(s.spec for s in steps("nnc-nn", options) if s.stage is Stage.NN)


def conv(
    net: Network, x: SSAValue, outputs: int, kernel: int, groups: int = 1
) -> SSAValue:
    """Convolution, batch norm and a clamp."""
    channels = dims_of(x)[1].as_int()
    assert channels is not None
    w = net.weight(outputs, channels // groups, kernel, kernel)
    padding = [kernel // 2] * 4
    y = net.add(nn.ConvOp(x, w, padding=padding, groups=groups))
    scale, bias, mean, variance = (net.weight(outputs) for _ in range(4))
    y = net.add(nn.BatchNormOp(y, scale, bias, mean, variance))
    return net.add(ClampOp(y, 0, 6))


def convolutional(net: Network, x: SSAValue) -> SSAValue:
    """An inverted residual block with gate, then a classifier."""
    x = conv(net, x, 8, 3)
    y = conv(net, conv(net, x, 16, 1), 16, 3, groups=16)
    gate = net.add(nn.ReduceOp(y, "mean", [2, 3]))
    gate = conv(net, gate, 16, 1)
    y = net.add(MulOp(y, net.add(nn.BroadcastOp(gate, dims_of(y)))))
    x = net.add(AddOp(conv(net, y, 8, 1), x))
    x = net.add(nn.PoolOp(x, "max", [3, 3], strides=[2, 2], padding=[1] * 4))
    x = net.add(nn.ReduceOp(x, "mean", [2, 3], keep_dims=False))
    x = net.add(nn.MatmulOp(x, net.weight(8, 10)))
    return net.add(nn.SoftmaxOp(x))


def encoder(net: Network, x: SSAValue) -> SSAValue:
    """An encoder layer."""
    n, s, _ = dims_of(x)

    def linear(v: SSAValue, rows: int, columns: int) -> SSAValue:
        y = net.add(nn.MatmulOp(v, net.weight(rows, columns)))
        bias = net.add(nn.BroadcastOp(net.weight(columns), dims_of(y)))
        return net.add(AddOp(y, bias))

    def heads(v: SSAValue, axes: list[int]) -> SSAValue:
        split = net.add(nn.ReshapeOp(linear(v, 8, 8), [n, s, 2, 4]))
        return net.add(nn.TransposeOp(split, axes))

    scores = net.add(nn.MatmulOp(heads(x, [0, 2, 1, 3]), heads(x, [0, 2, 3, 1])))
    two = net.add(nn.BroadcastOp(net.weight(), dims_of(scores)))
    weights = net.add(nn.SoftmaxOp(net.add(DivOp(scores, two))))
    context = net.add(nn.MatmulOp(weights, heads(x, [0, 2, 1, 3])))
    context = net.add(nn.TransposeOp(context, [0, 2, 1, 3]))
    context = net.add(nn.ReshapeOp(context, [n, s, 8]))
    x = net.add(AddOp(linear(context, 8, 8), x))
    x = net.add(nn.LayerNormOp(x, net.weight(8), net.weight(8)))
    wide = linear(x, 8, 16)
    wide = net.add(MulOp(wide, net.add(ErfOp(wide))))
    x = net.add(AddOp(linear(wide, 16, 8), x))
    return net.add(nn.LayerNormOp(x, net.weight(8), net.weight(8)))


def upsampling(net: Network, x: SSAValue) -> SSAValue:
    """A transposed convolution, a resize, and a concat with a skip connection."""
    y = net.add(nn.PoolOp(x, "average", [2, 2], strides=[2, 2]))
    y = net.add(nn.ConvTransposeOp(y, net.weight(3, 3, 2, 2), strides=[2, 2]))
    bias = net.add(nn.BroadcastOp(net.weight(3, 1, 1), dims_of(y)))
    y = net.add(ReluOp(net.add(AddOp(y, bias))))
    n, c, h, w = dims_of(y)
    z = net.add(nn.ResizeOp(y, [n, c, h * 2, w * 2], mode="linear"))
    z = net.add(nn.PoolOp(z, "max", [2, 2], strides=[2, 2]))
    x = net.add(nn.DimCastOp(x, dims_of(z)))
    return conv(net, net.add(nn.ConcatOp([x, z], 1)), 4, 3)


@pytest.mark.parametrize("target", ["avx512", "generic"])
@pytest.mark.parametrize(
    ("build", "dims", "sizes", "counts"),
    [
        (
            convolutional,
            [N, 3, S, 12],
            {"N": 2, "S": 10},
            {"contraction": 5, "window": 2, "rows": 5, "pointwise": 1},
        ),
        (
            encoder,
            [N, S, 8],
            {"N": 2, "S": 5},
            {"attention": 1, "contraction": 6, "rows": 2},
        ),
        (upsampling, [1, 3, S, 8], {"S": 6}, None),
    ],
    ids=["convolutional", "encoder", "upsampling"],
)
def test_nn_stage_keeps_meaning(
    target: str,
    build: Build,
    dims: list[Dim | int],
    sizes: dict[str, int],
    counts: dict[str, int] | None,
) -> None:
    network = Network([tensor_type(F32, dims)], build)
    check_passes_keep_meaning(network, pipeline(target), **sizes)
    (main,) = network.module.ops
    assert isinstance(main, FuncOp)
    found = [
        classify(op) for op in main.body.block.ops if isinstance(op, nn.DispatchOp)
    ]
    if counts is not None:
        assert {k: found.count(DispatchKind(k)) for k in counts} == counts
        assert len(found) == sum(counts.values())


def test_pipelines_name_registered_passes_only() -> None:
    from nnc.registry import PASSES

    for name in PIPELINES:
        for step in steps(name, PipelineOptions()):
            assert step.spec.name in PASSES
