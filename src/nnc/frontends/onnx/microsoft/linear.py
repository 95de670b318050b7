"""Matrix products that are fused with transposes, scales and activations."""

from __future__ import annotations

from xdsl.ir import SSAValue

from nnc.dialects.nn.types import I32, rank_of
from nnc.frontends.common import Builder
from nnc.frontends.onnx.elementwise import gelu
from nnc.frontends.onnx.linear import matmul, scaled, swap_last
from nnc.frontends.onnx.microsoft.activations import fused_activation
from nnc.frontends.onnx.microsoft.standard import as_standard, first_of
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter


def _operand(node: Node, b: Builder, index: int) -> SSAValue:
    """
    An operand as matrices.

    With `transBatch` the first axis holds the rows, the batch axes come behind it.
    """
    value, side = node.input(index), "AB"[index]
    rank = rank_of(value)
    if node.attr_int(f"transBatch{side}", 0) and rank > 2:
        value = b.transpose(value, [*range(1, rank - 1), 0, rank - 1])
    return swap_last(b, value) if node.attr_int(f"trans{side}", 0) else value


def _product(node: Node, b: Builder) -> SSAValue:
    product = matmul(b, _operand(node, b, 0), _operand(node, b, 1))
    return scaled(b, product, node.attr_float("alpha", 1.0))


@converter("TransposeMatMul", domain=MICROSOFT)
@converter("FusedMatMul", domain=MICROSOFT)
def _fused_matmul(node: Node, b: Builder) -> Converted:
    return _product(node, b)


@converter("FusedMatMulActivation", domain=MICROSOFT)
def _fused_matmul_activation(node: Node, b: Builder) -> Converted:
    return fused_activation(node, b, _product(node, b))


@converter("FusedGemm", domain=MICROSOFT)
def _fused_gemm(node: Node, b: Builder) -> Converted:
    return fused_activation(node, b, first_of(as_standard(node, b, "Gemm", 13)))


@converter("GemmFastGelu", domain=MICROSOFT)
def _gemm_fast_gelu(node: Node, b: Builder) -> Converted:
    product = matmul(b, node.input(0), node.input(1))
    bias = node.optional_input(2)
    return gelu(b, product if bias is None else b.add(product, bias), "tanh")


@converter("MatMulInteger16", domain=MICROSOFT)
def _matmul_integer_16(node: Node, b: Builder) -> Converted:
    return matmul(b, *(b.cast(node.input(i), I32) for i in range(2)))
