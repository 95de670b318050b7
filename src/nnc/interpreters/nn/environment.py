"""What a reference implementation may know besides its operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Operation, SSAValue

from nnc.dialects.nn.base import location_of
from nnc.dialects.nn.dtypes import DType, numpy_dtype
from nnc.dialects.nn.types import SMALL_INTEGERS, dims_of, element_type_of
from nnc.errors import InternalError, RunError
from nnc.symbolic import Dim
from nnc.weights import WeightStore

# The element type is known when a module runs, not when this code is checked.
Array: TypeAlias = NDArray[Any]

_SMALL_INTEGERS = frozenset(map(numpy_dtype, SMALL_INTEGERS))


@dataclass(frozen=True)
class Environment:
    """The sizes of the symbols and the bytes of the weights of one run."""

    symbols: Mapping[str, int] = field(default_factory=dict[str, int])
    weights: WeightStore = field(default_factory=WeightStore)
    run_seed: int = 0
    """What `nn.run_seed` gives."""

    def define(self, values: Mapping[str, int]) -> None:
        """Give symbols their values, which the data of this run say."""
        assert isinstance(self.symbols, dict)
        self.symbols.update(values)

    def sizes(self, dims: Sequence[Dim], op: Operation) -> tuple[int, ...]:
        """
        The values of `dims`.

        Raises:
            RunError: one has no value for these symbols.
        """
        try:
            return tuple(dim.evaluate(self.symbols) for dim in dims)
        except ZeroDivisionError as error:
            raise RunError(
                f"node '{location_of(op)}': a dimension is divided by zero"
            ) from error
        except KeyError as error:
            raise InternalError(
                f"{op.name} '{location_of(op)}': dimension {error} has no value"
            ) from error

    def shape_of(self, value: SSAValue, op: Operation) -> tuple[int, ...]:
        """
        The shape that the type of `value` states.

        Raises:
            RunError: a size is negative.
        """
        dims = dims_of(value)
        shape = self.sizes(dims, op)
        for dim, size in zip(dims, shape, strict=True):
            if size < 0:
                raise RunError(
                    f"node '{location_of(op)}': size {dim} is negative ({size})"
                )
        return shape


# Each reference takes the operands of its op after op and environment.
Reference: TypeAlias = Callable[..., Array | tuple[Array, ...]]
_ReferenceT = TypeVar("_ReferenceT", bound=Reference)


class References(dict[type[Operation], Reference]):
    """
    One numpy function an op: `f(op, environment, *operands) -> result(s)`.

    An absent optional operand is simply not passed.
    """

    def implements(self, *ops: type[Operation]) -> Callable[[_ReferenceT], _ReferenceT]:
        """Register the decorated function for `ops`."""

        def register(function: _ReferenceT) -> _ReferenceT:
            self.update(dict.fromkeys(ops, function))
            return function

        return register


def evaluate(
    reference: Reference,
    op: Operation,
    operands: Sequence[Array],
    environment: Environment,
) -> tuple[Array, ...]:
    """
    The results of `op`, checked against its result types.

    Raises:
        RunError: the data make the op fail.
        InternalError: a result is not what the type of the op says.
    """
    with np.errstate(all="ignore"):
        results = reference(op, environment, *operands)
    # numpy gives scalars instead of arrays of rank 0.
    results = tuple(
        map(np.asarray, results if isinstance(results, tuple) else (results,))
    )
    for value, array in zip(op.results, results, strict=True):
        shape = environment.shape_of(value, op)
        dtype = numpy_dtype(element_type_of(value))
        if array.shape != shape or array.dtype != dtype:
            raise InternalError(
                f"{op.name} '{location_of(op)}': the reference computes "
                f"{array.dtype}{list(array.shape)}, the type is {value.type}, that is "
                f"{dtype}{list(shape)}"
            )
    return results


def widened(array: Array) -> Array:
    """`array`, as f32 if it is a narrower float: the type to compute in."""
    if array.dtype.kind in "fV" and array.dtype.itemsize < 4:
        return array.astype(np.float32)
    return array


def doubled(array: Array) -> Array:
    """`array` as f64 if it is a float: the type to accumulate in."""
    return array.astype(np.float64) if is_floating(array) else array


def is_floating(array: Array) -> bool:
    """Whether the elements are floats; numpy calls most of ml_dtypes' kind `V`."""
    kind = array.dtype.kind
    return kind == "f" or (kind == "V" and not is_small_integer(array.dtype))


def is_small_integer(dtype: DType) -> bool:
    """Whether elements are integers of less than a byte."""
    return dtype in _SMALL_INTEGERS


def narrowed(array: Array | np.generic, like: Array) -> Array:
    """`array` rounded to the element type of `like`."""
    return np.asarray(array).astype(like.dtype, copy=False)
