"""
Register tiles by measuring: what `nnc.compile(tune=True)` adds to a compilation.

The whole network is compiled with each candidate in all of its contractions and
profiled on the inputs at hand. So every contraction is measured where it stands: with
weights that come from memory, operands that were just written, and the threads that it
will have. Each one then gets the candidate with which it was fastest, and the result
must beat the schedules' own choice as a whole.

A candidate cannot change what other launches take by much, so their number is the sum,
not the product, of what there is to choose from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import numpy as np
from xdsl.dialects.builtin import Float32Type

from nnc.dialects.nn.tiles import TileAttr
from nnc.errors import CompileError, InputError, InternalError, RunError
from nnc.lowering.tiling import MAX_COLUMN_VECTORS, column_vectors, max_rows
from nnc.random_inputs import choose_sizes, random_array
from nnc.runtime.executor import CompiledModel
from nnc.runtime.profile import Profile
from nnc.symbolic import parse_dim
from nnc.target import Target
from nnc.transforms.set_tiles import tiles_text

Compile = Callable[[Sequence[str]], CompiledModel]
"""A network compiled with these options of `set-tiles`, as texts of its `tiles`."""

_GAIN: Final = 0.97
"""A tile must be that much faster than the schedule's choice: times jitter."""

_MANY_COLUMNS: Final = 1024


def candidates(target: Target) -> tuple[TileAttr, ...]:
    """The tiles that are tried: of each width as many rows as fit, in both orders."""
    width = target.lanes(Float32Type().bitwidth)
    usual = column_vectors(target, width, _MANY_COLUMNS)
    tiles = [TileAttr(max_rows(target, n), n) for n in range(1, MAX_COLUMN_VECTORS + 1)]
    rows = max_rows(target, usual)
    flat = TileAttr(max(1, rows - 2), usual)
    ordered = (TileAttr(rows, usual, "rows"), TileAttr(rows, usual, "columns"))
    return (*tiles, flat, *ordered)


def tune(
    compile: Compile, contractions: int, target: Target, example_inputs: object
) -> tuple[str, ...]:
    """
    The options of `set-tiles` with which a network of so many contractions is fastest.

    `example_inputs` is an array, a sequence of arrays in the order of the inputs, or a
    mapping from their names; without it, inputs are random and free sizes small.

    Raises:
        CompileError: the network cannot run on these inputs.
    """
    with compile(()) as model:
        arrays = example_arrays(model, example_inputs)
        usual = _profile(model, arrays)
    best = _times(usual, contractions)
    chosen: dict[int, TileAttr] = {}
    limits = best * _GAIN
    for tile in candidates(target):
        with compile(tiles_text(dict.fromkeys(range(contractions), tile))) as model:
            times = _times(_profile(model, arrays), contractions)
        for number in np.flatnonzero(times < np.minimum(best, limits)):
            chosen[int(number)] = tile
            best[number] = times[number]
    if not chosen:
        return ()
    tiles = tiles_text(chosen)
    with compile(tiles) as model:
        return tiles if _profile(model, arrays).seconds < usual.seconds else ()


def example_arrays(model: CompiledModel, given: object) -> list[np.ndarray]:
    """
    The arrays to run a model on: as given, or random ones.

    Raises:
        CompileError: there are not as many as the model has inputs.
    """
    if given is None:
        shapes = [[parse_dim(str(d)) for d in spec.shape] for spec in model.inputs]
        sizes = choose_sizes(shapes, {})
        generator = np.random.default_rng(0)
        return [
            random_array(spec.dtype, [d.evaluate(sizes) for d in shape], generator)
            for spec, shape in zip(model.inputs, shapes, strict=True)
        ]
    names = [spec.name for spec in model.inputs]
    if isinstance(given, Mapping):
        by_name = cast("Mapping[str, object]", given)
        if set(by_name) != set(names):
            raise CompileError(
                f"example_inputs names {', '.join(map(repr, by_name))}, but the inputs "
                f"are {', '.join(map(repr, names))}"
            )
        return [np.asarray(by_name[name]) for name in names]
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        values = list(cast("Sequence[object]", given))
    else:
        values = [given]
    if len(values) != len(names):
        raise CompileError(
            f"example_inputs has {len(values)} arrays for {len(names)} inputs"
        )
    return [np.asarray(value) for value in values]


def _profile(model: CompiledModel, arrays: Sequence[np.ndarray]) -> Profile:
    try:
        return model.profile(*arrays)
    except (InputError, RunError) as error:
        raise CompileError(
            f"tune: the network does not run on the inputs at hand: {error}; pass "
            "example_inputs"
        ) from error


def _times(profile: Profile, contractions: int) -> np.ndarray:
    """Seconds of each contraction in a run; infinite for those that did not run."""
    found = [n for n in profile.launches if n.schedule.startswith("contraction")]
    if len(found) != contractions:
        raise InternalError(
            f"tune: {contractions} contractions became {len(found)} launches"
        )
    return np.array([n.seconds if n.calls else np.inf for n in found])
