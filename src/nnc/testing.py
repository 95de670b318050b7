"""
Helpers for tests of nnc and of what is built on it.

Nothing in the compiler imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import IRDLOperation, OptOperandDef, VarOperandDef

from nnc import verification
from nnc.dialects.nn.dtypes import element_type_for
from nnc.dialects.nn.types import NnTensorType, tensor_type
from nnc.interpreters.nn import run_module
from nnc.interpreters.nn.inputs import main_of
from nnc.symbolic import DimLike
from nnc.weights import WeightStore

Array = NDArray[Any]

TOLERANCES: Final[Mapping[str, tuple[float, float]]] = {
    "float64": (1e-12, 1e-12),
    "float32": (2e-5, 2e-6),
    "float16": (4e-3, 4e-3),
    "bfloat16": (2e-2, 2e-2),
}
"""Relative and absolute tolerance by dtype; all other dtypes must agree exactly."""


def compare(
    actual: ArrayLike,
    expected: ArrayLike,
    rtol: float | None = None,
    atol: float | None = None,
) -> None:
    """
    Check that `actual` is `expected`: dtype, shape, and values within a tolerance.

    Tolerances not given are those of the dtype. NaNs and infinities must be in the same
    places.

    Raises:
        AssertionError: they differ; names the element that differs most.
    """
    ours, theirs = np.asarray(actual), np.asarray(expected)
    assert ours.dtype == theirs.dtype, f"dtype {ours.dtype}, expected {theirs.dtype}"
    assert ours.shape == theirs.shape, f"shape {ours.shape}, expected {theirs.shape}"
    if theirs.dtype.name not in TOLERANCES:
        if theirs.dtype.isbuiltin == 2:
            # NaN is equal to itself in the eyes of numpy only in its own dtypes.
            ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        np.testing.assert_array_equal(ours, theirs)
        return
    relative, absolute = TOLERANCES[theirs.dtype.name]
    relative = relative if rtol is None else rtol
    absolute = absolute if atol is None else atol
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        excess = np.abs(ours - theirs) - (absolute + relative * np.abs(theirs))
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    excess = np.where(same, -1.0, np.where(np.isfinite(excess), excess, np.inf))
    if excess.size and excess.max() > 0:
        worst = np.unravel_index(excess.argmax(), excess.shape)
        raise AssertionError(
            f"{np.count_nonzero(excess > 0)} of {excess.size} elements differ; at "
            f"{[int(i) for i in worst]}: {ours[worst]!r}, expected {theirs[worst]!r} "
            f"(rtol {relative}, atol {absolute})"
        )


def random_inputs(
    module: ModuleOp, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> list[Array]:
    """Inputs for `@main`; symbols without a size get a small one."""
    generator = np.random.default_rng(seed)
    type_ = main_of(module).function_type
    return verification.random_inputs(type_, sizes or {}, generator)


def module_of(
    build: Callable[[Block], Sequence[Operation]], input_types: Sequence[Attribute]
) -> ModuleOp:
    """
    A module whose `@main` holds the ops that `build` makes from its entry block.

    The results of the last op are the outputs.
    """
    block = Block(arg_types=input_types)
    ops = build(block)
    outputs = ops[-1].results
    block.add_ops([*ops, ReturnOp(*outputs)])
    names = [DictionaryAttr({"nn.name": StringAttr(f"x{a.index}")}) for a in block.args]
    main = FuncOp(
        "main",
        (list(input_types), [o.type for o in outputs]),
        Region(block),
        arg_attrs=ArrayAttr(names),
    )
    module = ModuleOp([main])
    module.verify()
    return module


def one_op_module(
    op_class: type[IRDLOperation],
    input_types: Sequence[NnTensorType],
    **properties: Any,
) -> ModuleOp:
    """A module whose `@main` is one op on its arguments."""
    operands = op_class.get_irdl_definition().operands

    def build(block: Block) -> list[Operation]:
        make = cast("Callable[..., Operation]", op_class)
        if any(type(d) is VarOperandDef for _, d in operands):
            fixed = len(operands) - 1
            rest = list(block.args[fixed:])
            return [make(*block.args[:fixed], rest, **properties)]
        # Builders take optional operands by name.
        positional: list[SSAValue] = []
        for (name, kind), argument in zip(operands, block.args, strict=False):
            if isinstance(kind, OptOperandDef):
                properties[name] = argument
            else:
                positional.append(argument)
        return [make(*positional, **properties)]

    return module_of(build, input_types)


def run_one_op(
    op_class: type[IRDLOperation],
    *operands: ArrayLike,
    operand_dims: Sequence[Sequence[DimLike]] | None = None,
    **properties: Any,
) -> Array:
    """
    The only result of an op in the reference interpreter.

    `operand_dims` makes operands symbolic; else their types have the shapes of the
    arrays. `properties` go to the builder of the op.
    """
    arrays = [np.asarray(o) for o in operands]
    shapes = operand_dims if operand_dims is not None else [a.shape for a in arrays]
    types = [
        tensor_type(element_type_for(a.dtype), shape)
        for a, shape in zip(arrays, shapes, strict=True)
    ]
    module = one_op_module(op_class, types, **properties)
    (result,) = run_module(module, WeightStore(), arrays)
    return result
