"""
widen-floats: the network in f64, as a reference for how accurate it is in f32.

Before::

    %w = nn.weight "w" : tensor<64x32xf32>
    %0 = nn.matmul %x, %w : (tensor<4x64xf32>, tensor<64x32xf32>) -> tensor<4x32xf32>

After::

    %w = nn.weight "w.f64" : tensor<64x32xf64>
    %0 = nn.matmul %x, %w : (tensor<4x64xf64>, tensor<64x32xf64>) -> tensor<4x32xf64>

Inputs, outputs, constants and weights change their type and keep their values. Narrower
floats stay: they are part of what the network means. The pass is in no pipeline.

On entry: `nn` ops, not lowered. On exit: no f32 is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    Float32Type,
    FloatAttr,
    FunctionType,
    ModuleOp,
    StringAttr,
    TensorType,
    f64,
)
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from nnc.context import weights_of
from nnc.dialects.nn.constants import dense_array, dense_attribute
from nnc.dialects.nn.structure import WeightOp
from nnc.dialects.nn.types import element_type_of
from nnc.weights import WeightStore


@dataclass(frozen=True)
class WidenFloatsPass(ModulePass):
    """Turns f32 into f64 everywhere."""

    name = "widen-floats"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Widen the module, and the weights that it names."""
        for inner in list(op.walk()):
            _widen(inner, weights_of(ctx))


def _widen(op: Operation, weights: WeightStore) -> None:
    if isinstance(op, WeightOp) and isinstance(element_type_of(op.result), Float32Type):
        array = weights.get(op.resource.data)
        name = f"{op.resource.data}.f64"
        if array is not None and name not in weights:
            weights.add(name, array.astype(np.float64))
        op.properties["resource"] = StringAttr(name)
    for attributes in (op.properties, op.attributes):
        for name, attribute in list(attributes.items()):
            attributes[name] = _widened(attribute)
    blocks = [block for region in op.regions for block in region.blocks]
    for values in (op.results, *(block.args for block in blocks)):
        for value in list(values):
            if (type_ := _widened(value.type)) != value.type:
                Rewriter.replace_value_with_new_type(value, type_)


def _widened(attribute: Attribute) -> Attribute:
    """The attribute with f64 in the place of f32."""
    match attribute:
        case Float32Type():
            return f64
        case TensorType():
            element = _widened(attribute.element_type)
            return TensorType(element, attribute.shape, attribute.encoding)
        case FunctionType():
            return FunctionType.from_lists(
                [_widened(t) for t in attribute.inputs],
                [_widened(t) for t in attribute.outputs],
            )
        case FloatAttr():
            if isinstance(attribute.type, Float32Type):
                return FloatAttr(attribute.value.data, f64)
            return attribute
        case DenseIntOrFPElementsAttr():
            if isinstance(attribute.get_element_type(), Float32Type):
                return dense_attribute(dense_array(attribute).astype(np.float64))
            return attribute
        case ArrayAttr():
            return ArrayAttr([_widened(a) for a in attribute])
        case _:
            return attribute
