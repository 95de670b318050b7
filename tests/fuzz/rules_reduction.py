"""Rules that write reductions, normalizations and the like."""

from __future__ import annotations

from typing import Final

import numpy as np
from writer import Impossible, Rule, Value, Writer

_SUMS: Final = (
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceSumSquare",
    "ReduceL2",
    "ReduceProd",
    "ReduceLogSumExp",
)


def _is_solid(value: Value) -> bool:
    return value.rank > 0 and value.array.size > 0


def _axes(w: Writer, value: Value) -> list[int]:
    count = w.chance.randint(1, value.rank)
    axes = w.chance.sample(range(value.rank), count)
    return [a - value.rank if w.flip(0.4) else a for a in axes]


def reduce(w: Writer) -> None:
    """A reduction over some axes."""
    op = w.pick(_SUMS)
    x = w.value(
        "f" if op in ("ReduceLogSumExp", "ReduceL2", "ReduceMean") else "ffi", _is_solid
    )
    if x.kind == "i" and x.array.dtype.itemsize < 4:
        raise Impossible
    keep = int(w.flip())
    if w.flip(0.15):
        w.node(op, [x], keepdims=keep)
    else:
        axes = w.ints(*_axes(w, x))
        w.node(op, [x, axes], keepdims=keep, is_exact=op in ("ReduceMax", "ReduceMin"))


def reduce_nothing(w: Writer) -> None:
    """A reduction over no axes, which may be all or none."""
    x = w.value("f", _is_solid)
    w.node(
        w.pick(("ReduceSum", "ReduceMax")),
        [x, w.ints()],
        noop_with_empty_axes=int(w.flip()),
    )


def arg_reduce(w: Writer) -> None:
    """Where the largest or smallest is."""
    x = w.value("f", lambda v: _is_solid(v) and v.is_exact)
    w.node(
        w.pick(("ArgMax", "ArgMin")),
        [x],
        axis=w.axis(x),
        keepdims=int(w.flip()),
        select_last_index=int(w.flip()),
    )


def cumulative(w: Writer) -> None:
    """A running sum."""
    x = w.value("f", lambda v: v.rank > 0)
    axis = w.constant(np.array(w.axis(x), np.int64), is_shared=False)
    w.node("CumSum", [x, axis], exclusive=int(w.flip()), reverse=int(w.flip()))


def softmax(w: Writer) -> None:
    """Rows that sum to one."""
    x = w.value("f", _is_solid)
    w.node(w.pick(("Softmax", "Softmax", "LogSoftmax")), [x], axis=w.axis(x))


def hardmax(w: Writer) -> None:
    """One at the largest."""
    x = w.value("f", lambda v: _is_solid(v) and v.is_exact)
    w.node("Hardmax", [x], axis=w.axis(x))


def top_k(w: Writer) -> None:
    """The largest, where no two are equal."""
    x = w.value("f", lambda v: _is_solid(v) and v.is_exact)
    axis = w.axis(x)
    ordered = np.sort(x.array.astype(np.float64), axis=axis)
    if (np.diff(ordered, axis=axis) == 0).any():
        raise Impossible
    k = w.ints(w.chance.randint(0, x.shape[axis]))
    w.node_all(
        "TopK", [x, k], outputs=2, axis=axis, largest=int(w.flip()), is_exact=True
    )


# ---------------------------------------------------------------- normalization


def _spread(w: Writer, rank: int) -> Value:
    """Something whose rows vary, so that the norm does not magnify errors."""

    def accepts(value: Value) -> bool:
        if value.rank < rank or not value.array.size or value.shape[-1] < 3:
            return False
        return float(value.array.astype(np.float64).std(axis=-1).min()) > 0.1

    return w.value("f", accepts)


def layer_norm(w: Writer) -> None:
    """The standard op, with and without offset."""
    x = _spread(w, 1)
    scale = w.like(x, x.shape[-1:])
    offset = w.like(x, x.shape[-1:]) if w.flip() else None
    w.node("LayerNormalization", [x, scale, offset], axis=-1, epsilon=1e-3)


def layer_norm_spelled(w: Writer) -> None:
    """The way exporters wrote it before there was an op."""
    x = _spread(w, 1)
    keep = {"axes": w.ints(-1)}
    mean = w.node("ReduceMean", [x, keep["axes"]], keepdims=1)
    centred = w.node("Sub", [x, mean])
    if w.flip():
        square = w.node("Mul", [centred, centred])
    else:
        two = w.constant(np.array(2, x.array.dtype), is_shared=False)
        square = w.node("Pow", [centred, two])
    variance = w.node("ReduceMean", [square, keep["axes"]], keepdims=1)
    tiny = w.constant(np.array(1e-3, x.array.dtype), is_shared=False)
    deviation = w.node("Sqrt", [w.node("Add", [variance, tiny])])
    normal = w.node("Div", [centred, deviation])
    scaled = w.node("Mul", [normal, w.like(x, x.shape[-1:])])
    if w.flip():
        w.node("Add", [scaled, w.like(x, x.shape[-1:])])


def rms_norm(w: Writer) -> None:
    """Without centring."""
    x = _spread(w, 1)
    w.node("RMSNormalization", [x, w.like(x, x.shape[-1:])], axis=-1, epsilon=1e-3)


def channel_norm(w: Writer) -> None:
    """Norms of channels and their groups."""
    x = _spread(w, 3)
    channels = x.shape[1]
    scale, offset = w.like(x, (channels,)), w.like(x, (channels,))
    kind = w.pick(range(3))
    if kind == 0:
        w.node("InstanceNormalization", [x, scale, offset], epsilon=1e-2)
    elif kind == 1:
        groups = w.pick([g for g in range(1, channels + 1) if channels % g == 0])
        w.node(
            "GroupNormalization", [x, scale, offset], num_groups=groups, epsilon=1e-2
        )
    else:
        mean = w.like(x, (channels,))
        variance = w.constant(np.full(channels, 0.75, x.array.dtype))
        w.node("BatchNormalization", [x, scale, offset, mean, variance])


def other_norm(w: Writer) -> None:
    """Norms that few networks use."""
    x = _spread(w, 2)
    kind = w.pick(range(3))
    if kind == 0:
        w.node("LpNormalization", [x], axis=-1, p=w.pick((1, 2)))
    elif kind == 1 and x.rank == 4:
        w.node("LRN", [x], size=w.pick((1, 3, 5)), alpha=0.1, beta=0.75, bias=1.0)
    else:
        w.node("MeanVarianceNormalization", [x], axes=[x.rank - 1])


RULES: Final[list[Rule]] = [
    reduce, reduce, reduce, reduce_nothing, arg_reduce, cumulative, softmax, softmax,
    hardmax, top_k, layer_norm, layer_norm_spelled, rms_norm, channel_norm, other_norm,
]  # fmt: skip
