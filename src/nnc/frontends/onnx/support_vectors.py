"""
Converters of support vector machines of ai.onnx.ml.

Between each two classes there is a decision; a class wins those in which it is the more
likely one. Probabilities of the classes come from those of the pairs, as in LIBSVM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Block, Region, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.control import COUNT, LoopOp
from nnc.dialects.nn.types import BOOL, F32, F64, I64, dims_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.ml import (
    ML,
    as_rows,
    floats,
    labels_of,
    post_transformed,
    require_number_labels,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.regions import build_region, isolate
from nnc.symbolic import Dim
from nnc.weights import Array

_MAX_ROUNDS: Final = 100
"""After which LIBSVM gives up on better probabilities, for fewer classes than that."""


@converter("SVMRegressor", domain=ML)
def _svm_regressor(node: Node, b: Builder) -> Converted:
    x = b.cast(as_rows(b, node.input(0)), F32)
    supports = node.attr_int("n_supports", 0)
    coefficients = np.array(node.attr_floats("coefficients"))
    if supports:
        x = _kernel(node, b, x, _vectors(node, supports))
    x = b.with_dim(x, 1, len(coefficients))
    score = b.matmul(x, floats(b, coefficients[:, None], x))
    score = b.add(score, _rho(node, 1)[0])
    if node.attr_int("one_class", 0):
        score = b.select(b.compare(score, 0, "gt"), b.full(1, score), -1)
    return post_transformed(node, b, score)


def _vectors(node: Node, count: int) -> Array:
    values = np.array(node.attr_floats("support_vectors"))
    if count < 1 or not len(values) or len(values) % count:
        raise InvalidNodeError(f"{len(values)} numbers are no {count} vectors")
    return values.reshape(count, -1)


def _rho(node: Node, count: int) -> list[float]:
    rho = node.attr_floats("rho")
    if len(rho) < count:
        raise InvalidNodeError(f"rho has {len(rho)} values, {count} are needed")
    return rho[:count]


def _kernel(node: Node, b: Builder, x: SSAValue, vectors: Array) -> SSAValue:
    """The kernel of each row of `x` with each support vector."""
    kind = node.attr_string("kernel_type", "LINEAR")
    gamma, offset, degree = [*node.attr_floats("kernel_params", []), 0.0, 0.0, 0.0][:3]
    x = b.with_dim(x, 1, vectors.shape[1])
    if kind == "RBF":
        shape = [dims_of(x)[0], 1, vectors.shape[1]]
        difference = b.sub(b.reshape(x, shape), floats(b, vectors, x))
        square = b.reduce(b.mul(difference, difference), "sum", [2])
        square = b.reshape(square, [dims_of(x)[0], len(vectors)])
        return b.unary(ew.ExpOp, b.mul(square, -gamma))
    product = b.matmul(x, floats(b, vectors.T, x))
    if kind == "LINEAR":
        return product
    product = b.add(b.mul(product, gamma), offset)
    if kind == "POLY":
        return b.binary(ew.PowOp, product, float(int(degree)))
    if kind == "SIGMOID":
        return b.unary(ew.TanhOp, product)
    raise InvalidNodeError(f"there is no kernel '{kind[:40]}'")


# ---------------------------------------------------------------- classes


@converter("SVMClassifier", domain=ML)
def _svm_classifier(node: Node, b: Builder) -> Converted:
    require_number_labels(node, "classlabels_ints")
    x = b.cast(as_rows(b, node.input(0)), F32)
    classes = len(node.attr_ints("classlabels_ints"))
    sizes = node.attr_ints("vectors_per_class", [])
    if not sizes:
        scores = _linear_scores(node, b, x, classes)
        labels = labels_of(node, b, scores, "classlabels_ints")
        return [labels, post_transformed(node, b, scores)]
    if len(sizes) != classes or classes < 2 or any(s < 0 for s in sizes):
        raise InvalidNodeError(f"vectors_per_class is {sizes} for {classes} classes")
    kernel = _kernel(node, b, x, _vectors(node, sum(sizes)))
    weights = _pair_weights(node, sizes)
    decisions = b.matmul(kernel, floats(b, weights.T, kernel))
    decisions = b.add(decisions, floats(b, _rho(node, len(weights)), kernel))
    votes = _votes(b, decisions, classes)
    scores = _scores(node, b, decisions, classes)
    return [labels_of(node, b, votes, "classlabels_ints"), b.cast(scores, F32)]


def _linear_scores(node: Node, b: Builder, x: SSAValue, classes: int) -> SSAValue:
    """Without support vectors: one kernel a class, with its coefficients."""
    coefficients = np.array(node.attr_floats("coefficients"))
    if classes < 1 or len(coefficients) % classes:
        raise InvalidNodeError(f"{len(coefficients)} coefficients, {classes} classes")
    scores = _kernel(node, b, x, coefficients.reshape(classes, -1))
    return b.add(scores, _rho(node, 1)[0])


def _pairs(classes: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(classes) for j in range(i + 1, classes)]


def _pair_weights(node: Node, sizes: Sequence[int]) -> NDArray[np.float64]:
    """`[pairs, vectors]`: what each support vector counts in each decision."""
    total, classes = sum(sizes), len(sizes)
    values = np.array(node.attr_floats("coefficients"))
    if len(values) != (classes - 1) * total:
        raise InvalidNodeError(f"{len(values)} coefficients for {total} vectors")
    table = values.reshape(classes - 1, total)
    ends = np.cumsum(sizes)
    weights = np.zeros((classes * (classes - 1) // 2, total))
    for row, (i, j) in enumerate(_pairs(classes)):
        first = slice(ends[i] - sizes[i], ends[i])
        second = slice(ends[j] - sizes[j], ends[j])
        weights[row, first] = table[j - 1, first]
        weights[row, second] = table[i, second]
    return weights


def _votes(b: Builder, decisions: SSAValue, classes: int) -> SSAValue:
    """How many decisions each class wins: `[N, classes]`."""
    pairs = _pairs(classes)
    gains = np.zeros((2, len(pairs), classes), np.float32)
    for row, (i, j) in enumerate(pairs):
        gains[0, row, i] = 1
        gains[1, row, j] = 1
    first = b.cast(b.compare(decisions, 0, "gt"), F32)
    second = b.sub(b.full(1, first), first)
    return b.add(
        b.matmul(first, b.constant(gains[0])), b.matmul(second, b.constant(gains[1]))
    )


def _scores(node: Node, b: Builder, decisions: SSAValue, classes: int) -> SSAValue:
    """Probabilities of the classes, or decisions: both signs of a single one."""
    if node.attr_floats("prob_a", []):
        return post_transformed(node, b, _probabilities(node, b, decisions, classes))
    if classes > 2:
        return post_transformed(node, b, decisions)
    name = node.attr_string("post_transform", "NONE")
    if name not in ("NONE", "LOGISTIC"):
        raise UnsupportedError(f"post_transform '{name[:40]}' of a single score")
    both = b.concat([b.unary(ew.NegOp, decisions), decisions], 1)
    return post_transformed(node, b, both)


# ---------------------------------------------------------------- probabilities


def _probabilities(
    node: Node, b: Builder, decisions: SSAValue, classes: int
) -> SSAValue:
    """`[N, classes]` from the probabilities that the first class of a pair wins it."""
    pairs = _pairs(classes)
    slopes, offsets = (node.attr_floats(f"prob_{part}", []) for part in "ab")
    if len(slopes) != len(pairs) or len(offsets) != len(pairs):
        raise InvalidNodeError(f"prob_a and prob_b are not for {len(pairs)} pairs")
    values = b.cast(decisions, F64)
    slope, offset = (b.constant(np.array(v, np.float64)) for v in (slopes, offsets))
    bent = b.unary(ew.NegOp, b.add(b.mul(values, slope), offset))
    likely = b.emit(ew.ClampOp(b.unary(ew.SigmoidOp, bent), 1e-7, 1 - 1e-7))
    # A matrix [N, classes, classes]: how likely the row's class beats the column's.
    both = b.concat([likely, b.sub(b.full(1, likely), likely)], 1)
    place = np.zeros((classes, classes), np.int64)
    for row, (i, j) in enumerate(pairs):
        place[i, j], place[j, i] = row, row + len(pairs)
    wins = b.emit(nn.GatherOp(both, b.constant(place), 1))
    off_diagonal = b.constant(1.0 - np.eye(classes))
    return b.cast(_coupled(b, b.mul(wins, off_diagonal), classes), F32)


def _coupled(b: Builder, wins: SSAValue, classes: int) -> SSAValue:
    """
    The probabilities that fit those of the pairs best (Wu, Lin and Weng, 2004).

    They are corrected one after the other, in rounds, until the gradient of the error
    is small: then a row stays as it is.
    """
    rows = dims_of(wins)[0]
    losses = b.transpose(wins, [0, 2, 1])
    squares = b.reduce(b.mul(losses, losses), "sum", [2])
    diagonal = b.mul(squares, b.constant(np.eye(classes)))
    matrix = b.sub(diagonal, b.mul(losses, wins))
    start = b.broadcast_to(b.constant(np.full(1, 1 / classes)), [rows, classes])
    gradient = _times(b, matrix, start)
    going = b.broadcast_to(b.scalar(1, BOOL), [rows])
    carried = [start, gradient, going]
    block = Block(arg_types=[COUNT, *(v.type for v in carried)])

    def build() -> Sequence[SSAValue]:
        step, p, product, active = block.args
        return _correction(b, matrix, step, (p, product, active), classes)

    build_region(b, block, build)
    trips = Dim.of(max(_MAX_ROUNDS, classes) * classes)
    loop = LoopOp(Region(block), carried, [], isolate([block]), trips=trips)
    return b.emit_all(loop)[0]


def _times(b: Builder, matrix: SSAValue, p: SSAValue) -> SSAValue:
    rows, classes = dims_of(p)
    product = b.mul(matrix, b.reshape(p, [rows, 1, classes]))
    return b.reduce(product, "sum", [2], False)


def _correction(
    b: Builder,
    matrix: SSAValue,
    step: SSAValue,
    state: tuple[SSAValue, SSAValue, SSAValue],
    classes: int,
) -> list[SSAValue]:
    """One probability corrected; a round begins with a look at the error."""
    p, product, active = state
    turn = b.binary(ew.RemOp, b.cast(step, I64), b.scalar(classes, I64))
    begins = b.compare(turn, 0, "eq")
    product = b.select(begins, _times(b, matrix, p), product)
    objective = b.reduce(b.mul(p, product), "sum", [1])
    error = b.unary(ew.AbsOp, b.sub(product, objective))
    largest = b.reduce(error, "max", [1], False)
    worse = b.compare(largest, 0.005 / classes, "ge")
    # Only the start of a round may end a row's rounds.
    goes_on = b.binary(ew.OrOp, worse, b.unary(ew.NotOp, begins))
    active = b.binary(ew.AndOp, active, goes_on)
    return [*_corrected(b, matrix, turn, p, product, active), active]


def _corrected(
    b: Builder,
    matrix: SSAValue,
    turn: SSAValue,
    p: SSAValue,
    product: SSAValue,
    active: SSAValue,
) -> list[SSAValue]:
    rows, classes = dims_of(p)
    index = b.reshape(turn, [1])
    column = b.reshape(b.emit(nn.GatherOp(matrix, index, 2)), [rows, classes])
    own = b.emit(nn.GatherOp(column, index, 1))
    slope = b.emit(nn.GatherOp(product, index, 1))
    objective = b.reduce(b.mul(p, product), "sum", [1])
    change = b.div(b.sub(objective, slope), own)
    is_turn = b.compare(b.iota([1, classes], 1, I64), b.reshape(turn, [1, 1]), "eq")
    whole = b.add(b.full(1, change), change)
    new_p = b.div(b.add(p, b.select(is_turn, change, 0.0)), whole)
    new_product = b.div(b.add(product, b.mul(change, column)), whole)
    going = b.reshape(active, [rows, 1])
    return [b.select(going, new_p, p), b.select(going, new_product, product)]
