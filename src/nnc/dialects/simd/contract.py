"""The register tile of every matrix product, convolution and attention."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    AnyFloatConstr,
    Float64Type,
    IndexType,
    IntegerAttr,
    f32,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import MemoryReadEffect
from xdsl.utils.exceptions import VerifyException

from nnc.dialects.simd.base import WIDTH, Value, WidthOp, width_attr
from nnc.dialects.simd.types import (
    DATA_CONSTR,
    MASK_CONSTR,
    PtrType,
    data_type,
    mask_type,
)


def accumulator_type(element_type: Attribute, width: int) -> Attribute:
    """What a tile over operands of `element_type` accumulates in: f32, or f64."""
    lane = element_type if isinstance(element_type, Float64Type) else f32
    return data_type(lane, width)


@irdl_op_definition
class ContractOp(WidthOp):
    """
    An `mr` x `nv` tile of vectors of a batch-reduced matrix product.

    With `W = width` and `j` a vector column::

        acc[i*nv + j] = init[i*nv + j] + sum over o < n_o, p < n_i, k < K of
            A[a_off + i*row_stride + o*a_outer + p*a_inner + k*a_k_stride]
          * B[b_off + ((o*n_i + p)*K + k)*ldb + j*W ... + W]

    `rows` is the stride between rows of A, `k` the innermost trip count, `outer` and
    `inner` are trip count and stride of A of the two outer loops (kernel height and
    width of a convolution; 1 for a plain product). All strides count elements. The
    mask guards loads of the last vector column of B. Half precision operands
    accumulate in f32. `K` may be 0.

    With `prefetch`, step `s` of all `n_o * n_i * K` also asks for the memory at
    `B[b_off + ahead + s*ahead_stride]` to be brought near: a hint, wherever it lies.
    """

    name = "simd.contract"

    a = operand_def(PtrType)
    a_offset = operand_def(IndexType)
    b = operand_def(PtrType)
    b_offset = operand_def(IndexType)
    row_stride = operand_def(IndexType)
    k = operand_def(IndexType)
    n_outer = operand_def(IndexType)
    a_outer_stride = operand_def(IndexType)
    n_inner = operand_def(IndexType)
    a_inner_stride = operand_def(IndexType)
    b_stride = operand_def(IndexType)
    ahead = opt_operand_def(IndexType)
    ahead_stride = opt_operand_def(IndexType)
    mask = opt_operand_def(MASK_CONSTR)
    init = var_operand_def(DATA_CONSTR)
    acc = var_result_def(DATA_CONSTR)

    mr = prop_def(IntegerAttr[I64])
    nv = prop_def(IntegerAttr[I64])
    a_k_stride = prop_def(IntegerAttr[I64], default_value=width_attr(1))

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(MemoryReadEffect())

    assembly_format = (
        "$a `[` $a_offset `]` `,` $b `[` $b_offset `]` `rows` `(` $row_stride `)` "
        "`k` `(` $k `)` `outer` `(` $n_outer `,` $a_outer_stride `)` "
        "`inner` `(` $n_inner `,` $a_inner_stride `)` `b_stride` `(` $b_stride `)` "
        "(`prefetch` `(` $ahead^ `,` $ahead_stride `)`)? "
        "(`mask` `(` $mask^ `:` type($mask) `)`)? "
        "(`init` `(` $init^ `:` type($init) `)`)? "
        "`tile` `(` $mr `,` $nv `)` (`a_k_stride` `(` $a_k_stride^ `)`)? "
        + WIDTH
        + " attr-dict `:` type($a) `,` type($b) `->` type($acc)"
    )

    def __init__(
        self,
        a: Value,
        a_offset: Value,
        b: Value,
        b_offset: Value,
        *,
        row_stride: Value,
        k: Value,
        outer: tuple[Value, Value],
        inner: tuple[Value, Value],
        b_stride: Value,
        prefetch: tuple[Value, Value] | None = None,
        mr: int,
        nv: int,
        width: int,
        mask: Value | None = None,
        init: Sequence[Value] = (),
        a_k_stride: int = 1,
    ) -> None:
        a = SSAValue.get(a)
        assert isinstance(a.type, PtrType)
        super().__init__(
            operands=(
                a,
                a_offset,
                b,
                b_offset,
                row_stride,
                k,
                *outer,
                *inner,
                b_stride,
                *(prefetch or (None, None)),
                mask,
                init,
            ),
            result_types=([accumulator_type(a.type.element_type, width)] * (mr * nv),),
            properties={
                "mr": width_attr(mr),
                "nv": width_attr(nv),
                "width": width_attr(width),
                "a_k_stride": width_attr(a_k_stride),
            },
        )

    def verify_(self) -> None:
        mr, nv, width = self.mr.value.data, self.nv.value.data, self.lanes
        if mr < 1 or nv < 1 or width < 1:
            raise VerifyException(
                f"simd.contract: tile and width must be at least 1, got {mr} x {nv} "
                f"vectors of {width}"
            )
        assert isinstance(self.a.type, PtrType)
        element = self.a.type.element_type
        if self.a.type != self.b.type or not AnyFloatConstr.verifies(element):
            raise VerifyException(
                "simd.contract: A and B must point to one float type, got "
                f"{self.a.type} and {self.b.type}"
            )
        wanted = accumulator_type(element, width)
        if len(self.acc) != mr * nv or any(r.type != wanted for r in self.acc):
            raise VerifyException(
                f"simd.contract: a {mr} x {nv} tile gives {mr * nv} results of {wanted}"
            )
        if self.init and [v.type for v in self.init] != [wanted] * (mr * nv):
            raise VerifyException(
                f"simd.contract: init needs {mr * nv} values of {wanted}"
            )
        if (self.ahead is None) != (self.ahead_stride is None):
            raise VerifyException(
                "simd.contract: prefetch needs both a start and a stride"
            )
        if self.mask is not None and self.mask.type != mask_type(width):
            raise VerifyException(
                f"simd.contract: the mask must be {mask_type(width)}, "
                f"got {self.mask.type}"
            )
