"""Converters of matrix products and einsum against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError

F32 = np.float32


def normal(rng: np.random.Generator, *shape: int) -> Any:
    """Random f32 numbers."""
    return rng.standard_normal(shape).astype(F32)


MATMULS = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)),
    ((4,), (4, 5)),
    ((3, 4), (4,)),
    ((4,), (4,)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS, ids=str)
def test_matmul_agrees(
    left: tuple[int, ...], right: tuple[int, ...], agrees: Any, rng: np.random.Generator
):
    types = [f"float[{','.join(map(str, s))}]" for s in (left, right)]
    agrees(
        f"({types[0]} a, {types[1]} b) => (float[] y) {{ y = MatMul(a, b) }}",
        {"a": normal(rng, *left), "b": normal(rng, *right)},
        rtol=1e-5,
        atol=1e-5,
    )


def test_matmul_states_free_dims_equal(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[N,H,S,K] a, float[M,G,J,T] b) => (float[] y) { y = MatMul(a, b) }",
        {"a": normal(rng, 2, 3, 4, 5), "b": normal(rng, 2, 3, 5, 6)},
        rtol=1e-5,
        atol=1e-5,
    )


def test_matmul_of_other_depths_is_refused(import_text: Any):
    with pytest.raises(
        ModelError, match=r"MatMul \(node 'MatMul:y'\): .* \[2, 3\] and \[4, 5\]"
    ):
        import_text("(float[2,3] a, float[4,5] b) => (float[] y) { y = MatMul(a, b) }")


@pytest.mark.parametrize(
    "attributes", ["", "<transA=1>", "<transB=1>", "<transA=1, transB=1>"]
)
@pytest.mark.parametrize("bias", [None, (5,), (3, 1), (3, 5), ()], ids=str)
def test_gemm_agrees(
    attributes: str,
    bias: tuple[int, ...] | None,
    agrees: Any,
    rng: np.random.Generator,
):
    a = normal(rng, 4, 3) if "transA=1" in attributes else normal(rng, 3, 4)
    b = normal(rng, 5, 4) if "transB=1" in attributes else normal(rng, 4, 5)
    types = [f"float[{x.shape[0]},{x.shape[1]}]" for x in (a, b)]
    agrees(
        f"({types[0]} a, {types[1]} b) => (float[] y) "
        f"{{ y = Gemm{attributes}(a, b{'' if bias is None else ', c'}) }}",
        {"a": a, "b": b},
        {} if bias is None else {"c": np.asarray(normal(rng, *bias), F32)},
        rtol=1e-5,
        atol=1e-5,
    )


def test_gemm_scales(agrees: Any, rng: np.random.Generator):
    agrees(
        "(float[N,4] a) => (float[] y) { y = Gemm<alpha=0.5, beta=2.0>(a, b, c) }",
        {"a": normal(rng, 3, 4)},
        {"b": normal(rng, 4, 5), "c": normal(rng, 5)},
        rtol=1e-5,
        atol=1e-5,
    )


EINSUMS = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("bij,bjk->bik", ((2, 3, 4), (2, 4, 5))),
    ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 6, 5))),
    ("bhij,bhjd->bihd", ((2, 3, 4, 5), (2, 3, 5, 6))),
    ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5))),
    ("ij->ji", ((2, 3),)),
    ("ij->i", ((2, 3),)),
    ("ij->", ((2, 3),)),
    ("i,j->ij", ((2,), (3,))),
    ("i,i->", ((3,), (3,))),
    ("ij,ij->ij", ((2, 3), (2, 3))),
    ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
    ("ab,ab", ((2, 3), (2, 3))),
    ("ii->i", ((3, 3),)),
    ("bcxd,md->bcxm", ((2, 3, 4, 5), (6, 5))),
    ("abc,cd->dab", ((2, 3, 4), (4, 5))),
    ("aijk,aij->ak", ((2, 3, 4, 5), (2, 3, 4))),
]


@pytest.mark.parametrize(("equation", "shapes"), EINSUMS, ids=lambda v: str(v))
def test_einsum_agrees(
    equation: str,
    shapes: tuple[tuple[int, ...], ...],
    agrees: Any,
    rng: np.random.Generator,
):
    names = "abc"[: len(shapes)]
    types = ", ".join(
        f"float[{','.join(map(str, s))}] {n}"
        for n, s in zip(names, shapes, strict=True)
    )
    agrees(
        f"({types}) => (float[] y) "
        f'{{ y = Einsum<equation="{equation}">({", ".join(names)}) }}',
        {n: normal(rng, *s) for n, s in zip(names, shapes, strict=True)},
        rtol=1e-5,
        atol=1e-5,
    )


def test_einsum_becomes_a_matmul(import_text: Any):
    text = import_text(
        "(float[B,H,S,64] q, float[B,H,T,64] k) => (float[] y) "
        '{ y = Einsum<equation="bhid,bhjd->bhij">(q, k) }'
    )
    assert "nn.matmul" in text
    assert "#nn.shape<B, H, S, T>> {nn.name" in text


@pytest.mark.parametrize(
    "equation", ["ij,jk->ik", "ij->iz", "i1->i", "ij->jj", "...ij..."]
)
def test_einsum_with_a_wrong_equation_is_refused(equation: str, import_text: Any):
    with pytest.raises(ModelError, match=r"Einsum \(node 'Einsum:y'\)"):
        import_text(
            f'(float[2,3] a) => (float[] y) {{ y = Einsum<equation="{equation}">(a) }}'
        )


# ---------------------------------------------------------------- quantized


def test_quantize_and_dequantize_agree(agrees: Any, rng: np.random.Generator):
    agrees(
        """(float[2,3,4] x) => (uint8[] q, float[] y) {
            q = QuantizeLinear(x, s, z)
            y = DequantizeLinear(q, s, z)
        }""",
        {"x": normal(rng, 2, 3, 4)},
        {"s": np.array(0.05, F32), "z": np.array(120, np.uint8)},
    )


def test_dequantize_along_an_axis_agrees(agrees: Any, rng: np.random.Generator):
    agrees(
        "(int8[2,3,4] x) => (float[] y) { y = DequantizeLinear<axis=1>(x, s, z) }",
        {"x": rng.integers(-128, 128, (2, 3, 4), np.int8)},
        {
            "s": np.array([0.1, 0.2, 0.5], F32),
            "z": np.array([0, 3, -7], np.int8),
        },
    )


def test_dynamic_quantization_and_integer_matmul_agree(
    agrees: Any, rng: np.random.Generator
):
    agrees(
        """(float[3,4] x) => (int32[] y, float[] scale) {
            q, scale, zero = DynamicQuantizeLinear(x)
            y = MatMulInteger(q, w, zero, wz)
        }""",
        {"x": normal(rng, 3, 4)},
        {
            "w": rng.integers(-128, 128, (4, 5), np.int8),
            "wz": np.array(3, np.int8),
        },
    )


@pytest.mark.parametrize("shape", [(3, 3), (0, 0), (1, 1), (2, 3, 5, 5), (40, 2, 2)])
@pytest.mark.parametrize("kind", ["float", "double", "float16"])
def test_determinants(shape: tuple[int, ...], kind: str, compiled: Any, rng: Any):
    dims = ", ".join("ABCDE"[: len(shape)])
    exe = compiled(f"({kind}[{dims}] x) => ({kind}[] y) {{ y = Det(x) }}", opset=22)
    x = rng.standard_normal(shape).astype(exe.inputs[0].dtype)
    expected = np.linalg.det(x.astype(np.float64))
    tolerance = {"float": 1e-4, "double": 1e-12, "float16": 1e-2}[kind]
    y = exe(x)
    assert y.shape == shape[:-2]
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance)


def test_determinants_of_special_matrices(compiled: Any):
    exe = compiled("(float[N, 3, 3] x) => (float[] y) { y = Det(x) }", opset=11)
    ones = np.ones((3, 3), np.float32)
    turned = np.eye(3, dtype=np.float32)[[1, 0, 2]]
    zeros = np.zeros((3, 3), np.float32)
    nan = ones * [[np.nan], [1], [2]]
    columns = np.array([[0, 1, 2], [0, 3, 1], [0, 5, 2]], np.float32)
    y = exe(np.stack([ones, turned, zeros, nan, columns]).astype(np.float32))
    np.testing.assert_array_equal(y, [0, -1, 0, np.nan, 0])


def test_matrices_that_are_not_square_are_refused(compiled: Any):
    with pytest.raises(ModelError, match="Det.*cannot have shape"):
        compiled("(float[2, 3] x) => (float[] y) { y = Det(x) }")
