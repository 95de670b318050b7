"""Arrays that callers give for outputs: which they are, and whether they will do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np

from nnc.errors import InputError
from nnc.runtime.specs import Array, HostSpec, TensorSpec

_CONTIGUOUS_ALIGNED_WRITEABLE = 0x501
"""In `ndarray.flags.num`."""


def given_outputs(out: object, specs: Sequence[TensorSpec | HostSpec]) -> list[object]:
    """
    What `out` holds for each output, in order; None where it holds nothing.

    It is an array, if there is one output, or a sequence in order, or a mapping from
    names.

    Raises:
        InputError: it is none of these, or does not go with the outputs.
    """
    if isinstance(out, np.ndarray):
        out = (cast(Array, out),)
    if isinstance(out, Mapping):
        given = dict(cast("Mapping[object, object]", out))
        found = [given.pop(spec.name, None) for spec in specs]
        if given:
            names = ", ".join(spec.name for spec in specs)
            raise InputError(
                f"out: the model has no output '{next(iter(given))}'; it has: {names}"
            )
        return found
    if not isinstance(out, Sequence) or isinstance(out, str | bytes):
        raise InputError(
            "out: expected an array, a sequence or a mapping of arrays, got "
            f"{type(out).__name__}"
        )
    values = list(cast("Sequence[object]", out))
    if len(values) != len(specs):
        raise InputError(
            f"out: the model has {len(specs)} outputs, got {len(values)} arrays"
        )
    return values


def check_output(value: object, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """
    An array that native code can write an output to.

    Raises:
        InputError: it is not one, or of another dtype or shape.
    """
    if not isinstance(value, np.ndarray):
        raise InputError(
            f"output '{spec.name}': expected an array, got {type(value).__name__}"
        )
    array = cast(Array, value)
    if array.dtype != spec.dtype:
        raise InputError(
            f"output '{spec.name}': expected dtype {spec.dtype}, got {array.dtype}"
        )
    if array.shape != shape:
        raise InputError(
            f"output '{spec.name}': expected shape {list(shape)}, got "
            f"{list(array.shape)}"
        )
    wanted = _CONTIGUOUS_ALIGNED_WRITEABLE
    if array.flags.num & wanted != wanted:
        raise InputError(
            f"output '{spec.name}': the array must be writeable, aligned and contiguous"
        )
    return array


def check_overlap(
    position: int,
    addresses: Sequence[int],
    arrays: Sequence[Array],
    specs: Sequence[TensorSpec],
) -> None:
    """
    Check that an output shares no memory with an input or with another output.

    Kernels write outputs while they still read inputs.

    Raises:
        InputError: it does; names both.
    """
    begin, size = addresses[position], arrays[position].nbytes
    for other, array in enumerate(arrays):
        start = addresses[other]
        if other == position or not size or not array.nbytes:
            continue
        if start < begin + size and begin < start + array.nbytes:
            raise InputError(
                f"output '{specs[position].name}': the array given for it shares "
                f"memory with '{specs[other].name}'"
            )
