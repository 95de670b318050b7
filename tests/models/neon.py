"""
Run a whole model that was compiled for AArch64 under qemu's user emulation.

Everything a run touches is laid out in one image: state, slot table, arena, weights,
inputs, outputs. A small C program loads it, turns the offsets in the slot table into
addresses, calls the model's entry once and writes the image back.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
from catalogue import Array, Feeds

import nnc
from nnc.api import emit
from nnc.build import plan_of
from nnc.runtime.artifact import RECORD_WORDS, Plan
from nnc.runtime.shapes import ShapePlanner
from nnc.runtime.specs import TensorSpec
from nnc.runtime.state import STATE_WORDS

LINKER: Final = "aarch64-linux-gnu-gcc"
EMULATOR: Final = "qemu-aarch64"

_ALIGNMENT: Final = 64

_DRIVER: Final = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern void ENTRY(void *state, void *table);

int main(int argc, char **argv) {
    int64_t head[3];  /* bytes of the image, offset of the table, words to relocate */
    FILE *in = fopen(argv[1], "rb");
    if (!in || fread(head, 8, 3, in) != 3) return 2;
    char *image = aligned_alloc(64, head[0]);
    int64_t *words = malloc(8 * (head[2] + 1));
    if (!image || fread(image, 1, head[0], in) != (size_t)head[0]) return 3;
    if (fread(words, 8, head[2], in) != (size_t)head[2]) return 4;
    int64_t *table = (int64_t *)(image + head[1]);
    for (int64_t i = 0; i < head[2]; i++) table[words[i]] += (int64_t)image;
    ENTRY(image, table);
    FILE *out = fopen(argv[2], "wb");
    return !out || fwrite(image, 1, head[0], out) != (size_t)head[0];
}
"""


def run_under_qemu(path: Path, feeds: Feeds, target: str = "neon") -> list[Array]:
    """The outputs of a model file, compiled for `target` and run emulated."""
    module = nnc.convert(path).apply(f"nnc-default{{target={target}}}")
    plan = plan_of(module.ir)
    inputs = [np.ascontiguousarray(feeds[t.name]) for t in plan.inputs]
    weights = [np.ascontiguousarray(module.weights[w.name]) for w in plan.weights]
    job = _Image(plan, inputs, weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        code = emit(module, "o", target=target, pipeline="")
        (folder / "model.o").write_bytes(code)
        (folder / "driver.c").write_text(_DRIVER.replace("ENTRY", plan.entry))
        (folder / "image").write_bytes(job.encoded())
        program = folder / "program"
        sources = [folder / "driver.c", folder / "model.o"]
        subprocess.run([LINKER, "-static", "-o", program, *sources, "-lm"], check=True)
        subprocess.run(
            [EMULATOR, "-cpu", "max", program, folder / "image", folder / "out"],
            check=True,
            timeout=1200,
        )
        return job.outputs((folder / "out").read_bytes())


class _Image:
    """The memory of one run, and where everything lies in it."""

    def __init__(self, plan: Plan, inputs: list[Array], weights: list[Array]) -> None:
        self.plan = plan
        specs = [
            TensorSpec(t.name, np.dtype(t.dtype), _shape(t.dims)) for t in plan.inputs
        ]
        # Where the weights lie depends only on sizes known beforehand.
        words = sum(RECORD_WORDS + len(launch.slots) for launch in plan.launches)
        sizes = [8 * STATE_WORDS, 8 * words, *(w.nbytes for w in weights)]
        sizes += [a.nbytes for a in inputs]
        starts = _starts(sizes)
        self.table = starts[1]
        weight_starts = starts[2 : 2 + len(weights)]
        planner = ShapePlanner(plan, specs, weight_starts)
        state = planner.state(inputs)
        self.shapes = state.output_shapes
        self.dtypes: list[np.dtype[np.generic]] = [
            np.dtype(t.dtype) for t in plan.outputs
        ]
        results = [
            int(np.prod(s)) * d.itemsize
            for s, d in zip(self.shapes, self.dtypes, strict=True)
        ]
        starts = _starts([*sizes, state.packing.size, *results])
        arena, *self.output_starts = starts[len(sizes) :][: 1 + len(results)]
        self.size = starts[-1]
        bases = np.array(
            [0, 0, arena, *starts[2 + len(weights) : len(sizes)], *self.output_starts]
        )
        table = state.table + bases[planner.bases]
        parts = [
            (starts[1], table),
            *zip(starts[2:], [*weights, *inputs], strict=False),
        ]
        image = bytearray(self.size)
        for start, array in parts:
            image[start : start + array.nbytes] = array.tobytes()
        self.image = bytes(image)

    def encoded(self) -> bytes:
        """The file that the driver reads."""
        words: list[int] = []
        position = 0
        for launch in self.plan.launches:
            position += RECORD_WORDS
            for slot in launch.slots:
                if slot.base != "value":
                    words.append(position)
                position += 1
        head = struct.pack("<3q", self.size, self.table, len(words))
        return head + self.image + struct.pack(f"<{len(words)}q", *words)

    def outputs(self, image: bytes) -> list[Array]:
        """The results, from the image that the driver wrote."""
        error = struct.unpack_from("<q", image, 8)[0]
        assert error == 0, f"the model reported error {error}"
        return [
            np.frombuffer(image, dtype, int(np.prod(shape)), start).reshape(shape)
            for dtype, shape, start in zip(
                self.dtypes, self.shapes, self.output_starts, strict=True
            )
        ]


def _starts(sizes: list[int]) -> list[int]:
    """Aligned offsets of parts of these sizes, and the end."""
    rounded = [-(-s // _ALIGNMENT) * _ALIGNMENT for s in sizes]
    return [0, *accumulate(rounded)]


def _shape(dims: tuple[str, ...]) -> tuple[int | str, ...]:
    return tuple(int(d) if d.isdigit() else d for d in dims)
