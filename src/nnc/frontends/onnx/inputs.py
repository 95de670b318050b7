"""Types of a model's inputs: declared shapes, overrides, names for free dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from onnx import TensorProto, ValueInfoProto

from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.program import ValueType
from nnc.dialects.nn.types import NnTensorType, bit_width, tensor_type
from nnc.errors import CompileError, LoadError, ModelError
from nnc.frontends.common import UnsupportedError
from nnc.frontends.loader.limits import Limits
from nnc.frontends.onnx.host_types import declared_type, host_type
from nnc.frontends.onnx.tensors import dtype_of
from nnc.frontends.symbol_names import SymbolTable
from nnc.symbolic import Dim

InputShapes: TypeAlias = Mapping[str, Sequence[int | str | None]]
"""Shapes by input name: sizes, names of free sizes, or None for some free size."""


def input_types(
    inputs: Sequence[ValueInfoProto],
    shapes: InputShapes,
    limits: Limits,
    symbols: SymbolTable | None = None,
) -> list[NnTensorType | ValueType]:
    """
    The type of each input, shapes that the caller gives before declared ones.

    Sequences, optionals, maps and strings are values of the host. `symbols` takes the
    names of free dims.

    Raises:
        CompileError: a given shape does not fit the model.
        ModelError: a shape is missing, or no shape.
        UnsupportedError: an input is of an element type without values.
    """
    unknown = set(shapes) - {i.name for i in inputs}
    if unknown:
        names = ", ".join(f"'{i.name}'" for i in inputs)
        raise CompileError(
            f"input_shapes names '{min(unknown)}', but the inputs are {names}"
        )
    symbols = symbols or SymbolTable()
    fixed = _fixed_names(inputs, shapes)
    return [_input_type(i, shapes.get(i.name), fixed, symbols, limits) for i in inputs]


def _fixed_names(
    inputs: Sequence[ValueInfoProto], shapes: InputShapes
) -> dict[str, int | str]:
    """What given shapes say of dims that the model names, for its other inputs."""
    fixed: dict[str, int | str] = {}
    for info in inputs:
        given = shapes.get(info.name)
        declared = info.type.tensor_type.shape.dim
        if given is None or len(given) != len(declared):
            continue
        for dim, size in zip(declared, given, strict=True):
            if not _is_name(dim.dim_param) or size is None:
                continue
            if fixed.setdefault(dim.dim_param, size) != size:
                raise CompileError(
                    f"input_shapes gives dimension '{dim.dim_param}' the sizes "
                    f"{fixed[dim.dim_param]} and {size}"
                )
    return fixed


def _is_name(text: str) -> bool:
    """Whether a `dim_param` names a size; some writers say '?' or '-1' for any."""
    return any(c.isalpha() for c in text)


def _input_type(
    info: ValueInfoProto,
    given: Sequence[int | str | None] | None,
    fixed: Mapping[str, int | str],
    symbols: SymbolTable,
    limits: Limits,
) -> NnTensorType | ValueType:
    what = f"input '{info.name}'"
    if not info.type.HasField("tensor_type"):
        kind = info.type.WhichOneof("value") or "value without a type"
        if kind not in ("sequence_type", "optional_type", "map_type"):
            raise UnsupportedError(f"{what} is a {kind.removesuffix('_type')}")
        return ValueType(str(host_type(info.type)))
    declared = info.type.tensor_type
    if declared.elem_type == TensorProto.STRING:
        return ValueType(str(declared_type(info.type, symbols)))
    element_type = element_type_for(dtype_of(declared.elem_type, what))
    if given is None and not declared.HasField("shape"):
        raise ModelError(
            f"{what} has no shape: pass input_shapes={{'{info.name}': (...)}}"
        )
    if given is not None and declared.HasField("shape"):
        _check_given(info, given)
    dims: list[Dim] = []
    count = len(declared.shape.dim) if given is None else len(given)
    for axis in range(count):
        size: int | str | None = None
        if given is not None:
            size = given[axis]
        elif _is_name(declared.shape.dim[axis].dim_param):
            name = declared.shape.dim[axis].dim_param
            size = fixed.get(name, name)
        elif declared.shape.dim[axis].WhichOneof("value") == "dim_value":
            # Writers say 0 or -1 for a size that is free.
            size = declared.shape.dim[axis].dim_value
            size = None if size in (0, -1) else size
        dims.append(
            _dim(size, f"{info.name}_{axis}", symbols, f"axis {axis} of {what}")
        )
    sizes = [abs(d.as_int() or 1) for d in dims]
    limits.check_dims(sizes, bit_width(element_type) // 8, what)
    return tensor_type(element_type, dims)


def _check_given(info: ValueInfoProto, given: Sequence[int | str | None]) -> None:
    declared = info.type.tensor_type.shape.dim
    if len(given) != len(declared):
        raise CompileError(
            f"input_shapes gives '{info.name}' {len(given)} dimensions, but it has "
            f"{len(declared)}"
        )
    for axis, (dim, size) in enumerate(zip(declared, given, strict=True)):
        if dim.dim_value > 0 and size is not None and size != dim.dim_value:
            raise CompileError(
                f"input_shapes gives axis {axis} of '{info.name}' the size {size}, but "
                f"the model fixes it to {dim.dim_value}"
            )


def _dim(
    size: int | str | None, anonymous: str, symbols: SymbolTable, what: str
) -> Dim:
    if size is None:
        return Dim.symbol(symbols.fresh(anonymous))
    if isinstance(size, str):
        return Dim.symbol(symbols.named(size))
    if size < 0:
        raise LoadError(f"{what} has the negative size {size}")
    return Dim.of(int(size))
