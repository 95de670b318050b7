"""Rules that write ops which move elements, and gathers and scatters."""

from __future__ import annotations

from typing import Final

import numpy as np
from writer import Impossible, Rule, Value, Writer

_ALL: Final = "ffiub"


def _has_axes(value: Value) -> bool:
    return value.rank > 0


def _is_solid(value: Value) -> bool:
    return value.rank > 0 and value.array.size > 0


def transpose(w: Writer) -> None:
    """Any order of the axes."""
    x = w.value(_ALL)
    order = w.chance.sample(range(x.rank), x.rank)
    if not order or w.flip(0.2):
        w.node("Transpose", [x], is_exact=True)
    else:
        w.node("Transpose", [x], perm=order, is_exact=True)


def reshape(w: Writer) -> None:
    """Another shape of as many elements; -1 for one size, 0 for one that stays."""
    x = w.value(_ALL)
    sizes: list[int] = []
    rest = x.array.size
    while rest > 1 and len(sizes) < 4:
        divisors = [d for d in range(1, rest + 1) if rest % d == 0]
        sizes.append(w.pick(divisors))
        rest //= sizes[-1]
    sizes.append(rest)
    w.chance.shuffle(sizes)
    if x.array.size and w.flip():
        sizes[w.chance.randrange(len(sizes))] = -1
    elif x.array.size and x.shape[:1] == (sizes[0],):
        sizes[0] = 0
    w.node("Reshape", [x, w.ints(*sizes)], is_exact=True)


def squeeze(w: Writer) -> None:
    """Axes of one element go, or come."""
    x = w.value(_ALL)
    ones = [i for i, s in enumerate(x.shape) if s == 1]
    if ones and w.flip():
        axes = [w.pick(ones)]
        if w.flip(0.3):
            axes[0] -= x.rank
        w.node("Squeeze", [x, w.ints(*axes)], is_exact=True)
    elif x.rank < 5:
        axis = w.chance.randint(-x.rank - 1, x.rank)
        w.node("Unsqueeze", [x, w.ints(axis)], is_exact=True)


def flatten(w: Writer) -> None:
    """Two axes."""
    x = w.value(_ALL, _has_axes)
    w.node("Flatten", [x], axis=w.chance.randint(-x.rank, x.rank), is_exact=True)


def concat(w: Writer) -> None:
    """Several tensors behind each other."""
    x = w.value(_ALL, _has_axes)
    axis = w.axis(x)
    parts = [x]
    for _ in range(w.chance.randint(0, 3)):
        shape = list(x.shape)
        if w.flip():
            shape[axis] = w.size()
        parts.append(w.like(x, shape))
    w.chance.shuffle(parts)
    w.node("Concat", parts, axis=axis, is_exact=True)


def split(w: Writer) -> None:
    """Parts of a tensor."""
    x = w.value(_ALL, lambda v: v.rank > 0 and max(v.shape) > 1)
    axis = w.pick([i for i, s in enumerate(x.shape) if s > 1])
    count = w.chance.randint(1, min(3, x.shape[axis]))
    cuts = sorted(w.chance.sample(range(x.shape[axis] + 1), count - 1))
    sizes = np.diff([0, *cuts, x.shape[axis]]).tolist()
    w.node_all("Split", [x, w.ints(*sizes)], outputs=count, axis=axis, is_exact=True)


def slice_(w: Writer) -> None:
    """Some of the elements, in either direction."""
    x = w.value(_ALL, _has_axes)
    axes = w.chance.sample(range(x.rank), w.chance.randint(1, x.rank))
    starts, ends, steps = [], [], []
    for axis in axes:
        size = x.shape[axis]
        step = w.pick((1, 1, 1, 2, 3, -1, -2))
        start, end = (w.chance.randint(-size - 2, size + 2) for _ in range(2))
        resolved = [v + size if v < 0 else v for v in (start, end)]
        crosses = step > 0 and not 0 <= resolved[0] <= resolved[1] <= size
        if crosses and (w.is_dynamic or not size):
            # Free sizes are taken to be so large that constant bounds do not cross, and
            # a declared size of 0 is a free one.
            raise Impossible
        if w.flip(0.3):
            end = 2**31 - 1 if step > 0 else -(2**31)
        starts.append(start)
        ends.append(end)
        steps.append(step)
    axes = [a - x.rank if w.flip(0.3) else a for a in axes]
    operands = [w.ints(*starts), w.ints(*ends), w.ints(*axes), w.ints(*steps)]
    w.node("Slice", [x, *operands], is_exact=True)


def pad(w: Writer) -> None:
    """More on each side, or less."""
    x = w.value("ffi", _has_axes)
    mode = w.pick(("constant", "constant", "edge", "reflect", "wrap"))
    low = -1 if mode == "constant" else 0
    pads: list[int] = []
    for size in [*x.shape, *x.shape]:
        most = {"reflect": size - 1, "wrap": size}.get(mode, 3)
        if most < 0 or (mode == "edge" and not size):
            raise Impossible
        pads.append(w.chance.randint(max(low, -(size // 2)), min(3, most)))
    number = w.constant(np.array(2, x.array.dtype), is_shared=False)
    operands = [w.ints(*pads), number if w.flip() and mode == "constant" else None]
    w.node("Pad", [x, *operands], mode=mode, is_exact=True)


def expand(w: Writer) -> None:
    """Axes of one element become longer."""
    x = w.value(_ALL)
    shape = [w.size(5) if s == 1 and w.flip() else s for s in x.shape]
    if w.flip(0.4) and x.rank < 4:
        shape = [w.size(4), *shape]
    shown = [1 if w.flip(0.2) else s for s in shape]
    w.node("Expand", [x, w.ints(*shown)], is_exact=True)


def tile(w: Writer) -> None:
    """Repetitions."""
    x = w.value(_ALL, _has_axes)
    w.node("Tile", [x, w.ints(*(w.pick((1, 1, 2, 3)) for _ in x.shape))], is_exact=True)


def trilu(w: Writer) -> None:
    """One triangle."""
    x = w.value("ffi", lambda v: v.rank >= 2)
    k = w.constant(np.array(w.chance.randint(-3, 3), np.int64), is_shared=False)
    w.node("Trilu", [x, k if w.flip() else None], upper=int(w.flip()), is_exact=True)


def depth_space(w: Writer) -> None:
    """Blocks of pixels and channels."""
    block = w.pick((1, 2, 3))
    batch, channels, height, width = (w.chance.randint(1, 3) for _ in range(4))
    if w.flip():
        x = w.new((batch, channels * block * block, height, width))
        w.node(
            "DepthToSpace",
            [x],
            blocksize=block,
            mode=w.pick(("DCR", "CRD")),
            is_exact=True,
        )
    else:
        x = w.new((batch, channels, height * block, width * block))
        w.node("SpaceToDepth", [x], blocksize=block, is_exact=True)


def resize(w: Writer) -> None:
    """Nearest and linear interpolation."""
    x = w.value(
        "f",
        lambda v: (
            v.rank == 4
            and v.array.size > 0
            and v.array.dtype == "float32"
            and v.is_exact
        ),
    )
    scales = w.constant(
        np.array([1, 1, w.pick((1, 2, 3)), w.pick((1, 2))], np.float32), is_shared=False
    )
    if w.flip():
        w.node(
            "Resize",
            [x, None, scales],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
            is_exact=True,
        )
    else:
        mode = w.pick(("half_pixel", "align_corners", "asymmetric"))
        w.node(
            "Resize",
            [x, None, scales],
            mode="linear",
            coordinate_transformation_mode=mode,
        )


# ---------------------------------------------------------------- by index


def _indices(w: Writer, shape: tuple[int, ...], size: int) -> Value:
    if not size:
        raise Impossible
    dtype = w.pick(("int64", "int32"))
    array = w.data(shape, "int64") % (2 * size) - size
    array = np.asarray(array, dtype)
    return w.input(array) if w.flip() else w.constant(array, is_shared=False)


def gather(w: Writer) -> None:
    """Slices by number."""
    x = w.value(_ALL, _is_solid)
    axis = w.axis(x)
    w.node(
        "Gather",
        [x, _indices(w, w.shape(w.pick((0, 1, 2))), x.shape[axis])],
        axis=axis,
        is_exact=True,
    )


def gather_elements(w: Writer) -> None:
    """Elements along an axis by number."""
    x = w.value(_ALL, _is_solid)
    axis = w.axis(x)
    shape = [w.chance.randint(1, s) for s in x.shape]
    shape[axis] = w.size(5)
    w.node(
        "GatherElements",
        [x, _indices(w, tuple(shape), x.shape[axis])],
        axis=axis,
        is_exact=True,
    )


def gather_nd(w: Writer) -> None:
    """Slices by several numbers."""
    x = w.value(_ALL, _is_solid)
    depth = w.chance.randint(1, x.rank)
    count = w.shape(w.pick((1, 2)))
    columns = [_raw(w, count, s) for s in x.shape[:depth]]
    indices = w.constant(np.stack(columns, -1).astype(np.int64), is_shared=False)
    w.node("GatherND", [x, indices], is_exact=True)


def _raw(w: Writer, shape: tuple[int, ...], size: int) -> np.ndarray:
    return w.data(shape, "int64") % size


def scatter_elements(w: Writer) -> None:
    """Updates of elements: sums where several hit one, else each its own."""
    x = w.value("f", lambda v: _is_solid(v) and v.array.dtype != "float16")
    axis = w.axis(x)
    shape = list(x.shape)
    shape[axis] = w.chance.randint(1, x.shape[axis])
    updates = w.like(x, shape)
    if w.flip():
        indices = _indices(w, tuple(shape), x.shape[axis])
        w.node(
            "ScatterElements",
            [x, indices, updates],
            axis=axis,
            reduction=w.pick(("add", "max", "min")),
        )
        return
    order = np.argsort(w.data(x.shape, "float32"), axis=axis, kind="stable")
    own = np.take(order, range(shape[axis]), axis=axis)
    indices = w.constant(own.astype(np.int64), is_shared=False)
    w.node("ScatterElements", [x, indices, updates], axis=axis, is_exact=True)


def scatter_nd(w: Writer) -> None:
    """Updates of slices."""
    x = w.value("f", lambda v: _is_solid(v) and v.array.dtype != "float16")
    count = w.chance.randint(1, x.shape[0])
    rows = w.chance.sample(range(x.shape[0]), count)
    indices = w.constant(np.array(rows, np.int64).reshape(-1, 1), is_shared=False)
    updates = w.like(x, (count, *x.shape[1:]))
    w.node(
        "ScatterND",
        [x, indices, updates],
        reduction=w.pick(("none", "add", "mul", "max")),
    )


def one_hot(w: Writer) -> None:
    """Numbers as rows."""
    depth = w.chance.randint(1, 6)
    indices = _indices(w, w.shape(w.pick((1, 2))), depth)
    values = w.constant(np.array([-1, 2], np.float32), is_shared=False)
    size = w.constant(np.array(depth, np.int64), is_shared=False)
    w.node(
        "OneHot",
        [indices, size, values],
        axis=w.chance.randint(-indices.rank - 1, indices.rank),
        is_exact=True,
    )


def shape_of(w: Writer) -> None:
    """A shape as data."""
    x = w.value(_ALL)
    w.node(w.pick(("Shape", "Size")), [x])


def shape_arithmetic(w: Writer) -> None:
    """A reshape to sizes that the model computes, as exporters write it."""
    x = w.value("f", lambda v: v.rank >= 2)
    sizes = w.node("Shape", [x])
    zero = w.constant(np.array([0], np.int64), is_shared=False)
    first = w.node("Gather", [sizes, zero], axis=0)
    target = w.node("Concat", [first, w.ints(-1)], axis=0)
    if not x.array.size:
        raise Impossible
    w.node("Reshape", [x, target], is_exact=True)


def reverse_sequence(w: Writer) -> None:
    """The beginnings of rows, reversed."""
    x = w.value("f", lambda v: v.rank >= 2 and v.array.size > 0)
    lengths = 1 + w.data((x.shape[1],), "uint8").astype(np.int64) % x.shape[0]
    w.node(
        "ReverseSequence",
        [x, w.constant(lengths, is_shared=False)],
        time_axis=0,
        batch_axis=1,
        is_exact=True,
    )


RULES: Final[list[Rule]] = [
    transpose, transpose, reshape, reshape, squeeze, flatten, concat, concat, split,
    slice_, slice_, pad, pad, expand, tile, trilu, depth_space, resize, gather,
    gather_elements, gather_nd, scatter_elements, scatter_nd, one_hot, shape_of,
    shape_arithmetic, reverse_sequence,
]  # fmt: skip
