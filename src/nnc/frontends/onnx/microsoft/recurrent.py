"""Recurrent layers whose weights are quantized, and whose inputs are when they run."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects.nn.types import rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.microsoft.quantized import (
    dynamically_quantized,
    quantized_product,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.recurrent import Layer, Product, lstm_outputs
from nnc.frontends.onnx.registry import MICROSOFT, Converted, converter


@dataclass
class _QuantizedLayer(Layer):
    """A layer whose weights come with scales and zero points."""

    def product(self, index: int, direction: int) -> Product:
        """Rows are quantized over their own range, all of them together."""
        node, b = self.node, self.b
        matrix = self.matrix(index, direction, 0, self.gates)
        first = 8 if index == 1 else 10
        scale, zero = (b.take(node.input(first + i), 0, direction) for i in range(2))

        def multiplied(rows: SSAValue) -> SSAValue:
            values, row_scale, row_zero = dynamically_quantized(node, b, rows)
            return quantized_product(
                b, (values, matrix), (row_zero, zero), (row_scale, scale), None
            )

        return multiplied


@converter("DynamicQuantizeLSTM", domain=MICROSOFT)
def _dynamic_quantize_lstm(node: Node, b: Builder) -> Converted:
    """As `LSTM`, with weights `[directions, columns, rows]` of 8 bits."""
    inputs = list(node.inputs)
    for index in (1, 2):
        weights = node.input(index)
        if rank_of(weights) != 3:
            raise InvalidNodeError(f"weights of {weights.type}")
        inputs[index] = b.transpose(weights, [0, 2, 1])
    return lstm_outputs(
        _QuantizedLayer(node.derived(inputs), b, gates=4, state_count=2)
    )
