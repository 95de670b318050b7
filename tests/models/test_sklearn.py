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
    import skl2onnx.common._container
    from skl2onnx import to_onnx
    from sklearn import (
        calibration,
        cluster,
        compose,
        cross_decomposition,
        datasets,
        decomposition,
        discriminant_analysis,
        ensemble,
        feature_selection,
        gaussian_process,
        impute,
        linear_model,
        mixture,
        multiclass,
        multioutput,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        random_projection,
        svm,
        tree,
    )

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

# The stubs take these for strings.
LIKELY: Any = {"probability": True, "random_state": 0}
THREE: Any = {"n_components": 3, "random_state": 0}

LOGISTIC = linear_model.LogisticRegression()
SHALLOW = tree.DecisionTreeClassifier(max_depth=3, random_state=0)
RIDGE = linear_model.Ridge()
STUMP = tree.DecisionTreeRegressor(max_depth=3, random_state=0)

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
    "svc rbf": svm.SVC(),
    "svc linear": svm.SVC(kernel="linear"),
    "svc rbf likely": svm.SVC(**LIKELY),
    "svc linear likely": svm.SVC(kernel="linear", **LIKELY),
    "svc poly likely": svm.SVC(kernel="poly", **LIKELY),
    "svc sigmoid likely": svm.SVC(kernel="sigmoid", **LIKELY),
    "nu svc": svm.NuSVC(nu=0.3, **LIKELY),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "discriminant": discriminant_analysis.LinearDiscriminantAnalysis(),
    "quadratic": discriminant_analysis.QuadraticDiscriminantAnalysis(),
    "one against the rest": multiclass.OneVsRestClassifier(LOGISTIC),
    "one against one": multiclass.OneVsOneClassifier(LOGISTIC),
    "calibrated": calibration.CalibratedClassifierCV(LOGISTIC, cv=2),
    "soft votes": ensemble.VotingClassifier(
        [("a", LOGISTIC), ("b", SHALLOW)], voting="soft", flatten_transform=False
    ),
    "votes": ensemble.VotingClassifier(
        [("a", LOGISTIC), ("b", SHALLOW), ("c", naive_bayes.GaussianNB())],
        flatten_transform=False,
    ),
    "stacked": ensemble.StackingClassifier(
        [("a", LOGISTIC), ("b", SHALLOW)], final_estimator=LOGISTIC
    ),
    "ridge": linear_model.RidgeClassifier(),
    "sgd log": linear_model.SGDClassifier(loss="log_loss", random_state=0),
    "linear perceptron": linear_model.Perceptron(random_state=0),
    "bernoulli": naive_bayes.BernoulliNB(),
    "bagged logistic": ensemble.BaggingClassifier(LOGISTIC, n_estimators=3),
    "polynomials": pipeline.make_pipeline(
        preprocessing.PolynomialFeatures(2), preprocessing.StandardScaler(), LOGISTIC
    ),
    "selected": pipeline.make_pipeline(feature_selection.SelectKBest(k=4), LOGISTIC),
    "united": pipeline.make_pipeline(
        pipeline.make_union(decomposition.PCA(3), preprocessing.StandardScaler()),
        LOGISTIC,
    ),
    "columns": pipeline.make_pipeline(
        compose.ColumnTransformer(
            [
                ("a", preprocessing.StandardScaler(), [0, 1, 2]),
                ("b", preprocessing.MinMaxScaler(), [3, 4]),
            ],
            remainder="passthrough",
        ),
        LOGISTIC,
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
    "nu svr": svm.NuSVR(),
    "histogram": ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "adaboost": ensemble.AdaBoostRegressor(n_estimators=5, random_state=0),
    "bagging": ensemble.BaggingRegressor(n_estimators=5, random_state=0),
    "extra trees": ensemble.ExtraTreesRegressor(10, random_state=0),
    "elastic": linear_model.ElasticNet(),
    "bayesian": linear_model.BayesianRidge(),
    "huber": linear_model.HuberRegressor(),
    "least squares": cross_decomposition.PLSRegression(3),
    "many targets": multioutput.MultiOutputRegressor(RIDGE),
    "votes": ensemble.VotingRegressor([("a", RIDGE), ("b", STUMP)]),
    "stacked": ensemble.StackingRegressor([("a", RIDGE), ("b", STUMP)]),
    "process": gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RBF(2.0), alpha=0.1
    ),
}
ONE_TARGET = (
    *("boosting", "histogram", "adaboost", "bayesian", "huber", "votes", "stacked"),
    *(n for n in REGRESSORS if "svr" in n),
)
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
    "power": preprocessing.PowerTransformer(),
    "quantile": preprocessing.QuantileTransformer(n_quantiles=20),
    "largest": preprocessing.MaxAbsScaler(),
    "one bin": preprocessing.KBinsDiscretizer(4, encode="onehot-dense"),
    "singular": decomposition.TruncatedSVD(3),
    "kernel components": decomposition.KernelPCA(3, kernel="rbf"),
    "projection": random_projection.GaussianRandomProjection(**THREE),
    "variance": feature_selection.VarianceThreshold(),
    "scaled imputer": pipeline.make_pipeline(
        impute.SimpleImputer(), preprocessing.StandardScaler()
    ),
}
DETECTORS: dict[str, Any] = {
    "forest": ensemble.IsolationForest(n_estimators=10, random_state=0),
    "neighbours": neighbors.LocalOutlierFactor(novelty=True),
    "one class": svm.OneClassSVM(),
    "mixture": mixture.GaussianMixture(3, random_state=0),
}


def with_integers(make: Any) -> Any:
    """skl2onnx gives booleans for lists of integers, which newer onnx refuses."""

    def make_node(*names: Any, **attributes: Any) -> Any:
        for key, value in attributes.items():
            if isinstance(value, list) and any(isinstance(v, bool) for v in value):
                attributes[key] = [int(v) for v in value]
        return make(*names, **attributes)

    return make_node


@pytest.fixture(autouse=True)
def integers(monkeypatch: pytest.MonkeyPatch) -> None:
    container: Any = skl2onnx.common._container
    monkeypatch.setattr(container, "make_node", with_integers(container.make_node))


def compiled(model: Any, x: Any, **options: Any) -> Any:
    opsets = {"": 17, "ai.onnx.ml": 3}
    proto: Any = to_onnx(model, x[:1], options=options or None, target_opset=opsets)
    return nnc.compile(proto, cache=False)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", list(CLASSIFIERS))
def test_classifier_agrees(name: str, classes: int):
    data: Any = datasets.make_classification(
        300, 12, n_informative=8, n_redundant=0, n_classes=classes, random_state=0
    )
    x, y = data[0].astype(np.float32), data[1]
    model = CLASSIFIERS[name].fit(x[:200], y[:200])
    # Two classes of a linear discriminant: the exporter scales them in another way.
    is_comparable = (name, classes) != ("discriminant", 2)
    label, probability = compiled(model, x, zipmap=False)(x := x[200:])
    np.testing.assert_array_equal(label.ravel(), model.predict(x))
    if hasattr(model, "predict_proba") and is_comparable:
        np.testing.assert_allclose(probability, model.predict_proba(x), atol=1e-4)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("name", list(REGRESSORS))
def test_regressor_agrees(name: str, targets: int):
    if targets > 1 and name in ONE_TARGET:
        pytest.skip("scikit-learn has one target for these")
    if targets == 1 and name == "many targets":
        pytest.skip("scikit-learn wants several targets")
    data: Any = datasets.make_regression(
        300, 12, n_targets=targets, random_state=0, noise=1
    )
    x, y = data[0].astype(np.float32), data[1]
    REGRESSORS[name].fit(x[:200], y[:200])
    wanted = REGRESSORS[name].predict(x := x[200:])
    found = compiled(REGRESSORS[name], x)(x).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=1e-4 * abs(wanted).max())


@pytest.mark.parametrize("name", list(TRANSFORMERS))
def test_transformer_agrees(name: str):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)).astype(np.float32)
    if "imputer" in name:
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


@pytest.mark.parametrize("name", list(DETECTORS))
def test_detector_agrees(name: str):
    x = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    model = DETECTORS[name].fit(x)
    label, score = compiled(model, x)(x)
    np.testing.assert_array_equal(label.ravel(), model.predict(x))
    wanted = (
        model.predict_proba(x)
        if name == "mixture"
        else model.decision_function(x).reshape(-1, 1)
    )
    np.testing.assert_allclose(score, wanted, atol=1e-4)
