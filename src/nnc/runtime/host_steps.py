"""Steps that Python code runs: single ops, branches, loops, graphs compiled late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from nnc.errors import CompileError, InputError, NncError, RunError
from nnc.runtime.host_attributes import decode_attributes
from nnc.runtime.host_control import CONTROL, Body
from nnc.runtime.host_values import HostValue
from nnc.runtime.program_plan import GraphUse, HostCall, Step

HostStep: TypeAlias = Callable[[Sequence[HostValue]], Sequence[HostValue]]
"""From the inputs of a step to its outputs."""

OWN_DOMAIN: Final = "nnc"
"""The domain of steps that are no ops of a source model."""
DEFERRED: Final = "Deferred"
"""A part of the model that is compiled when types or values of its inputs are known."""
CONSTANT: Final = "Constant"
"""A value that is no tensor of native code, such as one of strings."""


class Graphs(Protocol):
    """What runs the graphs of a program, compiling them for the inputs at hand."""

    def run(self, graph: str, values: Sequence[HostValue]) -> list[HostValue]:
        """The outputs of a graph."""
        ...

    def count(self, graph: str) -> int:
        """How often a graph was compiled."""
        ...

    def close(self) -> None:
        """Free all that was compiled."""
        ...


def host_step(step: Step, graphs: Graphs) -> HostStep:
    """
    What runs a host step.

    Raises:
        CompileError: no such op is known.
    """
    call = step.host
    assert call is not None
    attributes = decode_attributes(call.attributes)
    if call.domain == OWN_DOMAIN:
        run = _own_step(call, attributes, graphs)
    elif call.graphs:
        run = _control_step(call, attributes, graphs)
    else:
        run = _op_step(call, attributes, len(step.outputs))
    return _with_errors(run, f"{call.op_type} (node '{step.node}')")


def _with_errors(run: HostStep, where: str) -> HostStep:
    """The step, whose errors name its node."""
    from nnc.runtime.host_ops.registry import HostOpError

    def named(values: Sequence[HostValue]) -> Sequence[HostValue]:
        try:
            return run(values)
        except HostOpError as error:
            raise RunError(f"{where}: {error}") from error
        except (InputError, CompileError) as error:
            # Of a graph that does not fit the values of this run.
            raise RunError(f"{where}: {error}") from error
        except NncError:
            raise

    return named


def _own_step(
    call: HostCall, attributes: Mapping[str, object], graphs: Graphs
) -> HostStep:
    if call.op_type == CONSTANT:
        value = attributes["value"]
        return lambda values: [value]
    if call.op_type == DEFERRED:
        (graph,) = call.graphs
        return lambda values: graphs.run(graph.graph, values)
    raise CompileError(f"there is no step '{call.op_type}'")


def _op_step(
    call: HostCall, attributes: Mapping[str, object], outputs: int
) -> HostStep:
    from nnc.runtime.host_ops.registry import find_host_op

    op = find_host_op(call.domain, call.op_type, call.version)
    if op is None:
        raise CompileError(
            f"there is no host op {call.op_type} of version {call.version}"
        )
    picks = call.inputs

    def run(values: Sequence[HostValue]) -> Sequence[HostValue]:
        inputs = [None if p < 0 else values[p] for p in picks]
        return op.run(inputs, attributes, outputs)

    return run


def _control_step(
    call: HostCall, attributes: Mapping[str, object], graphs: Graphs
) -> HostStep:
    control = CONTROL.get(call.op_type)
    if control is None:
        raise CompileError(f"there is no control flow '{call.op_type}'")
    picks = call.inputs

    def run(values: Sequence[HostValue]) -> Sequence[HostValue]:
        inputs = [None if p < 0 else values[p] for p in picks]
        bodies = {g.attribute: _body(g, values, graphs) for g in call.graphs}
        return control(inputs, attributes, bodies, call.version)

    return run


def _body(use: GraphUse, values: Sequence[HostValue], graphs: Graphs) -> Body:
    """A graph of a node as a function of its own inputs."""
    captured = [values[p] for p in use.captured]

    def run(inputs: Sequence[HostValue]) -> list[Any]:
        return graphs.run(use.graph, [*inputs, *captured])

    return run
