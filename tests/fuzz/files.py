"""
Damaged model files: each is refused, or is a model after all.

`python tests/fuzz/files.py --minutes 60 --seed 1`
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

import campaign
import numpy as np
from campaign import Case
from engines import warm_up
from forked import judge
from seeds import small_files

import nnc
from nnc.errors import InputValuesNeeded

_LARGEST_INPUT: Final = 1 << 16


def compile_and_run(data: bytes) -> None:
    """Compile; where the inputs are small, run on zeros."""
    try:
        exe = nnc.compile(data, cache=False, num_threads=1)
    except InputValuesNeeded:
        return
    with exe:
        feeds: dict[str, object] = {}
        for spec in exe.inputs:
            shape = [d if isinstance(d, int) else 2 for d in spec.shape]
            if np.prod(shape, dtype=float) > _LARGEST_INPUT:
                return
            feeds[spec.name] = np.zeros(shape, spec.dtype)
        exe.run(None, feeds)


# ---------------------------------------------------------------- damage


def _flip(data: bytearray, chance: random.Random) -> None:
    """Change bits of some bytes."""
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: random.Random) -> None:
    """Put bytes that mean much to parsers."""
    piece = chance.choice(
        (b"\xff", b"\x00", b"\x80", b"\x7f", b"\xff" * 9 + b"\x01", b"\x80" * 10)
    )
    start = chance.randrange(len(data))
    data[start : start + len(piece)] = piece


def _truncate(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _remove(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.choice((1, 2, 8, 64))]


def _repeat(data: bytearray, chance: random.Random) -> None:
    """Splice a piece of the file in elsewhere."""
    start = chance.randrange(len(data))
    piece = bytes(data[start : start + chance.choice((1, 4, 16, 64, 256))])
    place = chance.randrange(len(data))
    data[place:place] = piece * chance.choice((1, 1, 2, 100))


def _length(data: bytearray, chance: random.Random) -> None:
    """Change what is likely the length of a field: the byte behind a bytes tag."""
    places = [i + 1 for i, b in enumerate(data[:-1]) if b & 7 == 2]
    if places:
        place = chance.choice(places)
        data[place] = chance.choice((0, 1, data[place] ^ 1, 0x7F, 0xFF))


_DAMAGES: Final[Sequence[Callable[[bytearray, random.Random], None]]] = (
    _flip,
    _flip,
    _overwrite,
    _truncate,
    _remove,
    _repeat,
    _length,
    _length,
)


def damaged(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """A changed copy; at times its beginning with the end of another file."""
    changed = bytearray(data)
    if chance.random() < 0.1:
        start = chance.randrange(len(changed))
        changed[start:] = other[chance.randrange(len(other)) :]
    for _ in range(chance.choice((1, 1, 2, 4))):
        if changed:
            chance.choice(_DAMAGES)(changed, chance)
    return bytes(changed)


def damaged_files(seed: int) -> Iterator[Case]:
    """Endlessly many files; each can be made again from its own name."""
    seeds = small_files()
    warm_up()
    for number in itertools.count():
        chance = random.Random(f"{seed}-{number}")
        data = damaged(chance.choice(seeds), chance.choice(seeds), chance)
        run = partial(compile_and_run, data)
        yield Case(f"{seed}-{number}", data, {}, partial(judge, run))


if __name__ == "__main__":
    campaign.main(__doc__ or "", "files", damaged_files)
