"""
Converters of recurrent layers: LSTM, GRU and RNN.

The input is projected for all steps by one matrix product; what is left is a loop whose
body multiplies the state by the recurrent weights and applies the gates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.ir import Block, Region, SSAValue

from nnc.dialects.nn import elementwise as ew
from nnc.dialects.nn.control import COUNT, LoopOp
from nnc.dialects.nn.types import (
    I64,
    dims_of,
    element_type_of,
    rank_of,
    tensor_type,
)
from nnc.frontends.common import (
    Builder,
    InvalidNodeError,
    shape_text,
)
from nnc.frontends.onnx.activations import Activation, activations_of
from nnc.frontends.onnx.control import equal_first, reverse
from nnc.frontends.onnx.node import Node
from nnc.frontends.onnx.registry import Converted, converter
from nnc.frontends.regions import build_region, isolate
from nnc.symbolic import Dim

Product = Callable[[SSAValue], SSAValue]
"""From rows to rows times the weights of all gates."""
Step = Callable[[SSAValue, Sequence[SSAValue]], Sequence[SSAValue]]
"""From the projected input and the states of a step to the next states."""


@dataclass
class Layer:
    """What LSTM, GRU and RNN have in common."""

    node: Node
    b: Builder
    gates: int
    state_count: int
    input: SSAValue = field(init=False)
    """Steps, batch, features."""
    hidden: int = field(init=False)
    directions: tuple[bool, ...] = field(init=False)
    """For each direction, whether it runs backwards."""
    is_batch_first: bool = field(init=False)
    clip: float | None = field(init=False)

    def __post_init__(self) -> None:
        node, b = self.node, self.b
        self.is_batch_first = bool(node.attr_int("layout", 0))
        value = node.input(0)
        if rank_of(value) != 3:
            raise InvalidNodeError(f"the input must have 3 axes: {shape_text(value)}")
        self.input = b.transpose(value, [1, 0, 2]) if self.is_batch_first else value
        names = {
            "forward": (False,),
            "reverse": (True,),
            "bidirectional": (False, True),
        }
        direction = node.attr_string("direction", "forward")
        if direction not in names:
            raise InvalidNodeError(f"unknown direction '{direction}'")
        self.directions = names[direction]
        rows = dims_of(self.weights(1))[1].as_int()
        if rows is None or rows % self.gates:
            raise InvalidNodeError(f"weights have {rows} rows for {self.gates} gates")
        self.hidden = rows // self.gates
        if node.attr_int("hidden_size", self.hidden) != self.hidden:
            raise InvalidNodeError(
                f"hidden_size is {node.attr_int('hidden_size')}, the weights are for "
                f"{self.hidden}"
            )
        self.clip = node.attr_float("clip") if node.has_attr("clip") else None
        self.input = b.with_dim(self.input, 2, dims_of(self.weights(1))[2])
        for index, shape in self._expected_shapes().items():
            self._check_shape(index, shape)

    def weights(self, index: int) -> SSAValue:
        """Weights of all directions."""
        value = self.node.input(index)
        if rank_of(value) != 3 or dims_of(value)[0] != len(self.directions):
            raise InvalidNodeError(
                f"input {index} must have 3 axes, the first of {len(self.directions)}: "
                f"{shape_text(value)}"
            )
        return value

    def _expected_shapes(self) -> dict[int, list[Dim | int]]:
        count, rows = len(self.directions), self.gates * self.hidden
        features = dims_of(self.input)[2]
        return {
            1: [count, rows, features],
            2: [count, rows, self.hidden],
            3: [count, 2 * rows],
        }

    def _check_shape(self, index: int, shape: Sequence[Dim | int]) -> None:
        value = self.node.optional_input(index)
        expected = list(map(Dim.of, shape))
        if value is not None and list(dims_of(value)) != expected:
            raise InvalidNodeError(
                f"input {index} should have shape {shape_text(expected)}, not "
                f"{shape_text(value)}"
            )

    # ---- parts of the inputs

    def part(self, index: int, direction: int, start: int, count: int) -> SSAValue:
        """Rows of an input for one direction; gates count `hidden` rows each."""
        value = self.b.take(self.node.input(index), 0, direction)
        size = self.hidden
        if not start and dims_of(value)[0] == count * size:
            return value
        return self.b.slice(value, [start * size], [(start + count) * size], [0], [1])

    def matrix(self, index: int, direction: int, start: int, count: int) -> SSAValue:
        """Weights of some gates, to multiply rows by."""
        return self.b.transpose(self.part(index, direction, start, count), [1, 0])

    def product(self, index: int, direction: int) -> Product:
        """What multiplies rows by the weights of all gates."""
        matrix = self.matrix(index, direction, 0, self.gates)
        return lambda rows: self.b.matmul(rows, matrix)

    def bias(self, direction: int, start: int, count: int) -> SSAValue | None:
        """Bias of some of the 2 * gates rows of input 3."""
        if self.node.optional_input(3) is None:
            return None
        return self.part(3, direction, start, count)

    def projected(self, direction: int, separate: int = 0) -> SSAValue:
        """
        The input times the weights, plus the biases.

        The recurrent bias of the last `separate` gates stays out.
        """
        b, gates = self.b, self.gates
        result = self.product(1, direction)(self.input)
        bias = self.bias(direction, 0, gates)
        recurrent = self.bias(direction, gates, gates - separate)
        if bias is None or recurrent is None:
            return result
        if separate:
            zeros = np.zeros(separate * self.hidden, np.float32)
            zero = b.cast(b.constant(zeros), element_type_of(bias))
            recurrent = b.concat([recurrent, zero], 0)
        return b.add(result, b.add(bias, recurrent))

    def initial(self, index: int, direction: int) -> SSAValue:
        """A state before the first step: batch, hidden."""
        b, value = self.b, self.node.optional_input(index)
        dims = [dims_of(self.input)[1], Dim.of(self.hidden)]
        if value is None:
            zero = b.scalar(0, element_type_of(self.input))
            return b.broadcast_to(zero, dims)
        if rank_of(value) != 3:
            raise InvalidNodeError(f"input {index} must have 3 axes")
        axis = 1 if self.is_batch_first else 0
        return b.dim_cast(b.take(value, axis, direction), dims)

    def clipped(self, value: SSAValue) -> SSAValue:
        """`value` as activations get it."""
        if self.clip is None:
            return value
        return self.b.emit(ew.ClampOp(value, -self.clip, self.clip))

    def gate(self, value: SSAValue, index: int) -> SSAValue:
        """The columns of a gate."""
        size = self.hidden
        return self.b.slice(value, [index * size], [(index + 1) * size], [1], [1])

    # ---- the loop

    def mask(self) -> SSAValue | None:
        """For each step, batch and 1: whether the sequence is that long."""
        lengths = self.node.optional_input(4)
        if lengths is None:
            return None
        steps, batch = dims_of(self.input)[:2]
        b = self.b
        known = b.constant_value(lengths)
        size = steps.as_int()
        if known is not None and size is not None and np.all(known == size):
            return None
        if rank_of(lengths) != 1:
            raise InvalidNodeError("sequence_lens must be a vector")
        lengths = b.cast(b.dim_cast(lengths, [batch]), I64)
        numbers = b.iota([steps, batch], 0, I64)
        wide = b.broadcast_to(b.reshape(lengths, [1, batch]), [steps, batch])
        return b.reshape(b.compare(numbers, wide, "lt"), [steps, batch, 1])

    def run(self, direction: int, projected: SSAValue, step: Step) -> list[SSAValue]:
        """All hidden states in order of time, then the last states."""
        b = self.b
        is_backward = self.directions[direction]
        initial = [self.initial(5 + i, direction) for i in range(self.state_count)]
        scanned = [projected]
        if (mask := self.mask()) is not None:
            scanned.append(mask)
        if is_backward:
            scanned = [reverse(b, value, 0) for value in scanned]
        scanned = equal_first(b, scanned)
        slices = [tensor_type(element_type_of(v), dims_of(v)[1:]) for v in scanned]
        block = Block(arg_types=[COUNT, *(v.type for v in initial), *slices])
        states = block.args[1 : 1 + len(initial)]
        inputs = block.args[1 + len(initial) :]

        def build() -> Sequence[SSAValue]:
            following = list(step(inputs[0], states))
            output = following[0]
            if mask is not None:
                is_on = b.broadcast_to(inputs[1], dims_of(output))
                output = b.select(is_on, output, 0.0)
                following = [
                    b.select(is_on, new, old)
                    for new, old in zip(following, states, strict=True)
                ]
            return [*following, output]

        build_region(b, block, build)
        b.set_location(self.node.name)
        captured = isolate([block])
        trips = dims_of(scanned[0])[0]
        loop = LoopOp(Region(block), initial, scanned, captured, trips=trips)
        *last, stacked = b.emit_all(loop)
        return [reverse(b, stacked, 0) if is_backward else stacked, *last]

    def outputs(self, results: Sequence[Sequence[SSAValue]]) -> list[SSAValue]:
        """The outputs of the node, from those of each direction."""
        b = self.b
        stacked: list[SSAValue] = []
        for index in range(1 + self.state_count):
            axis = 1 if index == 0 else 0
            parts: list[SSAValue] = []
            for values in results:
                dims = dims_of(values[index])
                parts.append(b.reshape(values[index], [*dims[:axis], 1, *dims[axis:]]))
            value = b.concat(parts, axis)
            if self.is_batch_first:
                order = [2, 0, 1, 3] if index == 0 else [1, 0, 2]
                value = b.transpose(value, order)
            stacked.append(value)
        return stacked


@converter("RNN")
def _rnn(node: Node, b: Builder) -> Converted:
    layer = Layer(node, b, gates=1, state_count=1)
    functions = activations_of(node, ["Tanh"], len(layer.directions))
    results: list[list[SSAValue]] = []
    for direction, (activate,) in enumerate(functions):
        recurrent = layer.matrix(2, direction, 0, 1)

        def step(
            x: SSAValue,
            states: Sequence[SSAValue],
            recurrent: SSAValue = recurrent,
            activate: Activation = activate,
        ) -> list[SSAValue]:
            total = b.add(b.matmul(states[0], recurrent), x)
            return [activate(b, layer.clipped(total))]

        results.append(layer.run(direction, layer.projected(direction), step))
    return layer.outputs(results)


@converter("GRU")
def _gru(node: Node, b: Builder) -> Converted:
    layer = Layer(node, b, gates=3, state_count=1)
    functions = activations_of(node, ["Sigmoid", "Tanh"], len(layer.directions))
    is_linear_first = bool(node.attr_int("linear_before_reset", 0))
    results: list[list[SSAValue]] = []
    for direction, (f, g) in enumerate(functions):
        make = _gru_linear_first if is_linear_first else _gru_reset_first
        projected = layer.projected(direction, separate=int(is_linear_first))
        step = make(layer, direction, f, g)
        results.append(layer.run(direction, projected, step))
    return layer.outputs(results)


def _gru_linear_first(
    layer: Layer, direction: int, f: Activation, g: Activation
) -> Step:
    """The reset gate scales what the state was multiplied to: one product a step."""
    b = layer.b
    recurrent = layer.matrix(2, direction, 0, 3)
    bias = layer.bias(direction, 5, 1)

    def step(x: SSAValue, states: Sequence[SSAValue]) -> list[SSAValue]:
        (state,) = states
        product = b.matmul(state, recurrent)
        update, reset = (
            f(b, layer.clipped(b.add(layer.gate(x, i), layer.gate(product, i))))
            for i in range(2)
        )
        linear = layer.gate(product, 2)
        if bias is not None:
            linear = b.add(linear, bias)
        total = b.add(layer.gate(x, 2), b.mul(reset, linear))
        return [_mixed(b, update, g(b, layer.clipped(total)), state)]

    return step


def _gru_reset_first(
    layer: Layer, direction: int, f: Activation, g: Activation
) -> Step:
    """The reset gate scales the state before it is multiplied: two products a step."""
    b = layer.b
    gates = layer.matrix(2, direction, 0, 2)
    candidate = layer.matrix(2, direction, 2, 1)
    size = layer.hidden

    def step(x: SSAValue, states: Sequence[SSAValue]) -> list[SSAValue]:
        (state,) = states
        both = b.slice(x, [0], [2 * size], [1], [1])
        both = f(b, layer.clipped(b.add(b.matmul(state, gates), both)))
        update, reset = layer.gate(both, 0), layer.gate(both, 1)
        product = b.matmul(b.mul(reset, state), candidate)
        total = b.add(product, layer.gate(x, 2))
        return [_mixed(b, update, g(b, layer.clipped(total)), state)]

    return step


def _mixed(b: Builder, update: SSAValue, new: SSAValue, old: SSAValue) -> SSAValue:
    """`(1 - update) * new + update * old`."""
    return b.add(b.mul(b.sub(1.0, update), new), b.mul(update, old))


@converter("LSTM")
def _lstm(node: Node, b: Builder) -> Converted:
    return lstm_outputs(Layer(node, b, gates=4, state_count=2))


def lstm_outputs(layer: Layer) -> list[SSAValue]:
    """
    The outputs of an LSTM.

    Raises:
        InvalidNodeError: its inputs do not fit.
    """
    node = layer.node
    functions = activations_of(node, ["Sigmoid", "Tanh", "Tanh"], len(layer.directions))
    if (peepholes := node.optional_input(7)) is not None and list(
        dims_of(peepholes)
    ) != [len(layer.directions), 3 * layer.hidden]:
        raise InvalidNodeError(f"peepholes have shape {shape_text(peepholes)}")
    results: list[list[SSAValue]] = []
    for direction, (f, g, h) in enumerate(functions):
        step = _lstm_step(layer, direction, f, g, h)
        results.append(layer.run(direction, layer.projected(direction), step))
    return layer.outputs(results)


def _lstm_step(
    layer: Layer, direction: int, f: Activation, g: Activation, h: Activation
) -> Step:
    b = layer.b
    multiplied = layer.product(2, direction)
    has_peepholes = layer.node.optional_input(7) is not None
    peepholes = [
        layer.part(7, direction, i, 1) if has_peepholes else None for i in range(3)
    ]
    is_coupled = bool(layer.node.attr_int("input_forget", 0))

    def seeing(total: SSAValue, cell: SSAValue, index: int) -> SSAValue:
        weights = peepholes[index]
        return total if weights is None else b.add(total, b.mul(weights, cell))

    def step(x: SSAValue, states: Sequence[SSAValue]) -> list[SSAValue]:
        state, cell = states
        # In order: input, output, forget, cell.
        total = b.add(multiplied(state), x)
        parts = [layer.gate(total, i) for i in range(4)]
        enter = f(b, layer.clipped(seeing(parts[0], cell, 0)))
        if is_coupled:
            forget = b.sub(1.0, enter)
        else:
            forget = f(b, layer.clipped(seeing(parts[2], cell, 2)))
        new = g(b, layer.clipped(parts[3]))
        following = b.add(b.mul(forget, cell), b.mul(enter, new))
        leave = f(b, layer.clipped(seeing(parts[1], following, 1)))
        return [b.mul(leave, h(b, following)), following]

    return step
