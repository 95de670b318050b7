"""Rules that write products, convolutions, pools, attention and recurrent nets."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from rules_elementwise import binary, clip, unary, with_attributes
from writer import Impossible, Rule, Value, Writer


def _epilogue(w: Writer) -> None:
    """What kernels of products take along."""
    for _ in range(w.chance.randint(0, 3)):
        w.pick((unary, binary, clip, with_attributes))(w)


def matmul(w: Writer) -> None:
    """Products of vectors, matrices, and batches of these."""
    x = w.value("f", lambda v: v.rank > 0)
    columns = w.size(40)
    inner = x.shape[-1]
    kind = w.chance.random()
    if kind < 0.15:
        shape: tuple[int, ...] = (inner,)
    elif kind < 0.6 or x.rank < 3:
        shape = (inner, columns)
    else:
        batch = [s if w.flip(0.7) else 1 for s in x.shape[:-2]]
        shape = (*batch[w.chance.randint(0, len(batch)) :], inner, columns)
    w.node("MatMul", [x, w.like(x, shape)])
    _epilogue(w)


def gemm(w: Writer) -> None:
    """A product with all that the op knows."""
    x = w.value("f", lambda v: v.rank == 2)
    across, other = int(w.flip()), int(w.flip())
    rows, inner = x.shape[::-1] if across else x.shape
    columns = w.size(40)
    y = w.like(x, (columns, inner) if other else (inner, columns))
    shapes = [(columns,), (1, columns), (rows, 1), (rows, columns), ()]
    c = w.like(x, w.pick(shapes)) if w.flip(0.7) else None
    factors = {"alpha": w.pick((1.0, 0.5)), "beta": w.pick((1.0, 2.0, 0.0))}
    w.node("Gemm", [x, y, c], transA=across, transB=other, **factors)
    _epilogue(w)


def einsum(w: Writer) -> None:
    """Contractions in letters."""
    sizes = {c: w.chance.randint(1, 5) for c in "abcd"}
    equation = w.pick(
        (
            "ab,bc->ac",
            "abc,acd->abd",
            "ab,ab->a",
            "abc->cb",
            "ab->",
            "abc,dc->abd",
            "ab,cb->ac",
            "a,b->ab",
            "abc,bcd->ad",
        )
    )
    left = equation.partition("->")[0].split(",")
    w.node(
        "Einsum", [w.new([sizes[c] for c in term]) for term in left], equation=equation
    )


def _window(
    w: Writer, dims: int, sizes: tuple[int, ...], most: int = 3
) -> dict[str, Any]:
    kernel = [w.chance.randint(1, most) for _ in range(dims)]
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    dilations = [1] * dims
    if w.flip(0.3):
        dilations = [w.chance.randint(1, 2) for _ in range(dims)]
        attributes["dilations"] = dilations
    if w.flip(0.5):
        attributes["strides"] = [w.chance.randint(1, 3) for _ in range(dims)]
    if w.flip(0.25):
        attributes["auto_pad"] = w.pick(("SAME_UPPER", "SAME_LOWER", "VALID"))
        pads = [0] * (2 * dims)
    else:
        pads = [w.chance.randint(0, k - 1) for k in kernel * 2]
        attributes["pads"] = pads
    for i, size in enumerate(sizes):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if size + pads[i] + pads[i + dims] < reach:
            raise Impossible
    return attributes


def _image(w: Writer, dims: int) -> Value:
    """A tensor of channels and pixels."""

    def accepts(value: Value) -> bool:
        return value.rank == dims + 2 and value.array.size > 0

    if w.flip(0.4):
        return w.value("f", accepts)
    sizes = [w.chance.randint(1, 12 if dims < 3 else 5) for _ in range(dims)]
    channels = w.pick((1, 2, 3, 4, 6, 8, 16, 17))
    return w.new(
        (w.pick((1, 1, 2)), channels, *sizes), w.pick(("float32", "float32", "float64"))
    )


def conv(w: Writer) -> None:
    """Convolutions of one to three dims, grouped, depthwise, with bias."""
    dims = w.pick((1, 2, 2, 2, 3))
    x = _image(w, dims)
    channels = x.shape[1]
    groups = w.pick([g for g in range(1, channels + 1) if channels % g == 0])
    if w.flip(0.5):
        groups = 1
    attributes = _window(w, dims, x.shape[2:])
    out = groups * w.pick((1, 1, 2, 3, 8)) if groups > 1 else w.pick((1, 3, 8, 16, 19))
    shape = (out, channels // groups, *attributes["kernel_shape"])
    weight = (
        w.constant(w.data(shape, x.array.dtype.name))
        if w.flip(0.8)
        else w.like(x, shape)
    )
    bias = w.like(x, (out,)) if w.flip() else None
    w.node("Conv", [x, weight, bias], group=groups, **attributes)
    _epilogue(w)


def conv_3x3(w: Writer) -> None:
    """What Winograd's algorithm may compute."""
    channels, out = w.pick((3, 8, 16, 20)), w.pick((5, 16, 24))
    x = w.new(
        (w.pick((1, 2)), channels, w.chance.randint(3, 14), w.chance.randint(3, 14))
    )
    weight = w.constant(w.data((out, channels, 3, 3), "float32") / np.float32(4))
    pads = [w.chance.randint(0, 1) for _ in range(4)]
    bias = w.like(x, (out,)) if w.flip() else None
    w.node("Conv", [x, weight, bias], pads=pads)
    _epilogue(w)


def conv_transpose(w: Writer) -> None:
    """The transposed convolution."""
    dims = w.pick((1, 2, 2))
    x = _image(w, dims)
    channels = x.shape[1]
    groups = w.pick([g for g in range(1, channels + 1) if channels % g == 0])
    kernel = [w.chance.randint(1, 3) for _ in range(dims)]
    strides = [w.chance.randint(1, 3) for _ in range(dims)]
    pads = [w.chance.randint(0, (k - 1) // 2) for k in kernel * 2]
    weight = w.like(x, (channels, w.pick((1, 2, 5)), *kernel))
    extra = [w.chance.randint(0, s - 1) for s in strides]
    w.node(
        "ConvTranspose", [x, weight], group=groups, strides=strides, pads=pads,
        output_padding=extra, kernel_shape=kernel,
    )  # fmt: skip
    _epilogue(w)


def pool(w: Writer) -> None:
    """Windows of the largest or the mean."""
    dims = w.pick((1, 2, 2, 3))
    x = _image(w, dims)
    attributes = _window(w, dims, x.shape[2:])
    if "dilations" in attributes and "auto_pad" in attributes:
        # ONNX Runtime pads as if the window were not dilated.
        raise Impossible
    if w.flip():
        w.node("MaxPool", [x], is_exact=True, **attributes)
    else:
        attributes.pop("dilations", None)
        w.node("AveragePool", [x], count_include_pad=int(w.flip()), **attributes)


def global_pool(w: Writer) -> None:
    """One value a channel."""
    x = _image(w, w.pick((1, 2, 3)))
    w.node(w.pick(("GlobalAveragePool", "GlobalMaxPool")), [x])


def attention_spelled(w: Writer) -> None:
    """Attention of products and a softmax, with or without mask."""
    heads = (w.pick((1, 2)), w.pick((1, 2, 3)))
    queries, keys, depth = w.size(20) or 1, w.size(20) or 1, w.pick((1, 4, 8, 17))
    q = w.new((*heads, queries, depth))
    k = w.new((*heads, keys, depth))
    v = w.new((*heads, keys, w.pick((depth, 5))))
    across = w.node("Transpose", [k], perm=[0, 1, 3, 2], is_exact=True)
    scores = w.node("MatMul", [q, across])
    scale = w.constant(np.array(depth**0.5, np.float32), is_shared=False)
    scores = w.node("Div", [scores, scale])
    if w.flip():
        scores = w.node(
            "Add", [scores, w.new(w.pick(((queries, keys), (1, 1, 1, keys))))]
        )
    weights = w.node("Softmax", [scores], axis=-1)
    w.node("MatMul", [weights, v])


def attention(w: Writer) -> None:
    """The standard op."""
    batch, heads, groups = w.pick((1, 2)), w.pick((2, 4)), w.pick((1, 2))
    queries, keys, depth = (
        w.chance.randint(1, 18),
        w.chance.randint(1, 18),
        w.pick((4, 9)),
    )
    q = w.new((batch, heads, queries, depth))
    k, v = (w.new((batch, groups, keys, depth)) for _ in range(2))
    mask = w.new((queries, keys)) if w.flip() else None
    w.node(
        "Attention",
        [q, k, v, mask],
        is_causal=int(mask is None and queries <= keys and w.flip()),
    )


def recurrent(w: Writer) -> None:
    """Nets with a state, in either direction."""
    op, gates = w.pick((("RNN", 1), ("GRU", 3), ("LSTM", 4)))
    steps, batch, width, hidden = (w.chance.randint(1, 4) for _ in range(4))
    x = w.new((steps, batch, width))
    operands: list[Value | None] = [
        x,
        w.constant(w.data((1, gates * hidden, width), "float32") / np.float32(4)),
        w.constant(w.data((1, gates * hidden, hidden), "float32") / np.float32(4)),
    ]
    if w.flip():
        operands.append(w.constant(w.data((1, 2 * gates * hidden), "float32")))
    extra: dict[str, Any] = (
        {"linear_before_reset": int(w.flip())} if op == "GRU" else {}
    )
    w.node_all(op, operands, outputs=2, hidden_size=hidden, **extra)


def quantize(w: Writer) -> None:
    """There and back; with a scale that makes ties impossible."""
    x = w.value("f", lambda v: v.is_exact and v.array.dtype == "float32")
    scale = w.constant(np.array(0.07, np.float32), is_shared=False)
    zero = w.constant(np.array(3, w.pick(("int8", "uint8"))), is_shared=False)
    scaled = x.array / np.float32(0.07)
    if x.array.size and (np.abs(scaled - np.floor(scaled) - 0.5) < 1e-3).any():
        raise Impossible
    q = w.node("QuantizeLinear", [x, scale, zero], is_exact=True)
    w.node("DequantizeLinear", [q, scale, zero])


def matmul_integer(w: Writer) -> None:
    """Products of bytes."""
    rows, inner, columns = (w.size(20) for _ in range(3))
    x, y = (
        w.new((rows, inner), "uint8"),
        w.new((inner, columns), w.pick(("int8", "uint8"))),
    )
    w.node("MatMulInteger", [x, y])


RULES: Final[list[Rule]] = [
    matmul, matmul, matmul, gemm, gemm, einsum, conv, conv, conv, conv_3x3,
    conv_transpose, pool, pool, global_pool, attention_spelled, attention, recurrent,
    quantize, matmul_integer,
]  # fmt: skip
