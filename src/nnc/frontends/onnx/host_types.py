"""Types of host values: from ONNX's records, from tensors, and as types of `nn`."""

from __future__ import annotations

from onnx import TypeProto
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.dtypes import element_type_for, numpy_dtype
from nnc.dialects.nn.program import ValueType
from nnc.dialects.nn.types import dims_of, element_type_of, tensor_type
from nnc.frontends.symbol_names import SymbolTable
from nnc.runtime.host_ops.types import (
    ELEMENT_TYPES,
    UNKNOWN,
    HostType,
    Size,
    map_of,
    optional,
    sequence,
    tensor,
)
from nnc.runtime.specs import dtype_named
from nnc.symbolic import Dim, parse_dim


def host_type(type_: TypeProto) -> HostType:
    """The type that a model declares; of tensors, the element type alone counts."""
    match type_.WhichOneof("value"):
        case "tensor_type":
            return tensor(ELEMENT_TYPES.get(type_.tensor_type.elem_type))
        case "sequence_type":
            return sequence(host_type(type_.sequence_type.elem_type))
        case "optional_type":
            return optional(host_type(type_.optional_type.elem_type))
        case "map_type":
            key = ELEMENT_TYPES.get(type_.map_type.key_type, "int64")
            element = host_type(type_.map_type.value_type)
            return map_of(key, element.dtype or "float32")
        case _:
            return UNKNOWN


def declared_type(type_: TypeProto, symbols: SymbolTable) -> HostType:
    """The type of an input of a model, with the sizes and names of its own axes."""
    found = host_type(type_)
    if found.kind != "tensor" or not type_.tensor_type.HasField("shape"):
        return found
    sizes: list[Size] = []
    for dim in type_.tensor_type.shape.dim:
        # Some writers say '?' or -1 for a size that is free.
        is_name = any(c.isalpha() for c in dim.dim_param)
        size = symbols.named(dim.dim_param) if is_name else dim.dim_value
        sizes.append(size if is_name or dim.dim_value > 0 else None)
    return tensor(found.dtype, sizes)


def type_of_tensor(value: SSAValue, known: list[Dim] | None) -> HostType:
    """The type of a tensor; `known` is what it always holds, where that is known."""
    sizes = [d.as_int() for d in known] if known is not None else [None]
    values = tuple(s for s in sizes if s is not None)
    shape = tuple(str(d) if (n := d.as_int()) is None else n for d in dims_of(value))
    return HostType(
        "tensor",
        numpy_dtype(element_type_of(value)).name,
        shape,
        value=values if len(values) == len(sizes) else None,
    )


def value_type(type_: HostType, symbols: SymbolTable) -> Attribute:
    """
    The type in `nn` of a value: a tensor's, if dtype and rank are known.

    Sizes that are unknown get new symbols. Names that inputs of strings have for their
    sizes become symbols where a tensor has these sizes.
    """
    if type_.kind != "tensor" or type_.dtype is None or type_.shape is None:
        return ValueType(str(type_))
    try:
        element_type = element_type_for(dtype_named(type_.dtype))
    except (VerifyException, AttributeError, TypeError):
        return ValueType(str(type_))
    dims: list[Dim] = []
    for size in type_.shape:
        dim = _dim(size)
        dims.append(Dim.symbol(symbols.fresh("host_size")) if dim is None else dim)
    return tensor_type(element_type, dims)


def _dim(size: Size) -> Dim | None:
    if isinstance(size, int):
        return Dim.of(size)
    if size is None:
        return None
    try:
        dim = parse_dim(size)
    except ValueError:
        return None
    # Expressions would have to be solved for their symbols.
    return dim if dim.symbols == frozenset((str(dim),)) else None
