"""The pass: one walk over the dispatches of a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.dispatches import DispatchForm, DispatchKind, analyze
from nnc.dialects.nn.base import LOCATION
from nnc.dialects.rt import DispatchOp, LaunchOp
from nnc.dialects.rt.types import buffer_type_of
from nnc.errors import CompileError
from nnc.lowering.lower_dispatches import resample as _resample  # noqa: F401 # rules
from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.kernel_builder import (
    BufferArg,
    Kernel,
    KernelBuilder,
)
from nnc.lowering.lower_dispatches.pointwise import build_pointwise
from nnc.lowering.lower_dispatches.reduction import build_rows
from nnc.symbolic import Dim
from nnc.target import Target


@dataclass(frozen=True)
class Scheduled:
    """A dispatch as a kernel: its function, how many tasks, how it was scheduled."""

    kernel: Kernel
    tasks: Dim
    schedule: str


Schedule = Callable[[DispatchOp, DispatchForm, Target], Scheduled]


def start_kernel(
    dispatch: DispatchOp, target: Target
) -> tuple[KernelBuilder, dict[SSAValue, BufferArg], list[BufferArg]]:
    """A builder for `dispatch`, its block arguments' buffers, and the outputs."""
    operands = [*dispatch.inputs, *dispatch.outputs]
    kb = KernelBuilder(target, [buffer_type_of(b) for b in operands])
    count = len(dispatch.inputs)
    inputs = dict(zip(dispatch.block.args, kb.buffers[:count], strict=True))
    return kb, inputs, kb.buffers[count:]


def schedule_pointwise(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Elementwise and data movement."""
    kb, inputs, outputs = start_kernel(dispatch, target)
    results = list(zip(dispatch.yield_op.arguments, outputs, strict=True))
    tasks = build_pointwise(kb, Elements(inputs), results)
    return Scheduled(kb.finish(), tasks, "pointwise")


def schedule_rows(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Reductions and what is elementwise around them."""
    kb, inputs, outputs = start_kernel(dispatch, target)
    read = set(dispatch.inputs)
    aliased = frozenset(
        buffer.ptr
        for buffer, operand in zip(outputs, dispatch.outputs, strict=True)
        if operand in read
    )
    tasks, schedule = build_rows(kb, form, inputs, outputs, aliased)
    return Scheduled(kb.finish(), tasks, schedule)


def _schedules() -> dict[DispatchKind, Schedule]:
    schedules: dict[DispatchKind, Schedule] = {
        DispatchKind.POINTWISE: schedule_pointwise,
        DispatchKind.ROWS: schedule_rows,
    }
    return schedules


@dataclass
class DispatchLowering:
    """Lowers the dispatches of one module."""

    module: ModuleOp
    target: Target
    schedules: dict[DispatchKind, Schedule] = field(default_factory=_schedules)
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Printed kernel → its name in the module."""

    counts: dict[str, int] = field(default_factory=dict[str, int])

    def run(self) -> None:
        """Lower all dispatches."""
        dispatches = [op for op in self.module.walk() if isinstance(op, DispatchOp)]
        for dispatch in dispatches:
            self.lower(dispatch)

    def lower(self, dispatch: DispatchOp) -> None:
        """Replace one dispatch."""
        try:
            form = analyze(dispatch)
        except VerifyException as error:
            raise CompileError(f"{_location(dispatch)}: {error}") from error
        schedule = self.schedules.get(form.kind)
        if schedule is None:
            raise CompileError(
                f"{_location(dispatch)}: no schedule for {form.kind} dispatches"
            )
        scheduled = schedule(dispatch, form, self.target)
        operands: Sequence[SSAValue] = [*dispatch.inputs, *dispatch.outputs]
        block = dispatch.parent
        assert block is not None
        if scheduled.tasks != 0:
            launch = LaunchOp(
                self._emit(scheduled),
                operands,
                scheduled.kernel.dims,
                scheduled.tasks,
                scheduled.schedule,
            )
            if LOCATION in dispatch.attributes:
                launch.attributes[LOCATION] = dispatch.attributes[LOCATION]
            block.insert_op_before(launch, dispatch)
        dispatch.detach()
        dispatch.erase()

    def _emit(self, scheduled: Scheduled) -> str:
        """The name of the kernel, which is added to the module if it is new."""
        function = scheduled.kernel.func
        text = str(function)
        name = self.names.get(text)
        if name is None:
            stem = scheduled.schedule.split(" ")[0]
            number = self.counts.get(stem, 0)
            self.counts[stem] = number + 1
            name = self.names[text] = f"{stem}_{number}"
            function.properties["sym_name"] = StringAttr(name)
            self.module.body.block.add_op(function)
        return name


def _location(dispatch: DispatchOp) -> str:
    location = dispatch.attributes.get(LOCATION)
    return location.data if isinstance(location, StringAttr) else dispatch.name


@dataclass(frozen=True)
class LowerDispatchesPass(ModulePass):
    """Give every dispatch a kernel."""

    name = "lower-dispatches"

    target: str = "native"
    """Name of the machine to generate code for."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        from nnc.backend.host import resolve_target

        DispatchLowering(op, resolve_target(self.target)).run()
