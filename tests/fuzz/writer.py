"""
Random valid ONNX models, written node by node.

Each node is evaluated as soon as it is written, by the onnx package's reference: the
writer always knows shapes and values, leaves out nodes whose results are useless
(NaN, huge), and has the expected outputs at the end.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]

OPSET: Final = 23
IR_VERSION: Final = 11
WRONG_IN_REFERENCE: Final = {
    "GlobalMaxPool": "keeps all but the last two axes of pixels",
    "LRN": "takes the number of images for that of channels",
    "LpNormalization": "of order 1 adds values with their signs",
    "MaxPool": "exchanges pads of different axes",
    "ReduceSumSquare": "gives i64 for i32",
    "Loop": "joins what the rounds give along the first axis, without a new one",
}
"""What ONNX Runtime has to tell instead, and why."""
MOST_ELEMENTS: Final = 6000
LARGEST: Final = 1000.0
"""Of a result: larger ones would hide errors behind the tolerance."""

FLOATS: Final = ("float32", "float32", "float32", "float64", "float16")
INTEGERS: Final = ("int64", "int32", "int8", "uint8", "int16", "uint16", "uint32")


class Impossible(Exception):
    """A rule cannot be applied to what it drew; another is tried."""


@dataclass(frozen=True)
class Value:
    """A tensor of the model."""

    name: str
    array: Array
    is_exact: bool
    """Whether every right engine has the same bits: then results may be discrete."""
    is_constant: bool = False
    dims: tuple[int | str, ...] = ()
    """Of an input: sizes and names, as declared."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes in this run."""
        return self.array.shape

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return self.array.ndim

    @property
    def kind(self) -> str:
        """numpy's letter: f, i, u or b."""
        return self.array.dtype.kind


@dataclass(frozen=True)
class Written:
    """A finished model, inputs for it and what it gives."""

    model: ModelProto
    feeds: dict[str, Array]
    expected: list[Array]
    scale: float
    """The largest value in it: rounding errors are in proportion to that."""
    precision: str
    """The coarsest float type in it."""
    values: dict[str, Array]
    """Every result by name."""
    ops: tuple[str, ...]


class Writer:
    """Appends nodes; rules call it."""

    def __init__(self, chance: random.Random, opset: int = OPSET) -> None:
        self.chance = chance
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.values: list[Value] = []
        """Inputs, constants and results that later nodes may read."""
        self.inputs: list[Value] = []
        self.constants: list[Value] = []
        self.results: list[Value] = []
        self.is_dynamic = chance.random() < 0.6
        self._count = 0
        self._numbers = np.random.default_rng(chance.randrange(2**32))

    # ---- choices

    def pick(self, items: Iterable[Any]) -> Any:
        """One of the items."""
        found = list(items)
        if not found:
            raise Impossible
        return self.chance.choice(found)

    def flip(self, probability: float = 0.5) -> bool:
        """Whether something that is that probable happens."""
        return self.chance.random() < probability

    def size(self, most: int = 9) -> int:
        """A size of an axis: often small, at times 0, one, or around a vector."""
        kind = self.chance.random()
        if kind < 0.03:
            return 0
        if kind < 0.2:
            return 1
        if kind < 0.3:
            return min(self.chance.choice((7, 8, 9, 15, 16, 17, 31, 33)), most * 4)
        return self.chance.randint(2, most)

    def shape(self, rank: int | None = None) -> tuple[int, ...]:
        """A shape of few elements."""
        if rank is None:
            rank = self.chance.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))
        while True:
            sizes = tuple(self.size() for _ in range(rank))
            if np.prod(sizes) <= MOST_ELEMENTS // 4:
                return sizes

    def axis(self, value: Value) -> int:
        """Any axis, counted from either end."""
        if not value.rank:
            raise Impossible
        return self.chance.randrange(-value.rank, value.rank)

    def value(
        self, kinds: str = "f", accept: Callable[[Value], bool] = lambda v: True
    ) -> Value:
        """A value of the model that fits; a new input if there is none."""
        fits = [v for v in self.values if v.kind in kinds and accept(v)]
        if fits and self.flip(0.85):
            # What was computed last is the likeliest, so that chains grow.
            return fits[-1] if self.flip(0.5) else self.chance.choice(fits)
        for _ in range(8):
            made = self.new(self.shape(), self.dtype(kinds))
            if accept(made):
                return made
        raise Impossible

    def dtype(self, kinds: str) -> str:
        """A dtype of one of the kinds."""
        kind = self.chance.choice(kinds)
        if kind == "f":
            return self.chance.choice(FLOATS)
        if kind == "b":
            return "bool"
        return self.chance.choice(
            [d for d in INTEGERS if d.startswith(("int", "uint")[kind == "u"])]
        )

    # ---- data

    def data(self, shape: Sequence[int], dtype: str) -> Array:
        """Values without surprises: small numbers, no two of them close by chance."""
        kind = np.dtype(dtype).kind
        if kind == "f":
            steps = self._numbers.integers(-48, 49, shape)
            return np.asarray(steps / 16 + 1 / 64, dtype)
        if kind == "b":
            return np.asarray(self._numbers.random(shape) < 0.5)
        low = 0 if kind == "u" else -5
        return np.asarray(self._numbers.integers(low, 8, shape), dtype)

    def new(self, shape: Sequence[int], dtype: str = "float32") -> Value:
        """A new input, or now and then a constant."""
        array = self.data(shape, dtype)
        return self.constant(array) if self.flip(0.3) else self.input(array)

    def input(self, array: Array) -> Value:
        """An input of the model; some of its sizes are free in dynamic models."""
        name = f"x{len(self.inputs)}"
        dims: list[int | str] = list(array.shape)
        if self.is_dynamic:
            for i, size in enumerate(array.shape):
                # A free size never stands for the 1 that is repeated.
                if size != 1 and self.flip(0.6):
                    dims[i] = f"s{size}" if self.flip(0.7) else f"{name}_{i}"
        value = Value(name, array, True, False, tuple(dims))
        self.inputs.append(value)
        self.values.append(value)
        return value

    def constant(self, array: Array, *, is_shared: bool = True) -> Value:
        """An initializer; `is_shared` if other nodes may read it as well."""
        value = Value(f"c{len(self.constants)}", array, True, True)
        self.constants.append(value)
        if is_shared:
            self.values.append(value)
        return value

    def ints(self, *numbers: int) -> Value:
        """A constant vector of i64: axes, shapes, pads."""
        return self.constant(np.array(numbers, np.int64), is_shared=False)

    def like(self, value: Value, shape: Sequence[int]) -> Value:
        """Something of this shape with the dtype of `value`."""
        dtype = value.array.dtype
        fits = [
            v for v in self.values if v.shape == tuple(shape) and v.array.dtype == dtype
        ]
        if fits and self.flip(0.6):
            return self.chance.choice(fits)
        return self.new(shape, dtype.name)

    def broadcast_partner(self, value: Value) -> Value:
        """Something that broadcasts with `value`."""
        shape = [s if self.flip(0.7) else 1 for s in value.shape]
        kind = self.chance.random()
        if kind < 0.3:
            shape = shape[self.chance.randint(0, len(shape)) :]
        elif kind < 0.4 and value.rank < 4:
            shape = [self.size(3), *shape]
        elif kind < 0.7:
            shape = list(value.shape)
        if self.flip(0.3):
            shape = [self.size(4) if s == 1 and self.flip() else s for s in shape]
            shape = (
                [
                    v if s != v and v != 1 else s
                    for s, v in zip(
                        shape, value.shape[value.rank - len(shape) :], strict=True
                    )
                ]
                if len(shape) <= value.rank
                else shape
            )
        return self.like(value, shape)

    # ---- nodes

    def node(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        *,
        outputs: int = 1,
        is_exact: bool = False,
        domain: str = "",
        **attributes: Any,
    ) -> Value:
        """Append a node; its first result. All results can be read later."""
        return self.node_all(
            op_type,
            inputs,
            outputs=outputs,
            is_exact=is_exact,
            domain=domain,
            **attributes,
        )[0]

    def node_all(
        self,
        op_type: str,
        inputs: Sequence[Value | None],
        *,
        outputs: int = 1,
        is_exact: bool = False,
        domain: str = "",
        outer: Sequence[Value] = (),
        **attributes: Any,
    ) -> list[Value]:
        """
        Append a node; all of its results.

        Raises:
            Impossible: it gives what is of no use; nothing was appended.
        """
        names = [f"v{self._count + i}" for i in range(outputs)]
        given = ["" if v is None else v.name for v in inputs]
        node = helper.make_node(op_type, given, names, domain=domain, **attributes)
        read = [v for v in inputs if v is not None]
        arrays = evaluate(node, [*read, *outer], self.opset)
        for array in arrays:
            check_use(array)
        self._count += outputs
        self.nodes.append(node)
        exact = is_exact and all(v.is_exact for v in read)
        made = [
            Value(name, array, exact or array.dtype.kind != "f")
            for name, array in zip(names, arrays, strict=True)
        ]
        self.values.extend(made)
        self.results.extend(made)
        return made

    # ---- the end

    def finish(self) -> Written:
        """The model with what nobody read as outputs, and some others."""
        if not self.results:
            raise Impossible
        read = {name for node in self.nodes for name in names_read(node)}
        outputs = [v for v in self.results if v.name not in read or self.flip(0.15)]
        graph = helper.make_graph(
            self.nodes,
            "g",
            [value_info(v.name, v.array, v.dims) for v in self.inputs],
            [value_info(v.name, v.array) for v in outputs],
            [numpy_helper.from_array(v.array, v.name) for v in self.constants],
        )
        for info in graph.output:
            # Only the types: sizes may depend on those that are free.
            info.type.tensor_type.ClearField("shape")
        model = model_of(graph, self.opset)
        return Written(
            model,
            {v.name: v.array for v in self.inputs},
            [v.array for v in outputs],
            max([1.0, *(_largest(v.array) for v in self.values)]),
            _coarsest(v.array for v in self.values),
            {v.name: v.array for v in self.results},
            tuple(n.op_type for n in self.nodes),
        )


def check_use(array: Array) -> None:
    """
    Check that a result can be built on.

    Raises:
        Impossible: it is too large, or holds NaN or numbers that are too large.
    """
    if array.size > MOST_ELEMENTS:
        raise Impossible
    if array.dtype.kind == "f" and array.size:
        largest = np.abs(array.astype(np.float64)).max()
        if not largest < LARGEST:
            raise Impossible


def _coarsest(arrays: Iterable[Array]) -> str:
    found = [a.dtype for a in arrays if a.dtype.kind == "f"]
    return min(found, key=lambda d: d.itemsize).name if found else "float32"


def _largest(array: Array) -> float:
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    return float(np.abs(array.astype(np.float64)).max())


def names_read(node: NodeProto) -> list[str]:
    """What a node and its subgraphs read."""
    names = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                names.extend(names_read(inner))
            names.extend(o.name for o in attribute.g.output)
    return names


def value_info(
    name: str, array: Array, dims: Sequence[int | str] | None = None
) -> ValueInfoProto:
    """The declaration of a tensor."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(
        name, kind, array.shape if dims is None else dims
    )


def model_of(graph: GraphProto, opset: int) -> ModelProto:
    """A model of one opset."""
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def evaluate(node: NodeProto, values: Sequence[Value], opset: int) -> list[Array]:
    """What the onnx package's reference says."""
    feeds = {v.name: v.array for v in values}
    inputs = [value_info(name, array) for name, array in feeds.items()]
    outputs = [helper.make_empty_tensor_value_info(o) for o in node.output]
    graph = helper.make_graph([node], "node", inputs, outputs)
    model = model_of(graph, opset)
    if node.op_type in WRONG_IN_REFERENCE:
        return run_onnx_runtime(model, feeds)
    return run_reference(model, feeds)


def run_onnx_runtime(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """
    The outputs of a model by ONNX Runtime, without its optimisations.

    Raises:
        Impossible: it fails.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(None, dict(feeds))
    except Exception as error:  # of many kinds
        raise Impossible(repr(error)) from error
    return [np.asarray(r) for r in results]


def run_reference(model: ModelProto, feeds: Mapping[str, Array]) -> list[Array]:
    """
    The outputs of a model by the onnx package's reference.

    Raises:
        Impossible: it fails.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            results = ReferenceEvaluator(model).run(None, dict(feeds))
        except Exception as error:  # of many kinds: it does not check its arguments
            raise Impossible(repr(error)) from error
    return [np.asarray(r) for r in results]


Rule = Callable[[Writer], object]


def write_model(chance: random.Random, rules: Sequence[Rule], nodes: int) -> Written:
    """A model of about that many nodes; rules are applied at random."""
    writer = Writer(chance)
    for _ in range(nodes * 8):
        if len(writer.nodes) >= nodes:
            break
        try:
            chance.choice(rules)(writer)
        except Impossible:
            continue
    return writer.finish()


__all__ = ["Impossible", "Rule", "Value", "Writer", "Written", "onnx", "write_model"]
