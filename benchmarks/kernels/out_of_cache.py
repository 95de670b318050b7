"""
Memory-bound kernels on more than the caches hold, against the measured bandwidth.

    python benchmarks/kernels/out_of_cache.py [--target avx2] [--threads 2] [--only sum]

Prints, for each kernel: its time, bytes moved per second (operands and results counted
once), and what share of the limit that is: the time that reading and writing as many
bytes takes, one after the other at the rates of `nnc.backend.limits`, over its time.
Stores that go around the caches need not read a line before they write it, as the
measured ones do: then a share can be above 1.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from bandwidth import LAST, add_bias, gelu, layer_norm, softmax
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, TensorType, i8, i64
from xdsl.ir import Attribute, SSAValue

from nnc.backend.host import resolve_target
from nnc.backend.limits import measured_limits
from nnc.dialects.nn import conv, elementwise, movement, reduction
from nnc.dialects.nn.dtypes import numpy_dtype
from nnc.dialects.nn.structure import ConstantOp
from nnc.dialects.nn.types import F32, dims_of
from nnc.target import Target
from nnc.testing_dispatches import (
    BuildRegion,
    LoweredDispatch,
    Operand,
    lower_dispatch,
)

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A kernel, and the shapes of its operands."""

    name: str
    build: BuildRegion
    shapes: Sequence[Shape]
    kinds: Sequence[type[np.generic]] = ()
    """Element types; float32 where there is none."""
    below: int = 100
    """Integers are below that."""
    read: int | None = None
    """Bytes that are read, if not all."""

    def arrays(self, rng: np.random.Generator) -> list[Array]:
        """Operands."""
        return [
            _array(rng, shape, kind, self.below)
            for shape, kind in zip(
                self.shapes,
                [*self.kinds, *[np.float32] * len(self.shapes)],
                strict=False,
            )
        ]


def _array(
    rng: np.random.Generator, shape: Shape, kind: type[np.generic], below: int
) -> Array:
    if np.issubdtype(kind, np.floating):
        return rng.standard_normal(shape, np.float32).astype(kind, copy=False)
    return rng.integers(0, 2 if kind is np.bool_ else below, shape).astype(kind)


def number(value: float, dims: Sequence[Any]) -> movement.BroadcastOp:
    """A constant."""
    text = DenseIntOrFPElementsAttr.from_list(TensorType(F32, []), [value])
    return movement.BroadcastOp(ConstantOp(text), dims)


def rms_norm(x: SSAValue, scale: SSAValue) -> elementwise.MulOp:
    """RMS normalisation along the last axis."""
    dims, axis = dims_of(x), len(dims_of(x)) - 1
    power = reduction.ReduceOp(elementwise.MulOp(x, x).result, "mean", [axis])
    shifted = elementwise.AddOp(power, number(1e-5, dims_of(power.result)))
    root = movement.BroadcastOp(elementwise.SqrtOp(shifted), dims)
    normal = elementwise.DivOp(x, root)
    return elementwise.MulOp(normal, movement.BroadcastOp(scale, dims))


def normalized(x: SSAValue, axes: Sequence[int]) -> elementwise.DivOp:
    """Mean 0 and variance 1 over some axes."""
    dims = dims_of(x)
    mean = reduction.ReduceOp(x, "mean", axes)
    centered = elementwise.SubOp(x, movement.BroadcastOp(mean, dims))
    squares = elementwise.MulOp(centered, centered)
    variance = reduction.ReduceOp(squares.result, "mean", axes)
    shifted = elementwise.AddOp(variance, number(1e-5, dims_of(variance.result)))
    root = movement.BroadcastOp(elementwise.SqrtOp(shifted), dims)
    return elementwise.DivOp(centered, root)


def softmax_at(axis: int) -> BuildRegion:
    """Softmax along any axis."""

    def build(x: SSAValue) -> elementwise.DivOp:
        dims = dims_of(x)
        largest = reduction.ReduceOp(x, "max", [axis])
        spread = movement.BroadcastOp(largest, dims)
        powers = elementwise.ExpOp(elementwise.SubOp(x, spread))
        total = reduction.ReduceOp(powers.result, "sum", [axis])
        return elementwise.DivOp(powers, movement.BroadcastOp(total, dims))

    return build


def scale_shift(x: SSAValue, s: SSAValue, b: SSAValue) -> elementwise.AddOp:
    """Batch normalisation with folded statistics."""
    dims = dims_of(x)
    scaled = elementwise.MulOp(x, movement.BroadcastOp(s, dims))
    return elementwise.AddOp(scaled, movement.BroadcastOp(b, dims))


def chain(x: SSAValue) -> elementwise.SelectOp:
    """A clip, then a choice."""
    dims = dims_of(x)
    clipped = elementwise.ClampOp(x, -1.0, 1.0)
    test = elementwise.CompareOp(clipped, number(0.0, dims), "gt")
    scaled = elementwise.MulOp(clipped, number(0.1, dims))
    return elementwise.SelectOp(test, clipped, scaled)


def reduce(name: str, kind: str, axes: Sequence[int], shape: Shape) -> Case:
    """A reduction."""
    return Case(
        f"{name} {_shown(shape)}", lambda x: reduction.ReduceOp(x, kind, axes), [shape]
    )


def transpose(shape: Shape, axes: Sequence[int], kind: Any = np.float32) -> Case:
    """A transposing copy."""
    name = f"transpose {_shown(shape)} {''.join(map(str, axes))}"
    if kind is not np.float32:
        name += f" {np.dtype(kind)}"
    return Case(name, lambda x: movement.TransposeOp(x, axes), [shape], [kind])


def cast(before: Any, after: Attribute, name: str) -> Case:
    """A conversion."""
    return Case(
        f"cast {name}",
        lambda x: elementwise.CastOp(x, after),
        [(4096, 4096)],
        [before],
    )


def pool(kind: conv.PoolKind, size: int, stride: int, shape: Shape) -> Case:
    """A pool, channels last."""

    def build(x: SSAValue) -> conv.PoolOp:
        half = (size - 1) // 2
        return conv.PoolOp(
            x,
            kind,
            (size, size),
            strides=(stride, stride),
            padding=(half,) * 4,
            layout=LAST,
        )

    return Case(f"pool {kind} k{size} s{stride} {_shown(shape)}", build, [shape])


def depthwise(shape: Shape, stride: int, size: int = 3) -> Case:
    """A depthwise convolution."""
    channels, half = shape[-1], size // 2

    def build(x: SSAValue, w: SSAValue) -> conv.ConvOp:
        return conv.ConvOp(
            x,
            w,
            strides=(stride, stride),
            padding=(half,) * 4,
            groups=channels,
            layout=LAST,
        )

    name = f"depthwise k{size} s{stride} {_shown(shape)}"
    return Case(name, build, [shape, (size, size, 1, channels)])


def resize(mode: str, shape: Shape, dims: Shape) -> Case:
    """A resize."""
    return Case(
        f"resize {mode} {_shown(shape)} to {_shown(dims)}",
        lambda x: movement.ResizeOp(x, dims, mode=mode),  # pyright: ignore
        [shape],
    )


def gather(rows: int, width: int, count: int) -> Case:
    """Rows of a table."""
    return Case(
        f"gather {count} of {rows}x{width}",
        lambda x, i: movement.GatherOp(x, i),
        [(rows, width), (count,)],
        [np.float32, np.int64],
        below=rows,
        read=count * (width * 4 + 8),
    )


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))


def cases() -> list[Case]:
    """All cases; each moves 96 MiB or more."""
    square, image, wide = (4096, 4096), (1, 512, 512, 64), (1, 64, 512, 512)
    bias = movement.BroadcastOp
    return [
        Case("relu", elementwise.ReluOp, [square]),
        Case("add", elementwise.AddOp, [square, square]),
        Case("sigmoid", elementwise.SigmoidOp, [square]),
        Case("exp", elementwise.ExpOp, [square]),
        Case("gelu", gelu, [square]),
        Case("tanh", elementwise.TanhOp, [square]),
        Case("clip, where", chain, [square]),
        Case("bias relu 262144x64", add_bias, [(262144, 64), (64,)]),
        Case("bias relu 4096x4096", add_bias, [square, (4096,)]),
        Case(
            "add column 4096x4096",
            lambda x, b: elementwise.AddOp(x, bias(b, dims_of(x))),
            [square, (4096, 1)],
        ),
        Case("scale shift NHWC", scale_shift, [image, (64,), (64,)]),
        Case("scale shift NCHW", scale_shift, [wide, (64, 1, 1), (64, 1, 1)]),
        Case(
            "scale shift NCHW 7x7",
            scale_shift,
            [(256, 2048, 7, 7), (2048, 1, 1), (2048, 1, 1)],
        ),
        cast(np.float32, i64, "f32 i64"),
        cast(np.int64, F32, "i64 f32"),
        cast(np.uint8, F32, "u8 f32"),
        cast(np.float32, i8, "f32 i8"),
        cast(np.float16, F32, "f16 f32"),
        Case("softmax 131072x128", softmax, [(131072, 128)]),
        Case("softmax 16384x1000", softmax, [(16384, 1000)]),
        Case("softmax 16384x1024", softmax, [(16384, 1024)]),
        Case("softmax 512x50257", softmax, [(512, 50257)]),
        Case("softmax 16x1048576", softmax, [(16, 1048576)]),
        Case("softmax 24x21x32768 axis 1", softmax_at(1), [(24, 21, 32768)]),
        Case("layernorm 262144x64", layer_norm, [(262144, 64), (64,), (64,)]),
        Case("layernorm 174762x96", layer_norm, [(174762, 96), (96,), (96,)]),
        Case("layernorm 21845x768", layer_norm, [(21845, 768), (768,), (768,)]),
        Case("layernorm 4096x4096", layer_norm, [square, (4096,), (4096,)]),
        Case("rmsnorm 21845x768", rms_norm, [(21845, 768), (768,)]),
        Case("rmsnorm 4096x4096", rms_norm, [square, (4096,)]),
        Case(
            "instance norm 64x256x1024", lambda x: normalized(x, [2]), [(64, 256, 1024)]
        ),
        Case("instance norm NHWC", lambda x: normalized(x, [1, 2]), [(64, 64, 64, 64)]),
        Case("group norm 64x32x8192", lambda x: normalized(x, [2]), [(64, 32, 8192)]),
        reduce("sum last", "sum", [1], (32768, 1024)),
        reduce("sum last", "sum", [1], (524288, 64)),
        reduce("max last", "max", [1], (32768, 1000)),
        reduce("sum first", "sum", [0], (32768, 1024)),
        reduce("sum first", "sum", [0], (524288, 64)),
        reduce("sum middle", "sum", [1], (512, 64, 1024)),
        reduce("sum all", "sum", [0, 1], (8192, 4096)),
        reduce("mean HW NHWC", "mean", [1, 2], (64, 56, 56, 160)),
        reduce("mean HW NCHW", "mean", [2, 3], (64, 160, 56, 56)),
        reduce("mean HW NCHW", "mean", [2, 3], (256, 2048, 7, 7)),
        pool("max", 3, 2, (1, 720, 720, 64)),
        pool("max", 2, 2, (1, 720, 720, 64)),
        pool("average", 3, 1, (1, 512, 512, 64)),
        pool("max", 5, 1, (1, 512, 512, 64)),
        depthwise((1, 512, 512, 64), 1),
        depthwise((1, 720, 720, 64), 2),
        depthwise((64, 56, 56, 96), 1, 7),
        transpose(square, (1, 0)),
        transpose((4099, 4093), (1, 0)),
        transpose(square, (1, 0), np.int8),
        transpose(wide, (0, 2, 3, 1)),
        transpose(image, (0, 3, 1, 2)),
        transpose((1, 3, 2048, 2048), (0, 2, 3, 1)),
        transpose((1, 2048, 2048, 3), (0, 3, 1, 2)),
        transpose((64, 256, 16, 64), (0, 2, 1, 3)),
        transpose((64, 16, 256, 64), (0, 2, 1, 3)),
        transpose((64, 256, 16, 64), (0, 2, 3, 1)),
        transpose((512, 256, 128), (2, 1, 0)),
        transpose((8, 8, 7, 8, 7, 768), (0, 1, 3, 2, 4, 5)),
        Case(
            "concat last 96+160",
            lambda a, b: movement.ConcatOp([a, b], 1),
            [(65536, 96), (65536, 160)],
        ),
        Case(
            "concat last 3x24",
            lambda a, b, c: movement.ConcatOp([a, b, c], 1),
            [(262144, 24)] * 3,
        ),
        Case(
            "slice columns",
            lambda x: movement.SliceOp(x, [0, 64], [262144, 64]),
            [(262144, 192)],
            read=262144 * 256,
        ),
        Case(
            "slice every other row",
            lambda x: movement.SliceOp(x, [0, 0], [16384, 1024], [2, 1]),
            [(32768, 1024)],
            read=16384 * 4096,
        ),
        Case(
            "slice every other column",
            lambda x: movement.SliceOp(x, [0, 0], [8192, 2048], [1, 2]),
            [(8192, 4096)],
        ),
        Case(
            "pad NHWC",
            lambda x: movement.PadOp(x, [0, 1, 1, 0], [0, 1, 1, 0]),
            [image],
        ),
        Case(
            "pad NCHW",
            lambda x: movement.PadOp(x, [0, 0, 1, 1], [0, 0, 1, 1]),
            [wide],
        ),
        gather(50257, 768, 21845),
        gather(262144, 64, 262144),
        gather(1048576, 16, 1048576),
        resize("nearest", (1, 256, 256, 64), (1, 512, 512, 64)),
        resize("nearest", (1, 64, 256, 256), (1, 64, 512, 512)),
        resize("linear", (1, 256, 256, 64), (1, 512, 512, 64)),
        resize("linear", (1, 64, 256, 256), (1, 64, 512, 512)),
        Case(
            "argmax last 32768x1000",
            lambda x: reduction.ArgReduceOp(x, "max", 1),
            [(32768, 1000)],
        ),
        Case(
            "argmax channels 21x1M",
            lambda x: reduction.ArgReduceOp(x, "max", 1),
            [(1, 21, 1 << 20)],
        ),
        Case(
            "argmax NHWC 1Mx21",
            lambda x: reduction.ArgReduceOp(x, "max", 1),
            [(1 << 20, 21)],
        ),
        Case(
            "cumulative last", lambda x: reduction.CumulativeOp(x, 1), [(16384, 1024)]
        ),
        Case("cumulative first", lambda x: reduction.CumulativeOp(x, 0), [square]),
    ]


def aligned(array: Array) -> Array:
    """A copy that starts at a cache line."""
    raw = np.empty(array.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def runner(
    lowered: LoweredDispatch, addresses: Sequence[int], threads: int
) -> Callable[[], None]:
    """A function that runs the kernel, its tasks shared by threads."""
    if threads == 1:
        return lowered.prepare(addresses)
    launch = lowered.launch
    assert launch is not None
    tasks = launch.task_count.evaluate({})
    cuts = [tasks * i // threads for i in range(threads + 1)]
    parts = [lowered.prepare(addresses, part=p) for p in itertools.pairwise(cuts)]
    pool = ThreadPoolExecutor(threads)

    def run() -> None:
        list(pool.map(lambda part: part(), parts))

    return run


def best_time(run: Callable[[], None], budget: float) -> float:
    """The shortest time of a run, in seconds."""
    end = time.perf_counter() + budget
    best = float("inf")
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best


def measure(
    case: Case, target: Target, threads: int, budget: float
) -> tuple[float, int, int]:
    """Seconds, bytes read, bytes written."""
    arrays = [aligned(a) for a in case.arrays(np.random.default_rng(0))]
    lowered = lower_dispatch(case.build, [Operand(a) for a in arrays], target)
    outputs = [
        aligned(
            np.zeros([d.as_int() or 0 for d in b.dims], numpy_dtype(b.element_type))
        )
        for b in lowered.buffers[lowered.input_count :]
    ]
    run = runner(lowered, [a.ctypes.data for a in (*arrays, *outputs)], threads)
    seconds = best_time(run, budget)
    read = case.read or sum(a.nbytes for a in arrays)
    return seconds, read, sum(a.nbytes for a in outputs)


def main() -> None:
    """Time the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="native")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--budget", type=float, default=0.3)
    arguments = parser.parse_args()
    target = resolve_target(arguments.target)
    level = measured_limits(arguments.target, arguments.threads).levels[-1]
    print(f"read {level.read / 1e9:.1f} GB/s, write {level.write / 1e9:.1f} GB/s")
    print(f"{'kernel':44} {'ms':>8} {'GB/s':>6} {'share':>6}")
    for case in cases():
        if not any(name in case.name for name in arguments.only.split(",")):
            continue
        seconds, read, written = measure(
            case, target, arguments.threads, arguments.budget
        )
        least = read / level.read + written / level.write
        rate = (read + written) / seconds / 1e9
        print(
            f"{case.name:44} {seconds * 1e3:8.2f} {rate:6.1f} {least / seconds:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
