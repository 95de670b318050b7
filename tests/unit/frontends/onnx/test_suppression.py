"""`NonMaxSuppression` against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper, parser

import nnc
from nnc.errors import ModelError

Array = NDArray[Any]
F32 = np.float32


def model(
    inputs: str = "b, s, m, i, t", attributes: str = "", boxes: str = "B, N, 4"
) -> ModelProto:
    """A model of one node; thresholds are inputs."""
    call = f"y = NonMaxSuppression{attributes}({inputs})"
    return parser.parse_model(
        '<ir_version: 8, opset_import: ["": 11]> g '
        f"(float[{boxes}] b, float[B, C, N] s, int64[1] m, float[1] i, float[1] t) "
        f"=> (int64[K, 3] y) {{ {call} }}"
    )


def feeds(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    limit: int = 1000,
    overlap: float = 0.3,
    score: float = 0.2,
) -> dict[str, Array]:
    """Boxes that often overlap, with scores that are often equal."""
    images, classes, count = shape
    corners = rng.random((images, count, 2)) * 3
    # Corners come in any order, and some boxes have no area.
    sides = rng.random((images, count, 2)) * rng.choice(
        [-1, 0, 1, 1], (images, count, 1)
    )
    return {
        "b": np.concatenate([corners, corners + sides], 2).astype(F32),
        "s": np.round(rng.random((images, classes, count)), 1).astype(F32),
        "m": np.array([limit]),
        "i": np.array([overlap], F32),
        "t": np.array([score], F32),
    }


@pytest.mark.parametrize("centres", [0, 1])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (2, 3, 40), (3, 1, 17), (1, 2, 200), (2, 2, 0)], ids=str
)
def test_it_agrees(centres: int, shape: tuple[int, int, int], rng: Any) -> None:
    source = model(attributes=f"<center_point_box={centres}>")
    session = onnxruntime.InferenceSession(source.SerializeToString())
    exe = nnc.compile(source)
    for limit, overlap, score in ((1000, 0.3, 0.2), (3, 0.0, 0.5), (0, 0.5, 0.5)):
        inputs = feeds(rng, shape, limit, overlap, score)
        (theirs,) = session.run(None, inputs)
        (ours,) = exe.run(None, inputs)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("inputs", ["b, s, m", "b, s, m, i", "b, s, m, , t"])
def test_thresholds_may_be_absent(inputs: str, rng: Any) -> None:
    source = model(inputs)
    given = feeds(rng, (1, 2, 30))
    theirs = onnxruntime.InferenceSession(source.SerializeToString()).run(None, given)
    np.testing.assert_array_equal(nnc.compile(source).run(None, given)[0], theirs[0])


def test_without_a_limit_nothing_is_picked(rng: Any) -> None:
    exe = nnc.compile(model("b, s"))
    assert exe.run(None, feeds(rng, (1, 2, 30)))[0].shape == (0, 3)


def test_nan_is_no_score_and_no_box(rng: Any) -> None:
    exe = nnc.compile(model())
    given = feeds(rng, (1, 1, 6), score=-1)
    given["s"][0, 0, :3] = np.nan
    given["b"][0, 4] = np.nan
    (picked,) = exe.run(None, given)
    assert set(picked[:, 2]) <= {3, 4, 5}


def test_a_constant_limit_bounds_the_room(rng: Any) -> None:
    source = model("b, s, limit, i, t")
    source.graph.initializer.append(helper.make_tensor("limit", 7, [1], np.array([2])))
    given = feeds(rng, (2, 3, 50))
    theirs = onnxruntime.InferenceSession(source.SerializeToString()).run(None, given)
    np.testing.assert_array_equal(nnc.compile(source).run(None, given)[0], theirs[0])


def test_boxes_of_five_numbers_are_refused() -> None:
    with pytest.raises(ModelError, match="NonMaxSuppression.*boxes tensor"):
        nnc.compile(model(boxes="B, N, 5"))
