"""Dims against plain Python ints: every rewrite must keep the value."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnc.symbolic import (
    Dim,
    ceildiv,
    compile_dims,
    dim_max,
    dim_min,
    dim_product,
    parse_dim,
)

SYMBOLS = ("H", "N", "seq_len")
N, H = Dim.symbol("N"), Dim.symbol("H")


@dataclass(frozen=True)
class Tree:
    """An expression as Python writes it, before any simplification."""

    operator: str
    operands: tuple[Tree, ...] = ()
    value: int = 0
    name: str = ""

    def dim(self) -> Dim:
        """The expression built with dims."""
        if self.operator == "symbol":
            return Dim.symbol(self.name)
        if self.operator == "int":
            return Dim.of(self.value)
        lhs, rhs = (o.dim() for o in self.operands)
        match self.operator:
            case "+":
                return lhs + rhs
            case "-":
                return lhs - rhs
            case "*":
                return lhs * rhs
            case "//":
                return lhs // rhs
            case "%":
                return lhs % rhs
            case "max":
                return dim_max(lhs, rhs)
            case _:
                return dim_min(lhs, rhs)

    def run(self, sizes: dict[str, int]) -> int:
        """The expression computed with ints."""
        if self.operator == "symbol":
            return sizes[self.name]
        if self.operator == "int":
            return self.value
        lhs, rhs = (o.run(sizes) for o in self.operands)
        match self.operator:
            case "+":
                return lhs + rhs
            case "-":
                return lhs - rhs
            case "*":
                return lhs * rhs
            case "//":
                return lhs // rhs
            case "%":
                return lhs % rhs
            case "max":
                return max(lhs, rhs)
            case _:
                return min(lhs, rhs)


LEAVES = st.one_of(
    st.sampled_from(SYMBOLS).map(lambda name: Tree("symbol", name=name)),
    st.integers(-9, 9).map(lambda value: Tree("int", value=value)),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Tree,
        st.sampled_from(("+", "-", "*", "//", "%", "max", "min")),
        st.tuples(inner, inner),
    ),
    max_leaves=8,
)
SIZES = st.fixed_dictionaries({name: st.integers(0, 40) for name in SYMBOLS})


def build(tree: Tree) -> Dim | None:
    """The dim of a tree, or None where it divides by a constant zero."""
    try:
        return tree.dim()
    except ZeroDivisionError:
        return None


@given(TREES, SIZES)
def test_a_dim_has_the_value_of_the_expression_it_was_built_from(
    tree: Tree, sizes: dict[str, int]
):
    dim = build(tree)
    try:
        expected = tree.run(sizes)
    except ZeroDivisionError:
        # A simplified dim may have lost the division, but then has some value.
        return
    assert dim is not None
    assert dim.evaluate(sizes) == expected


@given(TREES)
def test_text_reads_back_to_an_equal_dim(tree: Tree):
    dim = build(tree)
    if dim is not None:
        again = Dim.parse(str(dim))
        assert again == dim
        assert hash(again) == hash(dim)
        assert str(again) == str(dim)


@given(TREES, SIZES)
def test_substituting_all_symbols_evaluates(tree: Tree, sizes: dict[str, int]):
    dim = build(tree)
    if dim is None:
        return
    try:
        expected = dim.evaluate(sizes)
    except ZeroDivisionError:
        return
    assert dim.substitute(sizes).as_int() == expected


@given(st.lists(TREES, max_size=4), SIZES)
def test_compiled_dims_agree_with_evaluate(trees: list[Tree], sizes: dict[str, int]):
    dims = [d for d in map(build, trees) if d is not None]
    function = compile_dims(dims, SYMBOLS)
    try:
        expected = tuple(d.evaluate(sizes) for d in dims)
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            function(*(sizes[name] for name in SYMBOLS))
        return
    assert function(*(sizes[name] for name in SYMBOLS)) == expected


@given(TREES, SIZES)
def test_bounds_hold(tree: Tree, sizes: dict[str, int]):
    dim = build(tree)
    if dim is None:
        return
    try:
        value = dim.evaluate(sizes)
    except ZeroDivisionError:
        return
    lower, upper = dim.lower_bound(), dim.upper_bound()
    assert lower is None or lower <= value
    assert upper is None or value <= upper


@given(TREES, TREES)
def test_sums_and_products_are_canonical(first: Tree, second: Tree):
    a, b = build(first), build(second)
    if a is None or b is None:
        return
    assert a + b == b + a
    assert a * b == b * a
    assert a - b == -(b - a)
    assert (a + b) * (a - b) == a * a - b * b


@given(st.integers(-99, 99), st.integers(-9, 9))
def test_constants_divide_as_python_does(lhs: int, rhs: int):
    if rhs == 0:
        with pytest.raises(ZeroDivisionError):
            _ = Dim.of(lhs) // rhs
        with pytest.raises(ZeroDivisionError):
            _ = Dim.of(lhs) % rhs
        return
    assert Dim.of(lhs) // rhs == lhs // rhs
    assert Dim.of(lhs) % rhs == lhs % rhs
    assert ceildiv(lhs, rhs) == (lhs + rhs - 1) // rhs


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (Dim.of(0), "0"),
        (N, "N"),
        (-N, "-N"),
        (2 * N + 3, "2*N + 3"),
        (3 - N, "-N + 3"),
        (N * H - N, "H*N - N"),
        (N // 2, "N floordiv 2"),
        ((N + 1) // 2, "(N + 1) floordiv 2"),
        ((N + 9) // 2, "(N + 1) floordiv 2 + 4"),
        (2 * (N // 3), "2*(N floordiv 3)"),
        (-(N // 3), "-(N floordiv 3)"),
        (H - N // 3, "H - N floordiv 3"),
        (N // 3 % 5, "(N floordiv 3) mod 5"),
        (N // H, "N floordiv H"),
        (dim_max(N, 4), "max(4, N)"),
        (dim_min(N, H + 1) // 2, "min(H + 1, N) floordiv 2"),
    ],
)
def test_text(dim: Dim, text: str):
    assert str(dim) == text
    assert parse_dim(text) == dim


@pytest.mark.parametrize(
    ("dim", "simple"),
    [
        ((N * 4) // 2, N * 2),
        ((N * 4 + 3) // 4, N),
        ((N * 4 + 3) % 4, Dim.of(3)),
        ((N // 2) // 3, N // 6),
        (((N - 1) // 2) // 2, (N - 1) // 4),
        ((N * H) // N, H),
        ((N * 8) // (N * 2), Dim.of(4)),
        ((N + 8) % 4, N % 4),
        ((N * H + N) // (H + 1), N),
        (dim_max(N, 0), N),
        (dim_min(N + 1, N), N),
        (dim_max(N, N + 2, 1), N + 2),
        (dim_product([2, N, 3]), N * 6),
        (dim_product([]), Dim.of(1)),
    ],
)
def test_simplifications(dim: Dim, simple: Dim):
    assert dim == simple


def test_dims_equal_ints_and_hash_like_them():
    assert Dim.of(5) == 5
    assert hash(Dim.of(5)) == hash(5)
    assert N - N == 0
    assert N != 5
    assert not Dim.of(0)
    assert N


@pytest.mark.parametrize(
    "text",
    [
        "",
        "N +",
        "(N",
        "N)",
        "N N",
        "2 3",
        "max()",
        "max(N",
        "N / 2",
        "N floordiv",
        "*N",
    ],
)
def test_texts_that_are_no_dims_are_refused(text: str):
    with pytest.raises(ValueError, match="dimension"):
        Dim.parse(text)


@pytest.mark.parametrize("name", ["", "1a", "a-b", "floordiv", "mod", "max", "min"])
def test_names_that_are_no_symbols_are_refused(name: str):
    with pytest.raises(ValueError, match="dimension name"):
        Dim.symbol(name)


def test_a_symbol_without_a_size_is_an_error():
    with pytest.raises(KeyError):
        (N + 1).evaluate({})


def test_division_by_a_size_of_zero_is_an_error():
    with pytest.raises(ZeroDivisionError):
        (N // H).evaluate({"N": 1, "H": 0})
