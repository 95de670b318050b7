"""The pass: one walk over the dispatches of a module."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.context import Context
from xdsl.dialects.builtin import FloatAttr, ModuleOp, StringAttr
from xdsl.ir import Attribute, Block, SSAValue
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.dispatches import DispatchForm, DispatchKind, analyze
from nnc.analysis.work import Work, work_of
from nnc.dialects.nn.base import LOCATION
from nnc.dialects.nn.linear import LuOp
from nnc.dialects.nn.regions import RoiAlignOp, RoiMaxPoolOp
from nnc.dialects.nn.selection import ArgSortOp, CompactOp, ScatterOp, TopKOp
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
from nnc.dialects.nn.winograd import WinogradProductOp
from nnc.dialects.rt import DispatchOp, LaunchOp
from nnc.dialects.rt.types import buffer_type_of
from nnc.errors import CompileError
from nnc.lowering.launch_cost import launch_cost
from nnc.lowering.lower_dispatches.access import Elements
from nnc.lowering.lower_dispatches.attention import attention_kernel
from nnc.lowering.lower_dispatches.contraction import contraction_kernel
from nnc.lowering.lower_dispatches.factorization import LuKernel
from nnc.lowering.lower_dispatches.kernel_builder import (
    BufferArg,
    Kernel,
    KernelBuilder,
)
from nnc.lowering.lower_dispatches.pointwise import build_pointwise
from nnc.lowering.lower_dispatches.reduction import build_rows
from nnc.lowering.lower_dispatches.roi import RoiAlignKernel, RoiMaxPoolKernel
from nnc.lowering.lower_dispatches.scan import ScanKernel
from nnc.lowering.lower_dispatches.selection import (
    TopKKernel,
    build_compact,
    build_scatter,
)
from nnc.lowering.lower_dispatches.sorting import ArgSortKernel
from nnc.lowering.lower_dispatches.suppression import SuppressionKernel
from nnc.lowering.lower_dispatches.window import WindowKernel
from nnc.lowering.lower_dispatches.winograd import product_kernel, tiles_kernel
from nnc.symbolic import Dim
from nnc.target import Target
from nnc.target_record import record_target


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
    inputs: dict[SSAValue, BufferArg] = dict(
        zip(dispatch.block.args, kb.buffers[:count], strict=True)
    )
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
    read = list(zip(dispatch.inputs, dispatch.block.args, strict=True))
    aliased = {
        buffer.ptr: {inputs[a].ptr for i, a in read if i is operand}
        for buffer, operand in zip(outputs, dispatch.outputs, strict=True)
    }
    tasks, schedule = build_rows(kb, form, inputs, outputs, aliased)
    return Scheduled(kb.finish(), tasks, schedule)


def schedule_tiles(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Transformed tiles of an image."""
    buffers = [buffer_type_of(b) for b in (*dispatch.inputs, *dispatch.outputs)]
    kernel, tasks = tiles_kernel(form, buffers, target)
    return Scheduled(kernel, tasks, "tiles")


def schedule_window(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Pooling and depthwise convolution."""
    kb, inputs, outputs = start_kernel(dispatch, target)
    tasks = WindowKernel(kb, form, inputs, outputs).build()
    return Scheduled(kb.finish(), tasks, "window")


def schedule_scan(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Running sums and positions of extremes."""
    kb, inputs, outputs = start_kernel(dispatch, target)
    tasks = ScanKernel(kb, form, inputs, outputs).build()
    return Scheduled(kb.finish(), tasks, "scan")


def schedule_selection(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Ops with a kernel of their own: scattering, selecting, factorizing."""
    kb, inputs, outputs = start_kernel(dispatch, target)
    op = form.anchor
    match op:
        case CompactOp():
            tasks = build_compact(kb, op, inputs, outputs)
        case TopKOp():
            tasks = TopKKernel(kb, op, inputs, outputs).build()
        case LuOp():
            tasks = LuKernel(kb, op, inputs, outputs).build()
        case ArgSortOp():
            tasks = ArgSortKernel(kb, op, inputs, outputs[0]).build()
        case NonMaxSuppressionOp():
            tasks = SuppressionKernel(kb, op, inputs, outputs).build()
        case RoiAlignOp():
            tasks = RoiAlignKernel(kb, op, inputs, outputs[0]).build()
        case RoiMaxPoolOp():
            tasks = RoiMaxPoolKernel(kb, op, inputs, outputs[0]).build()
        case _:
            assert isinstance(op, ScatterOp)
            tasks = build_scatter(kb, op, inputs, outputs[0])
    return Scheduled(kb.finish(), tasks, op.name.removeprefix("nn."))


def schedule_contraction(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Matrix products and convolutions."""
    buffers = [buffer_type_of(b) for b in (*dispatch.inputs, *dispatch.outputs)]
    if isinstance(form.anchor, WinogradProductOp):
        product = product_kernel(form, buffers, target)
        return Scheduled(product.kernel, product.tasks, product.schedule)
    made = contraction_kernel(form, buffers, target, dispatch.tile)
    return Scheduled(made.kernel, made.tasks, made.schedule)


def schedule_attention(
    dispatch: DispatchOp, form: DispatchForm, target: Target
) -> Scheduled:
    """Attention over heads."""
    buffers = [buffer_type_of(b) for b in (*dispatch.inputs, *dispatch.outputs)]
    made = attention_kernel(form, buffers, target)
    return Scheduled(made.kernel, made.tasks, made.schedule)


SCHEDULES: Mapping[DispatchKind, Schedule] = {
    DispatchKind.CONTRACTION: schedule_contraction,
    DispatchKind.ATTENTION: schedule_attention,
    DispatchKind.TILES: schedule_tiles,
    DispatchKind.SELECTION: schedule_selection,
    DispatchKind.POINTWISE: schedule_pointwise,
    DispatchKind.ROWS: schedule_rows,
    DispatchKind.WINDOW: schedule_window,
    DispatchKind.SCAN: schedule_scan,
}
"""What makes the kernel of each form of dispatch."""


@dataclass(frozen=True)
class _LaunchPlan:
    """How a dispatch is launched; without a kernel it has nothing to do."""

    kernel: str
    dims: tuple[Dim, ...]
    tasks: Dim
    schedule: str
    cost: Dim
    work: Work


def dispatch_key(dispatch: DispatchOp) -> Hashable:
    """Equal for dispatches that one launch plan serves: names do not matter."""
    buffers = [*dispatch.inputs, *dispatch.outputs]
    aliases = tuple(buffers.index(b) for b in buffers)
    types = tuple(b.type for b in buffers)
    return (types, aliases, dispatch.tile, block_key(dispatch.block))


def _bits(attribute: Attribute) -> Hashable:
    """The attribute, or for a float its text: 0.0 and -0.0 are equal attributes."""
    return str(attribute) if attribute.name == FloatAttr.name else attribute


def block_key(block: Block) -> Hashable:
    """Equal for blocks that compute the same, whatever their values are called."""
    numbers: dict[SSAValue, int] = {}

    def visit(block: Block) -> Hashable:
        for argument in block.args:
            numbers[argument] = len(numbers)
        ops: list[Hashable] = []
        for op in block.ops:
            regions = tuple(visit(r.block) for r in op.regions if r.blocks)
            for result in op.results:
                numbers[result] = len(numbers)
            ops.append(
                (
                    op.name,
                    tuple(numbers[o] for o in op.operands),
                    tuple((k, _bits(op.properties[k])) for k in sorted(op.properties)),
                    tuple(r.type for r in op.results),
                    regions,
                )
            )
        return (tuple(a.type for a in block.args), tuple(ops))

    return visit(block)


@dataclass
class DispatchLowering:
    """Lowers the dispatches of one module."""

    module: ModuleOp
    target: Target
    names: dict[Hashable, str] = field(default_factory=dict[Hashable, str])
    """Structure of a kernel → its name in the module."""

    plans: dict[Hashable, _LaunchPlan] = field(
        default_factory=dict[Hashable, "_LaunchPlan"]
    )
    """Structure of a dispatch → how it is launched; spares building equal kernels."""

    counts: dict[str, int] = field(default_factory=dict[str, int])

    def run(self) -> None:
        """Lower all dispatches."""
        dispatches = [op for op in self.module.walk() if isinstance(op, DispatchOp)]
        for dispatch in dispatches:
            self.lower(dispatch)

    def lower(self, dispatch: DispatchOp) -> None:
        """Replace one dispatch; one that writes nothing just goes."""
        if all(0 in buffer_type_of(o).shape.dims for o in dispatch.outputs):
            dispatch.detach()
            dispatch.erase()
            return
        try:
            form = analyze(dispatch)
        except VerifyException as error:
            raise CompileError(f"{_location(dispatch)}: {error}") from error
        key = dispatch_key(dispatch)
        plan = self.plans.get(key)
        if plan is None:
            scheduled = SCHEDULES[form.kind](dispatch, form, self.target)
            name = self._emit(scheduled) if scheduled.tasks != 0 else ""
            plan = _LaunchPlan(
                name,
                scheduled.kernel.dims,
                scheduled.tasks,
                scheduled.schedule,
                launch_cost(dispatch, form, self.target),
                work_of(dispatch),
            )
            self.plans[key] = plan
        operands: Sequence[SSAValue] = [*dispatch.inputs, *dispatch.outputs]
        block = dispatch.parent
        assert block is not None
        if plan.kernel:
            launch = LaunchOp(
                plan.kernel,
                operands,
                plan.dims,
                plan.tasks,
                plan.schedule,
                ops=_op_names(dispatch),
                cost=plan.cost,
                work=(plan.work.operations, plan.work.read, plan.work.written),
            )
            if LOCATION in dispatch.attributes:
                launch.attributes[LOCATION] = dispatch.attributes[LOCATION]
            block.insert_op_before(launch, dispatch)
        dispatch.detach()
        dispatch.erase()

    def _emit(self, scheduled: Scheduled) -> str:
        """The name of the kernel, which is added to the module if it is new."""
        function = scheduled.kernel.func
        key = block_key(function.body.block)
        name = self.names.get(key)
        if name is None:
            stem = scheduled.schedule.split(" ")[0]
            number = self.counts.get(stem, 0)
            self.counts[stem] = number + 1
            name = self.names[key] = f"{stem}_{number}"
            function.properties["sym_name"] = StringAttr(name)
            self.module.body.block.add_op(function)
        return name


def _op_names(dispatch: DispatchOp) -> list[str]:
    """The ops of a dispatch without the dialect's name, for people to read."""
    names = (op.name.partition(".")[2] for op in dispatch.block.ops)
    return [name for name in names if name not in ("constant", "yield")]


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

        target = resolve_target(self.target)
        record_target(op, target)
        DispatchLowering(op, target).run()
