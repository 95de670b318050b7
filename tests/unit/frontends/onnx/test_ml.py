"""Ops of ai.onnx.ml, against the reference evaluator of onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import nnc
from nnc.errors import ModelError
from nnc.frontends.onnx.ml import ML

F32 = np.float32


def model(
    op_type: str, inputs: dict[str, Any], outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, list(inputs), names, domain=ML, **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info(
                n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape
            )
            for n, a in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(n) for n in names],
    )
    version = 5 if op_type == "TreeEnsemble" else 4
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, version)]
    return helper.make_model(graph, opset_imports=opsets)


def agrees(
    op_type: str, inputs: dict[str, Any], outputs: int = 1, **attributes: Any
) -> None:
    proto = model(op_type, inputs, outputs, **attributes)
    wanted: Any = ReferenceEvaluator(proto).run(None, inputs)
    for a, b in zip(nnc.compile(proto).run(None, inputs), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.fixture
def x(rng: np.random.Generator) -> Any:
    return rng.standard_normal((7, 4)).astype(F32)


def test_features_agree(x: Any):
    agrees("Scaler", {"x": x}, offset=[1.0, 2, 3, 4], scale=[0.5, 2, 1, 3])
    agrees("Binarizer", {"x": x}, threshold=0.3)
    agrees("ArrayFeatureExtractor", {"x": x, "i": np.array([[2, 0, 2]])})
    agrees("FeatureVectorizer", {"x": x, "z": x[:, :2]}, inputdimensions=[4, 2])


@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_normalizer_agrees(norm: str, x: Any):
    x[2] = 0
    agrees("Normalizer", {"x": x}, norm=norm)


@pytest.mark.parametrize("replaced", [np.nan, 7.0])
def test_imputer_agrees(replaced: float, x: Any):
    x[1, 2] = x[3, 0] = replaced
    agrees(
        "Imputer",
        {"x": x},
        imputed_value_floats=[1.0, 2, 3, 4],
        replaced_value_float=replaced,
    )


def test_encoders_agree():
    labels = np.array([[3, 7, 5], [7, 7, 1]])
    agrees("OneHotEncoder", {"x": labels}, cats_int64s=[1, 3, 7], zeros=1)
    agrees(
        "LabelEncoder",
        {"x": labels},
        keys_int64s=[7, 3],
        values_floats=[0.5, 1.5],
        default_float=-2.0,
    )


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("classes", [2, 3])
def test_linear_classifier_agrees(classes: int, transform: str, x: Any):
    rows = 1 if classes == 2 else classes
    agrees(
        "LinearClassifier",
        {"x": x},
        2,
        coefficients=np.linspace(-1, 1, rows * 4).tolist(),
        intercepts=np.linspace(0, 1, rows).tolist(),
        classlabels_ints=[5, 2, 9][:classes],
        post_transform=transform,
    )


def test_linear_regressor_agrees(x: Any):
    agrees(
        "LinearRegressor",
        {"x": x},
        coefficients=np.linspace(-1, 1, 8).tolist(),
        intercepts=[0.5, -0.5],
        targets=2,
    )


TREE: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
    "nodes_featureids": [1, 0, 0, 2, 0, 3, 0, 0],
    "nodes_values": [0.1, 0.0, 0.0, -0.2, 0.0, 0.3, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0, 2, 0, 1, 0, 0],
    "nodes_falsenodeids": [3, 0, 0, 4, 0, 2, 0, 0],
    "nodes_missing_value_tracks_true": [1, 0, 0, 0, 0, 1, 0, 0],
}


def tree(mode: str) -> dict[str, Any]:
    inner = {0: "BRANCH_LEQ", 3: mode, 5: mode}
    return {**TREE, "nodes_modes": [inner.get(i, "LEAF") for i in range(8)]}


@pytest.mark.parametrize("function", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"], ids=str.lower)
def test_tree_regressor_agrees(mode: str, function: str, x: Any):
    x[1, 1] = x[2, 3] = x[3, 2] = np.nan
    x[4, 3] = F32(0.3)
    agrees(
        "TreeEnsembleRegressor",
        {"x": x},
        **tree(f"BRANCH_{mode}"),
        n_targets=1,
        target_treeids=[0, 0, 0, 1, 1],
        target_nodeids=[1, 2, 4, 1, 2],
        target_ids=[0] * 5,
        target_weights=[1.0, 2, -3, 4.5, 5],
        aggregate_function=function,
        base_values=[0.25],
    )


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("binary", [False, True])
def test_tree_classifier_agrees(binary: bool, transform: str, x: Any):
    agrees(
        "TreeEnsembleClassifier",
        {"x": x},
        2,
        **tree("BRANCH_LEQ"),
        class_treeids=[0, 0, 0, 1, 1],
        class_nodeids=[1, 2, 4, 1, 2],
        class_ids=[0] * 5 if binary else [0, 1, 0, 1, 1],
        class_weights=[0.1, 0.4, 0.3, 0.2, 0.5],
        classlabels_int64s=[0, 1] if binary else [4, 8],
        post_transform=transform,
    )


def test_damaged_trees_are_refused(x: Any):
    common: dict[str, Any] = {
        "n_targets": 1,
        "target_treeids": [0],
        "target_nodeids": [1],
        "target_ids": [0],
        "target_weights": [1.0],
    }
    cyclic: dict[str, Any] = tree("BRANCH_LEQ") | {
        "nodes_truenodeids": [0, 0, 0, 2, 0, 1, 0, 0]
    }
    with pytest.raises(ModelError, match="cycle"):
        nnc.compile(model("TreeEnsembleRegressor", {"x": x}, **cyclic, **common))
    lost: dict[str, Any] = tree("BRANCH_LEQ") | {
        "nodes_truenodeids": [9, 0, 0, 2, 0, 1, 0, 0]
    }
    with pytest.raises(ModelError, match="tree 0 has no node 9"):
        nnc.compile(model("TreeEnsembleRegressor", {"x": x}, **lost, **common))
    target: dict[str, Any] = {**common, "target_ids": [1]}
    with pytest.raises(ModelError, match="no target 1"):
        nnc.compile(
            model("TreeEnsembleRegressor", {"x": x}, **tree("BRANCH_LT"), **target)
        )
