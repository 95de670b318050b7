"""Reference implementations of what is between the stages of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation

from nnc.dialects.nn.base import ints, location_of
from nnc.dialects.nn.program import DefineDimsOp, HostOp, RunStageOp
from nnc.errors import RunError
from nnc.interpreters.nn.environment import Array, Environment
from nnc.interpreters.nn.inputs import main_of
from nnc.interpreters.nn.structure import run_block

RunOp = Callable[[Operation, tuple[Array, ...]], Sequence[Array]]


def define_dims(op: DefineDimsOp, operands: Sequence[Array], env: Environment) -> None:
    """
    Give the symbols their values.

    Raises:
        RunError: one is negative.
    """
    values = operands[0].tolist()
    for value in values:
        if value < 0:
            raise RunError(f"node '{location_of(op)}': {op.what.data} is {value}")
    env.define(dict(zip(op.names, values, strict=True)))


def run_host(op: HostOp, operands: Sequence[Any]) -> tuple[Any, ...]:
    """
    The outputs of an op that the host runs.

    Raises:
        RunError: its data are not what it needs, or it is no single op.
    """
    from nnc.runtime.host_attributes import decode_attributes
    from nnc.runtime.host_ops.registry import HostOpError, find_host_op

    version = op.version.value.data
    host_op = find_host_op(op.domain.data, op.op_type.data, version)
    if op.graphs is not None or host_op is None:
        raise RunError(
            f"node '{location_of(op)}': only compiled models run {op.op_type.data}"
        )
    inputs = [None if p < 0 else operands[p] for p in ints(op.inputs)]
    attributes = decode_attributes(op.attributes_text.data)
    try:
        results = host_op.run(inputs, attributes, len(op.res))
    except HostOpError as error:
        raise RunError(f"node '{location_of(op)}': {error}") from error
    return tuple(results[: len(op.res)])


def run_stage(
    op: RunStageOp, operands: Sequence[Array], run_op: RunOp, env: Environment
) -> tuple[Array, ...]:
    """What a stage gives; its symbols have their values already."""
    arguments = list(operands)
    if op.sizes.dims:
        arguments.append(np.array(env.sizes(op.sizes.dims, op), np.int64))
    return run_block(_main_of_stage(op).body.block, arguments, run_op)


def _main_of_stage(op: RunStageOp) -> FuncOp:
    module = op.parent_op()
    while module is not None and not isinstance(module, ModuleOp):
        module = module.parent_op()
    stage = op.stage.root_reference
    for inner in () if module is None else module.body.block.ops:
        if isinstance(inner, ModuleOp) and inner.sym_name == stage:
            return main_of(inner)
    raise RunError(f"{op.name}: there is no stage @{stage.data}")
