"""Support vector machines and transformations of scores, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError, UnsupportedOp

F32 = np.float32
FEATURES = 4
KERNELS = {
    "LINEAR": [0.0, 0.0, 0.0],
    "POLY": [0.3, 0.7, 3.0],
    "RBF": [0.4, 0.0, 0.0],
    "SIGMOID": [0.2, 0.1, 0.0],
}


def machine(rng: Any, sizes: list[int], kernel: str, likely: bool) -> dict[str, Any]:
    """The attributes of a classifier with so many support vectors of each class."""
    total, pairs = sum(sizes), len(sizes) * (len(sizes) - 1) // 2
    attributes: dict[str, Any] = {
        "classlabels_ints": [10 + 3 * i for i in range(len(sizes))],
        "coefficients": rng.standard_normal((len(sizes) - 1) * total).tolist(),
        "support_vectors": rng.standard_normal(total * FEATURES).tolist(),
        "vectors_per_class": sizes,
        "kernel_type": kernel,
        "kernel_params": KERNELS[kernel],
        "rho": rng.standard_normal(pairs).tolist(),
        "domain": "ai.onnx.ml",
        "out": [np.int64, F32],
    }
    if likely:
        attributes["prob_a"] = rng.uniform(-3, -1, pairs).tolist()
        attributes["prob_b"] = rng.uniform(-0.3, 0.3, pairs).tolist()
    return attributes


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("likely", [False, True])
@pytest.mark.parametrize("sizes", [[3, 4], [2, 3, 4], [1, 2, 3, 2, 1]])
def test_classifier(
    kernel: str, likely: bool, sizes: list[int], node_agrees: Any, rng: Any
):
    x = rng.standard_normal((20, FEATURES)).astype(F32)
    attributes = machine(rng, sizes, kernel, likely)
    node_agrees("SVMClassifier", [x], rtol=1e-4, atol=1e-4, **attributes)


@pytest.mark.parametrize("transform", ["LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("likely", [False, True])
def test_classifier_transforms(
    transform: str, likely: bool, node_agrees: Any, rng: Any
):
    x = rng.standard_normal((20, FEATURES)).astype(F32)
    attributes = machine(rng, [2, 3, 4], "RBF", likely)
    node_agrees(
        *("SVMClassifier", [x]),
        post_transform=transform,
        rtol=1e-4,
        atol=1e-4,
        **attributes,
    )


@pytest.mark.parametrize("kernel", list(KERNELS))
def test_classifier_without_vectors(kernel: str, node_agrees: Any, rng: Any):
    x = rng.standard_normal((20, FEATURES)).astype(F32)
    node_agrees(
        *("SVMClassifier", [x]),
        domain="ai.onnx.ml",
        out=[np.int64, F32],
        classlabels_ints=[0, 1, 2],
        coefficients=rng.standard_normal(3 * FEATURES).tolist(),
        kernel_type="LINEAR",
        kernel_params=KERNELS[kernel],
        rho=[0.25],
        rtol=1e-4,
        atol=1e-5,
    )


def test_what_classifiers_refuse(run_node: Any, rng: Any):
    x = rng.standard_normal((3, FEATURES)).astype(F32)
    attributes = machine(rng, [3, 4], "RBF", False)
    with pytest.raises(UnsupportedOp, match="of a single score"):
        run_node("SVMClassifier", [x], post_transform="SOFTMAX", **attributes)
    with pytest.raises(ModelError, match="coefficients for 7 vectors"):
        run_node("SVMClassifier", [x], **(attributes | {"coefficients": [1.0]}))
    attributes = machine(rng, [3, 4, 2], "RBF", False)
    with pytest.raises(ModelError, match="rho has"):
        run_node("SVMClassifier", [x], **(attributes | {"rho": [1.0]}))
    with pytest.raises(ModelError, match="no post_transform 'WRONG'"):
        run_node("SVMClassifier", [x], post_transform="WRONG", **attributes)


def test_probit(node_agrees: Any):
    x = np.linspace(0.01, 0.99, 12, dtype=F32).reshape(6, 2)
    node_agrees(
        *("LinearRegressor", [x]),
        domain="ai.onnx.ml",
        targets=2,
        coefficients=[1.0, 0.0, 0.0, 1.0],
        intercepts=[0.0, 0.0],
        post_transform="PROBIT",
        rtol=1e-4,
        atol=1e-5,
    )


def tree_of_sets(**attributes: Any) -> dict[str, Any]:
    """Feature 0 in {1, 5, 9}? then 10; else: feature 1 in {2}? then 20; else 30."""
    from onnx import numpy_helper

    return {
        "n_targets": 2,
        "nodes_featureids": [0, 1],
        "nodes_modes": numpy_helper.from_array(np.array([6, 6], np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.zeros(2, F32)),
        "nodes_truenodeids": [0, 1],
        "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2],
        "nodes_falseleafs": [0, 1],
        "tree_roots": [0],
        "leaf_targetids": [0, 1, 0],
        "leaf_weights": numpy_helper.from_array(np.array([10, 20, 30], F32)),
        "membership_values": numpy_helper.from_array(
            np.array([1, 5, 9, np.nan, 2, np.nan], F32)
        ),
        "domain": "ai.onnx.ml",
        "ml_opset": 5,
        **attributes,
    }


@pytest.mark.parametrize("transform", [0, 1, 2, 3])
def test_trees_of_sets(transform: int, run_node: Any):
    x = np.array([[1, 0], [9, 2], [4, 2], [4, 7], [np.nan, 2]], F32)
    (found,) = run_node("TreeEnsemble", [x], **tree_of_sets(post_transform=transform))
    scores = np.array([[10, 0], [10, 0], [0, 20], [30, 0], [0, 20]], F32)
    if transform == 2:
        scores = 1 / (1 + np.exp(-scores))
    elif transform:
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights = weights * (scores != 0) if transform == 3 else weights
        scores = weights / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(found, scores, rtol=1e-5, atol=1e-6)


def test_sets_for_other_nodes_are_refused(run_node: Any):
    from onnx import numpy_helper

    x = np.zeros((1, 2), F32)
    values = numpy_helper.from_array(np.array([1, 5], F32))
    with pytest.raises(ModelError, match="1 sets for 2 nodes"):
        run_node("TreeEnsemble", [x], **tree_of_sets(membership_values=values))
