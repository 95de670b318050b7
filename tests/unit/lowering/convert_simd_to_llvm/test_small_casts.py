"""Casts from and to types of less than 16 bits: every code, and all of f16."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference.ops.op_cast import cast_to
from xdsl.dialects import arith
from xdsl.dialects.builtin import BoolAttr, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue

from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.dialects.nn import types as nn
from nnc.dialects.nn.dtypes import element_type_for, numpy_dtype
from nnc.dialects.nn.elementwise import CastOp
from nnc.testing import run_one_op
from nnc.testing_kernels import (
    INDEX,
    KernelWriter,
    NativeKernels,
    compile_kernels,
    kernel,
)

Array = npt.NDArray[Any]

WIDTHS = {"generic": 4, "avx2": 8, "avx512": 16}
FLOATS: dict[Attribute, TensorProto.DataType] = {
    nn.F8E4M3FN: TensorProto.FLOAT8E4M3FN,
    nn.F8E4M3FNUZ: TensorProto.FLOAT8E4M3FNUZ,
    nn.F8E5M2: TensorProto.FLOAT8E5M2,
    nn.F8E5M2FNUZ: TensorProto.FLOAT8E5M2FNUZ,
    nn.F6E2M3FN: TensorProto.FLOAT6E2M3,
    nn.F6E3M2FN: TensorProto.FLOAT6E3M2,
    nn.F4E2M1FN: TensorProto.FLOAT4E2M1,
}
"""The floats with a sign, and what the standard calls them."""
EIGHT_BITS = [t for t in FLOATS if str(t).startswith("f8")]
BITS: dict[Attribute, int] = {t: int(str(t)[1]) for t in (*FLOATS, nn.F8E8M0FNU)}
INTEGERS: list[Attribute] = [nn.I2, nn.I4, nn.U2, nn.U4]
WIDE: list[Attribute] = [
    nn.F16,
    nn.BF16,
    nn.F32,
    nn.F64,
    nn.I8,
    nn.U8,
    nn.I32,
    nn.I64,
    nn.BOOL,
]
MODES = ["up", "down", "nearest"]
CODES = np.arange(256, dtype=np.uint8)
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def _kernel(
    name: str,
    source: Attribute,
    result: Attribute,
    width: int,
    saturate: BoolAttr | None = None,
    round_mode: StringAttr | None = None,
) -> FuncOp:
    """A kernel that casts vectors, the last one masked."""

    def body(w: KernelWriter, a: SSAValue, out: SSAValue, n: SSAValue) -> None:
        def step(w: KernelWriter, i: SSAValue) -> None:
            mask = w(simd.MaskOp(w(arith.SubiOp(n, i)), width))
            value = w(simd.LoadOp(a, i, width, mask))
            new = w(simd.CastOp(value, result, saturate, round_mode))
            w.do(simd.StoreOp(new, out, i, mask))

        w.loop(w.index(0), n, width, step)

    return kernel(name, [simd.PtrType(source), simd.PtrType(result), INDEX], body)


def _kernels(width: int) -> Iterator[FuncOp]:
    never = BoolAttr.from_bool(False)
    small = [*FLOATS, *INTEGERS, nn.F8E8M0FNU]
    for type_ in small:
        for wide in WIDE:
            yield _kernel(f"{type_}_{wide}", type_, wide, width)
            yield _kernel(f"{wide}_{type_}", wide, type_, width)
    for type_ in EIGHT_BITS:
        for wide in (nn.F16, nn.F32, nn.F64):
            yield _kernel(f"{wide}_{type_}_never", wide, type_, width, never)
    for mode in MODES:
        for how in (None, never):
            name = f"{mode}_{how is None}"
            to = nn.F8E8M0FNU
            yield _kernel(name, nn.F32, to, width, how, StringAttr(mode))
    yield _kernel("f8E5M2_f8E4M3FN", nn.F8E5M2, nn.F8E4M3FN, width)
    yield _kernel("f8E8M0FNU_i4", nn.F8E8M0FNU, nn.I4, width)


@cache
def _native(target_name: str) -> NativeKernels:
    target = resolve_target(target_name)
    return NativeKernels(compile_kernels(_kernels(WIDTHS[target_name]), target))


@pytest.fixture(params=[pytest.param(t, marks=pytest.mark.isa(t)) for t in WIDTHS])
def native(request: pytest.FixtureRequest) -> NativeKernels:
    return _native(request.param)


def _run(native: NativeKernels, name: str, x: Array, result: Attribute) -> Array:
    dtype = numpy_dtype(result)
    # Kernels are given bytes; buffers end where memory may not be touched.
    out = np.zeros(x.size * dtype.itemsize, np.uint8)
    data = np.frombuffer(x.tobytes(), np.uint8)
    return native.run(name, [data, out, x.size])[1].view(dtype)


def _same(actual: Array, expected: Array) -> None:
    """Bit for bit, but NaNs are equal."""
    assert actual.dtype == expected.dtype
    bits = f"u{actual.itemsize}"
    ours, theirs = actual.view(bits), expected.view(bits)
    wide = actual.astype(np.float64), expected.astype(np.float64)
    wrong = (ours != theirs) & ~(np.isnan(wide[0]) & np.isnan(wide[1]))
    assert not wrong.any(), (np.flatnonzero(wrong)[:5], ours[wrong], theirs[wrong])


def _check(
    native: NativeKernels, name: str, x: Array, expected: Array, **how: Any
) -> None:
    """Kernel and reference interpreter give what is expected."""
    type_ = element_type_for(expected.dtype)
    _same(_run(native, name, x, type_), expected)
    _same(run_one_op(CastOp, x, element_type=type_, **how), expected)


def _between(type_: Attribute) -> npt.NDArray[np.float64]:
    """Codes, the middles between neighbours, and what is next to either."""
    values = np.unique(CODES.view(numpy_dtype(type_)).astype(np.float64))
    values = values[np.isfinite(values)]
    points = np.concatenate([values, (values[1:] + values[:-1]) / 2, 1.5 * values])
    near = [points, *(points * (1 + d) for d in (1e-7, -1e-7, 1e-15, -1e-15))]
    special = [np.nan, np.inf, -np.inf, 1e30, -1e30, 1e300, -1e300, 1e-30, 1e-300, -0.0]
    return np.concatenate([*near, special])


def _codes(type_: Attribute) -> Array:
    """All codes of a type; those of integers may have any bits above their own."""
    count = 1 << BITS.get(type_, 8)
    return CODES[:count].view(numpy_dtype(type_))


def _nearest(x: Array, type_: Attribute, *, saturates: bool) -> Array:
    """The nearest codes by a search among all of them: even ones, if two are."""
    x = x.astype(np.float64)
    half = 1 << (BITS[type_] - 1)
    values = CODES[:half].view(numpy_dtype(type_)).astype(np.float64)
    values = values[np.isfinite(values)]
    middles = (values[1:] + values[:-1]) / 2
    code = np.searchsorted(middles, np.abs(x), "left")
    is_tie = np.isin(np.abs(x), middles)
    code += is_tie & (code % 2 == 1)
    if not saturates:
        # What would be the next number, had the format more of them, is out of range.
        limit = values[-1] + (values[-1] - values[-2]) / 2
        is_odd_tie = (np.abs(x) == limit) & ((len(values) - 1) % 2 == 1)
        beyond = (np.abs(x) > limit) | is_odd_tie
        code = np.where(beyond, 256, code)
    names = {"f8E4M3FN": 0x7F, "f8E5M2": 0x7C}
    is_nan, is_beyond = np.isnan(x), code == 256
    if (unsigned := str(type_).endswith("FNUZ")) or str(type_) not in names:
        code = np.where(is_nan | is_beyond, half, code)
    else:
        code = np.where(is_beyond, names[str(type_)], code)
        code = np.where(is_nan, 0x7F, code)
    signed = np.signbit(x) & ((code > 0) | (not unsigned)) & (code < half)
    return (code + half * signed).astype(np.uint8).view(numpy_dtype(type_))


@pytest.mark.parametrize("type_", [*FLOATS, nn.F8E8M0FNU, *INTEGERS], ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_code_is_decoded(type_: Attribute, native: NativeKernels):
    codes = _codes(type_)
    for wide in (nn.F16, nn.BF16, nn.F32, nn.F64):
        expected = codes.astype(np.float32).astype(numpy_dtype(wide))
        _check(native, f"{type_}_{wide}", codes, expected)


@pytest.mark.parametrize("type_", [nn.F4E2M1FN, nn.F6E2M3FN, nn.F6E3M2FN], ids=str)
def test_bits_above_a_code_are_not_looked_at(type_: Attribute, native: NativeKernels):
    codes = CODES.view(numpy_dtype(type_))
    clean = (CODES & ((1 << BITS[type_]) - 1)).view(codes.dtype)
    actual = _run(native, f"{type_}_f32", codes, nn.F32)
    _same(actual, clean.astype(np.float32))


@pytest.mark.parametrize("type_", FLOATS, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_all_of_f16_is_encoded(type_: Attribute, native: NativeKernels):
    # What ml_dtypes makes of NaN in a type that has none depends on its sign.
    x = HALVES if type_ in EIGHT_BITS else HALVES[~np.isnan(HALVES)]
    _check(native, f"f16_{type_}", x, cast_to(x, FLOATS[type_], True))
    if type_ in EIGHT_BITS:
        expected = cast_to(x, FLOATS[type_], False)
        _check(native, f"f16_{type_}_never", x, expected, saturate=False)


@pytest.mark.parametrize("wide", [nn.F32, nn.F64], ids=str)
@pytest.mark.parametrize("type_", FLOATS, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_floats_are_rounded_once(
    type_: Attribute, wide: Attribute, native: NativeKernels
):
    x = _between(type_).astype(numpy_dtype(wide))
    expected = _nearest(x, type_, saturates=True)
    _check(native, f"{wide}_{type_}", x, expected)
    if type_ in EIGHT_BITS:
        expected = _nearest(x, type_, saturates=False)
        _check(native, f"{wide}_{type_}_never", x, expected, saturate=False)


@pytest.mark.parametrize("type_", FLOATS, ids=str)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_search_agrees_with_ml_dtypes(type_: Attribute):
    x = HALVES[~np.isnan(HALVES)]
    _same(_nearest(x, type_, saturates=True), cast_to(x, FLOATS[type_], True))
    if type_ in EIGHT_BITS:
        expected = cast_to(x, FLOATS[type_], False)
        _same(_nearest(x, type_, saturates=False), expected)


@pytest.mark.parametrize("type_", FLOATS, ids=str)
def test_integers_are_rounded_once(type_: Attribute, native: NativeKernels):
    near = np.arange(-70000, 70000, 3)
    for wide, x in ((nn.I32, near), (nn.I64, near << 20), (nn.U8, CODES)):
        x = x.astype(numpy_dtype(wide))
        expected = cast_to(x.astype(np.float64), FLOATS[type_], True)
        _check(native, f"{wide}_{type_}", x, expected)
    flags = np.array([False, True])
    expected = flags.astype(np.float32).astype(numpy_dtype(type_))
    _check(native, f"i1_{type_}", flags, expected)


@pytest.mark.parametrize("mode", MODES)
def test_powers_of_two_round_as_the_mode_says(mode: str, native: NativeKernels):
    exponents = np.arange(1, 254)
    # Below 1.5 * 2^127, so that the standard's table and reference agree.
    mantissas = [0, 1, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFF]
    bits = (exponents[:, None] << 23 | np.array(mantissas)).astype(np.uint32).ravel()
    x = bits.view(np.float32)
    for saturates in (True, False):
        expected = numpy_helper.to_float8e8m0(x, saturates, mode)
        name = f"{mode}_{saturates}"
        _check(native, name, x, expected, saturate=saturates, round_mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_powers_of_two_at_the_borders(mode: str, native: NativeKernels):
    least, largest = 2.0**-127, 2.0**127
    limits = {"up": 1.0, "nearest": 1.5, "down": 2.0}
    x = np.array(
        [
            np.inf,
            *(f * least for f in (0, 0.5, 1, 1.25, 1.5, 2)),
            *(f * largest for f in (1, 1.25, 1.5)),
            np.nan,
        ],
        np.float32,
    )

    def rounded(value: float) -> float:
        below = 2.0 ** np.floor(np.log2(value))
        goes_up = value > below if mode == "up" else value >= limits[mode] * below
        return 2 * below if goes_up else below

    for saturates in (True, False):
        expected: list[float] = []
        for value in x.astype(np.float64):
            if np.isnan(value) or (value < least and not saturates):
                expected.append(np.nan)
            elif value < least:
                expected.append(least)
            else:
                new = np.inf if np.isinf(value) else rounded(value)
                beyond = largest if saturates else np.nan
                expected.append(beyond if new > largest else new)
        codes = np.array(expected).astype(ml_dtypes.float8_e8m0fnu)
        how = {"saturate": saturates, "round_mode": mode}
        _check(native, f"{mode}_{saturates}", x, codes, **how)


@pytest.mark.parametrize("type_", INTEGERS, ids=str)
def test_small_integers_wrap(type_: Attribute, native: NativeKernels):
    for wide in (nn.I8, nn.U8, nn.I32, nn.I64, nn.F32):
        x = np.arange(-128, 128).astype(numpy_dtype(wide))
        if wide == nn.F32:
            x = x + np.where(x < 0, -0.75, 0.75).astype(np.float32)
        expected = np.trunc(x).astype(np.int64).astype(numpy_dtype(type_))
        _check(native, f"{wide}_{type_}", x, expected)


@pytest.mark.parametrize("type_", [*FLOATS, *INTEGERS], ids=str)
def test_codes_as_integers_and_booleans(type_: Attribute, native: NativeKernels):
    codes = _codes(type_)
    wide = codes.astype(np.float32)
    expected = np.where(
        np.isnan(wide), 0, np.clip(wide.astype(np.float64), -(2.0**31), 2.0**31 - 1)
    )
    actual = _run(native, f"{type_}_i32", codes, nn.I32)
    np.testing.assert_array_equal(actual, np.trunc(expected).astype(np.int32))
    np.testing.assert_array_equal(
        _run(native, f"{type_}_i1", codes, nn.BOOL), wide != 0
    )


def test_small_to_small(native: NativeKernels):
    codes = CODES.view(ml_dtypes.float8_e5m2)
    expected = cast_to(codes.astype(np.float32), TensorProto.FLOAT8E4M3FN, True)
    _same(_run(native, "f8E5M2_f8E4M3FN", codes, nn.F8E4M3FN), expected)
    codes = CODES[:140].view(ml_dtypes.float8_e8m0fnu)
    whole = np.trunc(codes.astype(np.float64)).astype(np.int64)
    expected = whole.astype(ml_dtypes.int4)
    _same(_run(native, "f8E8M0FNU_i4", codes, nn.I4), expected)
