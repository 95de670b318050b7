"""Attention as one op: products, softmax and products, without the score matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from xdsl.dialects.builtin import BoolAttr, FloatAttr, TensorType
from xdsl.ir import Operation, SSAValue
from xdsl.irdl import (
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.nn.base import Elements, NnOp, require_same_element_type
from nnc.dialects.nn.shapes import broadcast_dims
from nnc.dialects.nn.types import (
    NnTensorType,
    ShapeAttr,
    dims_of,
    element_type_of,
    is_bool,
    tensor_type,
)
from nnc.symbolic import Dim, DimLike


@irdl_op_definition
class AttentionOp(NnOp):
    """
    Scaled dot product attention over heads.

    `query` is `[batch..., H, S, D]`, `key` `[batch..., G, T, D]`, `value`
    `[batch..., G, T, E]`; the result is `[batch..., H, S, E]`. `G` divides `H`: head
    `h` reads group `h // (H / G)`. Batch axes broadcast by numpy's rule. With

        score[s, t] = scale * sum over d of query[s, d] * key[t, d]

    the masks change the scores one after the other: floats are added, booleans keep a
    score where they are true and put `fill` (by default -inf) elsewhere. They broadcast
    to `[batch..., H, S, T]`. `causal = #nn.shape<c>` then lets query `s` see the keys
    `t <= s + c` only; all other scores become -inf. The result is
    `softmax(score) * value`.

    The softmax of a row whose scores are all -inf, or of which one is NaN, is NaN. With
    `nan_to_zero` such a row of weights is zero instead, with `empty_to_zero` only one
    whose scores are all -inf.
    """

    name = "nn.attention"
    ELEMENTS: ClassVar = Elements.FLOAT

    query = operand_def(TensorType)
    key = operand_def(TensorType)
    value = operand_def(TensorType)
    masks = var_operand_def(TensorType)
    scale = prop_def(FloatAttr)
    fill = opt_prop_def(FloatAttr)
    causal = opt_prop_def(ShapeAttr)
    nan_to_zero = opt_prop_def(BoolAttr)
    empty_to_zero = opt_prop_def(BoolAttr)
    result = result_def(TensorType)

    def __init__(
        self,
        query: SSAValue | Operation,
        key: SSAValue | Operation,
        value: SSAValue | Operation,
        masks: Sequence[SSAValue] = (),
        *,
        scale: float,
        fill: float | None = None,
        causal: DimLike | None = None,
        nan_to_zero: bool = False,
        empty_to_zero: bool = False,
    ) -> None:
        super().__init__(
            [query, key, value, masks],
            {
                "scale": float(scale),
                "fill": None if fill is None else float(fill),
                "causal": None if causal is None else ShapeAttr([causal]),
                "nan_to_zero": True if nan_to_zero else None,
                "empty_to_zero": True if empty_to_zero else None,
            },
        )

    @property
    def fill_value(self) -> float:
        """What boolean masks put."""
        return float("-inf") if self.fill is None else self.fill.value.data

    @property
    def causal_offset(self) -> Dim | None:
        """How many keys further than its own position a query sees; None: all."""
        return None if self.causal is None else self.causal.dims[0]

    @property
    def zeroes_nan(self) -> bool:
        """Whether rows of weights that are NaN count as zero."""
        return self.nan_to_zero is not None and bool(self.nan_to_zero.value.data)

    @property
    def zeroes_empty(self) -> bool:
        """Whether weights of rows whose scores are all -inf count as zero."""
        return self.empty_to_zero is not None and bool(self.empty_to_zero.value.data)

    @property
    def group_size(self) -> Dim:
        """How many heads share a head of key and value."""
        return dims_of(self.query)[-3] // dims_of(self.key)[-3]

    def inferred_types(self) -> Sequence[NnTensorType]:
        require_same_element_type(self, self.query, self.key, self.value)
        if self.causal is not None and len(self.causal.dims) != 1:
            raise VerifyException(f"{self.name}: causal must be one offset")
        for mask in self.masks:
            if not is_bool(element_type_of(mask)):
                require_same_element_type(self, self.query, mask)
        operands = (self.query, self.key, self.value)
        query, key, value = map(dims_of, operands)
        dims = attention_dims(query, key, value, [dims_of(m) for m in self.masks])
        if isinstance(dims, str):
            raise VerifyException(f"{self.name}: {dims}")
        return [tensor_type(element_type_of(self.query), dims)]


def attention_dims(
    query: Sequence[Dim],
    key: Sequence[Dim],
    value: Sequence[Dim],
    masks: Sequence[Sequence[Dim]],
) -> tuple[Dim, ...] | str:
    """The shape of the result, or why operands of these shapes do not fit."""
    if min(len(query), len(key), len(value)) < 3:
        return "operands need rank 3 or more"
    if query[-1] != key[-1] or tuple(key[-3:-1]) != tuple(value[-3:-1]):
        texts = (f"[{', '.join(map(str, dims))}]" for dims in (query, key, value))
        return "query {}, key {} and value {} do not fit each other".format(*texts)
    if key[-3] == 0 or query[-3] % key[-3] != 0:
        return f"{key[-3]} heads of the key do not divide {query[-3]}"
    batch = broadcast_dims(query[:-3], key[:-3], value[:-3])
    if batch is None:
        return "the batch axes do not broadcast"
    scores = (*batch, query[-3], query[-2], key[-2])
    for mask in masks:
        if broadcast_dims(mask, scores) != scores:
            texts = (f"[{', '.join(map(str, dims))}]" for dims in (mask, scores))
            return "a mask of shape {} does not broadcast to the scores, {}".format(
                *texts
            )
    return (*batch, query[-3], query[-2], value[-1])
