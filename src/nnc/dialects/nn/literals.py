"""
The text of dense constants, such that reading it gives the same bits.

xDSL prints infinities, NaN and large whole floats as `0x…` elements that its parser
takes for integers. Here, elements are the shortest decimals that read back to the same
value, and a constant that has none is printed as one string of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects.builtin import (
    AnyDenseElement,
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    IntegerType,
)

from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.types import COMPLEX, SMALL_FLOATS

DenseAttr: TypeAlias = DenseIntOrFPElementsAttr[AnyDenseElement]


def dense_text(attribute: DenseAttr) -> str:
    """`dense<…>` without the type."""
    data, element_type = attribute.data.data, attribute.get_element_type()
    if not data:
        return "dense<>"
    if isinstance(element_type, IntegerType):
        is_bool = element_type.width.data == 1
        values = attribute.get_values()
        words = [str(bool(v)).lower() if is_bool else str(v) for v in values]
    elif element_type in COMPLEX:
        return _bytes_text(data)
    else:
        array = np.frombuffer(data, numpy_dtype(element_type).newbyteorder("<"))
        if isinstance(element_type, BFloat16Type) or element_type in SMALL_FLOATS:
            # numpy knows the shortest decimals of its own types only.
            array = array.astype(np.float32)
        words = [_float_text(v) for v in array]
        if None in words:
            return _bytes_text(data)
    if len(set(words)) == 1:
        return f"dense<{words[0]}>"
    return f"dense<{_nested([str(w) for w in words], attribute.get_shape())}>"


def _bytes_text(data: bytes) -> str:
    return f'dense<"0x{data.hex().upper()}">'


def _float_text(value: Any) -> str | None:
    """The shortest decimal that reads back as a numpy float; None for inf and NaN."""
    number = float(value)
    if not np.isfinite(number):
        return None
    if number == 0 or 1e-4 <= abs(number) < 1e9:
        return np.format_float_positional(value, unique=True, trim="0")
    return np.format_float_scientific(value, unique=True, trim="0")


def _nested(words: Sequence[str], shape: Sequence[int]) -> str:
    """`[[a, b], [c, d]]`."""
    if not shape:
        return words[0]
    step = len(words) // shape[0]
    rows = (words[i : i + step] for i in range(0, len(words), step))
    return f"[{', '.join(_nested(row, shape[1:]) for row in rows)}]"
