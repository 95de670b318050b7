"""
Code generation and loading of object code through LLVM.

The IR that nnc emits needs no mid-level optimisation, so there is none: text is parsed,
verified and handed to the code generator. LLVM may abort the whole process on input it
considers impossible; triple, CPU and features therefore come from `Target` records
only, and every module is verified first.
"""

# llvmlite has no type information.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import threading
import weakref
from functools import cache
from types import TracebackType
from typing import Any, Protocol, Self, cast

from nnc.errors import InternalError
from nnc.runtime.limits import Limits
from nnc.runtime.linking import LinkedObject, Unlinkable
from nnc.target import Target

_lock = threading.Lock()
_codegen_count = 0
_live_engines = 0


def codegen_count() -> int:
    """How many modules this process has generated code for."""
    return _codegen_count


def live_engines() -> int:
    """How many pieces of loaded code are not closed yet."""
    return _live_engines


def llvm_version() -> str:
    """The version of LLVM."""
    return ".".join(
        f"{part}" for part in cast("tuple[int, ...]", _llvm().llvm_version_info)
    )


def _llvm() -> Any:
    """LLVM's library, which takes a moment and 45 MiB."""
    import llvmlite.binding as llvm

    return llvm


@cache
def _initialize() -> None:
    llvm = _llvm()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def _initialize_native() -> None:
    # Code that is only loaded needs no other target; each takes memory.
    llvm = _llvm()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def _target_machine(target: Target, opt_level: int) -> Any:
    # Position-independent code of the small model serves the JIT and the linker alike,
    # and reads constants straight from memory.
    _initialize()
    return (
        _llvm()
        .Target.from_triple(target.triple)
        .create_target_machine(
            cpu=target.cpu,
            features=target.llvm_features,
            opt=opt_level,
            reloc="pic",
            codemodel="small",
        )
    )


def _parse(text: str, machine: Any) -> Any:
    llvm = _llvm()
    try:
        module = llvm.parse_assembly(text)
        module.data_layout = str(machine.target_data)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"LLVM rejects the generated code: {error}") from error
    return module


def emit_object(text: str, target: Target, *, opt_level: int = 2) -> bytes:
    """Object code of LLVM IR text, to load here or to link into a program."""
    global _codegen_count
    machine = _target_machine(target, opt_level)
    with _lock, _parse(text, machine) as module:
        _codegen_count += 1
        return machine.emit_object(module)


def emit_assembly(text: str, target: Target, *, opt_level: int = 2) -> str:
    """The same code as readable assembly."""
    machine = _target_machine(target, opt_level)
    with _lock, _parse(text, machine) as module:
        return machine.emit_assembly(module)


class _Engine(Protocol):
    """Linked code."""

    def address(self, symbol: str) -> int: ...

    def keep(self) -> None:
        """Give up the means to unload the code."""
        ...

    def close(self) -> None: ...


class _LinkedEngine:
    """What our linker has placed."""

    def __init__(self, data: bytes) -> None:
        self._linked = LinkedObject(data)

    def address(self, symbol: str) -> int:
        return self._linked.address(symbol)

    def keep(self) -> None:
        _kept.append(self._linked)

    def close(self) -> None:
        self._linked.close()


_kept: list[LinkedObject] = []
"""Code that stays until the process ends."""


class _LlvmEngine:
    """One LLJIT with one library; disposed explicitly, in the right order."""

    def __init__(self, data: bytes) -> None:
        _initialize_native()
        llvm = _llvm()
        self._jit = llvm.create_lljit_compiler(use_jit_link=True, suppress_errors=True)
        builder = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
        try:
            library = builder.link(self._jit, "nnc")
        except RuntimeError as error:
            self._jit.close()
            raise InternalError(f"LLVM cannot load the object code: {error}") from error
        # Closing any tracker of a library unloads it: all live as long as this does.
        self._trackers = [library]
        self._addresses: dict[str, int] = {}

    def address(self, symbol: str) -> int:
        if symbol not in self._addresses:
            tracker = self._jit.lookup("nnc", symbol)
            self._trackers.append(tracker)
            self._addresses[symbol] = tracker[symbol]
        return self._addresses[symbol]

    def keep(self) -> None:
        for tracker in self._trackers:
            tracker.detach()
        self._jit.detach()

    def close(self) -> None:
        for tracker in self._trackers:
            tracker.close()
        self._jit.close()


def _engine_of(data: bytes) -> _Engine:
    try:
        return _LinkedEngine(data)
    except Unlinkable:
        return _LlvmEngine(data)


def _dispose(engine: _Engine) -> None:
    global _live_engines
    with _lock:
        engine.close()
        _live_engines -= 1


class LoadedCode:
    """
    Executable code of one object; owns it until `close`.

    Addresses are valid only while this is open, and whoever calls them keeps it so.
    """

    def __init__(self, data: bytes, pool: bytes = b"") -> None:
        """Link an object; `pool` is that of the thread pool, if it was made before."""
        global _live_engines
        with _lock:
            self._engine = _engine_of(data)
            _live_engines += 1
        self._finalizer = weakref.finalize(self, _dispose, self._engine)
        self._pool = pool

    def address(self, symbol: str) -> int:
        """Where a function of the object is."""
        if not self._finalizer.alive:
            raise InternalError("the code is closed")
        try:
            return self._engine.address(symbol)
        except (KeyError, RuntimeError) as error:
            raise InternalError(
                f"the code has no function '{symbol}', or needs one that this process "
                "lacks"
            ) from error

    def parallel(self, threads: int) -> int:
        """
        Where the function is that shares a launch out to up to that many threads.

        Raises:
            RunError: the system gives no more threads.
        """
        from nnc.backend.pool.process import parallel_function

        return parallel_function(threads, self._pool)

    def keep(self, *symbols: str) -> dict[str, int]:
        """
        Leave the code where it is until the process ends; gives these addresses.

        For code that threads may be in at any time, even while the process ends.
        """
        addresses = {symbol: self.address(symbol) for symbol in symbols}
        global _live_engines
        self._finalizer.detach()
        with _lock:
            self._engine.keep()
            _live_engines -= 1
        return addresses

    def limits(self, target: str, threads: int) -> Limits:
        """What threads of this machine can do at most, with the target's code."""
        from nnc.backend.limits import measured_limits

        return measured_limits(target, threads)

    @property
    def closed(self) -> bool:
        """Whether the code is gone."""
        return not self._finalizer.alive

    def close(self) -> None:
        """Free the code; doing it twice is fine."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def load_object(data: bytes) -> LoadedCode:
    """Link object code into this process."""
    return LoadedCode(data)
