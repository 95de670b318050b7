"""Which ops of the standard have a converter, in all versions since the first."""

from __future__ import annotations

import onnx.defs
import pytest

from nnc.frontends.onnx.registry import find_converter
from nnc.frontends.onnx.standard_functions import has_standard_function

DOMAINS = ("", "ai.onnx.preview.training")

MISSING = {
    # What holds no tensor of numbers, or gives as many elements as data say.
    "ConcatFromSequence",
    "ImageDecoder",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
    "RegexFullMatch",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "SplitToSequence",
    "StringConcat",
    "StringNormalizer",
    "StringSplit",
    "TfIdfVectorizer",
}


def versions() -> dict[tuple[str, str], list[int]]:
    """The versions of every op of the standard that changed it."""
    found: dict[tuple[str, str], list[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in DOMAINS and not schema.deprecated:
            key = schema.domain, schema.name
            found.setdefault(key, []).append(schema.since_version)
    return found


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_version_of_every_op_has_a_converter(domain: str) -> None:
    missing = {
        name
        for (where, name), numbers in versions().items()
        if where == domain
        and not has_standard_function(name, domain)
        and any(find_converter(domain, name, n) is None for n in numbers)
    }
    assert missing <= MISSING
