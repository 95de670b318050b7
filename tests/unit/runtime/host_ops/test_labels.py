"""Labels, maps, n-grams and images, against ONNX Runtime and scikit-learn's meaning."""

import io
import sys
from typing import Any

import numpy as np
import pytest

from nnc.runtime.host_ops.registry import HostOpError, find_host_op

ML = "ai.onnx.ml"


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (["a", "b", "?"], {"keys_strings": ["a", "b"], "values_int64s": [5, 6]}),
        (["a", "?"], {"keys_strings": ["a"], "values_floats": [0.5]}),
        (["a", "?"], {"keys_strings": ["a", "a"], "values_strings": ["x", "y"]}),
        ([1, 7], {"keys_int64s": [1], "values_strings": ["x"], "default_string": "d"}),
        ([0.5, 2], {"keys_floats": [0.5], "values_strings": ["x"]}),
    ],
)
def test_label_encoder_agrees(host: Any, engine: Any, x: Any, options: Any):
    kind = {str: object, int: np.int64, float: np.float32}[type(x[0])]
    value = np.array([x], kind)
    if len(options.get("keys_strings", [])) == 2 and "values_strings" in options:
        expected = [["y", "_Unused"]]  # of equal keys, the standard takes the last
    else:
        (result,) = engine("ort", "LabelEncoder", value, domain=ML, opset=2, **options)
        expected = result.tolist()
    (found,) = host("LabelEncoder", value, domain=ML, opset=2, **options)
    assert found.tolist() == expected


def test_label_encoder_of_tensors_and_nan(host: Any):
    options = {
        "keys_tensor": np.array(["a"], object),
        "values_tensor": np.array([7], np.int16),
        "default_tensor": np.array([-3], np.int16),
    }
    x = np.array(["a", "b"], object)
    (found,) = host("LabelEncoder", x, domain=ML, opset=4, **options)
    assert (found.dtype, found.tolist()) == (np.int16, [7, -3])
    (found,) = host(
        "LabelEncoder",
        np.array([np.nan, 1], np.float32),
        domain=ML,
        opset=4,
        keys_floats=[float("nan")],
        values_strings=["none"],
    )
    assert found.tolist() == ["none", "_Unused"]


def test_first_label_encoder_and_categories(host: Any, engine: Any):
    names = np.array(["b", "q"], object)
    options = {"classes_strings": ["a", "b"]}
    (found,) = host("LabelEncoder", names, domain=ML, opset=1, **options)
    assert found.tolist() == [1, -1]
    (found,) = host("LabelEncoder", np.array([1, 9]), domain=ML, opset=1, **options)
    assert found.tolist() == ["b", "_Unused"]
    options = {"cats_strings": ["a", "b"], "cats_int64s": [3, 4]}
    for x in (names, np.array([4, 9])):
        (found,) = host("CategoryMapper", x, domain=ML, opset=1, **options)
        (expected,) = engine("ort", "CategoryMapper", x, domain=ML, opset=1, **options)
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("x", "options"),
    [
        (np.array([["a", "z"], ["b", "a"]], object), {"cats_strings": ["a", "b"]}),
        (np.array([1.9, 2], np.float32), {"cats_int64s": [1, 2, 3]}),
    ],
)
def test_one_hot_encoder_agrees(host: Any, engine: Any, x: Any, options: Any):
    (found,) = host("OneHotEncoder", x, domain=ML, opset=1, **options)
    (expected,) = engine("ort", "OneHotEncoder", x, domain=ML, opset=1, **options)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def test_unknown_categories_are_refused_if_asked_for(host: Any):
    x = np.array(["a", "zz"], object)
    with pytest.raises(HostOpError, match="'zz' is in no category"):
        host("OneHotEncoder", x, domain=ML, opset=1, cats_strings=["a"], zeros=0)
    with pytest.raises(HostOpError, match="of another type"):
        host("OneHotEncoder", x, domain=ML, opset=1, cats_int64s=[1])


def test_array_feature_extractor(host: Any):
    x = np.array([["a", "b"], ["c", "d"]], object)
    (found,) = host("ArrayFeatureExtractor", x, np.array([1]), domain=ML, opset=1)
    assert found.tolist() == [["b"], ["d"]]


# ---------------------------------------------------------------- maps


def test_zip_map(host: Any):
    x = np.array([[0.25, 0.75], [1, 0]], np.float32)
    (found,) = host("ZipMap", x, domain=ML, opset=1, classlabels_strings=["a", "b"])
    assert found == [{"a": 0.25, "b": 0.75}, {"a": 1.0, "b": 0.0}]
    (found,) = host("ZipMap", x[0], domain=ML, opset=1, classlabels_int64s=[3, 5])
    assert found == [{3: 0.25, 5: 0.75}]
    with pytest.raises(HostOpError, match="1 labels"):
        host("ZipMap", x, domain=ML, opset=1, classlabels_int64s=[3])


def test_dict_vectorizer(host: Any):
    options = {"domain": ML, "opset": 1, "string_vocabulary": ["a", "c", "b", "z"]}
    (found,) = host("DictVectorizer", {"a": 4.0, "c": 8.0}, **options)
    assert found.tolist() == [4, 8, 0, 0]
    options = {"domain": ML, "opset": 1, "int64_vocabulary": [1, 2]}
    assert host("DictVectorizer", {2: "x"}, **options)[0].tolist() == ["", "x"]
    with pytest.raises(HostOpError, match="must be a map"):
        host("DictVectorizer", [], **options)


def test_cast_map(host: Any):
    options: dict[str, Any] = {"domain": ML, "opset": 1}
    (found,) = host("CastMap", {3: 1.5, 1: 2.0}, **options)
    assert (found.dtype, found.tolist()) == (np.float32, [[2.0, 1.5]])
    sparse = {"map_form": "SPARSE", "max_map": 4, **options}
    assert host("CastMap", {3: 1.5, 1: 2.0}, **sparse)[0].tolist() == [[0, 2, 0, 1.5]]
    to_text = host("CastMap", {0: 1.5}, cast_to="TO_STRING", **options)
    assert to_text[0].tolist() == [["1.5"]]
    assert host("CastMap", {0: "7"}, cast_to="TO_INT64", **options)[0].item() == 7
    with pytest.raises(HostOpError, match="key 4 is not in a map of 4"):
        host("CastMap", {4: 1.0}, **sparse)


# ---------------------------------------------------------------- n-grams

POOL = {
    "min_gram_length": 1,
    "max_gram_length": 3,
    "ngram_counts": [0, 3, 7],
    "ngram_indexes": [2, 0, 1, 3, 5, 4],
}
WORDS = ["b", "a", "c", "a", "b", "b", "c", "a", "b", "c"]


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skip", [0, 1, 4])
@pytest.mark.parametrize("is_text", [False, True])
def test_ngrams_agree(host: Any, engine: Any, mode: str, skip: int, is_text: bool):
    rng = np.random.default_rng(skip)
    numbers = rng.integers(0, 4, (3, 9))
    options: dict[str, Any] = {
        **POOL,
        "mode": mode,
        "max_skip_count": skip,
        "weights": [0.5, 2.0, 3.0, 5.0, 7.0, 11.0],
    }
    if is_text:
        x = np.array(["a", "b", "c", "d"], object)[numbers]
        options["pool_strings"] = WORDS
    else:
        x = numbers
        options["pool_int64s"] = [ord(w) - ord("a") for w in WORDS]
    for value in (x, x[0], x[:, :0]):
        (found,) = host("TfIdfVectorizer", value, **options)
        (expected,) = engine("ort", "TfIdfVectorizer", value, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mode": "BM25"}, "'BM25' is none of TF, IDF, TFIDF"),
        ({"ngram_counts": [0, 3, 6]}, "do not fit the pool"),
        ({"ngram_indexes": [0, 1]}, "more n-grams than 2 indexes"),
    ],
)
def test_a_pool_that_does_not_fit_is_refused(host: Any, changes: Any, text: str):
    options = {**POOL, "mode": "TF", "max_skip_count": 0, "pool_strings": WORDS}
    with pytest.raises(HostOpError, match=text):
        host("TfIdfVectorizer", np.array(["a"], object), **{**options, **changes})


def test_no_more_is_skipped_than_there_is(host: Any):
    options: Any = {
        "mode": "TF",
        "ngram_counts": [0, 1],
        "ngram_indexes": [0, 1],
        "pool_strings": ["a", "a", "b"],
        "min_gram_length": 1,
        "max_gram_length": 2,
    }
    x = np.array(["a", "c", "b"], object)
    (found,) = host("TfIdfVectorizer", x, max_skip_count=2**62, **options)
    (expected,) = host("TfIdfVectorizer", x, max_skip_count=5, **options)
    np.testing.assert_array_equal(found, expected)
    assert found[1] == 1


# ---------------------------------------------------------------- images


def encoded(mode: str, kind: str) -> tuple[Any, Any]:
    """An image file, and its pixels."""
    from PIL import Image

    channels = {"L": 1, "RGB": 3, "RGBA": 4}[mode]
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(file, kind)
    return np.frombuffer(file.getvalue(), np.uint8), pixels


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_images_of_exact_formats(host: Any, kind: str):
    file, pixels = encoded("RGB", kind)
    np.testing.assert_array_equal(host("ImageDecoder", file)[0], pixels)
    (swapped,) = host("ImageDecoder", file, pixel_format="BGR")
    np.testing.assert_array_equal(swapped, pixels[:, :, ::-1])
    (grey,) = host("ImageDecoder", file, pixel_format="Grayscale")
    assert (grey.shape, grey.dtype) == ((5, 7, 1), np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_images_of_other_channels(host: Any, mode: str):
    file, pixels = encoded(mode, "PNG")
    expected = np.repeat(pixels, 3, 2) if mode == "L" else pixels[:, :, :3]
    np.testing.assert_array_equal(host("ImageDecoder", file)[0], expected)


def test_what_is_no_image_gives_an_empty_one(host: Any):
    file, _ = encoded("RGB", "PNG")
    for wrong in (file[:40], np.zeros(0, np.uint8), np.full(99, 7, np.uint8)):
        assert host("ImageDecoder", wrong)[0].shape == (0, 0, 3)
    with pytest.raises(HostOpError, match="pixel_format 'YUV'"):
        host("ImageDecoder", file, pixel_format="YUV")
    with pytest.raises(HostOpError, match="no vector of bytes"):
        host("ImageDecoder", file.astype(np.int64))


def test_a_missing_decoder_is_named(host: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(HostOpError, match="pip install pillow"):
        host("ImageDecoder", np.zeros(3, np.uint8))


def test_types_of_images_and_labels():
    decoder = find_host_op("", "ImageDecoder", 20)
    encoder = find_host_op(ML, "LabelEncoder", 2)
    assert decoder is not None
    assert encoder is not None
    attributes = {"pixel_format": "Grayscale"}
    assert decoder.result_types([None], attributes)[0].shape == (None, None, 1)
    attributes = {"keys_strings": ["a"], "values_floats": [1.0]}
    assert encoder.result_types([None], attributes)[0].dtype == "float32"
