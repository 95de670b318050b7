"""Tokens of texts, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest

from nnc.runtime.host_ops.registry import HostOpError

TEXTS = ["Hello, World!  a", "", "x", "né 12_b--c", "a,b;c"]


@pytest.mark.parametrize(
    "options",
    [
        {"tokenexp": "[a-zA-Z0-9_]+"},
        {"tokenexp": "a|ab|[a-z]*c"},
        {"tokenexp": "."},
        {"tokenexp": r"\w\w+", "mark": 1},
        {"separators": [" ", "[,;]", "--"]},
        {"separators": [""]},
        {"separators": [" +"], "mincharnum": 2, "mark": 1},
    ],
)
def test_tokens_agree(host: Any, engine: Any, options: Any):
    options = {"mark": 0, "mincharnum": 1, "pad_value": "#", **options}
    x = np.array(TEXTS, object)
    for value in (x, x[:4].reshape(2, 2)):
        found: Any
        (found,) = host("Tokenizer", value, domain="com.microsoft", opset=1, **options)
        (expected,) = engine(
            "ort", "Tokenizer", value, domain="com.microsoft", opset=1, **options
        )
        assert found.shape == expected.shape
        assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either separators or an expression"),
        ({"tokenexp": "a", "separators": ["b"]}, "either separators"),
        ({"tokenexp": "("}, "a '.' is missing"),
    ],
)
def test_what_makes_no_tokens_is_refused(host: Any, options: Any, text: str):
    x = np.array(TEXTS, object)
    with pytest.raises(HostOpError, match=text):
        host("Tokenizer", x, domain="com.microsoft", opset=1, **options)
