"""
nnc as a backend of the `onnx` package: `onnx.backend.base.Backend`.

Example::

    from nnc.integrations.onnx_backend import NncBackend

    outputs = NncBackend.run_model(model, [x])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from onnx import ModelProto, NodeProto, TypeProto, ValueInfoProto, helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict
from onnx.defs import onnx_opset_version

import nnc
from nnc.errors import CompileError, InputError
from nnc.runtime.executor import CompiledModel
from nnc.runtime.program import ProgramModel
from nnc.runtime.specs import Array

_DEVICES: Final = ("CPU",)


class NncBackendRep(BackendRep):
    """A compiled model, as the `onnx` package runs it."""

    def __init__(self, model: ModelProto, **options: Any) -> None:
        """
        For a model and the options of `nnc.compile`.
        """
        self.executable: CompiledModel | ProgramModel = nnc.compile(model, **options)
        """What `nnc.compile` gave."""
        graph = model.graph
        constants = {tensor.name for tensor in graph.initializer}
        self._inputs = [i.name for i in graph.input if i.name not in constants]
        self._outputs = namedtupledict("Outputs", [o.name for o in graph.output])

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """
        The outputs, by position and by name.

        `inputs` is one array, a sequence of arrays in the order of the graph, or a
        mapping from names.

        Raises:
            InputError: they do not fit the model, or a keyword is given.
            RunError: the data made an op fail; names the node.
        """
        if kwargs:
            raise InputError(f"run takes no keyword {', '.join(sorted(kwargs))}")
        if isinstance(inputs, Mapping):
            feeds = cast("Mapping[str, object]", inputs)
        else:
            values = _listed(inputs)
            if len(values) != len(self._inputs):
                raise InputError(
                    f"the model has {len(self._inputs)} inputs, got {len(values)}"
                )
            feeds = dict(zip(self._inputs, values, strict=True))
        return self._outputs(*self.executable.run(None, feeds))


class NncBackend(Backend):
    """
    Compiles ONNX models for this machine's CPU.

    Keywords of `prepare`, `run_model` and `run_node` are those of `nnc.compile`.
    """

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether nnc makes code for a device: `CPU` alone."""
        return device.partition(":")[0] in _DEVICES

    @classmethod
    def prepare(
        cls, model: ModelProto, device: str = "CPU", **kwargs: Any
    ) -> NncBackendRep:
        """
        Compile a model.

        Raises:
            CompileError: the device is not the CPU, or an option is not supported.
            UnsupportedOp: lists every op of the model that nnc does not know.
        """
        if not cls.supports_device(device):
            raise CompileError(f"nnc compiles for the CPU, not for '{device}'")
        assert Device(device).type == DeviceType.CPU
        return NncBackendRep(model, **kwargs)

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """
        Compile a model and run it once.

        Raises:
            NncError: what `prepare` and `NncBackendRep.run` raise.
        """
        rep = cls.prepare(model, device, **kwargs)
        with rep.executable:
            return rep.run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """
        Compile one node for inputs of these dtypes and shapes, and run it once.

        `opset_version` is the version of its domain, the newest by default.
        `outputs_info` is not needed: types and shapes are inferred.

        Raises:
            InputError: there are more or fewer arrays than the node has inputs.
            NncError: what `prepare` and `NncBackendRep.run` raise.
        """
        version = kwargs.pop("opset_version", onnx_opset_version())
        arrays = _arrays(node, inputs)
        return cls.run_model(_model_of(node, arrays, version), arrays, device, **kwargs)


def _listed(inputs: object) -> list[object]:
    return (
        [inputs]
        if isinstance(inputs, np.ndarray)
        else list(cast("Iterable[object]", inputs))
    )


def _arrays(node: NodeProto, inputs: object) -> dict[str, Array]:
    names = [name for name in node.input if name]
    values = _listed(inputs)
    if len(values) != len(names):
        raise InputError(
            f"node '{node.name}' ({node.op_type}) has {len(names)} inputs, "
            f"got {len(values)}"
        )
    return {n: np.asarray(v) for n, v in zip(names, values, strict=True)}


def _model_of(node: NodeProto, arrays: Mapping[str, Array], version: int) -> ModelProto:
    def value(name: str, array: Array) -> ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    graph = helper.make_graph(
        [node],
        node.name or node.op_type,
        [value(name, array) for name, array in arrays.items()],
        # Types are inferred, and declared ones may be missing.
        [helper.make_value_info(name, TypeProto()) for name in node.output if name],
    )
    opsets = [helper.make_opsetid("", onnx_opset_version())]
    if node.domain:
        opsets.append(helper.make_opsetid(node.domain, version))
    else:
        opsets[0].version = version
    return helper.make_model(graph, opset_imports=opsets)


is_compatible = NncBackend.is_compatible
prepare = NncBackend.prepare
run = NncBackend.run_model
run_model = NncBackend.run_model
run_node = NncBackend.run_node
supports_device = NncBackend.supports_device
