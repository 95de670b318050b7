"""`Einsum` as transposes, reductions and matrix products."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.ir import SSAValue

from nnc.dialects.nn.types import I64, dims_of, rank_of
from nnc.frontends.common import Builder, InvalidNodeError
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.symbolic import Dim, dim_product


@dataclass
class _Term:
    """A value, and the label of each of its axes."""

    value: SSAValue
    labels: str


@converter("Einsum", since=12)
def _einsum(node: Node, b: Builder) -> Converted:
    values = node.variadic_inputs()
    equation = node.attr_string("equation").replace(" ", "")
    inputs, output = _parsed(equation, [rank_of(v) for v in values])
    terms = [
        _merged_diagonal(b, _Term(v, t)) for v, t in zip(values, inputs, strict=True)
    ]
    terms = _with_equal_dims(b, terms)
    while len(terms) > 1:
        first, second, *others = terms
        wanted = set(output).union(*(t.labels for t in others))
        terms = [_product(b, first, second, wanted), *others]
    return _arranged(b, _summed(b, terms[0], set(output)), output)


def _parsed(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of each input and of the output, the ellipsis spelled out."""
    left, arrow, right = equation.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(ranks):
        raise InvalidNodeError(f"'{equation[:80]}' is not for {len(ranks)} inputs")
    widths = [r - len(t.replace("...", "")) for t, r in zip(inputs, ranks, strict=True)]
    hidden = max(
        [w for w, t in zip(widths, inputs, strict=True) if "..." in t], default=0
    )
    # Capital Greek letters are no labels that a model can have.
    batch = "".join(chr(0x391 + i) for i in range(hidden))
    expanded: list[str] = []
    for text, width in zip(inputs, widths, strict=True):
        if width < 0 or (width and "..." not in text) or text.count("...") > 1:
            raise InvalidNodeError(f"'{equation[:80]}' does not fit the inputs' ranks")
        expanded.append(text.replace("...", batch[hidden - width :]))
    if not arrow:
        letters = sorted("".join(inputs).replace(".", ""))
        right = "..." if hidden else ""
        right += "".join(c for c in letters if letters.count(c) == 1)
    right = right.replace("...", batch)
    known = set("".join(expanded))
    valid = all(c.isalpha() for c in known) and len(set(right)) == len(right)
    if not valid or not set(right) <= known:
        raise InvalidNodeError(f"'{equation[:80]}' is no einsum equation")
    return expanded, right


def _merged_diagonal(b: Builder, term: _Term) -> _Term:
    """`term` with each label once: only the diagonal of repeated ones counts."""
    value, labels = term.value, term.labels
    for label in dict.fromkeys(term.labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            dim = b.common_dims(*([d] for d in _picked(value, first, second)))[0]
            value = b.with_dim(b.with_dim(value, first, dim), second, dim)
            pair = [dims_of(value)[first], *[1] * (second - first - 1), dim]
            pair = [*pair, *[1] * (len(labels) - second - 1)]
            on_diagonal = b.compare(
                b.iota(pair, 0, I64), b.iota(pair, second - first, I64), "eq"
            )
            value = b.reduce(
                b.select(on_diagonal, value, 0), "sum", [second], keep_dims=False
            )
            labels = labels[:second] + labels[second + 1 :]
    return _Term(value, labels)


def _picked(value: SSAValue, *axes: int) -> list[Dim]:
    return [dims_of(value)[a] for a in axes]


def _with_equal_dims(b: Builder, terms: list[_Term]) -> list[_Term]:
    """The terms with dims of one label stated equal; 1 still broadcasts."""
    dims: dict[str, Dim] = {}
    for term in terms:
        for label, dim in zip(term.labels, dims_of(term.value), strict=True):
            (dims[label],) = b.common_dims([dims.get(label, Dim.of(1))], [dim])
    for term in terms:
        shape = dims_of(term.value)
        wanted = [
            d if d == 1 else dims[c] for c, d in zip(term.labels, shape, strict=True)
        ]
        term.value = b.dim_cast(term.value, wanted)
    return terms


def _summed(b: Builder, term: _Term, wanted: set[str]) -> _Term:
    """`term` summed over the labels that are not wanted."""
    axes = [i for i, c in enumerate(term.labels) if c not in wanted]
    if not axes:
        return term
    value = b.reduce(term.value, "sum", axes, keep_dims=False)
    return _Term(value, "".join(c for c in term.labels if c in wanted))


def _product(b: Builder, lhs: _Term, rhs: _Term, wanted: set[str]) -> _Term:
    """The product of two terms, summed over what nobody wants."""
    lhs = _summed(b, lhs, wanted | set(rhs.labels))
    rhs = _summed(b, rhs, wanted | set(lhs.labels))
    left, right = set(lhs.labels), set(rhs.labels)
    lhs, rhs = _broadcast_summed(b, lhs, rhs, (left & right) - wanted)
    inner = "".join(c for c in lhs.labels if c in right and c not in wanted)
    batch = "".join(c for c in lhs.labels if c in right and c in wanted)
    rows = "".join(c for c in lhs.labels if c not in right)
    columns = "".join(c for c in rhs.labels if c not in left)
    first = _arranged(b, lhs, batch + rows + inner)
    second = _arranged(b, rhs, batch + inner + columns)
    if not inner:
        first = b.reshape(first, [*dims_of(first), *[1] * len(columns)])
        shape = dims_of(second)
        count = len(batch)
        second = b.reshape(second, [*shape[:count], *[1] * len(rows), *shape[count:]])
        return _Term(b.mul(first, second), batch + rows + columns)
    batch_first, batch_second = (
        dims_of(first)[: len(batch)],
        dims_of(second)[: len(batch)],
    )
    row_dims = dims_of(first)[len(batch) : len(batch) + len(rows)]
    column_dims = dims_of(second)[len(batch) + len(inner) :]
    depth = dim_product(dims_of(second)[len(batch) : len(batch) + len(inner)])
    first = b.reshape(first, [*batch_first, dim_product(row_dims), depth])
    second = b.reshape(second, [*batch_second, depth, dim_product(column_dims)])
    result = b.matmul(first, second)
    shape = [*dims_of(result)[: len(batch)], *row_dims, *column_dims]
    return _Term(b.reshape(result, shape), batch + rows + columns)


def _broadcast_summed(
    b: Builder, lhs: _Term, rhs: _Term, inner: set[str]
) -> tuple[_Term, _Term]:
    """Both terms with equal dims on the summed labels, where one of them may be 1."""
    sizes: dict[str, Dim] = {}
    for term in (lhs, rhs):
        for label, dim in zip(term.labels, dims_of(term.value), strict=True):
            if label in inner and (dim != 1 or label not in sizes):
                sizes[label] = dim

    def widened(term: _Term) -> _Term:
        dims = dims_of(term.value)
        wanted = [sizes.get(c, d) for c, d in zip(term.labels, dims, strict=True)]
        return _Term(b.broadcast_to(term.value, wanted), term.labels)

    return widened(lhs), widened(rhs)


def _arranged(b: Builder, term: _Term, labels: str) -> SSAValue:
    return b.transpose(term.value, [term.labels.index(c) for c in labels])
