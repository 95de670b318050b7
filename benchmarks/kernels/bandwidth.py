"""
Bandwidth of memory-bound kernels against a copy by numpy.

    python benchmarks/kernels/bandwidth.py [--target native] [--only softmax]

Prints, for each kernel: its ops, time, bytes moved per second (operands and results
counted once), and that as a share of what `numpy.copyto` reaches on as many bytes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType
from xdsl.ir import SSAValue

from nnc.backend.host import resolve_target
from nnc.dialects.nn import conv, elementwise, movement, reduction
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.structure import ConstantOp
from nnc.dialects.nn.types import F32, dims_of
from nnc.testing_dispatches import Array, BuildRegion, Operand, lower_dispatch

LAST = conv.CHANNELS_LAST


def softmax(x: SSAValue) -> elementwise.DivOp:
    """Softmax along the last axis, as fusion leaves it."""
    dims, axis = dims_of(x), len(dims_of(x)) - 1
    largest = reduction.ReduceOp(x, "max", [axis])
    spread = movement.BroadcastOp(largest, dims)
    powers = elementwise.ExpOp(elementwise.SubOp(x, spread))
    total = reduction.ReduceOp(powers.result, "sum", [axis])
    return elementwise.DivOp(powers, movement.BroadcastOp(total, dims))


def layer_norm(x: SSAValue, scale: SSAValue, bias: SSAValue) -> elementwise.AddOp:
    """Layer normalisation along the last axis, as fusion leaves it."""
    dims, axis = dims_of(x), len(dims_of(x)) - 1
    mean = reduction.ReduceOp(x, "mean", [axis])
    centered = elementwise.SubOp(x, movement.BroadcastOp(mean, dims))
    squares = elementwise.MulOp(centered, centered)
    variance = reduction.ReduceOp(squares.result, "mean", [axis])
    epsilon = ConstantOp(
        DenseIntOrFPElementsAttr.from_list(TensorType(F32, []), [1e-5])
    )
    spread = movement.BroadcastOp(epsilon, dims_of(variance.result))
    deviation = elementwise.SqrtOp(elementwise.AddOp(variance, spread))
    normal = elementwise.DivOp(centered, movement.BroadcastOp(deviation, dims))
    scaled = elementwise.MulOp(normal, movement.BroadcastOp(scale, dims))
    return elementwise.AddOp(scaled, movement.BroadcastOp(bias, dims))


def gelu(x: SSAValue) -> elementwise.MulOp:
    """`x * sigmoid(1.702 x)`."""
    dims = dims_of(x)
    factor = ConstantOp(
        DenseIntOrFPElementsAttr.from_list(TensorType(F32, []), [1.702])
    )
    scaled = elementwise.MulOp(x, movement.BroadcastOp(factor, dims))
    return elementwise.MulOp(x, elementwise.SigmoidOp(scaled))


@dataclass(frozen=True)
class Case:
    """A kernel to time."""

    name: str
    build: BuildRegion
    shapes: Sequence[tuple[int, ...]]


def depthwise(channels: int, stride: int, size: int, kernel: int = 3) -> Case:
    """A depthwise convolution with padding that keeps the size, and ReLU6."""
    half = kernel // 2

    def build(x: SSAValue, w: SSAValue) -> elementwise.ClampOp:
        made = conv.ConvOp(
            x,
            w,
            strides=(stride, stride),
            padding=(half, half, half, half),
            groups=channels,
            layout=LAST,
        )
        return elementwise.ClampOp(made, 0.0, 6.0)

    shapes = [(1, size, size, channels), (kernel, kernel, 1, channels)]
    name = f"depthwise {size}x{size}x{channels} k{kernel} s{stride}"
    return Case(name, build, shapes)


def pool(kind: conv.PoolKind, size: int, channels: int) -> Case:
    """A 3x3 pool of stride 2 and padding 1."""

    def build(x: SSAValue) -> conv.PoolOp:
        return conv.PoolOp(
            x, kind, (3, 3), strides=(2, 2), padding=(1, 1, 1, 1), layout=LAST
        )

    return Case(
        f"pool {kind} {size}x{size}x{channels}", build, [(1, size, size, channels)]
    )


def transpose(shape: tuple[int, ...], axes: Sequence[int]) -> Case:
    """A transposing copy."""
    return Case(
        f"transpose {list(shape)} {list(axes)}",
        lambda x: movement.TransposeOp(x, axes),
        [shape],
    )


def add_bias(x: SSAValue, b: SSAValue) -> elementwise.ReluOp:
    """A bias for each channel, and ReLU."""
    return elementwise.ReluOp(elementwise.AddOp(x, movement.BroadcastOp(b, dims_of(x))))


CASES: Sequence[Case] = (
    Case("relu 64K", elementwise.ReluOp, [(65536,)]),
    Case("relu 1M", elementwise.ReluOp, [(1024, 1024)]),
    Case("add 256K", elementwise.AddOp, [(262144,), (262144,)]),
    Case("bias relu 3136x64", add_bias, [(3136, 64), (64,)]),
    Case("bias relu 196x20", add_bias, [(196, 20), (20,)]),
    Case("gelu 128x3072", gelu, [(128, 3072)]),
    Case("exp 64K", elementwise.ExpOp, [(65536,)]),
    Case("softmax 1536x128", softmax, [(1536, 128)]),
    Case("softmax 128x1000", softmax, [(128, 1000)]),
    Case("layernorm 3136x96", layer_norm, [(3136, 96), (96,), (96,)]),
    Case("layernorm 784x192", layer_norm, [(784, 192), (192,), (192,)]),
    Case("layernorm 128x384", layer_norm, [(128, 384), (384,), (384,)]),
    Case("layernorm 128x768", layer_norm, [(128, 768), (768,), (768,)]),
    Case(
        "global average 49x2048",
        lambda x: reduction.ReduceOp(x, "mean", [1]),
        [(1, 49, 2048)],
    ),
    Case(
        "global average 160x160x48",
        lambda x: reduction.ReduceOp(x, "mean", [1, 2]),
        [(1, 160, 160, 48)],
    ),
    Case(
        "global average 14x14x672",
        lambda x: reduction.ReduceOp(x, "mean", [1, 2]),
        [(1, 14, 14, 672)],
    ),
    Case("sum all 1Mi", lambda x: reduction.ReduceOp(x, "sum", [0, 1]), [(1024, 1024)]),
    Case(
        "argmax 128x1000", lambda x: reduction.ArgReduceOp(x, "max", 1), [(128, 1000)]
    ),
    Case(
        "argmax 100x6625", lambda x: reduction.ArgReduceOp(x, "max", 1), [(100, 6625)]
    ),
    Case("cumulative 128x1000", lambda x: reduction.CumulativeOp(x, 1), [(128, 1000)]),
    Case("cumulative 1000x128", lambda x: reduction.CumulativeOp(x, 0), [(1000, 128)]),
    Case(
        "sum rows 1024x512", lambda x: reduction.ReduceOp(x, "sum", [1]), [(1024, 512)]
    ),
    pool("max", 112, 64),
    pool("average", 56, 64),
    depthwise(32, 1, 112),
    depthwise(144, 2, 56),
    depthwise(576, 1, 14),
    depthwise(960, 1, 7),
    depthwise(72, 1, 56),
    depthwise(240, 1, 28, 5),
    depthwise(672, 1, 14, 5),
    depthwise(672, 2, 14, 5),
    depthwise(1152, 1, 7, 5),
    depthwise(96, 1, 56, 7),
    depthwise(384, 1, 14, 7),
    depthwise(16, 1, 320),
    depthwise(32, 2, 320),
    depthwise(48, 1, 160),
    transpose((1, 3, 224, 224), (0, 2, 3, 1)),
    transpose((1, 64, 56, 56), (0, 2, 3, 1)),
    transpose((1, 56, 56, 64), (0, 3, 1, 2)),
    transpose((1, 7, 7, 512), (0, 3, 1, 2)),
    transpose((12, 128, 64), (0, 2, 1)),
    transpose((1, 128, 12, 64), (0, 2, 1, 3)),
    Case(
        "resize nearest 28x28x128",
        lambda x: movement.ResizeOp(x, [1, 56, 56, 128]),
        [(1, 28, 28, 128)],
    ),
    Case(
        "resize nearest 128x28x28 planes",
        lambda x: movement.ResizeOp(x, [1, 128, 56, 56]),
        [(1, 128, 28, 28)],
    ),
    Case(
        "resize nearest 40x40x96",
        lambda x: movement.ResizeOp(x, [1, 160, 160, 96]),
        [(1, 40, 40, 96)],
    ),
    Case(
        "resize linear 128x28x28 planes",
        lambda x: movement.ResizeOp(x, [1, 128, 56, 56], mode="linear"),
        [(1, 128, 28, 28)],
    ),
    Case(
        "resize linear 28x28x128",
        lambda x: movement.ResizeOp(x, [1, 56, 56, 128], mode="linear"),
        [(1, 28, 28, 128)],
    ),
    Case(
        "pad 56x56x64",
        lambda x: movement.PadOp(x, [0, 1, 1, 0], [0, 1, 1, 0]),
        [(1, 56, 56, 64)],
    ),
)


def best_time(run: Callable[[], object], budget: float = 0.15) -> float:
    """The shortest time of a run, in seconds."""

    def times() -> Iterator[float]:
        end = time.perf_counter() + budget
        while time.perf_counter() < end:
            start = time.perf_counter()
            run()
            yield time.perf_counter() - start

    return min(times())


def copy_bandwidth(nbytes: int) -> float:
    """Bytes per second that `numpy.copyto` moves, read and written ones counted."""
    source = np.ones(max(nbytes // 2, 64), np.uint8)
    target = np.ones_like(source)
    return 2 * source.nbytes / best_time(lambda: np.copyto(target, source), 0.05)


def aligned(array: Array) -> Array:
    """A copy that starts at a cache line."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="native")
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    target = resolve_target(arguments.target)
    rng = np.random.default_rng(0)
    print(f"{'kernel':38} {'ops':>5} {'us':>9} {'GB/s':>7} {'of copy':>8}")
    for case in CASES:
        if arguments.only not in case.name:
            continue
        arrays = [
            aligned(rng.standard_normal(s).astype(np.float32)) for s in case.shapes
        ]
        lowered = lower_dispatch(case.build, [Operand(a) for a in arrays], target)
        outputs = [
            aligned(
                np.zeros([d.as_int() or 0 for d in b.dims], numpy_dtype(b.element_type))
            )
            for b in lowered.buffers[lowered.input_count :]
        ]
        run = lowered.prepare([a.ctypes.data for a in (*arrays, *outputs)])
        seconds = best_time(run)
        moved = sum(a.nbytes for a in (*arrays, *outputs))
        speed = moved / seconds
        share = speed / copy_bandwidth(moved)
        print(
            f"{case.name:38} {lowered.op_count:5} {seconds * 1e6:9.2f} "
            f"{speed / 1e9:7.1f} {share:8.0%}"
        )


if __name__ == "__main__":
    main()
