"""Attention keeps its meaning when it is raised, and when it is taken apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float32Type,
    Float64Type,
    i1,
)
from xdsl.ir import SSAValue
from xdsl.utils.arg_spec import ArgSpec

from nnc.dialects import nn
from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.elementwise import AddOp, MulOp, SelectOp
from nnc.dialects.nn.types import BF16, F16, F32, F64, dims_of, tensor_type
from nnc.symbolic import Dim
from nnc.testing import compare, random_inputs
from nnc.testing_passes import Network, check_passes_keep_meaning

N, S = Dim.symbol("N"), Dim.symbol("S")
PLACES = list(itertools.product((False, True), repeat=3))


def spread(net: Network, x: SSAValue, like: SSAValue) -> SSAValue:
    return net.add(nn.BroadcastOp(x, dims_of(like)))


def number(net: Network, value: float, like: SSAValue) -> SSAValue:
    return spread(net, net.constant(np.array(value, np.float32)), like)


def scaled(net: Network, x: SSAValue, factor: float) -> SSAValue:
    return net.add(MulOp(x, number(net, factor, x)))


@pytest.mark.parametrize(("at_query", "at_key", "at_scores"), PLACES)
@pytest.mark.parametrize("mask", ["none", "float", "bool", "both"])
def test_raised_attention_means_the_same(
    at_query: bool, at_key: bool, at_scores: bool, mask: str
):
    types = [
        tensor_type(F32, [N, 3, S, 8]),
        tensor_type(F32, [N, 3, 8, 7]),
        tensor_type(F32, [N, 3, 7, 5]),
        tensor_type(F32, [N, 1, 1, 7]),
        tensor_type(i1, [S, 7]),
    ]

    def build(net: Network, *inputs: SSAValue) -> SSAValue:
        q, k, v, bias, keep = inputs
        q = scaled(net, q, 0.5) if at_query else q
        k = scaled(net, k, 0.7) if at_key else k
        scores = net.add(nn.MatmulOp(q, k))
        scores = scaled(net, scores, 1.5) if at_scores else scores
        if mask in ("float", "both"):
            scores = net.add(AddOp(spread(net, bias, scores), scores))
        if mask in ("bool", "both"):
            low = number(net, -1e4, scores)
            scores = net.add(SelectOp(spread(net, keep, scores), scores, low))
        weights = net.add(nn.SoftmaxOp(scores))
        return net.add(nn.MatmulOp(weights, v))

    network = Network(types, build)
    check_passes_keep_meaning(network, "canonicalize-nn,raise-attention", N=2, S=4)
    assert network.names().count("nn.attention") == 1
    assert "nn.softmax" not in network.names()


@pytest.mark.parametrize("element", [F16, BF16, F32, F64])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("zeroes", ["", "nan_to_zero", "empty_to_zero"])
def test_attention_without_a_kernel_is_taken_apart(
    element: Float16Type | BFloat16Type | Float32Type | Float64Type,
    groups: int,
    zeroes: str,
):
    depth = 8 if element in (F16, BF16) else 300
    types = [
        tensor_type(element, [N, 4, S, depth]),
        tensor_type(element, [N, groups, 7, depth]),
        tensor_type(element, [N, groups, 7, 5]),
        tensor_type(element, [4, 1, 7]),
        tensor_type(i1, [N, 1, S, 7]),
        tensor_type(i1, [7]),
    ]

    def build(net: Network, *inputs: SSAValue) -> SSAValue:
        q, k, v, *masks = inputs
        op = AttentionOp(
            q, k, v, masks, scale=0.05, causal=S - 3, **{z: True for z in [zeroes] if z}
        )
        return net.add(op)

    network = Network(types, build)
    if element in (F16, BF16):
        inputs = random_inputs(network.module, sizes={"N": 2, "S": 4})
        (expected,) = network.run(inputs)
        network.apply(ArgSpec("decompose-nn", {}))
        (result,) = network.run(inputs)
        compare(result, expected)
    else:
        check_passes_keep_meaning(network, "decompose-nn", N=2, S=4)
    assert not {"nn.attention", "nn.softmax"} & set(network.names())


def test_a_mask_may_tell_how_many_queries_there_are():
    types = [
        tensor_type(F32, [1, 2, S, 4]),
        tensor_type(F32, [1, 2, 4, 7]),
        tensor_type(F32, [1, 2, 7, 5]),
        tensor_type(F32, [16, 7]),
    ]

    def build(net: Network, *inputs: SSAValue) -> SSAValue:
        q, k, v, mask = inputs
        scores = net.add(nn.MatmulOp(q, k))
        scores = net.add(nn.DimCastOp(scores, [1, 2, 16, 7]))
        masked = net.add(AddOp(scores, spread(net, mask, scores)))
        return net.add(nn.MatmulOp(net.add(nn.SoftmaxOp(masked)), v))

    network = Network(types, build)
    check_passes_keep_meaning(network, "raise-attention", S=16)
    assert network.names().count("nn.attention") == 1
