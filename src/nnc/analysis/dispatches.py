"""
What kind of kernel a dispatch is: the one definition that passes and kernels share.

`analyze` looks at the region of an `nn.dispatch` or `rt.dispatch` and says which of
eight forms it has, with the parts by name. A region of no form is a bug of the pass
that made it: `VerifyException` tells the reason.

- contraction: one `nn.matmul`, non-depthwise `nn.conv` or `nn.winograd_product`; its
  operands are view chains on block arguments; elementwise ops follow on its shape.
  The tiles of a `nn.winograd_product` may be made in the dispatch.
- attention: one `nn.attention` on view chains; nothing but views follows.
- tiles: one `nn.winograd_input` on a view chain, and nothing else.
- window: one `nn.pool` or depthwise `nn.conv`, with elementwise ops before and after.
- scan: one `nn.arg_reduce` or `nn.cumulative`, likewise.
- rows: `nn.reduce` ops over the same axes of one shape, elementwise ops between.
- selection: one `nn.scatter`, `nn.top_k` or `nn.compact` on block arguments, and
  nothing else.
- pointwise: nothing above; elementwise ops and ops that move elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, BlockArgument, Operation, OpResult, Region, SSAValue
from xdsl.utils.exceptions import VerifyException

from nnc.analysis.axes import AxisMap
from nnc.analysis.strides import contiguous_strides, reshaped_strides
from nnc.dialects.nn import (
    attention,
    conv,
    linear,
    movement,
    reduction,
    structure,
    winograd,
)
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS
from nnc.dialects.nn.selection import SELECTION_OPS
from nnc.dialects.nn.types import dims_of
from nnc.symbolic import Dim

ELEMENTWISE = frozenset(ELEMENTWISE_OPS)
VIEWS = frozenset(movement.VIEW_OPS)
CONSTANTS = frozenset({structure.ConstantOp, structure.DimsOp})
MOVEMENT = VIEWS | {
    movement.PadOp,
    movement.GatherOp,
    movement.GatherElementsOp,
    movement.IotaOp,
    movement.ResizeOp,
    movement.ConcatOp,
}
"""Ops of which every result element is one element of an operand, or a constant."""

CONTRACTIONS = frozenset({linear.MatmulOp, conv.ConvOp, winograd.WinogradProductOp})
_ANCHORS = (
    conv.PoolOp,
    attention.AttentionOp,
    winograd.WinogradInputOp,
    *SELECTION_OPS,
)
SCANS = frozenset({reduction.ArgReduceOp, reduction.CumulativeOp})


class DispatchKind(StrEnum):
    """The forms of a dispatch."""

    CONTRACTION = "contraction"
    ATTENTION = "attention"
    TILES = "tiles"
    WINDOW = "window"
    SCAN = "scan"
    ROWS = "rows"
    SELECTION = "selection"
    POINTWISE = "pointwise"


_READING_VIEWS = frozenset({DispatchKind.CONTRACTION, DispatchKind.ATTENTION})
"""Forms whose anchor computes nothing before it reads."""


@dataclass(frozen=True)
class ViewChain:
    """View ops from `root` to a value that is read."""

    root: SSAValue
    ops: tuple[Operation, ...]
    """From the root outwards."""

    @property
    def unpack(self) -> linear.UnpackOp | None:
        """The `nn.unpack` that starts the chain, if one does."""
        first = self.ops[0] if self.ops else None
        return first if isinstance(first, linear.UnpackOp) else None


@dataclass(frozen=True)
class Yielded:
    """One result of a dispatch: a computed value, seen through trailing views."""

    value: SSAValue
    """Computed on the anchor's shape (or S or S_r of a row program)."""

    views: tuple[Operation, ...]
    """Ops from `value` to what `nn.yield` gives, in order."""

    result: SSAValue
    """What `nn.yield` gives."""


@dataclass(frozen=True)
class DispatchForm:
    """A dispatch taken apart."""

    kind: DispatchKind
    block: Block
    anchor: Operation | None
    """The op that the kernel is built around; None for rows and pointwise."""

    operands: tuple[ViewChain, ...]
    """The anchor's operands. For windows and scans with a prologue, the first chain's
    root is a value that elementwise ops of `prologue` compute."""

    prologue: tuple[Operation, ...]
    """Elementwise ops before the anchor and the views that feed them, in order; of a
    contraction, the `nn.winograd_input` that makes its tiles."""

    epilogue: tuple[Operation, ...]
    """Ops after the anchor up to the trailing views, in order, and the views of
    block arguments that feed them."""

    reductions: tuple[reduction.ReduceOp, ...]
    """Of a row program, in order."""

    yields: tuple[Yielded, ...]

    full_dims: tuple[Dim, ...] = field(default=())
    """The shape that the anchor's epilogue runs on, or S of a row program."""

    reduced_dims: tuple[Dim, ...] = field(default=())
    """S_r of a row program: S with the reduced axes of size 1."""

    reduced_axes: tuple[int, ...] = field(default=())
    """The axes of S that a row program reduces."""


def is_depthwise(op: conv.ConvOp) -> bool:
    """Whether every output channel reads one input channel of many."""
    dims = dims_of(op.filter)
    depth = dims[-2] if op.channels_last else dims[1]
    return op.groups.value.data > 1 and depth == 1


def is_contraction(op: Operation) -> bool:
    """Whether `op` is computed by the contraction kernel."""
    if isinstance(op, conv.ConvOp):
        return not is_depthwise(op)
    return isinstance(op, linear.MatmulOp | winograd.WinogradProductOp)


def made_tiles(op: Operation) -> winograd.WinogradInputOp | None:
    """What makes the tiles that `op`, a product, reads, if it is in the same block."""
    if not isinstance(op, winograd.WinogradProductOp):
        return None
    owner = op.tiles.owner
    return owner if isinstance(owner, winograd.WinogradInputOp) else None


def reads_rows(op: Operation) -> int:
    """How many operands of `op` its kernel reads as vectors along the last axis."""
    if isinstance(op, attention.AttentionOp):
        return 3
    if isinstance(op, winograd.WinogradInputOp):
        return 1
    return len(op.operands) if is_contraction(op) or is_window(op) else 0


def is_window(op: Operation) -> bool:
    """Whether `op` is a pool or a depthwise convolution."""
    return isinstance(op, conv.PoolOp) or (
        isinstance(op, conv.ConvOp) and is_depthwise(op)
    )


def is_splat(op: structure.ConstantOp) -> bool:
    """Whether all elements of a constant are the same bits."""
    return len(op.value) <= 1 or op.value.is_splat()


def classify(region: Block | Region | Operation) -> DispatchKind:
    """
    The form of a dispatch.

    Raises:
        VerifyException: it has none.
    """
    return analyze(region).kind


def analyze(region: Block | Region | Operation) -> DispatchForm:
    """
    A dispatch (its op, region or block) taken apart.

    Raises:
        VerifyException: it has none of the legal forms; the message says why.
    """
    block = _block_of(region)
    last = block.last_op
    if not isinstance(last, structure.YieldOp):
        raise VerifyException("a dispatch must end in nn.yield")
    body = [op for op in block.ops if op is not last]
    anchors = [
        op
        for op in body
        if type(op) in CONTRACTIONS or type(op) in SCANS or isinstance(op, _ANCHORS)
    ]
    made = [made_tiles(op) for op in anchors]
    anchors = [op for op in anchors if op not in made]
    reductions = [op for op in body if isinstance(op, reduction.ReduceOp)]
    if len(anchors) > 1:
        raise VerifyException(
            f"a dispatch has one anchor, not {anchors[0].name} and {anchors[1].name}"
        )
    if anchors and reductions:
        raise VerifyException(f"{anchors[0].name} and nn.reduce in one dispatch")
    if reductions:
        return _analyze_rows(block, body, last, reductions)
    if not anchors:
        return _analyze_pointwise(block, body, last)
    if isinstance(anchors[0], winograd.WinogradInputOp):
        return _analyze_tiles(block, body, last, anchors[0])
    if isinstance(anchors[0], SELECTION_OPS):
        return _analyze_selection(block, body, last, anchors[0])
    return _analyze_anchored(block, body, last, anchors[0])


def view_chain(value: SSAValue) -> ViewChain:
    """The view ops that lead to `value`, and an `nn.unpack` before them."""
    ops: list[Operation] = []
    while isinstance(value, OpResult) and (
        type(value.op) in VIEWS or isinstance(value.op, linear.UnpackOp)
    ):
        ops.append(value.op)
        value = value.op.operands[0]
    return ViewChain(value, tuple(reversed(ops)))


def is_storable_view(views: Iterable[Operation]) -> bool:
    """
    Whether the values before `views` can be stored into a dense result after them.

    That is the case for transposes, renamed dims and reshapes that only split or merge
    axes that lie densely in the result.
    """
    chain = list(views)
    if not chain:
        return True
    dims = dims_of(chain[-1].results[0])
    strides: tuple[Dim, ...] | None = contiguous_strides(dims)
    for op in reversed(chain):
        strides = _strides_before(op, strides)
        if strides is None:
            return False
    return True


def is_stepwise_view(views: Iterable[Operation]) -> bool:
    """
    Whether `views` only permute, split and merge axes.

    A contraction stores its result through any of those.
    """
    axis_map: AxisMap | None = None
    for op in views:
        if axis_map is None:
            axis_map = AxisMap(dims_of(op.operands[0]))
        match op:
            case movement.TransposeOp():
                axis_map.transpose(op.axes)
            case movement.ReshapeOp():
                if not axis_map.reshape(dims_of(op.result)):
                    return False
            case _:
                return False
    return True


def _strides_before(op: Operation, strides: tuple[Dim, ...]) -> tuple[Dim, ...] | None:
    """Strides of a trailing view's operand for strides of its result."""
    match op:
        case movement.TransposeOp():
            before = [Dim.of(0)] * len(strides)
            for position, axis in enumerate(op.axes):
                before[axis] = strides[position]
            return tuple(before)
        case movement.ReshapeOp():
            return reshaped_strides(dims_of(op.result), strides, dims_of(op.operand))
        case movement.DimCastOp():
            return strides
        case _:
            return None


# ---- parts


def _block_of(region: Block | Region | Operation) -> Block:
    if isinstance(region, Operation):
        region = region.regions[0]
    return region.block if isinstance(region, Region) else region


def _analyze_pointwise(
    block: Block, body: Sequence[Operation], last: structure.YieldOp
) -> DispatchForm:
    allowed = ELEMENTWISE | MOVEMENT | CONSTANTS
    for op in body:
        if type(op) not in allowed:
            raise VerifyException(f"{op.name} cannot be in a pointwise dispatch")
    _check_constants(body)
    return DispatchForm(
        kind=DispatchKind.POINTWISE,
        block=block,
        anchor=None,
        operands=(),
        prologue=(),
        epilogue=tuple(body),
        reductions=(),
        yields=tuple(Yielded(a, (), a) for a in last.arguments),
    )


def _analyze_tiles(
    block: Block,
    body: Sequence[Operation],
    last: structure.YieldOp,
    anchor: winograd.WinogradInputOp,
) -> DispatchForm:
    chain = view_chain(anchor.operand)
    is_alone = len(body) == len(chain.ops) + 1 and chain.unpack is None
    if not is_alone or list(last.arguments) != [anchor.result]:
        raise VerifyException(
            f"{anchor.name} must be the only op of a dispatch but views"
        )
    if not isinstance(chain.root, BlockArgument):
        raise VerifyException(f"{anchor.name} must read a view of a block argument")
    return DispatchForm(
        kind=DispatchKind.TILES,
        block=block,
        anchor=anchor,
        operands=(chain,),
        prologue=(),
        epilogue=(),
        reductions=(),
        yields=(Yielded(anchor.result, (), anchor.result),),
        full_dims=dims_of(anchor.result),
    )


def _analyze_selection(
    block: Block, body: Sequence[Operation], last: structure.YieldOp, anchor: Operation
) -> DispatchForm:
    if len(body) != 1 or list(last.arguments) != list(anchor.results):
        raise VerifyException(f"{anchor.name} must be the only op of a dispatch")
    return DispatchForm(
        kind=DispatchKind.SELECTION,
        block=block,
        anchor=anchor,
        operands=tuple(ViewChain(o, ()) for o in anchor.operands),
        prologue=(),
        epilogue=(),
        reductions=(),
        yields=tuple(Yielded(r, (), r) for r in anchor.results),
        full_dims=dims_of(anchor.results[0]),
    )


def _analyze_anchored(
    block: Block, body: Sequence[Operation], last: structure.YieldOp, anchor: Operation
) -> DispatchForm:
    kind = _anchor_kind(anchor)
    _check_constants(body)
    tiles = made_tiles(anchor)
    read = [tiles.operand if tiles else o for o in anchor.operands[:1]]
    operands = tuple(view_chain(o) for o in (*read, *anchor.operands[1:]))
    for index, chain in enumerate(operands):
        is_computed = isinstance(chain.root, OpResult)
        if is_computed and (kind in _READING_VIEWS or index > 0):
            raise VerifyException(
                f"operand {index} of {anchor.name} must be a view of a block argument"
            )
        if chain.unpack is not None and (
            kind is not DispatchKind.CONTRACTION or index == 0 or len(chain.ops) > 1
        ):
            raise VerifyException(
                "nn.unpack must give the second operand of a contraction"
            )
    dims = dims_of(anchor.results[0])
    if isinstance(anchor, winograd.WinogradProductOp) and any(
        chain.ops and chain.unpack is None
        for chain in operands[0 if tiles is None else 1 :]
    ):
        raise VerifyException(f"{anchor.name} must read its operands where they are")
    dependent = _dependent_ops(anchor, body)
    feeding = _feeding_ops(anchor)
    yields = tuple(_yielded(a, dependent, anchor) for a in last.arguments)
    trailing = {op for y in yields for op in y.views}
    prologue = [op for op in body if op in feeding]
    chain_ops = {op for chain in operands for op in chain.ops}
    epilogue = [
        op
        for op in body
        if op is not anchor
        and op not in trailing
        and op not in chain_ops
        and op not in feeding
    ]
    if kind is DispatchKind.ATTENTION and epilogue:
        raise VerifyException(f"{epilogue[0].name} in the dispatch of nn.attention")
    if kind not in _READING_VIEWS:
        for op in prologue:
            shape = dims_of(anchor.operands[0])
            _check_on_shape(op, [shape], set(), allow_chain=True)
    casts = [
        o for o in epilogue if isinstance(o, movement.DimCastOp) and o in dependent
    ]
    shapes = [dims, *(dims_of(op.result) for op in casts)]
    for op in epilogue:
        _check_on_shape(op, shapes, dependent, allow_chain=False)
    for yielded in yields:
        _check_yield(yielded, shapes, kind)
        if isinstance(anchor, winograd.WinogradProductOp) and yielded.views:
            raise VerifyException(f"views between {anchor.name} and nn.yield")
    return DispatchForm(
        kind=kind,
        block=block,
        anchor=anchor,
        operands=operands,
        prologue=tuple(op for op in prologue if op not in chain_ops),
        epilogue=tuple(epilogue),
        reductions=(),
        yields=yields,
        full_dims=dims,
    )


def _anchor_kind(anchor: Operation) -> DispatchKind:
    if isinstance(anchor, conv.WindowOp) and not anchor.channels_last:
        raise VerifyException(f"{anchor.name} in a dispatch must be channels_last")
    if isinstance(anchor, attention.AttentionOp):
        return DispatchKind.ATTENTION
    if is_contraction(anchor):
        if isinstance(anchor, conv.ConvOp) and any(anchor.padding.dims):
            raise VerifyException(
                f"{anchor.name} in a contraction dispatch must not pad: "
                f"padding is {anchor.padding}"
            )
        return DispatchKind.CONTRACTION
    return DispatchKind.SCAN if type(anchor) in SCANS else DispatchKind.WINDOW


def _analyze_rows(
    block: Block,
    body: Sequence[Operation],
    last: structure.YieldOp,
    reductions: Sequence[reduction.ReduceOp],
) -> DispatchForm:
    _check_constants(body)
    first = reductions[0]
    full, reduced = dims_of(first.operand), dims_of(first.result)
    for op in reductions:
        if not op.keep_dims.value.data:
            raise VerifyException("nn.reduce in a dispatch must keep dims")
        if op.reduced_axes != first.reduced_axes or dims_of(op.operand) != full:
            raise VerifyException(
                "all nn.reduce ops of a dispatch must reduce the same axes of one shape"
            )
    computed: set[Operation] = set()
    for op in body:
        if (
            type(op) in ELEMENTWISE
            or isinstance(op, reduction.ReduceOp)
            or any(isinstance(o, OpResult) and o.op in computed for o in op.operands)
        ):
            computed.add(op)
    yields = tuple(_yielded(a, computed, None) for a in last.arguments)
    trailing = {op for y in yields for op in y.views}
    for op in body:
        if isinstance(op, reduction.ReduceOp) or op in trailing:
            continue
        _check_in_rows(op, full, reduced, computed)
    for yielded in yields:
        _check_yield(yielded, [full, reduced], DispatchKind.ROWS)
    return DispatchForm(
        kind=DispatchKind.ROWS,
        block=block,
        anchor=None,
        operands=(),
        prologue=(),
        epilogue=tuple(op for op in body if op not in trailing),
        reductions=tuple(reductions),
        yields=yields,
        full_dims=full,
        reduced_dims=reduced,
        reduced_axes=first.reduced_axes,
    )


def _dependent_ops(anchor: Operation, body: Sequence[Operation]) -> set[Operation]:
    """The anchor and the ops that use its result, directly or not."""
    found = {anchor}
    for op in body:
        if any(isinstance(o, OpResult) and o.op in found for o in op.operands):
            found.add(op)
    return found


def _feeding_ops(anchor: Operation) -> set[Operation]:
    """The ops that the anchor's operands are computed from."""
    found: set[Operation] = set()
    pending = [o.op for o in anchor.operands if isinstance(o, OpResult)]
    while pending:
        op = pending.pop()
        if op not in found:
            found.add(op)
            pending.extend(o.op for o in op.operands if isinstance(o, OpResult))
    return found


def _yielded(
    value: SSAValue, computed: set[Operation], anchor: Operation | None
) -> Yielded:
    """Split a yielded value into what is computed and the views behind that."""
    result, views = value, list[Operation]()
    while (
        isinstance(value, OpResult)
        and value.op is not anchor
        and type(value.op) in VIEWS
        and value.op in computed
        and not isinstance(value.op, movement.BroadcastOp)
    ):
        views.append(value.op)
        value = value.op.operands[0]
    return Yielded(value, tuple(reversed(views)), result)


def _check_yield(
    yielded: Yielded, shapes: Sequence[tuple[Dim, ...]], kind: DispatchKind
) -> None:
    value = yielded.value
    if isinstance(value, BlockArgument):
        raise VerifyException("a dispatch must not yield an operand")
    if dims_of(value) not in shapes:
        raise VerifyException(
            f"a dispatch yields {value.type}, which is not of its shape "
            + " or ".join(_dims_text(s) for s in shapes)
        )
    is_stepwise = kind is DispatchKind.CONTRACTION and is_stepwise_view(yielded.views)
    if not is_stepwise and not is_storable_view(yielded.views):
        raise VerifyException(
            f"the views before yield of {yielded.result.type} cannot be stored to"
        )


def _check_on_shape(
    op: Operation,
    shapes: Sequence[tuple[Dim, ...]],
    dependent: set[Operation],
    *,
    allow_chain: bool,
) -> None:
    """Check an op of a prologue or an epilogue."""
    if type(op) in CONSTANTS:
        return
    if type(op) in ELEMENTWISE:
        dims = dims_of(op.results[0])
        if dims not in shapes and not _is_scalar(op.results[0]):
            raise VerifyException(
                f"{op.name} of {op.results[0].type} is not on the anchor's shape "
                + _dims_text(shapes[0])
            )
        return
    if type(op) not in VIEWS:
        raise VerifyException(f"{op.name} cannot be in the dispatch of an anchor")
    is_view_of_anchor = op in dependent and not isinstance(op, movement.DimCastOp)
    if is_view_of_anchor:
        raise VerifyException(f"{op.name} between the anchor and elementwise ops")
    if not allow_chain and op not in dependent:
        _check_view_of_argument(op)


def _check_in_rows(
    op: Operation,
    full: tuple[Dim, ...],
    reduced: tuple[Dim, ...],
    computed: set[Operation],
) -> None:
    if type(op) in CONSTANTS:
        return
    dims = dims_of(op.results[0])
    if type(op) in ELEMENTWISE:
        if dims not in (full, reduced) and not _is_scalar(op.results[0]):
            raise VerifyException(
                f"{op.name} of {op.results[0].type} is on neither shape of the rows, "
                f"{_dims_text(full)} and {_dims_text(reduced)}"
            )
        return
    if type(op) not in VIEWS:
        raise VerifyException(f"{op.name} cannot be in a dispatch with nn.reduce")
    if op not in computed:
        _check_view_of_argument(op)
        return
    source = dims_of(op.operands[0])
    is_spread = (
        isinstance(op, movement.BroadcastOp) and source == reduced and dims == full
    )
    if not is_spread and not _is_scalar(op.operands[0]):
        raise VerifyException(
            f"{op.name} from {op.operands[0].type} to {op.results[0].type} between the "
            "ops of a row program"
        )


def _check_view_of_argument(op: Operation) -> None:
    root = view_chain(op.results[0]).root
    if isinstance(root, OpResult) and type(root.op) not in CONSTANTS:
        if _is_scalar(root):
            return
        raise VerifyException(f"{op.name} must be a view of a block argument")


def _check_constants(body: Sequence[Operation]) -> None:
    for op in body:
        if isinstance(op, structure.ConstantOp) and not is_splat(op):
            raise VerifyException(
                "a constant of several values must be an operand of the dispatch"
            )


def _is_scalar(value: SSAValue) -> bool:
    """Whether `value` has one element: then it is computed once a use."""
    type_ = value.type
    return isinstance(type_, TensorType) and all(d == 1 for d in type_.get_shape())


def _dims_text(dims: Sequence[Dim]) -> str:
    return "[" + ", ".join(map(str, dims)) + "]"
