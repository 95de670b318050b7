"""Ops about strings, against ONNX Runtime and the reference evaluator."""

import time
from typing import Any

import numpy as np
import pytest

from nnc.runtime.host_ops.regex import Pattern
from nnc.runtime.host_ops.registry import HostOpError


def equal(a: Any, b: Any) -> bool:
    """The same strings and shape."""
    return a.shape == b.shape and a.tolist() == b.tolist()


# ---------------------------------------------------------------- joined and split


def test_concat_broadcasts(host: Any, engine: Any, strings: Any):
    x, y = strings(["a", "é"], ["", "d"]), strings("1", "2")
    (found,) = host("StringConcat", x, y)
    assert found.dtype == object
    assert equal(found, engine("ort", "StringConcat", x, y)[0])
    scalar = np.array("ß", object)
    assert host("StringConcat", scalar, scalar)[0].item() == "ßß"
    with pytest.raises(HostOpError, match="cannot be broadcast"):
        host("StringConcat", x, strings("1", "2", "3"))
    with pytest.raises(HostOpError, match="must hold strings"):
        host("StringConcat", x, np.zeros(2))


@pytest.mark.parametrize(
    "options",
    [{}, {"delimiter": ""}, {"delimiter": ","}, {"delimiter": ", ", "maxsplit": 1}],
)
def test_split_agrees(host: Any, engine: Any, strings: Any, options: Any):
    x = strings(["a, b,c", "x"], [" y  z ", "p, q, r"])
    parts, counts = host("StringSplit", x, **options)
    expected = engine("reference", "StringSplit", x, outputs=2, **options)
    assert equal(parts, expected[0])
    assert equal(counts, expected[1])
    assert counts.dtype == np.int64


def test_split_strips_an_unsplit_rest(host: Any, engine: Any, strings: Any):
    x = strings(" a b  c ", "", " ")
    for most in (0, 1, 2, 9):
        parts, counts = host("StringSplit", x, maxsplit=most)
        expected = engine("ort", "StringSplit", x, outputs=2, maxsplit=most)
        assert equal(parts, expected[0])
        assert equal(counts, expected[1])
    parts, counts = host("StringSplit", np.empty((2, 0), object))
    assert (parts.shape, counts.shape) == ((2, 0, 0), (2, 0))


def test_equal(host: Any, strings: Any):
    (found,) = host("Equal", strings(["a"], ["B"]), strings("a", "b"))
    assert found.dtype == np.bool_
    assert found.tolist() == [[True, False], [False, False]]


# ---------------------------------------------------------------- normalised


@pytest.mark.parametrize("action", ["NONE", "LOWER", "UPPER"])
@pytest.mark.parametrize("case_sensitive", [0, 1])
def test_normalizer_agrees(host: Any, engine: Any, action: str, case_sensitive: int):
    x = np.array([["monday", "Tuesday", "MONDAY", "x monday"]], object)
    options = {
        "case_change_action": action,
        "is_case_sensitive": case_sensitive,
        "stopwords": ["Monday", "tuesday", "MONDAY"],
        "locale": "C",
    }
    for value in (x, x[0]):
        (found,) = host("StringNormalizer", value, **options)
        assert equal(found, engine("ort", "StringNormalizer", value, **options)[0])


def test_normalizer_leaves_one_empty_string(host: Any, strings: Any):
    (found,) = host("StringNormalizer", strings(["a", "A"]), stopwords=["a"])
    assert (found.shape, found.item()) == ((1, 1), "")
    (found,) = host("StringNormalizer", strings("a"), stopwords=["a"])
    assert found.tolist() == [""]


def test_normalizer_knows_dotted_letters(host: Any, strings: Any):
    def changed(text: str, action: str, locale: str) -> str:
        options = {"case_change_action": action, "locale": locale}
        return host("StringNormalizer", strings(text), **options)[0].item()

    assert changed("Iİi", "LOWER", "tr_TR") == "\u0131ii"
    assert changed("\u0131i", "UPPER", "az") == "Iİ"
    assert changed("Ii", "UPPER", "en_US") == "II"


@pytest.mark.parametrize(
    ("shape", "options", "text"),
    [
        ((2, 2), {}, "must be .C. or .1, C."),
        ((), {}, "must be"),
        ((1,), {"case_change_action": "TITLE"}, "'TITLE' is none of NONE, LOWER"),
    ],
)
def test_normalizer_refuses(host: Any, shape: Any, options: Any, text: str):
    with pytest.raises(HostOpError, match=text):
        host("StringNormalizer", np.full(shape, "a", object), **options)


# ---------------------------------------------------------------- expressions

PATTERNS = [
    "",
    "a*b",
    r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)",
    "www.[a-z]+.com",
    "a|bc|",
    "(a|b)*abb",
    "a{2,3}",
    "a{2}?b",
    "x{,3}",
    "(?i)straSSe|k",
    "(?i:A)b",
    r"\d+\s\D",
    r"[[:alpha:]_]+[[:^digit:]]",
    r"[^\d\n]+",
    "[]a-]+",
    r"\pL+",
    r"\p{Lu}\P{Lu}*",
    r"\Qa.b\E+",
    r"\bfoo\b.*\Boo",
    r"(?m)^a$\n^b$",
    "(?s).+",
    ".+",
    r"\x41\x{e9}\101",
    r"(?P<first>a+)(?:b|c)",
    "((a*)*)*b",
    r"\A.*\z",
    "(?-i)a(?i)B",
]
TEXTS = [
    "", "aab", "account@gmail.com", "www.google.com", "bc", "ababb", "aaa", "x{,3}",
    "STRASSE", "\u017ftrasse", "\N{KELVIN SIGN}", "Ab", "12 x", "٣ x", "ab_c", "]-a",
    "äöß", "Äöß", "a.bb", "foo foo", "a\nb", "a b\tc", "AéA", "aac", "b", "aB",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_regex_agrees_with_re2(host: Any, engine: Any, pattern: str):
    x = np.array(TEXTS, object)
    (found,) = host("RegexFullMatch", x, pattern=pattern)
    (expected,) = engine("ort", "RegexFullMatch", x, pattern=pattern)
    wrong = [t for t, a, b in zip(TEXTS, found, expected, strict=True) if a != b]
    assert not wrong


@pytest.mark.parametrize(
    "pattern",
    [
        "(a", "a)", "*a", "a**", "a?+", "[a", "[z-a]", r"[a-\d]", r"\Z", r"\1", r"\8",
        "(?=a)", "(?<=a)", "(?P=n)", "a{1001}", "a{3,2}", "(?P<>a)", "(?q)a", r"\pX",
        r"\p{Greek}", "[[:word]", "[[:wrong:]]", "(?", "\\", r"\x{110000}", r"\x4",
        "(" * 200 + "a" + ")" * 200, "((a{100}){100}){100}", "(((){999}){999}){999}",
    ],
)  # fmt: skip
def test_regex_refuses(host: Any, strings: Any, pattern: str):
    with pytest.raises(HostOpError, match="pattern"):
        host("RegexFullMatch", strings("a"), pattern=pattern)


def test_regex_takes_linear_time():
    started = time.process_time()
    assert not Pattern.compiled("(a+)+(a|aa)*b").matches("a" * 20_000 + "c")
    # Exponential time would not end; no limit on speed is meant.
    assert time.process_time() - started < 60


# ---------------------------------------------------------------- casts


def test_numbers_from_strings(host: Any, engine: Any, strings: Any):
    texts = strings("1.5", "1e3", "-.5", "+INF", "inf", "-Inf", "NaN", " 3 ", "1E400")
    for to in (1, 11):
        (found,) = host("Cast", texts, to=to)
        expected = engine("reference", "Cast", texts, to=to)[0]
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert host("Cast", strings("100.5", "-7", "1e2"), to=7)[0].tolist() == [
        100,
        -7,
        100,
    ]
    flags = host("Cast", strings("1", "0", "True", "false", "0.5"), to=9)[0]
    assert flags.tolist() == [True, False, True, False, True]
    (big,) = host("Cast", strings("18446744073709551615"), to=13)
    assert big.tolist() == [2**64 - 1]
    assert host("Cast", strings("2"), to=16)[0].dtype.name == "bfloat16"


@pytest.mark.parametrize(
    ("text", "to"),
    [("x", 1), ("", 7), ("0x10", 1), ("1_0", 1), ("inf", 7), ("300", 3), ("-1", 2)],
)
def test_what_is_no_number_is_refused(host: Any, strings: Any, text: str, to: int):
    with pytest.raises(HostOpError, match="is no|does not fit"):
        host("Cast", strings(text), to=to)


def test_strings_from_numbers(host: Any):
    x = np.array([1, 0.1, 314.15926, 1e-7, np.nan, np.inf, -np.inf], np.float32)
    (found,) = host("Cast", x, to=8)
    assert found.dtype == object
    assert found.tolist() == ["1.0", "0.1", "314.15927", "1e-07", "NaN", "INF", "-INF"]
    np.testing.assert_array_equal(host("Cast", found, to=1)[0], x)
    assert host("Cast", np.array([2**63], np.uint64), to=8)[0].item() == str(2**63)
    assert host("Cast", np.array([True, False]), to=8)[0].tolist() == ["1", "0"]
    assert host("CastLike", np.array([3]), found)[0].tolist() == ["3"]
    with pytest.raises(HostOpError, match="complex64 cannot"):
        host("Cast", np.zeros(1, np.complex64), to=8)
