"""
Converters of ai.onnx.ml: scalers, encoders and linear models, as scikit-learn's export.

Labels that are strings are left to the caller: there are no tensors of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from xdsl.ir import SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.types import F32, F64, I64, dims_of, element_type_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import dim_product
from nnc.weights import Array

ML: Final = "ai.onnx.ml"


def as_float(b: Builder, x: SSAValue) -> SSAValue:
    """Doubles stay, all else becomes single precision."""
    return x if element_type_of(x) == F64 else b.cast(x, F32)


def as_rows(b: Builder, x: SSAValue) -> SSAValue:
    """Features as a matrix `[N, features]`; a vector is one row."""
    if rank_of(x) == 1:
        return b.reshape(x, [1, dims_of(x)[0]])
    if rank_of(x) != 2:
        raise InvalidNodeError(f"features of {x.type}: there must be 2 axes")
    return x


def floats(b: Builder, values: Sequence[float] | Array, like: SSAValue) -> SSAValue:
    """A constant vector of the element type of `like`."""
    dtype = np.float64 if element_type_of(like) == F64 else np.float32
    return b.constant(np.asarray(values, dtype))


# ---------------------------------------------------------------- features


@converter("Scaler", domain=ML)
def _scaler(node: Node, b: Builder) -> Converted:
    x = b.cast(node.input(0), F32)
    offset, scale = node.attr_floats("offset", []), node.attr_floats("scale", [])
    if offset:
        x = b.sub(x, floats(b, offset, x))
    return b.mul(x, floats(b, scale, x)) if scale else x


@converter("Normalizer", domain=ML)
def _normalizer(node: Node, b: Builder) -> Converted:
    x = b.cast(node.input(0), F32)
    axis = [rank_of(x) - 1]
    norm = node.attr_string("norm", "MAX")
    if norm == "MAX":
        size = b.reduce(b.unary(ew.AbsOp, x), "max", axis)
    elif norm == "L1":
        size = b.reduce(b.unary(ew.AbsOp, x), "sum", axis)
    elif norm == "L2":
        size = b.unary(ew.SqrtOp, b.reduce(b.mul(x, x), "sum", axis))
    else:
        raise InvalidNodeError(f"there is no norm '{norm[:40]}'")
    # Rows of zeros stay.
    return b.div(x, b.select(b.compare(size, 0, "eq"), 1, size))


@converter("Binarizer", domain=ML)
def _binarizer(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    above = b.compare(x, node.attr_float("threshold", 0.0), "gt")
    return b.cast(above, element_type_of(x))


@converter("Imputer", domain=ML)
def _imputer(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    values: Sequence[float] = node.attr_floats("imputed_value_floats", [])
    if values:
        replaced = node.attr_float("replaced_value_float", 0.0)
        imputed = floats(b, values, x)
    else:
        values = node.attr_ints("imputed_value_int64s", [])
        replaced = node.attr_int("replaced_value_int64", 0)
        imputed = b.cast(b.constant(np.array(values, np.int64)), element_type_of(x))
    if not values:
        raise InvalidNodeError("there are no values to impute")
    if np.isnan(replaced):
        missing = b.emit(ew.IsNanOp(x))
    else:
        missing = b.compare(x, replaced, "eq")
    return b.select(missing, imputed, x)


@converter("ArrayFeatureExtractor", domain=ML)
def _array_feature_extractor(node: Node, b: Builder) -> Converted:
    x, indices = node.input(0), node.input(1)
    count = dim_product(dims_of(indices))
    result = b.emit(nn.GatherOp(x, b.reshape(indices, [count]), rank_of(x) - 1))
    return b.reshape(result, [1, count]) if rank_of(x) == 1 else result


@converter("FeatureVectorizer", domain=ML)
def _feature_vectorizer(node: Node, b: Builder) -> Converted:
    columns = [
        b.reshape(x, [dims_of(x)[0], 1]) if rank_of(x) == 1 else x
        for x in node.variadic_inputs()
    ]
    sizes = node.attr_ints("inputdimensions", [])
    for x, size in zip(columns, sizes, strict=False):
        if dims_of(x)[-1] != size:
            raise UnsupportedError(f"{size} columns of {x.type}")
    return b.concat([b.cast(x, F32) for x in columns], 1)


@converter("OneHotEncoder", domain=ML)
def _one_hot_encoder(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    if node.has_attr("cats_strings"):
        raise UnsupportedError("categories that are strings")
    if not node.attr_int("zeros", 1):
        raise UnsupportedError("an error for values of no category")
    categories = np.array(node.attr_ints("cats_int64s"), np.int64)
    values = b.cast(b.reshape(x, [*dims_of(x), 1]), I64)
    return b.cast(b.compare(values, b.constant(categories), "eq"), F32)


@converter("LabelEncoder", domain=ML, since=2)
def _label_encoder(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    keys, values = (_mapped(node, b, part) for part in ("keys", "values"))
    if keys.shape != values.shape or keys.ndim != 1:
        raise InvalidNodeError(f"{keys.size} keys for {values.size} values")
    matches = b.compare(
        b.reshape(x, [*dims_of(x), 1]),
        b.cast(b.constant(keys), element_type_of(x)),
        "eq",
    )
    if np.isnan(keys.astype(np.float64)).any():
        missing = b.emit(ew.IsNanOp(b.reshape(x, [*dims_of(x), 1])))
        is_nan = b.constant(np.isnan(keys))
        matches = b.binary(
            ew.OrOp, matches, b.binary(ew.AndOp, *b.broadcast(missing, is_nan))
        )
    axis = rank_of(x)
    # Of equal keys the last one holds.
    position = b.constant(np.arange(1, len(keys) + 1, dtype=np.int64))
    found = b.reshape(
        b.reduce(b.select(matches, position, 0), "max", [axis]), dims_of(x)
    )
    table = np.concatenate([[_default(node, values)], values]).astype(values.dtype)
    return b.emit(nn.GatherOp(b.constant(table), found, 0))


def _mapped(node: Node, b: Builder, part: str) -> Array:
    if node.has_attr(f"{part}_strings"):
        raise UnsupportedError(f"{part} that are strings")
    if node.has_attr(f"{part}_int64s"):
        return np.array(node.attr_ints(f"{part}_int64s"), np.int64)
    if node.has_attr(f"{part}_floats"):
        return np.array(node.attr_floats(f"{part}_floats"), np.float32)
    return np.asarray(node.attr_tensor(f"{part}_tensor"))


def _default(node: Node, values: Array) -> float:
    if node.has_attr("default_tensor"):
        return node.attr_tensor("default_tensor").item()
    if values.dtype.kind == "f":
        return node.attr_float("default_float", -0.0)
    return node.attr_int("default_int64", -1)


# ---------------------------------------------------------------- linear models


POST_TRANSFORMS: Final = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""In the order in which newer ops number them."""


def post_transformed(node: Node, b: Builder, scores: SSAValue) -> SSAValue:
    """Scores `[N, classes]` after the node's `post_transform`."""
    return transformed(b, scores, node.attr_string("post_transform", "NONE"))


def transformed(b: Builder, scores: SSAValue, name: str) -> SSAValue:
    """
    Scores `[N, classes]` after the transformation of that name.

    Raises:
        InvalidNodeError: there is no such transformation.
    """
    if name == "NONE":
        return scores
    if name == "LOGISTIC":
        return b.unary(ew.SigmoidOp, scores)
    if name == "SOFTMAX":
        return b.emit(nn.SoftmaxOp(scores, 1))
    if name == "SOFTMAX_ZERO":
        exponents = b.unary(ew.ExpOp, b.sub(scores, b.reduce(scores, "max", [1])))
        # A score of 0 keeps its weight of 0.
        is_zero = b.compare(b.unary(ew.AbsOp, scores), 1e-7, "le")
        weights = b.select(is_zero, b.mul(scores, exponents), exponents)
        return b.div(weights, b.reduce(weights, "sum", [1]))
    if name == "PROBIT":
        return _probit(b, scores)
    raise InvalidNodeError(f"there is no post_transform '{name[:40]}'")


def _probit(b: Builder, x: SSAValue) -> SSAValue:
    """
    The inverse of the normal distribution, NaN outside of [0, 1].

    By Winitzki's formula for the inverse of erf, which other engines have here too.
    """
    x = b.sub(b.mul(x, 2.0), 1.0)
    log = b.unary(ew.LogOp, b.mul(b.sub(b.full(1, x), x), b.add(x, 1.0)))
    half = b.add(b.mul(log, 0.5), 2 / (np.pi * 0.147))
    root = b.unary(ew.SqrtOp, b.sub(b.mul(half, half), b.mul(log, 1 / 0.147)))
    size = b.mul(b.unary(ew.SqrtOp, b.sub(root, half)), np.sqrt(2))
    return b.select(b.compare(x, 0, "lt"), b.unary(ew.NegOp, size), size)


def labels_of(node: Node, b: Builder, scores: SSAValue, attribute: str) -> SSAValue:
    """The label of the largest score of each row."""
    labels = np.array(node.attr_ints(attribute, []), np.int64)
    best = b.emit(nn.ArgReduceOp(scores, "max", 1, False))
    if (labels == np.arange(len(labels))).all():
        return best
    return b.emit(nn.GatherOp(b.constant(labels), best, 0))


def require_number_labels(node: Node, attribute: str) -> None:
    """
    Check that labels are numbers.

    Raises:
        UnsupportedError: they are strings.
    """
    if node.attr_ints(attribute, []):
        return
    raise UnsupportedError("labels that are strings")


@converter("LinearRegressor", domain=ML)
def _linear_regressor(node: Node, b: Builder) -> Converted:
    x = b.cast(as_rows(b, node.input(0)), F32)
    scores = _scores(node, b, x, node.attr_int("targets", 1))
    return post_transformed(node, b, scores)


@converter("LinearClassifier", domain=ML)
def _linear_classifier(node: Node, b: Builder) -> Converted:
    require_number_labels(node, "classlabels_ints")
    x = as_float(b, as_rows(b, node.input(0)))
    coefficients = node.attr_floats("coefficients")
    features = dims_of(x)[1].as_int()
    count = len(node.attr_ints("classlabels_ints"))
    rows = len(coefficients) // features if features else count
    scores = _scores(node, b, x, rows)
    if rows == 1 and count == 2:
        scores = b.concat([b.unary(ew.NegOp, scores), scores], 1)
    scores = post_transformed(node, b, scores)
    if rows == 1 and count != 2:
        raise UnsupportedError("one score for one label")
    return [labels_of(node, b, scores, "classlabels_ints"), b.cast(scores, F32)]


def _scores(node: Node, b: Builder, x: SSAValue, rows: int) -> SSAValue:
    coefficients = np.array(node.attr_floats("coefficients"))
    if rows < 1 or len(coefficients) % rows:
        raise InvalidNodeError(f"{len(coefficients)} coefficients for {rows} targets")
    matrix = coefficients.reshape(rows, -1).T
    x = b.with_dim(x, 1, len(matrix))
    scores = b.matmul(x, floats(b, matrix, x))
    intercepts = node.attr_floats("intercepts", [])
    return b.add(scores, floats(b, intercepts, x)) if intercepts else scores
