"""Which attentions there is a kernel for."""

from __future__ import annotations

from typing import Final

from xdsl.dialects.builtin import Float32Type, Float64Type

from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.types import dims_of, element_type_of

MAX_DEPTH: Final = 256
"""Elements of a row of query, key or value; longer ones need too much scratch."""


def has_kernel(op: AttentionOp) -> bool:
    """Whether attention is computed by its own kernel, not in pieces."""
    if not isinstance(element_type_of(op.query), Float32Type | Float64Type):
        return False
    depths = [dims_of(v)[-1].as_int() for v in (op.query, op.value)]
    return all(d is not None and 0 < d <= MAX_DEPTH for d in depths)
