"""The inputs of `@main`: names, checks, and the sizes they give to symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.traits import SymbolTable

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import dims_of, element_type_of
from nnc.errors import InputError, ModelError
from nnc.symbolic import Dim, Symbol


def main_of(module: ModuleOp) -> FuncOp:
    """
    The function `@main`.

    Raises:
        ModelError: there is none.
    """
    main = SymbolTable.lookup_symbol(module, "main")
    if not isinstance(main, FuncOp) or main.is_declaration:
        raise ModelError("the module has no function @main with a body")
    return main


def input_names(main: FuncOp) -> list[str]:
    """The source names of the arguments; `arg0`, … where they have none."""
    attributes = main.arg_attrs.data if main.arg_attrs is not None else ()
    names: list[str] = []
    for index in range(len(main.args)):
        entry = attributes[index] if index < len(attributes) else DictionaryAttr({})
        name = entry.data.get("nn.name")
        names.append(name.data if isinstance(name, StringAttr) else f"arg{index}")
    return names


def bind_inputs(
    main: FuncOp, inputs: Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]
) -> tuple[list[NDArray[Any]], dict[str, int]]:
    """
    The inputs in the order of the arguments, and the sizes of all symbols.

    Raises:
        InputError: number, names, element types or shapes do not fit.
    """
    names = input_names(main)
    arrays = _ordered(names, inputs)
    shapes: list[tuple[str, tuple[Dim, ...], tuple[int, ...]]] = []
    for name, argument, array in zip(names, main.args, arrays, strict=True):
        dtype, dims = numpy_dtype(element_type_of(argument)), dims_of(argument)
        if array.dtype != dtype:
            raise InputError(f"input '{name}' must be {dtype}, got {array.dtype}")
        if array.ndim != len(dims):
            raise InputError(
                f"input '{name}' must have rank {len(dims)}, got shape "
                f"{list(array.shape)}"
            )
        shapes.append((name, dims, array.shape))
    symbols: dict[str, int] = {}
    # Plain symbols first: `2*H` can then be checked rather than solved.
    for plain in (True, False):
        for _, dims, shape in shapes:
            for dim, size in zip(dims, shape, strict=True):
                _bind(dim, size, symbols, plain=plain)
    for name, dims, shape in shapes:
        _check(name, dims, shape, symbols)
    return arrays, symbols


def _ordered(
    names: list[str], inputs: Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    if isinstance(inputs, Mapping):
        if missing := [n for n in names if n not in inputs]:
            raise InputError(f"missing input{'s' * (len(missing) > 1)} {missing}")
        if unknown := [n for n in inputs if n not in names]:
            raise InputError(f"unknown inputs {unknown}; the model has {names}")
        return [np.asarray(inputs[n]) for n in names]
    if len(inputs) != len(names):
        raise InputError(f"expected {len(names)} inputs {names}, got {len(inputs)}")
    return [np.asarray(a) for a in inputs]


def _bind(dim: Dim, size: int, symbols: dict[str, int], *, plain: bool) -> None:
    """Note the size of the symbol in `dim`, if it follows from `size`."""
    linear = [(m, c) for m, c in dim.terms if m]
    if len(linear) != 1 or len(linear[0][0]) != 1:
        return
    ((atom,), factor) = linear[0]
    offset = dict(dim.terms).get((), 0)
    if not isinstance(atom, Symbol) or (plain and (factor, offset) != (1, 0)):
        return
    if (size - offset) % factor == 0:
        symbols.setdefault(atom.name, (size - offset) // factor)


def _check(
    name: str, dims: tuple[Dim, ...], shape: tuple[int, ...], symbols: dict[str, int]
) -> None:
    for axis, (dim, size) in enumerate(zip(dims, shape, strict=True)):
        if not dim.symbols <= symbols.keys():
            raise InputError(f"input '{name}': no value for size {dim} of axis {axis}")
        if (expected := dim.evaluate(symbols)) != size:
            stated = f"{dim}" if dim.as_int() is not None else f"{dim} = {expected}"
            raise InputError(
                f"input '{name}': axis {axis} must have size {stated}, got {size}"
            )
