"""Rules that write ops which few networks use, and losses."""

from __future__ import annotations

from typing import Final

import numpy as np
from writer import Impossible, Rule, Value, Writer


def _is_solid(value: Value) -> bool:
    return value.rank > 0 and value.array.size > 0


def _is_image(value: Value) -> bool:
    return value.rank == 4 and value.array.size > 0


def lp_pool(w: Writer) -> None:
    """The norm of windows."""
    x = w.value("f", lambda v: _is_image(v) and v.array.dtype == np.float32)
    kernel = [w.chance.randint(1, min(3, s)) for s in x.shape[2:]]
    w.node("LpPool", [x], kernel_shape=kernel, p=2, strides=[w.pick((1, 2)), 1])


def grid_sample(w: Writer) -> None:
    """Pixels at computed places."""
    batch, channels, height, width = (w.chance.randint(1, 5) for _ in range(4))
    x = w.new((batch, channels, height, width))
    places = w.data((batch, w.size(5), w.size(5), 2), "float32") / np.float32(2.7)
    grid = w.input(np.asarray(places, np.float32))
    mode = w.pick(("zeros", "border", "reflection"))
    w.node(
        "GridSample",
        [x, grid],
        mode="linear",
        padding_mode=mode,
        align_corners=int(w.flip()),
    )


def center(w: Writer) -> None:
    """The middle of a tensor, or more around it."""
    x = w.value("ffi", _is_solid)
    axis = w.axis(x)
    size = w.ints(w.chance.randint(1, x.shape[axis] + 3))
    w.node("CenterCropPad", [x, size], axes=[axis], is_exact=True)


def eye(w: Writer) -> None:
    """A diagonal."""
    x = w.value("fi", lambda v: v.rank == 2)
    w.node("EyeLike", [x], k=w.chance.randint(-3, 3), is_exact=True)


def is_special(w: Writer) -> None:
    """NaN and infinities, which there are none of."""
    w.node(
        w.pick(("IsNaN", "IsInf")), [w.value("f", lambda v: v.array.dtype == "float32")]
    )


def log_sum(w: Writer) -> None:
    """The logarithm of sums of what is positive."""
    x = w.value("f", lambda v: _is_solid(v) and float(v.array.min()) > 0.1)
    w.node("ReduceLogSum", [x, w.ints(w.axis(x))], keepdims=int(w.flip()))


def compress(w: Writer) -> None:
    """Slices that a constant condition picks."""
    x = w.value("ffi", _is_solid)
    axis = w.axis(x)
    condition = w.constant(w.data((x.shape[axis],), "bool"), is_shared=False)
    w.node("Compress", [x, condition], axis=axis, is_exact=True)


def ranged(w: Writer) -> None:
    """Numbers in a row."""
    dtype = w.pick(("float32", "int64", "int32"))
    start, step = w.chance.randint(-3, 3), w.pick((1, 2, -1))
    stop = start + step * w.chance.randint(0, 9)
    bounds = [
        w.constant(np.array(n, dtype), is_shared=False) for n in (start, stop, step)
    ]
    w.node("Range", bounds, is_exact=True)


def filled(w: Writer) -> None:
    """One number everywhere."""
    w.node("ConstantOfShape", [w.ints(*w.shape())], is_exact=True)


def determinant(w: Writer) -> None:
    """Of small matrices."""
    size = w.chance.randint(1, 4)
    w.node("Det", [w.new((w.chance.randint(1, 3), size, size))])


def columns_to_image(w: Writer) -> None:
    """Windows put back into an image."""
    kernel = (w.chance.randint(1, 3), w.chance.randint(1, 2))
    image = tuple(k + w.chance.randint(0, 3) for k in kernel)
    places = int(np.prod([i - k + 1 for i, k in zip(image, kernel, strict=True)]))
    x = w.new((1, 2 * kernel[0] * kernel[1], places))
    w.node("Col2Im", [x, w.ints(*image), w.ints(*kernel)])


def loss(w: Writer) -> None:
    """What training minimises."""
    rows, classes = w.chance.randint(1, 6), w.chance.randint(1, 5)
    x = w.new((rows, classes))
    labels = w.input(w.data((rows,), "int64") % classes)
    op = w.pick(("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"))
    w.node(op, [x, labels], reduction=w.pick(("none", "sum", "mean")))


def conv_integer(w: Writer) -> None:
    """Convolutions of bytes."""
    channels, out = w.chance.randint(1, 5), w.chance.randint(1, 9)
    x = w.new((1, channels, w.chance.randint(3, 7), w.chance.randint(3, 7)), "uint8")
    weight = w.constant(w.data((out, channels, 3, 3), "int8"))
    zero = w.constant(np.array(3, np.uint8), is_shared=False) if w.flip() else None
    w.node("ConvInteger", [x, weight, zero], pads=[1, 0, 1, 1])


def dynamic_quantize(w: Writer) -> None:
    """Bytes, their scale and zero."""
    x = w.value(
        "f", lambda v: v.is_exact and v.array.dtype == "float32" and v.array.size > 1
    )
    if float(np.ptp(x.array)) < 0.5:
        raise Impossible
    # Its bytes may differ by one where a quotient lies in the middle.
    names = w.node_all("DynamicQuantizeLinear", [x], outputs=3)
    w.values.remove(names[0])
    w.results.remove(names[0])


RULES: Final[list[Rule]] = [
    lp_pool,
    grid_sample,
    center,
    eye,
    is_special,
    log_sum,
    compress,
    ranged,
    filled,
    determinant,
    columns_to_image,
    loss,
    conv_integer,
    dynamic_quantize,
]
