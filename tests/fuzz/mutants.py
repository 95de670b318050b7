"""
Structure-aware mutants of the onnx package's node cases: all run or are refused.

`python tests/fuzz/mutants.py --minutes 60 --seed 1`
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import campaign
from campaign import Case
from engines import Engine, warm_up
from forked import judge
from mutate import mutated
from seeds import node_cases


def mutants(seed: int) -> Iterator[Case]:
    """Endlessly many cases; each can be made again from its own name."""
    names = sorted(node_cases())
    warm_up()
    for number in itertools.count():
        chance = random.Random(f"{seed}-{number}")
        name = chance.choice(names)
        draft = mutated(replace(node_cases()[name], random=chance))
        model = draft.model.SerializeToString()
        run = partial(Engine().run, model, draft.feeds)
        yield Case(f"{seed}-{number}-{name}", model, draft.feeds, partial(judge, run))


if __name__ == "__main__":
    campaign.main(__doc__ or "", "mutants", mutants)
