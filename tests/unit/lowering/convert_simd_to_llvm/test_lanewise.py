"""Every lane-wise `simd` op, run over arrays and compared with its meaning in numpy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    IntegerType,
    Signedness,
    f32,
    f64,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue

from nnc.backend.cross import QemuProgram
from nnc.backend.host import resolve_target
from nnc.dialects import simd
from nnc.dialects.simd.base import BinaryOp, UnaryOp
from nnc.testing_kernels import (
    INDEX,
    KernelWriter,
    NativeKernels,
    compile_kernels,
    kernel,
)

# Integers and floats of many dtypes go through the same functions.
Array = npt.NDArray[Any]

F16, BF16 = Float16Type(), BFloat16Type()
I1 = IntegerType(1)
SIGNED = [IntegerType(bits) for bits in (8, 16, 32, 64)]
UNSIGNED = [IntegerType(bits, Signedness.UNSIGNED) for bits in (8, 16, 32, 64)]
FLOATS: list[Attribute] = [f32, f64, F16, BF16]
INTS: list[Attribute] = [*SIGNED, *UNSIGNED]
_DTYPES = {"f32": "f4", "f64": "f8", "f16": "f2", "bf16": "u2", "i1": "?"}


def dtype_of(type: Attribute) -> np.dtype[Any]:
    """How numpy stores elements of a type; bf16 as its bits."""
    name = str(type)
    if name in _DTYPES:
        return np.dtype(_DTYPES[name])
    return np.dtype(name.replace("ui", "uint").replace("i", "int", name[0] == "i"))


def bf16_bits(x: Array) -> npt.NDArray[np.uint16]:
    """f64 or f32 rounded to nearest even bf16, as bits."""
    wide = np.asarray(x, np.float64)
    bits = wide.astype(np.float32).view(np.uint32).astype(np.uint64)
    # From f64: decide ties by what f32 dropped.
    back = np.abs(wide.astype(np.float32).astype(np.float64))
    dropped = np.sign(np.nan_to_num(np.abs(wide) - back)).astype(np.int64)
    bits = bits * 4 + dropped.astype(np.uint64)
    rounded = ((bits + (1 << 17) - 1 + ((bits >> 18) & 1)) >> 18).astype(np.uint16)
    sign = (wide.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.where(np.isnan(wide), (sign & 0x8000) | 0x7FC0, rounded).astype(np.uint16)


def to_f64(x: Array, type: Attribute) -> npt.NDArray[np.float64]:
    """Stored floats as f64."""
    if type == BF16:
        return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return x.astype(np.float64)


def from_f64(x: Array, type: Attribute) -> Array:
    """f64 rounded to a stored float type."""
    with np.errstate(all="ignore"):
        return bf16_bits(x) if type == BF16 else x.astype(dtype_of(type))


def samples(type: Attribute, rng: np.random.Generator, count: int) -> Array:
    """Edge values of a type, then random ones."""
    dtype = dtype_of(type)
    if type == I1:
        return rng.integers(0, 2, count).astype(bool)
    if type in INTS:
        info = np.iinfo(dtype)
        edges = [0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1]
        edges += [] if info.min == 0 else [-1, -2, -3, -7]
        edge = np.array(edges, dtype)
        wide = rng.integers(info.min, info.max, count // 2, dtype, endpoint=True)
        near = rng.integers(max(info.min, -20), 20, count - len(wide), dtype)
        mixed = rng.permutation(np.concatenate([wide, near]))
        mixed[: len(edge)] = edge
        return rng.permutation(mixed)
    edge = np.array(
        [
            0.0,
            -0.0,
            1,
            -1,
            0.5,
            -0.5,
            1.5,
            2.5,
            -2.5,
            3.25,
            np.inf,
            -np.inf,
            np.nan,
            1e-40,
            -1e-40,
            1e-30,
            1e30,
            -1e30,
            100.5,
            6e-06,
            65504.0,
            1000000000.0,
            -3000000000.0,
            2.0**63,
        ]
    )
    scale = 10.0 ** rng.uniform(-3, 2, count)
    mixed = rng.standard_normal(count) * scale
    mixed[: len(edge)] = edge
    return from_f64(rng.permutation(mixed), type)


@dataclass(frozen=True)
class Case:
    """One op on one choice of types."""

    name: str
    inputs: tuple[Attribute, ...]
    output: Attribute
    build: Callable[..., Operation]
    meaning: Callable[..., Array]
    """On f64 for floats (rounded by the test), on the stored type for others."""
    ulp: float = 0.5
    """Allowed error of float results, in units of the last place."""
    domain: Callable[[list[Array]], list[Array]] = field(default=lambda arrays: arrays)

    def kernel(self, width: int) -> FuncOp:
        """`out[i] = op(in[i])` for i < n, in vectors with a masked tail."""
        types = [simd.PtrType(t) for t in (*self.inputs, self.output)]

        def body(w: KernelWriter, *args: SSAValue) -> None:
            *inputs, output, count = args

            def step(w: KernelWriter, i: SSAValue) -> None:
                mask = w(simd.MaskOp(w(arith.SubiOp(count, i)), width))
                values = [w(simd.LoadOp(p, i, width, mask)) for p in inputs]
                w.do(simd.StoreOp(w(self.build(*values)), output, i, mask))

            w.loop(w.index(0), count, width, step)

        return kernel(self.name, [*types, INDEX], body)

    def arguments(self, rng: np.random.Generator, count: int) -> list[Array]:
        """Input arrays."""
        return self.domain([samples(t, rng, count) for t in self.inputs])

    def expected(self, arrays: Sequence[Array]) -> Array:
        """The right answer, floats as f64."""
        wide = [
            to_f64(a, t) if t in FLOATS else a
            for a, t in zip(arrays, self.inputs, strict=True)
        ]
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(self.meaning(*wide))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def erf(x: Array) -> Array:
    return np.array([math.erf(v) for v in x])


def sign(x: Array) -> Array:
    return np.where(x == 0, x, np.sign(x))


def minimum(x: Array, y: Array) -> Array:
    negative_zero = np.where(np.signbit(x), x, y)
    return np.where((x == 0) & (y == 0), negative_zero, np.minimum(x, y))


def maximum(x: Array, y: Array) -> Array:
    positive_zero = np.where(np.signbit(x), y, x)
    return np.where((x == 0) & (y == 0), positive_zero, np.maximum(x, y))


def trunc_div(x: Array, y: Array) -> Array:
    wide = [int(a) for a in x], [int(b) for b in y]
    info = np.iinfo(x.dtype)
    span = 1 << info.bits
    out = []
    for a, b in zip(*wide, strict=True):
        q = abs(a) // abs(b)
        q = q if (a < 0) == (b < 0) else -q
        out.append((q - info.min) % span + info.min)
    return np.array(out, x.dtype)


def trunc_rem(x: Array, y: Array) -> Array:
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return np.array([abs(a) % abs(b) * (-1 if a < 0 else 1) for a, b in pairs], x.dtype)


def floor_mod(x: Array, y: Array) -> Array:
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return np.array([a % b for a, b in pairs], x.dtype)


def int_pow(x: Array, y: Array) -> Array:
    bits = np.iinfo(x.dtype).bits
    low = int(np.iinfo(x.dtype).min)
    out = []
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if b < 0:
            value = 1 if a == 1 else (1 if b % 2 == 0 else -1) if a == -1 else 0
        else:
            value = pow(a, b, 1 << bits)
        out.append((value - low) % (1 << bits) + low)
    return np.array(out, x.dtype)


def shift_left(x: Array, y: Array) -> Array:
    bits = np.iinfo(x.dtype).bits
    ok = (y >= 0) & (y < bits)
    return np.where(ok, x << np.where(ok, y, 0), 0).astype(x.dtype)


def shift_right(x: Array, y: Array) -> Array:
    bits = np.iinfo(x.dtype).bits
    ok = (y >= 0) & (y < bits)
    if np.iinfo(x.dtype).min == 0:
        return np.where(ok, x >> np.where(ok, y, 0), 0).astype(x.dtype)
    return x >> np.where(ok, y, bits - 1).astype(x.dtype)


def no_zero_divisor(arrays: list[Array]) -> list[Array]:
    x, y = arrays
    return [x, np.where(y == 0, y.dtype.type(3), y)]


def small_exponents(arrays: list[Array]) -> list[Array]:
    x, y = arrays
    return [x, (y % 40).astype(y.dtype)]


# Op, meaning, ulp allowed in f32 on targets without fused multiply-add.
_FLOAT_UNARY: list[tuple[type[UnaryOp], Callable[[Array], Array], float]] = [
    (simd.SqrtOp, np.sqrt, 0.5),
    (simd.RsqrtOp, lambda x: 1 / np.sqrt(x), 1.5),
    (simd.ReciprocalOp, lambda x: 1 / x, 0.5),
    (simd.FloorOp, np.floor, 0.5),
    (simd.CeilOp, np.ceil, 0.5),
    (simd.RoundEvenOp, np.rint, 0.5),
    (simd.TruncOp, np.trunc, 0.5),
    (simd.ExpOp, np.exp, 1.5),
    (simd.Exp2Op, np.exp2, 1.5),
    (simd.Expm1Op, np.expm1, 2.5),
    (simd.LogOp, np.log, 1.5),
    (simd.Log1pOp, np.log1p, 2.5),
    (simd.TanhOp, np.tanh, 2.0),
    (simd.ErfOp, erf, 2.0),
    (simd.SigmoidOp, sigmoid, 2.5),
    (simd.SinOp, np.sin, 2.0),
    (simd.CosOp, np.cos, 2.0),
    (simd.TanOp, np.tan, 3.5),
    (simd.AsinOp, np.arcsin, 3.0),
    (simd.AcosOp, np.arccos, 3.0),
    (simd.AtanOp, np.arctan, 3.0),
    (simd.SinhOp, np.sinh, 4.0),
    (simd.CoshOp, np.cosh, 4.0),
    (simd.AsinhOp, np.arcsinh, 3.0),
    (simd.AcoshOp, np.arccosh, 3.0),
    (simd.AtanhOp, np.arctanh, 3.0),
]


def _unary(
    op: type[UnaryOp], meaning: Callable[[Array], Array], t: Attribute, ulp: float = 0.5
) -> Case:
    name = f"{op.name.removeprefix('simd.')}_{t}"
    return Case(name, (t,), t, op, meaning, ulp)


def _binary(
    op: type[BinaryOp],
    meaning: Callable[[Array, Array], Array],
    t: Attribute,
    ulp: float = 0.5,
    domain: Callable[[list[Array]], list[Array]] = lambda arrays: arrays,
) -> Case:
    name = f"{op.name.removeprefix('simd.')}_{t}"
    return Case(name, (t, t), t, op, meaning, ulp, domain)


def _multiply_add(a: Array, b: Array, c: Array) -> Array:
    return a * b + c


def all_cases() -> list[Case]:
    """All of them."""
    cases: list[Case] = []
    for t in FLOATS:
        cases += [
            _unary(op, meaning, t, ulp if t == f32 or op is simd.SigmoidOp else 1.0)
            for op, meaning, ulp in _FLOAT_UNARY
        ]
        cases += [
            Case(f"is_nan_{t}", (t,), I1, simd.IsNanOp, np.isnan),
            Case(f"is_inf_{t}", (t,), I1, simd.IsInfOp, np.isinf),
            _binary(simd.AddOp, np.add, t),
            _binary(simd.SubOp, np.subtract, t),
            _binary(simd.MulOp, np.multiply, t),
            _binary(simd.DivOp, np.divide, t),
            _binary(simd.RemOp, np.fmod, t),
            _binary(simd.ModFloorOp, np.mod, t, 1.0),
            _binary(simd.MinOp, minimum, t),
            _binary(simd.MaxOp, maximum, t),
            _binary(simd.PowOp, np.power, t, 1.0),
            _binary(simd.Atan2Op, np.arctan2, t, 1.0),
            _unary(simd.NegOp, np.negative, t),
            _unary(simd.AbsOp, np.abs, t),
            _unary(simd.SignOp, sign, t),
        ]
    for t in INTS:
        cases += [
            _binary(simd.AddOp, np.add, t),
            _binary(simd.SubOp, np.subtract, t),
            _binary(simd.MulOp, np.multiply, t),
            _binary(simd.DivOp, trunc_div, t, domain=no_zero_divisor),
            _binary(simd.RemOp, trunc_rem, t, domain=no_zero_divisor),
            _binary(simd.ModFloorOp, floor_mod, t, domain=no_zero_divisor),
            _binary(simd.MinOp, np.minimum, t),
            _binary(simd.MaxOp, np.maximum, t),
            _binary(simd.PowOp, int_pow, t, domain=small_exponents),
            _binary(simd.AndOp, np.bitwise_and, t),
            _binary(simd.OrOp, np.bitwise_or, t),
            _binary(simd.XorOp, np.bitwise_xor, t),
            _binary(simd.ShlOp, shift_left, t),
            _binary(simd.ShrOp, shift_right, t),
            _unary(simd.NegOp, np.negative, t),
            _unary(simd.AbsOp, np.abs, t),
            _unary(simd.SignOp, np.sign, t),
            _unary(simd.NotOp, np.invert, t),
        ]
    cases += [
        _binary(simd.AndOp, np.logical_and, I1),
        _binary(simd.OrOp, np.logical_or, I1),
        _binary(simd.XorOp, np.logical_xor, I1),
        _unary(simd.NotOp, np.logical_not, I1),
    ]
    comparisons = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    for t in (f32, BF16, f64, SIGNED[0], SIGNED[2], UNSIGNED[0], UNSIGNED[3]):
        for word, meaning in comparisons.items():
            cases.append(
                Case(
                    f"cmp_{word}_{t}",
                    (t, t),
                    I1,
                    partial(simd.CmpOp, word),
                    meaning,
                )
            )
    for t in (f32, F16, I1, SIGNED[0], SIGNED[3]):
        cases.append(Case(f"select_{t}", (I1, t, t), t, simd.SelectOp, np.where))
    # Without cancellation, so that targets without fusion may round twice.
    cases.append(
        Case(
            "fma_f32",
            (f32, f32, f32),
            f32,
            simd.FmaOp,
            _multiply_add,
            1.0,
            lambda arrays: [np.abs(a) for a in arrays],
        )
    )
    cases += [
        Case(
            f"cast_{a}_{b}",
            (a,),
            b,
            partial(simd.CastOp, element_type=b),
            _cast_meaning(a, b),
            0.5,
        )
        for a in (*FLOATS, *INTS, I1)
        for b in (*FLOATS, *INTS, I1)
    ]
    return cases


def _cast_meaning(a: Attribute, b: Attribute) -> Callable[[Array], Array]:
    def meaning(x: Array) -> Array:
        if b == I1:
            return x != 0
        if b in FLOATS:
            return x.astype(np.float64)
        dtype = dtype_of(b)
        if a not in FLOATS:
            return x.astype(dtype)
        info = np.iinfo(dtype)
        out = []
        for v in x.tolist():
            clipped = 0 if v != v else max(min(v, float(info.max)), float(info.min))
            out.append(max(min(int(clipped), int(info.max)), int(info.min)))
        return np.array(out, dtype)

    return meaning


def ulp_error(
    actual: Array, expected: Array, type: Attribute
) -> npt.NDArray[np.float64]:
    """Distance in units of the last place of `type`; 0 where both are equal or NaN."""
    got = to_f64(actual, type)
    bits = {"f64": (52, -1022), "f32": (23, -126), "f16": (10, -14), "bf16": (7, -126)}
    mantissa, lowest = bits[str(type)]
    with np.errstate(all="ignore"):
        rounded = to_f64(from_f64(expected, type), type)
        finite = np.where(np.isfinite(expected), expected, 1)
        exponent = np.maximum(np.frexp(finite)[1] - 1, lowest)
        unit = np.ldexp(1.0, np.minimum(exponent, 1000) - mantissa)
        error = np.abs(got - expected) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    error = np.where(same, 0.0, error)
    return np.where(np.isfinite(error), error, np.inf)


# ---------------------------------------------------------------------------
# Tests
# ---------------------------------------------------------------------------

CASES = {case.name: case for case in all_cases()}
CORE = tuple(n for n in CASES if n.rpartition("_")[2] in {"f32", "i8", "i32", "ui8"})
COUNT = 93


def _configs() -> Iterator[tuple[str, int, str]]:
    everything = [("generic", 4), ("avx512", 16)]
    some = [("generic", 1), ("avx2", 8), ("avx2", 16), ("avx512", 1), ("native", 4)]
    for target, width in everything:
        yield from ((target, width, name) for name in CASES)
    for target, width in some:
        yield from ((target, width, name) for name in CORE)


@cache
def native_kernels(target_name: str, width: int) -> NativeKernels:
    target = resolve_target(target_name)
    names = {name for t, w, name in _configs() if (t, w) == (target_name, width)}
    kernels = [CASES[name].kernel(width) for name in sorted(names)]
    return NativeKernels(compile_kernels(kernels, target))


def check(case: Case, actual: Array, arguments: list[Array]) -> None:
    expected = case.expected(arguments)
    if case.output not in FLOATS:
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype))
        return
    error = ulp_error(actual, expected, case.output)
    worst = int(np.argmax(error))
    assert error[worst] <= case.ulp, (
        f"{case.name}{[a[worst] for a in arguments]} = {actual[worst]}, "
        f"expected {expected[worst]}: {error[worst]:.2f} ulp"
    )


def run_and_check(kernels: NativeKernels | QemuProgram, case: Case) -> None:
    arguments = case.arguments(np.random.default_rng(sum(case.name.encode())), COUNT)
    output = np.zeros(COUNT, dtype_of(case.output))
    *_, actual = kernels.run(case.name, [*arguments, output, COUNT])
    check(case, actual, arguments)


@pytest.mark.parametrize(
    ("target", "width", "name"),
    [pytest.param(*config, marks=pytest.mark.isa(config[0])) for config in _configs()],
)
def test_lanewise_op_matches_numpy(target: str, width: int, name: str) -> None:
    run_and_check(native_kernels(target, width), CASES[name])


@pytest.fixture(
    scope="module",
    params=[pytest.param(width, marks=pytest.mark.isa("neon")) for width in (4, 1)],
)
def neon_program(request: pytest.FixtureRequest) -> Iterator[QemuProgram]:
    kernels = [CASES[name].kernel(request.param) for name in CORE]
    code = compile_kernels(kernels, resolve_target("neon"))
    with QemuProgram(code, CORE) as program:
        yield program


@pytest.mark.parametrize("name", CORE)
def test_lanewise_op_on_neon_matches_numpy(
    neon_program: QemuProgram, name: str
) -> None:
    run_and_check(neon_program, CASES[name])
