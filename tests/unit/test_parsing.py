"""Texts that xDSL's own parser does not read back."""

from __future__ import annotations

import pytest
from xdsl.dialects.builtin import BytesAttr, StringAttr

from nnc.module import new_context
from nnc.parsing import NncParser


@pytest.mark.parametrize("name", ["größe", "画像", "a\u0000b", "\U0001f600", 'q"\\\n'])
def test_strings_of_any_letters_are_read_back(name: str) -> None:
    printed = str(StringAttr(name))
    assert NncParser(new_context(), printed).parse_attribute() == StringAttr(name)


def test_bytes_that_are_no_text_stay_bytes() -> None:
    printed = str(BytesAttr(b"\xff\x00"))
    assert NncParser(new_context(), printed).parse_attribute() == BytesAttr(b"\xff\x00")
