"""
The reference interpreter of the `nn` dialect: what a network means, in numpy.

It is the oracle of the tests, the engine of the constant folder and of
`verify-numerically`. It shares no code with the compiler's kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    OpImplResult,
    PythonValues,
    impl,
    impl_callable,
    register_impls,
)
from xdsl.ir import Operation

from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.program import DefineDimsOp, HostOp, RunStageOp
from nnc.dialects.nn.structure import DispatchOp, YieldOp
from nnc.errors import InternalError, NncError
from nnc.interpreters.nn import (
    attention,
    casts,
    control,
    conv,
    elementwise,
    linear,
    movement,
    program,
    reduction,
    regions,
    resize,
    selection,
    structure,
    winograd,
)
from nnc.interpreters.nn.environment import Array, Environment, References, evaluate
from nnc.interpreters.nn.inputs import bind_inputs, main_of
from nnc.weights import WeightStore

GROUPS: Mapping[str, References] = {
    "elementwise": elementwise.REFERENCES,
    "casts": casts.REFERENCES,
    "movement": movement.REFERENCES,
    "resize": resize.REFERENCES,
    "linear": linear.REFERENCES,
    "attention": attention.REFERENCES,
    "conv": conv.REFERENCES,
    "reduction": reduction.REFERENCES,
    "regions": regions.REFERENCES,
    "selection": selection.REFERENCES,
    "structure": structure.REFERENCES,
    "winograd": winograd.REFERENCES,
}
"""The reference implementations by op group."""

_ALL = References()
for _group in GROUPS.values():
    _ALL.update(_group)


class NnFunctions(InterpreterFunctions):
    """The implementations of one op group, in the form xDSL's interpreter takes."""

    def __init__(self, references: References, environment: Environment) -> None:
        self.references = references
        self.environment = environment

    def _impls(self) -> Iterable[tuple[type[Operation], Any]]:  # pyright: ignore[reportIncompatibleMethodOverride] # a table, not decorated methods
        return ((op_type, type(self)._run) for op_type in self.references)

    @classmethod
    def _cast_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _attr_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _ext_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _callable_impls(cls) -> Iterable[Any]:
        return ()

    def _run(
        self, interpreter: Interpreter, op: Operation, operands: PythonValues
    ) -> OpImplResult:
        reference = self.references[type(op)]
        return OpImplResult(evaluate(reference, op, operands, self.environment), None)


@register_impls
class NnRegionFunctions(InterpreterFunctions):
    """What runs regions: dispatches, control flow, the function around everything."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @impl(DispatchOp)
    def run_dispatch(
        self, interpreter: Interpreter, op: DispatchOp, operands: PythonValues
    ) -> PythonValues:
        """The values that the region yields."""
        return structure.run_block(op.block, operands, interpreter.run_op)

    @impl(IfOp)
    def run_if(
        self, interpreter: Interpreter, op: IfOp, operands: PythonValues
    ) -> PythonValues:
        """The values that the region of the condition yields."""
        return control.run_if(op, operands, interpreter.run_op)

    @impl(LoopOp)
    def run_loop(
        self, interpreter: Interpreter, op: LoopOp, operands: PythonValues
    ) -> PythonValues:
        """The values after the last iteration."""
        return control.run_loop(op, operands, interpreter.run_op, self.environment)

    @impl(DefineDimsOp)
    def run_define_dims(
        self, interpreter: Interpreter, op: DefineDimsOp, operands: PythonValues
    ) -> PythonValues:
        """Nothing; symbols have their values from here on."""
        program.define_dims(op, operands, self.environment)
        return ()

    @impl(HostOp)
    def run_host(
        self, interpreter: Interpreter, op: HostOp, operands: PythonValues
    ) -> PythonValues:
        """The outputs of the op."""
        return program.run_host(op, operands)

    @impl(RunStageOp)
    def run_stage(
        self, interpreter: Interpreter, op: RunStageOp, operands: PythonValues
    ) -> PythonValues:
        """The outputs of the stage."""
        return program.run_stage(op, operands, interpreter.run_op, self.environment)

    @impl_callable(FuncOp)
    def call_function(
        self, interpreter: Interpreter, op: FuncOp, operands: PythonValues
    ) -> PythonValues:
        """The values that the function returns."""
        return structure.run_block(op.body.block, operands, interpreter.run_op)


def interpreter_for(
    module: ModuleOp,
    environment: Environment,
    listeners: Sequence[Interpreter.Listener] = (),
) -> Interpreter:
    """An xDSL interpreter that knows the `nn` dialect."""
    interpreter = Interpreter(module, listeners=tuple(listeners))
    for references in GROUPS.values():
        interpreter.register_implementations(NnFunctions(references, environment))
    interpreter.register_implementations(NnRegionFunctions(environment))
    return interpreter


def run_module(
    module: ModuleOp,
    weights: WeightStore,
    inputs: Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]],
    listeners: Sequence[Interpreter.Listener] = (),
    run_seed: int = 0,
) -> list[NDArray[Any]]:
    """
    The outputs of the function `@main` for these inputs, in order.

    Inputs come by position or by name (`nn.name` of the arguments); symbols take their
    values from the shapes. Random numbers without a seed start from `run_seed`.

    Raises:
        InputError: the inputs do not fit the arguments of `@main`.
        RunError: the data made an op fail; names the source node.
    """
    main = main_of(module)
    arrays, symbols = bind_inputs(main, inputs)
    environment = Environment(symbols, weights, run_seed)
    interpreter = interpreter_for(module, environment, listeners)
    with np.errstate(all="ignore"):
        try:
            results: Sequence[Array] = interpreter.call_op(main, tuple(arrays))
        except Exception as error:
            # xDSL wraps what an implementation raises in a diagnostic.
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, NncError):
                    raise cause from None
                cause = cause.__cause__
            raise
    return [np.asarray(r, order="C") for r in results]


def evaluate_op(
    op: Operation,
    operands: Sequence[NDArray[Any]],
    symbols: Mapping[str, int] | None = None,
    weights: WeightStore | None = None,
) -> list[NDArray[Any]]:
    """
    The results of a single op, for instance in a constant folder.

    Raises:
        RunError: the data make the op fail.
        InternalError: the op has no reference implementation.
    """
    environment = Environment(symbols or {}, weights or WeightStore())

    def run(inner: Operation, values: tuple[Array, ...]) -> Sequence[Array]:
        return evaluate_op(inner, values, environment.symbols, environment.weights)

    match op:
        case DispatchOp():
            return list(structure.run_block(op.block, operands, run))
        case IfOp():
            return list(control.run_if(op, operands, run))
        case LoopOp():
            return list(control.run_loop(op, operands, run, environment))
        case _:
            pass
    reference = _ALL.get(type(op))
    if reference is None:
        raise InternalError(f"{op.name} has no reference implementation")
    return list(evaluate(reference, op, operands, environment))


def has_reference(op: Operation) -> bool:
    """Whether `evaluate_op` knows the op."""
    if op.regions:
        return isinstance(op, DispatchOp | IfOp | LoopOp) and all(
            isinstance(inner, YieldOp) or has_reference(inner)
            for region in op.regions
            for inner in region.block.ops
        )
    return type(op) in _ALL
