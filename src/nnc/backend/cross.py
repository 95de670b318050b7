"""
Run kernels of another architecture under qemu's user emulation.

An object for AArch64 is linked with a small C program that reads the contents of the
slots from a file, calls one kernel and writes the buffers back. This is for tests and
for looking at foreign code; nothing here is fast.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from nnc.backend.host import host_arch, missing_features
from nnc.errors import TargetError
from nnc.target import Target

Array = npt.NDArray[np.generic]
Slot = Array | int

_LINKER = "aarch64-linux-gnu-gcc"
_EMULATOR = "qemu-aarch64"
_TIMEOUT_S = 120

# The input file: counts and the task range, then per slot its kind (0: a number, 1: a
# buffer), and its value or size and bytes. Buffers end at a page without access. The
# output is the run state and the buffers in order.
_DRIVER = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void kernel(void *slots, int64_t begin, int64_t end);
#define X(name) extern kernel name;
KERNELS
#undef X
static const struct { const char *name; kernel *code; } kernels[] = {
#define X(name) { #name, name },
KERNELS
};

static void take(void *to, size_t size, FILE *f) {
    if (size && fread(to, 1, size, f) != size) exit(3);
}

static void *guarded(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (size + page) / page * page;
    char *base = mmap(0, room + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + room, page, PROT_NONE)) exit(4);
    return base + room - size;
}

int main(int argc, char **argv) {
    int64_t head[3], state[8] = {0};
    FILE *in = fopen(argv[2], "rb"), *out = fopen(argv[3], "wb");
    if (!in || !out) return 2;
    take(head, sizeof head, in);
    int64_t count = head[0];
    int64_t *slots = calloc(count + 1, 8), *sizes = calloc(count + 1, 8);
    slots[0] = (int64_t)state;
    for (int64_t i = 1; i <= count; i++) {
        int64_t item[2];
        take(item, sizeof item, in);
        slots[i] = item[1];
        sizes[i] = -1;
        if (item[0]) {
            void *data = guarded(item[1]);
            take(data, item[1], in);
            slots[i] = (int64_t)data;
            sizes[i] = item[1];
        }
    }
    kernel *code = 0;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (!strcmp(kernels[i].name, argv[1])) code = kernels[i].code;
    if (!code) return 5;
    code(slots, head[1], head[2]);
    fwrite(state, 8, 8, out);
    for (int64_t i = 1; i <= count; i++)
        if (sizes[i] > 0) fwrite((void *)slots[i], 1, sizes[i], out);
    return fclose(out) ? 6 : 0;
}
"""


def missing_tools() -> tuple[str, ...]:
    """Programs that running AArch64 code needs and this machine lacks."""
    return tuple(tool for tool in (_LINKER, _EMULATOR) if shutil.which(tool) is None)


def why_it_cannot_run(target: Target) -> str:
    """What running kernels for `target` lacks, here or emulated; empty: nothing."""
    if target.arch == "aarch64" and host_arch() != "aarch64":
        missing = missing_tools()
        return f"running AArch64 code needs {' and '.join(missing)}" if missing else ""
    missing = missing_features(target)
    return f"this machine lacks {', '.join(missing)}" if missing else ""


class QemuProgram:
    """An executable of the kernels in one AArch64 object; delete it with `close`."""

    def __init__(self, object_code: bytes, symbols: Iterable[str]) -> None:
        missing = missing_tools()
        if missing:
            raise TargetError(
                f"running AArch64 code needs {' and '.join(missing)} (Debian packages "
                "gcc-aarch64-linux-gnu and qemu-user)"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="nnc-qemu-")
        folder = Path(self._folder.name)
        (folder / "kernels.o").write_bytes(object_code)
        names = " ".join(f"X({name})" for name in symbols)
        (folder / "driver.c").write_text(_DRIVER.replace("KERNELS", names))
        self._program = folder / "program"
        command = (_LINKER, "-static", "-o", "program", "driver.c", "kernels.o", "-lm")
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def run(
        self,
        symbol: str,
        slots: Sequence[Slot],
        *,
        begin: int = 0,
        end: int = 1,
        state: Array | None = None,
    ) -> list[Array]:
        """
        Call a kernel on copies of the buffers; returns them afterwards.

        `slots` are those from slot 1 on; `state` (int64) receives the run state.
        """
        folder = Path(self._folder.name)
        parts = [struct.pack("<3q", len(slots), begin, end)]
        for slot in slots:
            if isinstance(slot, int):
                parts.append(struct.pack("<2q", 0, slot))
            else:
                parts.append(struct.pack("<2q", 1, slot.nbytes) + slot.tobytes())
        (folder / "in").write_bytes(b"".join(parts))
        process = subprocess.run(
            (_EMULATOR, "-cpu", "max", str(self._program), symbol, "in", "out"),
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )
        if process.returncode:
            raise TargetError(
                f"kernel '{symbol}' failed under {_EMULATOR} with status "
                f"{process.returncode}: {process.stderr}"
            )
        data = (folder / "out").read_bytes()
        if state is not None:
            state[:8] = np.frombuffer(data, np.int64, 8)
        results: list[Array] = []
        position = 64
        for slot in slots:
            if not isinstance(slot, int):
                raw = data[position : position + slot.nbytes]
                results.append(np.frombuffer(raw, slot.dtype).reshape(slot.shape))
                position += slot.nbytes
        return results

    def close(self) -> None:
        """Delete the executable."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def run_kernel_in_qemu(
    object_code: bytes,
    symbol: str,
    arrays: Sequence[Array],
    dims: Sequence[int],
    begin: int = 0,
    end: int = 1,
) -> list[Array]:
    """Link, run and clean up: a kernel whose slots are its buffers, then its dims."""
    with QemuProgram(object_code, (symbol,)) as program:
        return program.run(symbol, [*arrays, *dims], begin=begin, end=end)
