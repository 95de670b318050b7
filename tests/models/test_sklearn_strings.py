"""Models of scikit-learn with strings: labels, categories, texts, maps of results."""

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
    from skl2onnx.common.data_types import StringTensorType
    from sklearn import (
        compose,
        datasets,
        ensemble,
        linear_model,
        naive_bayes,
        pipeline,
        preprocessing,
        tree,
    )
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]

CLASSIFIERS: dict[str, Any] = {
    "logistic": linear_model.LogisticRegression(),
    "tree": tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    "forest": ensemble.RandomForestClassifier(8, max_depth=6, random_state=0),
    "bayes": naive_bayes.GaussianNB(),
}
TEXTS = np.array(
    [
        "This is the first document.",
        "This document is the second document, ok.",
        "And this one is the third!",
        "Is this the first document?",
        "",
    ],
    object,
)
CATEGORIES = np.array(
    [["red", "round"], ["green", "square"], ["blue", "round"], ["red", "flat"]], object
)


def compiled(model: Any, types: Any, **options: Any) -> Any:
    proto: Any = to_onnx(model, initial_types=[("x", types)], options=options or None)
    return nnc.compile(proto, cache=False)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", list(CLASSIFIERS))
def test_labels_are_strings(kind: str, classes: int):
    data: Any = datasets.make_classification(
        120, 8, n_informative=6, n_classes=classes, random_state=0
    )
    x, y = data[0].astype(np.float32), np.array(["no", "yes", "perhaps"])[data[1]]
    model = CLASSIFIERS[kind].fit(x, y)
    for zipmap in (False, True):
        proto: Any = to_onnx(model, x[:1], options={"zipmap": zipmap})
        label, scores = nnc.compile(proto, cache=False)(x)
        assert label.tolist() == model.predict(x).tolist()
        if zipmap:
            assert list(scores[0]) == model.classes_.tolist()
            scores = [list(row.values()) for row in scores]
        np.testing.assert_allclose(scores, model.predict_proba(x), atol=1e-4)


def test_maps_have_numbers_as_keys():
    data: Any = datasets.make_classification(50, 5, random_state=0)
    x, y = data[0].astype(np.float32), data[1]
    model = linear_model.LogisticRegression().fit(x, y)
    proto: Any = to_onnx(model, x[:1])
    label, scores = nnc.compile(proto, cache=False)(x)
    np.testing.assert_array_equal(label, model.predict(x))
    expected = model.predict_proba(x)[:, 1]
    np.testing.assert_allclose([row[1] for row in scores], expected, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
        preprocessing.OrdinalEncoder(),
        compose.make_column_transformer(
            (preprocessing.OneHotEncoder(), [1]), (preprocessing.OrdinalEncoder(), [0])
        ),
    ],
    ids=["one hot", "ordinal", "columns"],
)
def test_features_are_strings(model: Any):
    model.fit(CATEGORIES)
    exe = compiled(model, StringTensorType([None, 2]))
    for x in (CATEGORIES, CATEGORIES[:1], CATEGORIES[::-1]):
        expected = model.transform(x)
        dense = expected.toarray() if hasattr(expected, "toarray") else expected
        np.testing.assert_allclose(exe(x), dense, atol=1e-6)


def test_labels_are_encoded():
    model = preprocessing.LabelEncoder().fit(CATEGORIES[:, 0])
    exe = compiled(model, StringTensorType([None]))
    expected = model.transform(CATEGORIES[:, 0])
    np.testing.assert_array_equal(exe(CATEGORIES[:, 0]), expected)


@pytest.mark.parametrize(
    "model",
    [
        CountVectorizer(),
        CountVectorizer(ngram_range=(1, 2), binary=True),
        TfidfVectorizer(),
        TfidfVectorizer(ngram_range=(2, 2), sublinear_tf=True, lowercase=False),
    ],
    ids=["counts", "pairs", "tfidf", "tfidf of pairs"],
)
def test_texts_become_features(model: Any):
    model.fit(TEXTS)
    exe = compiled(model, StringTensorType([None, 1]))
    expected = model.transform(TEXTS).toarray()
    np.testing.assert_allclose(exe(TEXTS[:, None]), expected, atol=1e-5)


def test_texts_are_classified():
    labels = ["first", "second", "third", "first", "none"]
    model = pipeline.make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression())
    model.fit(TEXTS, labels)
    exe = compiled(model, StringTensorType([None, 1]), zipmap=False)
    label, scores = exe(TEXTS[:, None])
    assert label.tolist() == model.predict(TEXTS).tolist()
    np.testing.assert_allclose(scores, model.predict_proba(TEXTS), atol=1e-5)
