"""The parser of module texts: xDSL's, with two faults mended."""

from __future__ import annotations

from xdsl.dialects.builtin import AnyFloat, ComplexType, IndexType, IntegerType
from xdsl.parser import AttrParser, Parser
from xdsl.utils.mlir_lexer import MLIRTokenKind, StringLiteral


class NncParser(Parser):
    """
    Reads what xDSL's printer writes, NaN and infinity in dense constants included.

    xDSL 0.74 prints them as bits (`dense<0xff800000> : vector<8xf32>`), and parses
    those as the number 4286578688. And it prints text of other letters than ASCII's as
    the escaped bytes of its UTF-8, and parses those as bytes. Fit for upstream as it
    is.
    """

    def parse_optional_str_literal(self) -> str | None:
        """A string literal, if present; bytes that are UTF-8 are text."""
        token = self._current_token
        if token.kind is MLIRTokenKind.BYTES_LIT:
            try:
                text = StringLiteral.from_span(token.span).string_contents
            except UnicodeDecodeError:
                return None
            self._consume_token()
            return text
        return super().parse_optional_str_literal()

    class _TensorLiteralElement(AttrParser._TensorLiteralElement):  # pyright: ignore[reportPrivateUsage] # the only hook that the parser has
        def to_type(
            self,
            parser: AttrParser,
            type: AnyFloat | IntegerType | IndexType | ComplexType,
        ) -> float | int | tuple[float, float] | tuple[int, int]:
            text = self.span.text
            if isinstance(type, AnyFloat) and text.startswith("0x"):
                bits = bytes.fromhex(text[2:])[::-1]
                if len(bits) != type.compile_time_size:
                    parser.raise_error(
                        f"{type} has {8 * type.compile_time_size} bits", self.span
                    )
                return type.unpack(bits, 1)[0]
            return super().to_type(parser, type)
