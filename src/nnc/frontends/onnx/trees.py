"""
Converters of tree ensembles of ai.onnx.ml.

All trees are walked at once: `at[n, t]` is the node where row `n` has arrived in tree
`t`, and a step gathers what is known of these nodes. Leaves lead to themselves, so as
many steps as the deepest tree is deep bring every row to its leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Block, Region, SSAValue

from nnc.dialects import nn
from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.control import COUNT, LoopOp
from nnc.dialects.nn.types import F32, F64, I32, dims_of, element_type_of
from nnc.frontends.common import Builder, InvalidNodeError, UnsupportedError
from nnc.frontends.onnx.ml import (
    ML,
    POST_TRANSFORMS,
    as_float,
    as_rows,
    floats,
    labels_of,
    post_transformed,
    require_number_labels,
    transformed,
)
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.regions import build_region, isolate
from nnc.symbolic import Dim
from nnc.weights import Array

_MODES: Final[Mapping[str, ew.Predicate]] = {
    "BRANCH_LEQ": "le",
    "BRANCH_LT": "lt",
    "BRANCH_GTE": "ge",
    "BRANCH_GT": "gt",
    "BRANCH_EQ": "eq",
    "BRANCH_NEQ": "ne",
}
_MEMBER: Final = "BRANCH_MEMBER"
"""Tests for membership in a set."""
_MODE_NUMBERS: Final = (*_MODES, _MEMBER)
"""In the order in which `TreeEnsemble` numbers them."""


@dataclass(frozen=True)
class _Forest:
    """Trees as arrays over all their nodes; leaves lead to themselves."""

    features: NDArray[np.int64]
    thresholds: Array
    modes: Sequence[str]
    """One of `_MODES` a node; of leaves, any."""
    on_true: NDArray[np.int64]
    on_false: NDArray[np.int64]
    missing: NDArray[np.bool_]
    """Whether NaN goes the way of true."""
    roots: NDArray[np.int64]
    weights: NDArray[np.float64]
    """`[nodes, targets]`; NaN where a leaf has none for a target."""
    members: NDArray[np.float64] | None = None
    """`[nodes, values]`: what nodes of `_MEMBER` look for; NaN where there is less."""

    def depth(self) -> int:
        """The steps from a root to the furthest leaf."""
        level, steps = self.roots, 0
        while True:
            leads_on = (self.on_true != self.on_false)[level]
            inner = level[leads_on | (self.on_true[level] != level)]
            if not len(inner):
                return steps
            level = np.unique(
                np.concatenate([self.on_true[inner], self.on_false[inner]])
            )
            steps += 1
            if steps > len(self.features):
                raise InvalidNodeError("a tree has a cycle")


def _leaves(b: Builder, forest: _Forest, x: SSAValue) -> SSAValue:
    """The leaf that each row of `x` reaches in each tree: `[N, trees]`."""
    rows = dims_of(x)[0]
    at = b.broadcast_to(b.constant(forest.roots), [rows, len(forest.roots)])
    depth = forest.depth()
    if not depth:
        return at
    block = Block(arg_types=[COUNT, at.type])

    def build() -> Sequence[SSAValue]:
        return [_step(b, forest, x, block.args[1])]

    build_region(b, block, build)
    loop = LoopOp(Region(block), [at], [], isolate([block]), trips=Dim.of(depth))
    (result,) = b.emit_all(loop)
    return result


def _step(b: Builder, forest: _Forest, x: SSAValue, at: SSAValue) -> SSAValue:
    def here(values: Array) -> SSAValue:
        return b.emit(nn.GatherOp(b.constant(values), at, 0))

    value = b.emit(nn.GatherElementsOp(x, here(forest.features), 1))
    threshold = b.emit(nn.GatherOp(floats(b, forest.thresholds, x), at, 0))
    inner = forest.on_true != np.arange(len(forest.on_true))
    modes = sorted({m for m, i in zip(forest.modes, inner, strict=True) if i})
    taken: SSAValue | None = None
    for mode in modes:
        if mode == _MEMBER:
            fits = _is_member(b, forest, value, at)
        else:
            fits = b.compare(value, threshold, _MODES[mode])
        if taken is None:
            taken = fits
            continue
        is_mode = here(np.array([m == mode for m in forest.modes]))
        taken = b.select(is_mode, fits, taken)
    assert taken is not None
    if forest.missing.any() or "BRANCH_NEQ" in modes:
        is_nan = b.emit(ew.IsNanOp(value))
        taken = b.select(is_nan, here(forest.missing), taken)
    return b.select(taken, here(forest.on_true), here(forest.on_false))


def _is_member(b: Builder, forest: _Forest, value: SSAValue, at: SSAValue) -> SSAValue:
    assert forest.members is not None
    members = b.emit(nn.GatherOp(floats(b, forest.members, value), at, 0))
    rows, trees, _ = dims_of(members)
    equal = b.compare(b.reshape(value, [rows, trees, 1]), members, "eq")
    found = b.reduce(b.cast(equal, I32), "max", [2], False)
    return b.compare(found, 0, "ne")


def _aggregated(
    b: Builder, forest: _Forest, x: SSAValue, at: SSAValue, function: str
) -> SSAValue:
    """The weights of the leaves of each row over all trees: `[N, targets]`."""
    absent = {"MIN": np.inf, "MAX": -np.inf}.get(function, 0.0)
    weights = np.where(np.isnan(forest.weights), absent, forest.weights)
    # The sum of many weights of single precision is exact in double: ties stay ties.
    found = b.cast(b.emit(nn.GatherOp(floats(b, weights, x), at, 0)), F64)
    rows, targets = dims_of(x)[0], forest.weights.shape[1]
    if function in ("MIN", "MAX"):
        result = b.reduce(found, "min" if function == "MIN" else "max", [1])
    elif function in ("SUM", "AVERAGE"):
        result = b.reduce(found, "sum", [1])
    else:
        raise InvalidNodeError(f"there is no aggregate_function '{function[:40]}'")
    if function == "AVERAGE":
        result = b.div(result, len(forest.roots))
    return b.reshape(b.cast(result, element_type_of(x)), [rows, targets])


# ---------------------------------------------------------------- reading attributes


def _numbers(node: Node, name: str) -> NDArray[np.float64]:
    """A list of floats, or the tensor that newer versions have in its place."""
    if node.has_attr(f"{name}_as_tensor"):
        return np.asarray(node.attr_tensor(f"{name}_as_tensor"), np.float64)
    return np.array(node.attr_floats(name, []), np.float64)


def _forest(node: Node, part: str, targets: int) -> _Forest:
    """The trees of a regressor (`part` is `target`) or classifier (`class`)."""
    trees, ids = node.attr_ints("nodes_treeids"), node.attr_ints("nodes_nodeids")
    for name in ("nodeids", "truenodeids", "falsenodeids", "featureids"):
        _check_length(node.attr_ints(f"nodes_{name}"), len(trees), name)
    _check_length(node.attr_strings("nodes_modes"), len(trees), "modes")
    _check_length(_numbers(node, "nodes_values"), len(trees), "values")
    keys = list(zip(trees, ids, strict=True))
    index = {key: i for i, key in enumerate(keys)}
    names = node.attr_strings("nodes_modes")
    own = np.arange(len(keys))
    is_leaf = np.array([n == "LEAF" for n in names])
    unknown = sorted({n for n in names if n not in _MODES} - {"LEAF"})
    if unknown:
        raise UnsupportedError(f"nodes of mode '{unknown[0][:40]}'")
    ways: list[NDArray[np.int64]] = []
    for name in ("nodes_truenodeids", "nodes_falsenodeids"):
        ends = node.attr_ints(name)
        ways.append(
            np.array(
                [
                    i if leaf else _at(index, tree, end)
                    for i, (tree, end, leaf) in enumerate(
                        zip(trees, ends, is_leaf, strict=True)
                    )
                ],
                np.int64,
            )
        )
    weights = np.full((len(keys), targets), np.nan)
    columns = [node.attr_ints(f"{part}_{n}") for n in ("treeids", "nodeids", "ids")]
    numbers = _numbers(node, f"{part}_weights")
    if any(len(column) != len(numbers) for column in columns):
        raise InvalidNodeError(f"the lists of {part}_weights and ids differ in length")
    for tree, leaf, target, weight in zip(*columns, numbers, strict=True):
        if not 0 <= target < targets:
            raise InvalidNodeError(f"there is no target {target}")
        row = _at(index, tree, leaf)
        present = weights[row, target]
        weights[row, target] = weight if np.isnan(present) else present + weight
    missing = node.attr_ints("nodes_missing_value_tracks_true", []) or [0] * len(keys)
    _check_length(missing, len(keys), "missing_value_tracks_true")
    roots = [trees.index(tree) for tree in dict.fromkeys(trees)]
    features = np.array(node.attr_ints("nodes_featureids"), np.int64)
    return _Forest(
        features=np.where(is_leaf, 0, features),
        thresholds=_numbers(node, "nodes_values"),
        modes=names,
        on_true=np.where(is_leaf, own, ways[0]),
        on_false=np.where(is_leaf, own, ways[1]),
        missing=np.array(missing, np.bool_),
        roots=np.array(roots, np.int64),
        weights=weights,
    )


def _at(index: Mapping[tuple[int, int], int], tree: int, node: int) -> int:
    if (tree, node) not in index:
        raise InvalidNodeError(f"tree {tree} has no node {node}")
    return index[tree, node]


def _with_base(node: Node, b: Builder, scores: SSAValue) -> SSAValue:
    base = _numbers(node, "base_values")
    return b.add(scores, floats(b, base, scores)) if base.size else scores


# ---------------------------------------------------------------- the ops


@converter("TreeEnsembleRegressor", domain=ML)
def _regressor(node: Node, b: Builder) -> Converted:
    x = as_float(b, as_rows(b, node.input(0)))
    forest = _forest(node, "target", node.attr_int("n_targets", 1))
    function = node.attr_string("aggregate_function", "SUM")
    scores = _aggregated(b, forest, x, _leaves(b, forest, x), function)
    scores = post_transformed(node, b, _with_base(node, b, scores))
    return b.cast(scores, F32)


@converter("TreeEnsembleClassifier", domain=ML)
def _classifier(node: Node, b: Builder) -> Converted:
    require_number_labels(node, "classlabels_int64s")
    count = len(node.attr_ints("classlabels_int64s"))
    x = as_float(b, as_rows(b, node.input(0)))
    ids = set(node.attr_ints("class_ids"))
    if count == 1:
        raise UnsupportedError("a classifier of one label")
    forest = _forest(node, "class", count)
    scores = _aggregated(b, forest, x, _leaves(b, forest, x), "SUM")
    is_binary = len(ids) == 1 and count == 2
    base = _numbers(node, "base_values")
    if is_binary and base.size == 1:
        scores = b.add(scores, float(base[0]))
    else:
        scores = _with_base(node, b, scores)
    if is_binary:
        # One score says how likely the second label is.
        (only,) = ids
        positive = b.slice(scores, [only], [only + 1], [1], [1])
        name = node.attr_string("post_transform", "NONE")
        if name in ("NONE", "PROBIT"):
            negative = b.sub(b.full(1, positive), positive)
        else:
            negative = b.unary(ew.NegOp, positive)
        scores = b.concat([negative, positive], 1)
    scores = post_transformed(node, b, scores)
    return [labels_of(node, b, scores, "classlabels_int64s"), b.cast(scores, F32)]


@converter("TreeEnsemble", domain=ML, since=5)
def _tree_ensemble(node: Node, b: Builder) -> Converted:
    x = node.input(0)
    x = as_float(b, as_rows(b, x))
    forest = _split_forest(node)
    functions, number = (
        ("AVERAGE", "SUM", "MIN", "MAX"),
        node.attr_int("aggregate_function", 1),
    )
    if not 0 <= number < len(functions):
        raise InvalidNodeError(f"aggregate_function is {number}")
    scores = _aggregated(b, forest, x, _leaves(b, forest, x), functions[number])
    transform = node.attr_int("post_transform", 0)
    if not 0 <= transform < len(POST_TRANSFORMS):
        raise InvalidNodeError(f"post_transform is {transform}")
    scores = transformed(b, scores, POST_TRANSFORMS[transform])
    return b.cast(scores, element_type_of(node.input(0)))


def _split_forest(node: Node) -> _Forest:
    """The trees of `TreeEnsemble`: leaves are apart, and come after the nodes."""
    numbers = [int(m) for m in np.ravel(node.attr_tensor("nodes_modes"))]
    if any(not 0 <= m < len(_MODE_NUMBERS) for m in numbers):
        raise InvalidNodeError("a node has a mode that there is not")
    count = len(numbers)
    for name in ("truenodeids", "trueleafs", "falsenodeids", "falseleafs"):
        _check_length(node.attr_ints(f"nodes_{name}"), count, name)
    leaf_targets = np.array(node.attr_ints("leaf_targetids"), np.int64)
    leaf_weights = np.asarray(node.attr_tensor("leaf_weights"), np.float64)
    targets, leaves = node.attr_int("n_targets"), len(leaf_targets)
    if leaf_weights.shape != leaf_targets.shape:
        raise InvalidNodeError(f"{leaf_weights.size} weights of {leaves} leaves")
    own = np.arange(count, count + leaves)
    ways: list[NDArray[np.int64]] = []
    for way in ("true", "false"):
        ends = np.array(node.attr_ints(f"nodes_{way}nodeids"), np.int64)
        is_leaf = np.array(node.attr_ints(f"nodes_{way}leafs"), np.bool_)
        limit = np.where(is_leaf, leaves, count)
        if len(ends) != count or ((ends < 0) | (ends >= limit)).any():
            raise InvalidNodeError("a branch leads to a node that there is not")
        ways.append(np.concatenate([np.where(is_leaf, ends + count, ends), own]))
    weights = np.full((count + leaves, targets), np.nan)
    if ((leaf_targets < 0) | (leaf_targets >= targets)).any():
        raise InvalidNodeError("a leaf is for a target that there is not")
    weights[own, leaf_targets] = leaf_weights
    zeros = np.zeros(leaves)
    splits = np.asarray(node.attr_tensor("nodes_splits"), np.float64).ravel()
    missing = node.attr_ints("nodes_missing_value_tracks_true", []) or [0] * count
    features = np.array(node.attr_ints("nodes_featureids"), np.int64)
    for values, name in (
        (splits, "splits"),
        (missing, "missing_value_tracks_true"),
        (features, "featureids"),
    ):
        _check_length(values, count, name)
    roots = np.array(node.attr_ints("tree_roots"), np.int64)
    if ((roots < 0) | (roots >= count)).any():
        raise InvalidNodeError("a tree has a root that there is not")
    return _Forest(
        features=np.concatenate([features, zeros]).astype(np.int64),
        thresholds=np.concatenate([splits, zeros]),
        modes=[_MODE_NUMBERS[m] for m in numbers] + [_MODE_NUMBERS[0]] * leaves,
        on_true=ways[0],
        on_false=ways[1],
        missing=np.concatenate([missing, zeros]).astype(np.bool_),
        roots=roots,
        weights=weights,
        members=_members(node, numbers, leaves),
    )


def _check_length(values: Sized, count: int, name: str) -> None:
    if len(values) != count:
        raise InvalidNodeError(f"nodes_{name} has {len(values)} values, not {count}")


def _members(
    node: Node, modes: Sequence[int], leaves: int
) -> NDArray[np.float64] | None:
    """The sets of the nodes that look for membership, in the order of these nodes."""
    places = [i for i, m in enumerate(modes) if _MODE_NUMBERS[m] == _MEMBER]
    if not places:
        return None
    values = np.asarray(node.attr_tensor("membership_values"), np.float64).ravel()
    ends = np.flatnonzero(np.isnan(values))
    sets = [s[~np.isnan(s)] for s in np.split(values, ends)]
    if not len(sets[-1]):
        del sets[-1]
    if len(sets) != len(places):
        raise InvalidNodeError(f"{len(sets)} sets for {len(places)} nodes")
    table = np.full((len(modes) + leaves, max(map(len, sets))), np.nan)
    for place, members in zip(places, sets, strict=True):
        table[place, : len(members)] = members
    return table
