"""
Random valid models: nnc computes what the onnx package's reference says.

`python tests/fuzz/random_models.py --minutes 60 --seed 1`
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

import campaign
import numpy as np
import rules_control
import rules_elementwise
import rules_linear
import rules_movement
import rules_other
import rules_reduction
from campaign import Case
from engines import Array, Engine, Mismatch, difference, warm_up
from forked import Verdict, judge
from onnx import ModelProto
from reduce import reduced, with_output
from writer import (
    WRONG_IN_REFERENCE,
    Impossible,
    Rule,
    Written,
    check_use,
    run_reference,
    write_model,
)

from nnc.errors import InputError, ModelError, RunError, UnsupportedOp

GROUPS: Final[Sequence[Sequence[Rule]]] = (
    rules_elementwise.RULES,
    rules_reduction.RULES,
    rules_movement.RULES,
    rules_linear.RULES,
    rules_other.RULES,
    rules_control.RULES,
)
_SECONDS: Final = 30


def random_model(chance: random.Random) -> Written:
    """One node of any op, or a small graph of mixed ones."""
    if chance.random() < 0.4:
        return write_model(chance, [chance.choice(chance.choice(GROUPS[:-1]))], 1)
    weights = [chance.choice((0, 1, 2, 4)) for _ in GROUPS[:-1]]
    groups = random.Random(chance.random()).choices(
        GROUPS[:-1], [w + 0.1 for w in weights], k=12
    )
    rules = [chance.choice(group) for group in groups]
    if chance.random() < 0.2:
        rules.append(chance.choice(rules_control.RULES))
    return write_model(chance, rules, chance.randint(3, 14))


def check(written: Written, engine: Engine) -> None:
    """
    Compile a model, run it, compare; then at other sizes, if it has free ones.

    Raises:
        Mismatch: a result differs; names the first node that shows it.
        NncError: it was not compiled.
    """
    with engine.loaded(written.model.SerializeToString()) as exe:
        results = exe.run(None, written.feeds)
        text = _first_difference(results, written.expected, written)
        if text is not None:
            raise _explained(written, engine, text)
        other = at_other_sizes(written)
        if other is None:
            return
        try:
            results = exe.run(None, other.feeds)
        except (InputError, UnsupportedOp, ModelError, RunError):
            # Something in the model, or an index, does not go with these sizes.
            return
        text = _first_difference(results, other.expected, other)
        if text is not None:
            raise Mismatch(f"at other sizes {'-'.join(other.ops)[:60]}", text)


def at_other_sizes(written: Written) -> Written | None:
    """The model with inputs of other free sizes, if it can have those."""
    if set(written.ops) & WRONG_IN_REFERENCE.keys():
        return None
    chance = random.Random("-".join(written.ops))
    sizes: dict[str, int] = {}
    feeds: dict[str, Array] = {}
    for info in written.model.graph.input:
        shape: list[int] = []
        for dim in info.type.tensor_type.shape.dim:
            new = chance.choice((1, 2, 3, 5, 8, 13, 17, 33))
            known = sizes.setdefault(dim.dim_param, new)
            shape.append(known if dim.dim_param else dim.dim_value)
        feeds[info.name] = np.resize(written.feeds[info.name], shape)
    if all(feeds[n].shape == a.shape for n, a in written.feeds.items()):
        return None
    try:
        expected = run_reference(written.model, feeds)
        for array in expected:
            check_use(array)
    except Impossible:
        return None
    return replace(written, feeds=feeds, expected=expected)


def _first_difference(
    results: Sequence[Array], expected: Sequence[Array], w: Written
) -> str | None:
    for ours, theirs in zip(results, expected, strict=True):
        text = difference(ours, theirs, w.scale, w.precision)
        if text is not None:
            return text
    return None


def _explained(written: Written, engine: Engine, text: str) -> Mismatch:
    """Whether it is seen before any lowering, and the first node that shows it."""
    whole = written.model.SerializeToString()
    interpreted = engine.interpret(whole, written.feeds)
    same = _first_difference(interpreted, written.expected, written) is None
    layer = "lowering" if same else "frontend"
    for node in written.model.graph.node:
        for output in node.output:
            part = with_output(written.model, output)
            (ours,) = _run_part(part, written, engine)
            theirs = written.values[output]
            found = difference(ours, theirs, written.scale, written.precision)
            if found is not None:
                kind = f"{layer} {node.op_type} {theirs.dtype}"
                return Mismatch(kind, f"{output} of {node.op_type}: {found}")
    return Mismatch(f"{layer} together", text)


def _run_part(model: ModelProto, written: Written, engine: Engine) -> list[Array]:
    names = {i.name for i in model.graph.input}
    feeds = {n: a for n, a in written.feeds.items() if n in names}
    return engine.run(model.SerializeToString(), feeds)


def random_cases(seed: int) -> Iterator[Case]:
    """Endlessly many models; each can be made again from its own name."""
    warm_up()
    for number in itertools.count():
        chance = random.Random(f"{seed}-{number}")
        try:
            written = random_model(chance)
        except Impossible:
            continue
        engine = Engine.random(chance)
        name = f"{seed}-{number}-{engine}-{'-'.join(written.ops[:3])}"
        model = written.model.SerializeToString()
        yield Case(
            name,
            model,
            written.feeds,
            partial(judged, partial(check, written, engine)),
            partial(_smaller, written, engine),
        )


def judged(run: Callable[[], object]) -> Verdict:
    return judge(run, seconds=_SECONDS, allowed=(UnsupportedOp,))


def _smaller(written: Written, engine: Engine, kind: str) -> bytes:
    """A part of the model with the same finding, if it is no wrong result."""

    def verdict(part: ModelProto) -> Verdict:
        return judged(partial(_run_part, part, written, engine))

    return reduced(written.model, verdict, kind).SerializeToString()


if __name__ == "__main__":
    campaign.main(__doc__ or "", "models", random_cases)
