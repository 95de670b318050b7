"""
Symbolic dimensions: integer expressions over named symbols, in canonical form.

A `Dim` is a polynomial with integer coefficients over *atoms*; an atom is a symbol
(`N`, `seq`) or one of `floordiv`, `mod`, `max`, `min` applied to other dims. Equal
polynomials are equal objects in the sense of `==` and `hash`, so that two dims can be
compared without a solver. Symbols stand for sizes, hence are non-negative.

This module knows nothing of IR: compiler, interpreter and executor share it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

FunctionName = Literal["floordiv", "mod", "max", "min"]
DimLike: TypeAlias = "Dim | int"

SYMBOL_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*\Z")
_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_.$]*)|([-+*(),]))")


@dataclass(frozen=True)
class Symbol:
    """A named size, known when the model runs."""

    name: str

    @cached_property
    def sort_key(self) -> tuple[int, str]:
        """Where the atom stands in a product or sum: symbols come first."""
        return (0, self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Function:
    """A non-polynomial function of dims that could not be simplified."""

    function: FunctionName
    args: tuple[Dim, ...]

    @cached_property
    def sort_key(self) -> tuple[int, str]:
        """Where the atom stands in a product or sum."""
        return (1, str(self))

    def __str__(self) -> str:
        if self.function in ("max", "min"):
            return f"{self.function}({', '.join(map(str, self.args))})"
        lhs, rhs = (_operand_text(a) for a in self.args)
        return f"({lhs} {self.function} {rhs})"


Atom: TypeAlias = Symbol | Function
Monomial: TypeAlias = tuple[Atom, ...]


def _operand_text(dim: Dim) -> str:
    """`dim` as an operand of `floordiv` or `mod`: numbers and symbols stand bare."""
    match dim.terms:
        case () | (((), _),) | (((Symbol(),), 1),):
            return str(dim)
        case (((Function(function="max" | "min"),), 1),):
            return str(dim)
        case _:
            return f"({dim})"


def _without_parentheses(text: str) -> str:
    return text[1:-1] if text.startswith("(") else text


def _monomial_key(monomial: Monomial) -> tuple[int, tuple[tuple[int, str], ...]]:
    return (-len(monomial), tuple(a.sort_key for a in monomial))


@dataclass(frozen=True, eq=False)
class Dim:
    """A canonical integer expression; build it by arithmetic on `Dim.symbol`."""

    terms: tuple[tuple[Monomial, int], ...]

    # -- construction ---------------------------------------------------------

    @staticmethod
    def of(value: DimLike) -> Dim:
        """`value` itself if it is a `Dim`, else the constant."""
        return value if isinstance(value, Dim) else _constant(int(value))

    @staticmethod
    def symbol(name: str) -> Dim:
        """
        The symbol `name`.

        Raises:
            ValueError: `name` is not an identifier.
        """
        if not SYMBOL_PATTERN.match(name) or name in ("floordiv", "mod", "max", "min"):
            raise ValueError(f"'{name}' is not a valid dimension name")
        return _from_atom(Symbol(name))

    @staticmethod
    def parse(text: str) -> Dim:
        """
        The dim that `text` (as printed by `str`) denotes.

        Raises:
            ValueError: `text` is not a dimension expression.
        """
        return _Parser(text).parse()

    # -- queries --------------------------------------------------------------

    def as_int(self) -> int | None:
        """The value if it is a constant, else None."""
        if not self.terms:
            return 0
        if len(self.terms) == 1 and not self.terms[0][0]:
            return self.terms[0][1]
        return None

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names of all symbols in the expression."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.add(atom.name)
                else:
                    found.update(*(a.symbols for a in atom.args))
        return frozenset(found)

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """
        The value for the given sizes of its symbols.

        Raises:
            KeyError: a symbol has no size.
            ZeroDivisionError: a divisor is zero for these sizes.
        """
        return sum(
            coefficient * math.prod(_evaluate_atom(a, sizes) for a in monomial)
            for monomial, coefficient in self.terms
        )

    def substitute(self, values: Mapping[str, DimLike]) -> Dim:
        """The expression with symbols replaced, simplified anew."""
        if self.symbols.isdisjoint(values):
            return self
        result = Dim(())
        for monomial, coefficient in self.terms:
            product = Dim.of(coefficient)
            for atom in monomial:
                product = product * _substitute_atom(atom, values)
            result = result + product
        return result

    def lower_bound(self) -> int | None:
        """A lower bound that holds for all sizes >= 0, or None if there is none."""
        return _bound(self, upper=False)

    def upper_bound(self) -> int | None:
        """An upper bound that holds for all sizes >= 0, or None if there is none."""
        return _bound(self, upper=True)

    # -- arithmetic -----------------------------------------------------------

    def __add__(self, other: DimLike) -> Dim:
        other = Dim.of(other)
        if not other.terms:
            return self
        total = dict(self.terms)
        for monomial, coefficient in other.terms:
            total[monomial] = total.get(monomial, 0) + coefficient
        return _from_terms(total)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return Dim(tuple((m, -c) for m, c in self.terms))

    def __sub__(self, other: DimLike) -> Dim:
        return self + (-Dim.of(other))

    def __rsub__(self, other: DimLike) -> Dim:
        return Dim.of(other) - self

    def __mul__(self, other: DimLike) -> Dim:
        total: dict[Monomial, int] = {}
        for m1, c1 in self.terms:
            for m2, c2 in Dim.of(other).terms:
                monomial = tuple(sorted((*m1, *m2), key=lambda a: a.sort_key))
                total[monomial] = total.get(monomial, 0) + c1 * c2
        return _from_terms(total)

    __rmul__ = __mul__

    def __floordiv__(self, other: DimLike) -> Dim:
        return _floordiv(self, Dim.of(other))

    def __rfloordiv__(self, other: DimLike) -> Dim:
        return _floordiv(Dim.of(other), self)

    def __mod__(self, other: DimLike) -> Dim:
        return _mod(self, Dim.of(other))

    def __rmod__(self, other: DimLike) -> Dim:
        return _mod(Dim.of(other), self)

    # -- comparison and text --------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.as_int() == other
        return isinstance(other, Dim) and self.terms == other.terms

    @cached_property
    def _hash(self) -> int:
        constant = self.as_int()
        return hash(self.terms if constant is None else constant)

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        return bool(self.terms)

    @cached_property
    def _text(self) -> str:
        if not self.terms:
            return "0"
        parts: list[str] = []
        for monomial, coefficient in self.terms:
            factors = [str(a) for a in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+"
            if len(factors) == 1 and (parts or sign == "+"):
                # `a floordiv b` binds as closely as `a*b`; a leading `-` still closer.
                factors = [_without_parentheses(factors[0])]
            parts.append(f"{sign} {'*'.join(factors)}")
        text = " ".join(parts)
        text = text[2:] if text.startswith("+ ") else "-" + text[2:]
        return _remember(text, self)[0]

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Dim({self._text})"


@lru_cache(maxsize=4096)
def _constant(value: int) -> Dim:
    return Dim((((), value),) if value else ())


def _from_atom(atom: Atom) -> Dim:
    return Dim((((atom,), 1),))


def _from_terms(terms: Mapping[Monomial, int]) -> Dim:
    kept = [(m, c) for m, c in terms.items() if c]
    kept.sort(key=lambda t: _monomial_key(t[0]))
    return Dim(tuple(kept))


def _function(name: FunctionName, *args: Dim) -> Dim:
    return _from_atom(Function(name, args))


def _evaluate_atom(atom: Atom, sizes: Mapping[str, int]) -> int:
    if isinstance(atom, Symbol):
        return sizes[atom.name]
    args = [a.evaluate(sizes) for a in atom.args]
    match atom.function:
        case "floordiv":
            return args[0] // args[1]
        case "mod":
            return args[0] % args[1]
        case "max":
            return max(args)
        case "min":
            return min(args)


def _substitute_atom(atom: Atom, values: Mapping[str, DimLike]) -> Dim:
    if isinstance(atom, Symbol):
        return Dim.of(values[atom.name]) if atom.name in values else _from_atom(atom)
    args = [a.substitute(values) for a in atom.args]
    match atom.function:
        case "floordiv":
            return args[0] // args[1]
        case "mod":
            return args[0] % args[1]
        case "max":
            return dim_max(*args)
        case "min":
            return dim_min(*args)


def _bound(dim: Dim, *, upper: bool) -> int | None:
    total = 0
    for monomial, coefficient in dim.terms:
        if not monomial:
            total += coefficient
            continue
        want_upper = upper == (coefficient > 0)
        bounds = [_atom_bound(a, upper=want_upper) for a in monomial]
        lowers = [_atom_bound(a, upper=False) for a in monomial]
        # A product of bounds is a bound only where no factor can be negative.
        if any(b is None for b in bounds) or any(b is None or b < 0 for b in lowers):
            return None
        total += coefficient * math.prod(b for b in bounds if b is not None)
    return total


def _atom_bound(atom: Atom, *, upper: bool) -> int | None:
    if isinstance(atom, Symbol):
        return None if upper else 0
    bounds = [_bound(a, upper=upper) for a in atom.args]
    known = [b for b in bounds if b is not None]
    divisor = atom.args[-1].as_int()
    match atom.function:
        case "max" if upper:
            return max(known) if len(known) == len(bounds) else None
        case "max":
            return max(known) if known else None
        case "min" if upper:
            return min(known) if known else None
        case "min":
            return min(known) if len(known) == len(bounds) else None
        case "floordiv" if divisor is not None and divisor > 0:
            return None if bounds[0] is None else bounds[0] // divisor
        case "mod" if divisor is not None and divisor > 0:
            return divisor - 1 if upper else 0
        case "mod" if divisor is not None:
            return 0 if upper else divisor + 1
        case "floordiv":
            signs_known = all(map(_is_nonnegative, atom.args))
            return 0 if not upper and signs_known else None
        case _:
            return 0 if not upper and _is_nonnegative(atom.args[1]) else None


def _is_nonnegative(dim: Dim) -> bool:
    lower = dim.lower_bound()
    return lower is not None and lower >= 0


def _divide_monomial(monomial: Monomial, divisor: Monomial) -> Monomial | None:
    rest = list(monomial)
    for atom in divisor:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _floordiv(lhs: Dim, rhs: Dim) -> Dim:
    divisor = rhs.as_int()
    if divisor == 0:
        raise ZeroDivisionError(f"dimension {lhs} divided by zero")
    if lhs == rhs:
        return Dim.of(1)
    if divisor is None:
        return _floordiv_symbolic(lhs, rhs)
    value = lhs.as_int()
    if value is not None:
        return Dim.of(value // divisor)
    if divisor < 0:
        return _floordiv(-lhs, Dim.of(-divisor))
    exact = Dim(tuple((m, c // divisor) for m, c in lhs.terms if c % divisor == 0))
    rest = Dim(tuple((m, c) for m, c in lhs.terms if c % divisor))
    # Constants are split into quotient and remainder so that x+8 and x agree mod 8.
    whole, constant = divmod(dict(rest.terms).get((), 0), divisor)
    rest = _from_terms({**dict(rest.terms), (): constant})
    exact = exact + whole
    factor = math.gcd(divisor, *(c for m, c in rest.terms if m))
    if factor > 1:
        rest = Dim(tuple((m, c // factor) for m, c in rest.terms if c // factor))
        divisor //= factor
    if divisor == 1:
        return exact + rest
    if (fixed := rest.as_int()) is not None:
        return exact + fixed // divisor
    if (nested := _nested_floordiv(rest)) is not None:
        numerator, inner, offset = nested
        return exact + _floordiv(numerator + offset * inner, Dim.of(inner * divisor))
    return exact + _function("floordiv", rest, Dim.of(divisor))


def _nested_floordiv(dim: Dim) -> tuple[Dim, int, int] | None:
    """`(x, k, c)` if `dim` is `x floordiv k + c` with constant k > 0 and c."""
    linear = [m for m, _ in dim.terms if m]
    if len(linear) != 1 or len(linear[0]) != 1 or dict(dim.terms)[linear[0]] != 1:
        return None
    atom = linear[0][0]
    if not isinstance(atom, Function) or atom.function != "floordiv":
        return None
    divisor = atom.args[1].as_int()
    if divisor is None or divisor <= 0:
        return None
    return atom.args[0], divisor, dict(dim.terms).get((), 0)


def _floordiv_symbolic(lhs: Dim, rhs: Dim) -> Dim:
    if not lhs.terms:
        return lhs
    if len(rhs.terms) == 1:
        (divisor, scale), quotient = rhs.terms[0], dict[Monomial, int]()
        for monomial, coefficient in lhs.terms:
            rest = _divide_monomial(monomial, divisor)
            if rest is None or coefficient % scale:
                break
            quotient[rest] = coefficient // scale
        else:
            return _from_terms(quotient)
    elif (exact := _polynomial_quotient(lhs, rhs)) is not None:
        return exact
    return _function("floordiv", lhs, rhs)


def _polynomial_quotient(lhs: Dim, rhs: Dim) -> Dim | None:
    """`lhs / rhs` if the polynomial division has no remainder, else None."""
    rest, quotient = lhs, Dim(())
    (lead, scale) = rhs.terms[0]
    for _ in range(16):
        if not rest.terms:
            return quotient
        monomial, coefficient = rest.terms[0]
        part = _divide_monomial(monomial, lead)
        if part is None or coefficient % scale:
            return None
        step = Dim(((part, coefficient // scale),))
        quotient, rest = quotient + step, rest - step * rhs
    return None


def _mod(lhs: Dim, rhs: Dim) -> Dim:
    divisor = rhs.as_int()
    if divisor == 0:
        raise ZeroDivisionError(f"dimension {lhs} modulo zero")
    quotient = lhs // rhs
    remainder = lhs - quotient * rhs
    if remainder.as_int() is not None:
        return remainder
    if divisor is None or divisor < 0:
        return _function("mod", lhs, rhs)
    reduced = _from_terms({m: c % divisor for m, c in lhs.terms})
    return _function("mod", reduced, rhs)


def dim_max(*dims: DimLike) -> Dim:
    """The largest of `dims`, simplified where that is provable."""
    return _extremum("max", dims)


def dim_min(*dims: DimLike) -> Dim:
    """The smallest of `dims`, simplified where that is provable."""
    return _extremum("min", dims)


def _extremum(name: Literal["max", "min"], dims: Iterable[DimLike]) -> Dim:
    flat: list[Dim] = []
    for dim in map(Dim.of, dims):
        atom = dim.terms[0][0] if len(dim.terms) == 1 and dim.terms[0][1] == 1 else ()
        if (
            len(atom) == 1
            and isinstance(atom[0], Function)
            and atom[0].function == name
        ):
            flat.extend(atom[0].args)
        else:
            flat.append(dim)
    kept: list[Dim] = []
    for dim in flat:
        if any(_dominates(name, other, dim) for other in kept):
            continue
        kept = [other for other in kept if not _dominates(name, dim, other)]
        kept.append(dim)
    if len(kept) == 1:
        return kept[0]
    return _function(name, *sorted(kept, key=str))


def _dominates(name: Literal["max", "min"], a: Dim, b: Dim) -> bool:
    """Whether `a` is always at least (max) or at most (min) `b`."""
    difference = a - b if name == "max" else b - a
    bound = difference.lower_bound()
    return bound is not None and bound >= 0


def ceildiv(lhs: DimLike, rhs: DimLike) -> Dim:
    """`lhs / rhs` rounded up."""
    lhs, rhs = Dim.of(lhs), Dim.of(rhs)
    return (lhs + rhs - 1) // rhs


def dim_product(dims: Iterable[DimLike]) -> Dim:
    """The product of `dims`; 1 if there are none."""
    result = Dim.of(1)
    for dim in dims:
        result = result * dim
    return result


class _Parser:
    """Recursive descent over the text form of a dim."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"'{text}' is not a dimension expression")
            self.tokens.append(match.group(match.lastindex or 0))
            position = match.end()
        self.position = 0

    def parse(self) -> Dim:
        result = self._sum()
        if self.position != len(self.tokens):
            raise ValueError(f"'{self.text}' is not a dimension expression")
        return result

    def _peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self.position += 1
        return token

    def _expect(self, token: str) -> None:
        if self._next() != token:
            raise ValueError(
                f"expected '{token}' in dimension expression '{self.text}'"
            )

    def _sum(self) -> Dim:
        result = self._product()
        while self._peek() in ("+", "-"):
            operator, rhs = self._next(), self._product()
            result = result + rhs if operator == "+" else result - rhs
        return result

    def _product(self) -> Dim:
        result = self._factor()
        while self._peek() in ("*", "floordiv", "mod"):
            operator, rhs = self._next(), self._factor()
            if operator == "*":
                result = result * rhs
            else:
                result = result // rhs if operator == "floordiv" else result % rhs
        return result

    def _factor(self) -> Dim:
        token = self._next()
        if token == "-":
            return -self._factor()
        if token == "(":
            result = self._sum()
            self._expect(")")
            return result
        if token in ("max", "min") and self._peek() == "(":
            self._expect("(")
            args = [self._sum()]
            while self._peek() == ",":
                self._next()
                args.append(self._sum())
            self._expect(")")
            return dim_max(*args) if token == "max" else dim_min(*args)
        if token.isdigit():
            return Dim.of(int(token))
        if not SYMBOL_PATTERN.match(token):
            raise ValueError(f"'{self.text}' is not a dimension expression")
        return Dim.symbol(token)


def compile_dims(
    dims: Sequence[Dim], symbols: Sequence[str]
) -> Callable[..., tuple[int, ...]]:
    """
    A function from the sizes of `symbols`, in order, to the values of `dims`.

    Much faster than `Dim.evaluate` for many dims: each distinct atom is evaluated once.
    """
    names = {symbol: f"s{i}" for i, symbol in enumerate(symbols)}
    lines: list[str] = []
    atoms: dict[Atom, str] = {}

    def expression(dim: Dim) -> str:
        terms = ("*".join([str(c), *(atom_name(a) for a in m)]) for m, c in dim.terms)
        return "+".join(f"({t})" for t in terms) or "0"

    def atom_name(atom: Atom) -> str:
        if isinstance(atom, Symbol):
            return names[atom.name]
        if atom not in atoms:
            args = [f"({expression(a)})" for a in atom.args]
            operators = {"floordiv": "//", "mod": "%"}
            if atom.function in operators:
                text = operators[atom.function].join(args)
            else:
                text = f"{atom.function}({','.join(args)})"
            name = f"t{len(atoms)}"
            lines.append(f"  {name} = {text}")
            atoms[atom] = name
        return atoms[atom]

    results = [expression(d) for d in dims]
    body = "\n".join(lines)
    source = (
        f"def evaluate({','.join(names.values())}):\n{body}\n"
        f"  return ({','.join(results)}{',' if results else ''})\n"
    )
    # The source is made of numbers and names chosen above, never of model text.
    namespace: dict[str, Callable[..., tuple[int, ...]]] = {}
    exec(compile(source, "<dims>", "exec"), {"max": max, "min": min}, namespace)
    return namespace["evaluate"]


_MAX_REMEMBERED = 1 << 15
_remembered: dict[str, Dim] = {}


def _remember(text: str, dim: Dim) -> tuple[str, Dim]:
    if len(_remembered) >= _MAX_REMEMBERED:
        _remembered.clear()
    _remembered[text] = dim
    return text, dim


def parse_dim(text: str) -> Dim:
    """`Dim.parse` with a memo, which also knows what has been printed before."""
    dim = _remembered.get(text)
    return dim if dim is not None else _remember(text, Dim.parse(text))[1]
