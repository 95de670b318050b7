"""State of the conversion of one kernel, shared by all converters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from xdsl.ir import Attribute, Operation, Region, SSAValue

from nnc.errors import InternalError
from nnc.lowering.convert_simd_to_llvm.builder import Builder, llvm_type
from nnc.target import Target

# The op's class is the table key, so each converter knows it; Any stands for that.
Converter: TypeAlias = Callable[["KernelLowering", Any], None]


class KernelLowering:
    """
    Maps the values of a kernel to the llvm dialect while one walk converts its ops.

    A converter reads operands with `value`, appends ops with `b`, and publishes
    results with `define`. It may move `b.block` when it branches.
    """

    b: Builder
    target: Target

    def __init__(
        self,
        target: Target,
        region: Region,
        converters: Mapping[type[Operation], Converter],
    ) -> None:
        self.target = target
        self.b = Builder(target, region)
        self._converters = converters
        self._values: dict[SSAValue, SSAValue] = {}

    def value(self, old: SSAValue) -> SSAValue:
        """The converted value of an operand."""
        return self._values[old]

    def values(self, old: Iterable[SSAValue]) -> list[SSAValue]:
        """The converted values of several operands."""
        return [self._values[v] for v in old]

    def define(self, old: SSAValue, new: SSAValue) -> None:
        """Publish the converted value of a result or block argument."""
        assert new.type == llvm_type(old.type), (
            f"{old.owner}: lowered to {new.type} instead of {llvm_type(old.type)}"
        )
        self._values[old] = new

    def type_of(self, old: SSAValue) -> Attribute:
        """The llvm-dialect type of a value."""
        return llvm_type(old.type)

    def convert_ops(self, ops: Iterable[Operation]) -> None:
        """Convert ops in order."""
        for op in ops:
            converter = self._converters.get(type(op))
            if converter is None:
                raise InternalError(
                    f"convert-simd-to-llvm: '{op.name}' has no place in a kernel"
                )
            converter(self, op)
