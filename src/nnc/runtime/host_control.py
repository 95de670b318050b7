"""Branches and loops whose values change their types: graphs run by Python code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nnc.errors import RunError
from nnc.runtime.host_values import HostValue, described

Body: TypeAlias = Callable[[Sequence[HostValue]], "list[HostValue]"]
"""A graph, as a function of its inputs."""

Control: TypeAlias = Callable[
    [
        Sequence[HostValue],
        Mapping[str, object],
        Mapping[str, Body],
        int,
    ],
    "list[HostValue]",
]
"""From inputs, attributes, graphs by attribute, and opset version to outputs."""


def run_if(
    inputs: Sequence[HostValue],
    attributes: Mapping[str, object],
    bodies: Mapping[str, Body],
    version: int,
) -> list[HostValue]:
    """What the branch gives that the condition chooses."""
    condition = _scalar(inputs[0], "the condition")
    return bodies["then_branch" if condition else "else_branch"]([])


def run_loop(
    inputs: Sequence[HostValue],
    attributes: Mapping[str, object],
    bodies: Mapping[str, Body],
    version: int,
) -> list[HostValue]:
    """The carried values after the last iteration, and the stacked elements."""
    limit = None if inputs[0] is None else int(_scalar(inputs[0], "the trip count"))
    condition = inputs[1] if len(inputs) > 1 else None
    goes_on = condition is None or bool(_scalar(condition, "the condition"))
    carried = list(inputs[2:])
    rows: list[list[HostValue]] = [[] for _ in range(_stacked(attributes, carried))]
    iteration = 0
    while goes_on and (limit is None or iteration < limit):
        number, going = np.array(iteration, np.int64), np.array(True)
        following, *values = bodies["body"]([number, going, *carried])
        goes_on = bool(_scalar(following, "the condition of the body"))
        carried, elements = values[: len(carried)], values[len(carried) :]
        for row, element in zip(rows, elements, strict=True):
            row.append(element)
        iteration += 1
    return [*carried, *_stack_all(rows, attributes)]


def run_scan(
    inputs: Sequence[HostValue],
    attributes: Mapping[str, object],
    bodies: Mapping[str, Body],
    version: int,
) -> list[HostValue]:
    """The states after the last slice, and the stacked elements."""
    if version < 9:
        raise RunError("a scan over a batch cannot be run on the host")
    count = cast(int, attributes["num_scan_inputs"])
    states, scanned = list(inputs[:-count]), inputs[-count:]
    axes = _per_value(attributes, "scan_input_axes", count)
    backwards = _per_value(attributes, "scan_input_directions", count)
    moved = [
        np.moveaxis(_array(v, "a scanned input"), a, 0)
        for v, a in zip(scanned, axes, strict=True)
    ]
    moved = [m[::-1] if b else m for m, b in zip(moved, backwards, strict=True)]
    lengths = {len(m) for m in moved}
    if len(lengths) != 1:
        raise RunError(f"the scanned inputs have lengths {sorted(lengths)}")
    rows: list[list[HostValue]] = [[] for _ in range(_stacked(attributes, states))]
    for position in range(lengths.pop()):
        slices = [np.ascontiguousarray(m[position]) for m in moved]
        values = bodies["body"]([*states, *slices])
        states, elements = values[: len(states)], values[len(states) :]
        for row, element in zip(rows, elements, strict=True):
            row.append(element)
    stacked = _stack_all(rows, attributes)
    axes = _per_value(attributes, "scan_output_axes", len(stacked))
    backwards = _per_value(attributes, "scan_output_directions", len(stacked))
    return [
        *states,
        *(
            np.moveaxis(s[::-1] if back else s, 0, axis)
            for s, axis, back in zip(stacked, axes, backwards, strict=True)
        ),
    ]


def run_sequence_map(
    inputs: Sequence[HostValue],
    attributes: Mapping[str, object],
    bodies: Mapping[str, Body],
    version: int,
) -> list[HostValue]:
    """Sequences of what the graph gives for each element of the first one."""
    first = _sequence(inputs[0])
    results: list[list[HostValue]] = [
        [] for _ in range(cast(int, attributes["outputs"]))
    ]
    for position in range(len(first)):
        elements = [
            _element(cast("list[HostValue]", v), position) if isinstance(v, list) else v
            for v in inputs
        ]
        for result, value in zip(results, bodies["body"](elements), strict=True):
            result.append(value)
    return list(results)


CONTROL: Final[Mapping[str, Control]] = {
    "If": run_if,
    "Loop": run_loop,
    "Scan": run_scan,
    "SequenceMap": run_sequence_map,
}


def _scalar(value: HostValue, what: str) -> Any:
    array = _array(value, what)
    if array.size != 1:
        raise RunError(f"{what} must be one element, not {described(value)}")
    return array.item()


def _array(value: HostValue, what: str) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        raise RunError(f"{what} must be a tensor, not {described(value)}")
    return cast("NDArray[Any]", value)


def _sequence(value: HostValue) -> list[HostValue]:
    if not isinstance(value, list):
        raise RunError(f"the first input must be a sequence, not {described(value)}")
    return cast("list[HostValue]", value)


def _element(values: list[HostValue], position: int) -> HostValue:
    if position >= len(values):
        raise RunError(f"a sequence of {len(values)} has no element {position}")
    return values[position]


def _stacked(attributes: Mapping[str, object], carried: Sequence[HostValue]) -> int:
    return cast(int, attributes["outputs"]) - len(carried)


def _stack_all(
    rows: Sequence[Sequence[HostValue]], attributes: Mapping[str, object]
) -> list[NDArray[Any]]:
    """Each row along a new first axis; of an empty one, what the graph declares."""
    stacked: list[NDArray[Any]] = []
    for position, row in enumerate(rows):
        if not row:
            stacked.append(_array(attributes.get(empty_name(position)), "the result"))
            continue
        arrays = [_array(v, "an element of the result") for v in row]
        kinds = {(a.shape, a.dtype): a for a in arrays}
        if len(kinds) > 1:
            shown = ", ".join(map(described, list(kinds.values())[:2]))
            raise RunError(f"the elements of a result differ: {shown}")
        stacked.append(np.stack(arrays))
    return stacked


def empty_name(position: int) -> str:
    """The attribute that holds a stacked result of no elements."""
    return f"empty{position}"


def _per_value(attributes: Mapping[str, object], name: str, count: int) -> list[int]:
    given = cast("list[int]", attributes.get(name) or [0] * count)
    if len(given) != count:
        raise RunError(f"{name} has {len(given)} entries for {count} values")
    return given
