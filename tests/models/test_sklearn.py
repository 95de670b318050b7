"""Models of scikit-learn, exported by skl2onnx: nnc predicts what they predict."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nnc

pytest.importorskip("sklearn")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skl2onnx import to_onnx
    from sklearn import (
        cluster,
        datasets,
        decomposition,
        ensemble,
        impute,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

CLASSIFIERS: dict[str, Any] = {
    "logistic": linear_model.LogisticRegression(),
    "sgd": linear_model.SGDClassifier(random_state=0),
    "tree": tree.DecisionTreeClassifier(max_depth=6, random_state=0),
    "forest": ensemble.RandomForestClassifier(20, max_depth=8, random_state=0),
    "extra trees": ensemble.ExtraTreesClassifier(20, random_state=0),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=20, random_state=0),
    "adaboost": ensemble.AdaBoostClassifier(n_estimators=10, random_state=0),
    "bagging": ensemble.BaggingClassifier(n_estimators=5, random_state=0),
    "perceptron": neural_network.MLPClassifier(max_iter=30, random_state=0),
    "bayes": naive_bayes.GaussianNB(),
    "neighbours": neighbors.KNeighborsClassifier(),
    "pipeline": pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        decomposition.PCA(5),
        linear_model.LogisticRegression(),
    ),
}
REGRESSORS: dict[str, Any] = {
    "linear": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "lasso": linear_model.Lasso(),
    "tree": tree.DecisionTreeRegressor(random_state=0),
    "forest": ensemble.RandomForestRegressor(20, random_state=0),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=30, random_state=0),
    "svr rbf": svm.SVR(),
    "svr poly": svm.SVR(kernel="poly"),
    "svr sigmoid": svm.SVR(kernel="sigmoid"),
    "svr linear": svm.SVR(kernel="linear"),
    "perceptron": neural_network.MLPRegressor(max_iter=30, random_state=0),
    "neighbours": neighbors.KNeighborsRegressor(),
}
TRANSFORMERS: dict[str, Any] = {
    "standard": preprocessing.StandardScaler(),
    "minmax": preprocessing.MinMaxScaler(),
    "robust": preprocessing.RobustScaler(),
    "normalizer": preprocessing.Normalizer(),
    "binarizer": preprocessing.Binarizer(threshold=0.3),
    "polynomial": preprocessing.PolynomialFeatures(2),
    "bins": preprocessing.KBinsDiscretizer(4, encode="ordinal"),
    "components": decomposition.PCA(4),
    "imputer": impute.SimpleImputer(),
}


def compiled(model: Any, x: Any, **options: Any) -> Any:
    proto: Any = to_onnx(model, x[:1], options=options or None)
    return nnc.compile(proto, cache=False)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_classifier_agrees(name: str, classes: int):
    data: Any = datasets.make_classification(
        300, 12, n_informative=8, n_classes=classes, random_state=0
    )
    x, y = data[0].astype(np.float32), data[1]
    model = CLASSIFIERS[name].fit(x, y)
    label, probability = compiled(model, x, zipmap=False)(x)
    np.testing.assert_array_equal(label, model.predict(x))
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(probability, model.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("name", list(REGRESSORS))
def test_regressor_agrees(name: str, targets: int):
    if targets > 1 and name in ("boosting", *(n for n in REGRESSORS if "svr" in n)):
        targets = 1  # scikit-learn has one target for these
    data: Any = datasets.make_regression(
        300, 12, n_targets=targets, random_state=0, noise=1
    )
    x, y = data[0].astype(np.float32), data[1]
    wanted = REGRESSORS[name].fit(x, y).predict(x)
    found = compiled(REGRESSORS[name], x)(x).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * abs(wanted).max())


@pytest.mark.parametrize("name", list(TRANSFORMERS))
def test_transformer_agrees(name: str):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    if name == "imputer":
        x[rng.random(x.shape) < 0.1] = np.nan
    wanted = TRANSFORMERS[name].fit(x).transform(x)
    np.testing.assert_allclose(compiled(TRANSFORMERS[name], x)(x), wanted, atol=1e-4)


def test_clusters_agree():
    data: Any = datasets.make_blobs(300, 5, centers=4, random_state=0)
    x = data[0].astype(np.float32)
    model = cluster.KMeans(4, random_state=0).fit(x)
    label, distance = compiled(model, x)(x)
    np.testing.assert_array_equal(label, model.predict(x))
    np.testing.assert_allclose(distance, model.transform(x), rtol=1e-4)
