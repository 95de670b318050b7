"""The register tile that a contraction was told to use: `#nn.tile<14 x 2, rows>`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, cast, get_args

from xdsl.dialects.builtin import IntAttr, StringAttr
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

TileOrder = Literal["auto", "rows", "columns"]
"""Which loop is the outer one: over rows, over columns, or what the schedule takes."""

_TEXT: Final = re.compile(r"(\d+)x(\d+)(?::(\w+))?")


@irdl_attr_definition
class TileAttr(ParametrizedAttribute):
    """
    The tile of a contraction: rows times vectors of columns, and the loop around.

    `rows` is the most that a tile has: a target with fewer registers, or a matrix of
    fewer rows, has smaller ones. Written `#nn.tile<14 x 2, rows>`; without a second
    word, the schedule chooses the order of loops.
    """

    name = "nn.tile"

    rows: IntAttr = param_def()
    vectors: IntAttr = param_def()
    order: StringAttr = param_def()

    def __init__(
        self,
        rows: int | IntAttr,
        vectors: int | IntAttr,
        order: TileOrder | StringAttr = "auto",
    ) -> None:
        super().__init__(
            IntAttr(rows) if isinstance(rows, int) else rows,
            IntAttr(vectors) if isinstance(vectors, int) else vectors,
            StringAttr(order) if isinstance(order, str) else order,
        )

    @staticmethod
    def of(text: str) -> TileAttr:
        """
        The tile of a text such as `14x2` or `6x4:rows`.

        Raises:
            ValueError: the text is none, or names no tile.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"'{text}' is no tile; write ROWSxVECTORS[:ORDER]")
        rows, vectors, order = match.groups()
        try:
            return TileAttr(int(rows), int(vectors), cast(TileOrder, order or "auto"))
        except VerifyException as error:
            raise ValueError(str(error)) from error

    @property
    def text(self) -> str:
        """What `of` reads."""
        order = "" if self.order.data == "auto" else f":{self.order.data}"
        return f"{self.rows.data}x{self.vectors.data}{order}"

    def print_parameters(self, printer: Printer) -> None:
        text, _, order = self.text.partition(":")
        with printer.in_angle_brackets():
            printer.print_string(text.replace("x", " x "))
            if order:
                printer.print_string(f", {order}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        order = "auto"
        with parser.in_angle_brackets():
            rows = parser.parse_integer(allow_boolean=False, allow_negative=False)
            parser.parse_keyword("x")
            vectors = parser.parse_integer(allow_boolean=False, allow_negative=False)
            if parser.parse_optional_punctuation(",") is not None:
                order = parser.parse_identifier()
        return [IntAttr(rows), IntAttr(vectors), StringAttr(order)]

    def verify(self) -> None:
        if self.rows.data < 1 or self.vectors.data < 1:
            raise VerifyException(f"{self.name}: {self.text} has no elements")
        if self.order.data not in get_args(TileOrder):
            known = ", ".join(get_args(TileOrder))
            raise VerifyException(
                f"{self.name}: order '{self.order.data}' is none of {known}"
            )
