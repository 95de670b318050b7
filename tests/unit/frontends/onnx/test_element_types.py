"""Ops with kernels or filters of their own, in every float type that they have."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

F32 = np.float32
TYPES = {"float16": 4e-3, "bfloat16": 4e-2, "double": 1e-5}

CASES = {
    "BatchNormalization": (
        15,
        "T[N, 3, H] x",
        "y = BatchNormalization<training_mode=1>(x, s, s, s, s)",
        [(2, 3, 5)],
        {"s": (3,)},
    ),
    "Col2Im": (18, "T[N, 12, L] x", "y = Col2Im(x, i, k)", [(1, 12, 12)], {}),
    "CumProd": (26, "T[N, M] x", "y = CumProd(x, a)", [(3, 7)], {}),
    "DeformConv": (
        19,
        "T[N, 2, 4, 5] x, T[N, 8, 3, 4] o",
        "y = DeformConv(x, w, o)",
        [(1, 2, 4, 5), (1, 8, 3, 4)],
        {"w": (3, 2, 2, 2)},
    ),
    "MaxPool": (
        22,
        "T[N, 2, H] x",
        "y, j = MaxPool<kernel_shape=[3], strides=[2]>(x)",
        [(2, 2, 9)],
        {},
    ),
    "MaxRoiPool": (
        22,
        "T[N, 2, 6, 6] x",
        "y = MaxRoiPool<pooled_shape=[2, 2]>(x, r)",
        [(1, 2, 6, 6)],
        {},
    ),
    "antialias": (
        19,
        "T[1, 1, H, W] x",
        'y = Resize<mode="cubic", antialias=1>(x, , f)',
        [(1, 1, 8, 9)],
        {},
    ),
    "crop": (
        19,
        "T[1, 1, H, W] x",
        'y = Resize<mode="linear", coordinate_transformation_mode='
        '"tf_crop_and_resize">(x, c, f)',
        [(1, 1, 8, 9)],
        {},
    ),
    "RoiAlign": (
        22,
        "T[N, 2, 6, 6] x",
        "y = RoiAlign<output_height=2, output_width=2>(x, q, b)",
        [(1, 2, 6, 6)],
        {},
    ),
    "TensorScatter": (
        24,
        "T[1, 5, 2] x, T[1, 2, 2] u",
        "y = TensorScatter(x, u, b)",
        [(1, 5, 2), (1, 2, 2)],
        {},
    ),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_it_is_float_rounded(name: str, kind: str, compiled: Any, rng: Any) -> None:
    opset, inputs, call, shapes, weights = CASES[name]
    dtype = {"bfloat16": ml_dtypes.bfloat16, "double": np.float64}.get(kind, "float16")
    # Numbers that all types hold; halves in what is not of the type, for regions.
    arrays = [np.round(rng.standard_normal(s) * 4) / 4 + 0.25 for s in shapes]
    given = {k: np.round(rng.random(s) * 4) / 4 + 0.5 for k, s in weights.items()}
    fixed = {
        "i": np.array([4, 5]),
        "k": np.array([2, 2]),
        "a": np.array(1),
        "b": np.array([0]),
        "f": np.array([1, 1, 0.5, 0.5], F32),
    }
    typed = {
        "r": np.array([[0, 1, 0, 4, 5]]),
        "q": np.array([[0, 1, 4.5, 5]]),
        "c": np.array([0, 0, 0.25, 0.25, 1, 1, 0.75, 1]),
    }

    names = [part.split()[-1] for part in inputs.replace(", T", ";T").split(";")]

    def run(spelled: str, as_type: Any) -> Any:
        constants = {k: v.astype(as_type) for k, v in (given | typed).items()} | fixed
        read = [v.strip() for v in call.rpartition("(")[2].rstrip(")").split(",")]
        constants = {k: v for k, v in constants.items() if k in read}
        graph = f"({inputs.replace('T[', spelled + '[')}) => ({spelled}[] y)"
        exe = compiled(f"{graph} {{ {call} }}", constants, opset)
        feeds = [a.astype(as_type) for a in arrays]
        return exe.run(None, dict(zip(names, feeds, strict=True)))[0]

    y = run(kind, dtype)
    assert y.dtype == dtype
    expected = run("float", F32)
    np.testing.assert_allclose(
        y.astype(np.float64), expected, rtol=TYPES[kind], atol=TYPES[kind]
    )
