"""
Models whose buffers all lie against pages without access: no kernel leaves its buffers.

`python tests/fuzz/guards.py --minutes 60 --seed 1`
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import campaign
from campaign import Case
from engines import Array, Engine, warm_up
from forked import judge
from guarded import Side, run_guarded
from onnx import ModelProto, TensorProto
from random_models import random_model
from seeds import node_cases
from writer import Impossible


def _model(chance: random.Random) -> tuple[str, bytes, Mapping[str, Array]]:
    """A node case of numbers only, or a random model."""
    if chance.random() < 0.4:
        cases = node_cases()
        name = chance.choice([n for n in sorted(cases) if _is_numeric(cases[n].model)])
        draft = node_cases()[name]
        return name, draft.model.SerializeToString(), draft.feeds
    written = random_model(chance)
    return "-".join(written.ops[:3]), written.model.SerializeToString(), written.feeds


def _is_numeric(model: ModelProto) -> bool:
    """Whether inputs and outputs are tensors of numbers."""
    values = [*model.graph.input, *model.graph.output]
    kinds = [v.type.tensor_type.elem_type for v in values]
    return all(kinds) and TensorProto.STRING not in kinds


def guarded_runs(seed: int) -> Iterator[Case]:
    """Endlessly many models; each can be made again from its own name."""
    warm_up()
    for number in itertools.count():
        chance = random.Random(f"{seed}-{number}")
        try:
            name, model, feeds = _model(chance)
        except Impossible:
            continue
        engine = replace(Engine.random(chance), threads=1)
        side: Side = chance.choice(("left", "right", "right"))
        run = partial(run_guarded, engine, model, feeds, side)
        label = f"{seed}-{number}-{engine}-{side}-{name}"
        yield Case(label, model, dict(feeds), partial(judge, run))


if __name__ == "__main__":
    campaign.main(__doc__ or "", "guards", guarded_runs)
