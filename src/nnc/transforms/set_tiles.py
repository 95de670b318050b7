"""
set-tiles: contractions are told which register tile to use.

Before::

    %0 = nn.dispatch(%x, %w) : ... {
      ... nn.matmul ...

After `set-tiles{tiles="0:6x4"}`::

    %0 = nn.dispatch(%x, %w) {tile = #nn.tile<6 x 4>} : ... {
      ... nn.matmul ...

`tiles` names contractions by their number in the text, `all` stands for those that it
does not name. Without options, nothing
changes: schedules choose. Tuning finds such options by measuring.

On entry: dispatches are formed, and weights are not packed yet, as panels are as wide
as tiles. On exit: the same, with tiles. Products of Winograd's convolution keep the
tile that their transformed images are laid out for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import DiagnosticException

from nnc.analysis.dispatches import is_contraction
from nnc.dialects.nn.structure import DispatchOp
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import dims_of, element_type_of, is_float
from nnc.dialects.nn.winograd import WinogradProductOp
from nnc.lowering.tiling import MAX_COLUMN_VECTORS


def tiled_dispatches(module: ModuleOp) -> Iterator[DispatchOp]:
    """The contractions of a program, in the order of its text."""
    for dispatch in module.walk():
        if isinstance(dispatch, DispatchOp) and _is_computed(dispatch):
            yield dispatch


def _is_computed(dispatch: DispatchOp) -> bool:
    """Whether it is a contraction that becomes a launch."""
    anchor = next((op for op in dispatch.block.ops if is_contraction(op)), None)
    if anchor is None or isinstance(anchor, WinogradProductOp):
        return False
    return all(dim != 0 for dim in dims_of(anchor.results[0]))


def _has_choice(dispatch: DispatchOp) -> bool:
    """Products of integers are computed without tiles."""
    anchor = next(op for op in dispatch.block.ops if is_contraction(op))
    return is_float(element_type_of(anchor.operands[0]))


def parse_tiles(texts: Iterable[str]) -> dict[int, TileAttr]:
    """
    Tiles by number, from texts such as `3:14x2`.

    Raises:
        ValueError: a text is none.
    """
    tiles: dict[int, TileAttr] = {}
    for text in texts:
        number, _, tile = text.partition(":")
        if not number.isdecimal():
            raise ValueError(
                f"'{text}' does not begin with the number of a contraction"
            )
        tiles[int(number)] = TileAttr.of(tile)
    return tiles


def tiles_text(tiles: Mapping[int, TileAttr]) -> tuple[str, ...]:
    """What `parse_tiles` reads."""
    return tuple(f"{number}:{tile.text}" for number, tile in sorted(tiles.items()))


@dataclass(frozen=True)
class SetTilesPass(ModulePass):
    """Say which register tiles contractions use."""

    name: ClassVar[str] = "set-tiles"

    tiles: tuple[str, ...] = ()
    """As in `tiles="0:14x2","3:6x4:rows"`."""

    all: str = ""
    """The tile of contractions that `tiles` does not name."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Visit all contractions."""
        _ = ctx
        try:
            tiles = parse_tiles(self.tiles)
            default = TileAttr.of(self.all) if self.all else None
        except ValueError as error:
            raise DiagnosticException(f"{self.name}: {error}") from error
        for tile in (*tiles.values(), *((default,) if default else ())):
            if tile.vectors.data > MAX_COLUMN_VECTORS:
                raise DiagnosticException(
                    f"{self.name}: {tile.text} has more than {MAX_COLUMN_VECTORS} "
                    "vectors a row"
                )
        for number, dispatch in enumerate(tiled_dispatches(op)):
            tile = tiles.get(number, default)
            if tile is not None and _has_choice(dispatch):
                dispatch.tile = tile
