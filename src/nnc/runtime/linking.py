"""
Object code into memory, without LLVM: a linker for what nnc emits on x86-64 Linux.

An object of ours is one small program: position-independent code of the small model,
constants, zeroed memory, and a few functions of the C library. To place its sections
in one piece and patch five kinds of relocations needs a page of code, where LLVM's
linker needs its library: 45 MiB of memory and 60 ms in each process that loads a model.
What this linker does not know (other formats, thread-local storage, common symbols) it
refuses with `Unlinkable`, before anything is mapped; LLVM's can take it from there.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQq")

_MAGIC: Final = b"\x7fELF\x02\x01\x01"
"""64 bits, little endian, version 1."""
_RELOCATABLE, _X86_64 = 1, 62
_PROGBITS, _SYMTAB, _RELA, _NOBITS, _REL = 1, 2, 4, 8, 9
_PLAIN: Final = frozenset({0, _PROGBITS, _SYMTAB, 3, _RELA, 7, _NOBITS, 0x70000001})
"""Section types that need nothing beyond being there: those, strings, notes, unwinding
tables."""
_WRITE, _ALLOC, _EXECUTE, _TLS = 1, 2, 4, 0x400
_UNDEFINED, _ABSOLUTE, _FIRST_RESERVED = 0, 0xFFF1, 0xFF00
_SIMPLE_SYMBOLS: Final = frozenset({0, 1, 2, 3, 4})
"""Without type, data, code, sections, files."""

_R64, _PC32, _PLT32 = 1, 2, 4
_GOT_KINDS: Final = frozenset({9, 41, 42})
"""GOTPCREL, GOTPCRELX, REX_GOTPCRELX."""
_STUB: Final = b"\xff\x25"
"""jmp [rip + offset]"""
_STUB_BYTES: Final = 8


class Unlinkable(Exception):
    """The object holds what this linker does not know."""


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class _Symbol(NamedTuple):
    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


@dataclass
class _Object:
    """The parts of a relocatable file."""

    data: bytes
    sections: list[_Section]
    symbols: list[_Symbol]
    names: bytes

    @staticmethod
    def parse(data: bytes) -> _Object:
        if len(data) < _HEADER.size:
            raise Unlinkable("too short")
        ident, kind, machine, *_, start, _, _, _, _, entry, count, _ = _HEADER.unpack(
            data[: _HEADER.size]
        )
        if not ident.startswith(_MAGIC) or (kind, machine) != (_RELOCATABLE, _X86_64):
            raise Unlinkable("no relocatable object for x86-64")
        if entry != _SECTION.size or start + count * entry > len(data):
            raise Unlinkable("section headers outside of the file")
        sections = [
            _Section(*fields)
            for fields in _SECTION.iter_unpack(data[start : start + count * entry])
        ]
        for section in sections:
            _check(section, len(data))
        tables = [s for s in sections if s.type == _SYMTAB]
        if len(tables) != 1 or tables[0].link >= count:
            raise Unlinkable("no symbol table")
        made = _Object(data, sections, [], b"")
        table = made.content(tables[0])
        made.symbols = [_Symbol(*fields) for fields in _SYMBOL.iter_unpack(table)]
        made.names = made.content(sections[tables[0].link])
        return made

    def content(self, section: _Section) -> bytes:
        """The bytes of a section."""
        return self.data[section.offset : section.offset + section.size]

    def name(self, symbol: _Symbol) -> str:
        """What a symbol is called."""
        end = self.names.find(b"\0", symbol.name)
        return self.names[symbol.name : end].decode()

    def relocations(self) -> Iterator[tuple[_Section, int, int, _Symbol, int]]:
        """Of loaded sections: where, which kind, to what, and what is added."""
        for table in self.sections:
            if table.type != _RELA:
                continue
            if table.info >= len(self.sections):
                raise Unlinkable("relocations of no section")
            section = self.sections[table.info]
            if not section.flags & _ALLOC:
                continue
            for place, info, addend in _RELOCATION.iter_unpack(self.content(table)):
                number, kind = info >> 32, info & 0xFFFFFFFF
                size = 8 if kind == _R64 else 4
                if number >= len(self.symbols) or place + size > section.size:
                    raise Unlinkable("a relocation outside of its section")
                yield section, place, kind, self.symbols[number], addend


def _check(section: _Section, total: int) -> None:
    if section.flags & _ALLOC and section.type not in _PLAIN:
        raise Unlinkable(f"a section of type {section.type}")
    if section.flags & _TLS or section.type == _REL:
        raise Unlinkable("thread-local storage, or relocations of an unknown form")
    if section.type != _NOBITS and section.offset + section.size > total:
        raise Unlinkable("a section outside of the file")


class LinkedObject:
    """An object in memory, ready to be called; owns the memory until `close`."""

    def __init__(self, data: bytes) -> None:
        """
        Link the object with what this process has loaded.

        Raises:
            Unlinkable: it takes a linker that knows more, or a function is missing.
        """
        if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
            raise Unlinkable("another system")
        self._object = _Object.parse(data)
        self._process = ctypes.CDLL(None)
        self._places: dict[int, int] = {}
        self._slots: dict[_Symbol, int] = {}
        self._externals: dict[str, int] = {}
        self._symbols: dict[str, int] = {}
        self._find_externals()
        size, ends = self._lay_out()
        # Private: a forked child gets data of its own.
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._memory = mmap.mmap(-1, size, flags=flags)
        self._base = _address_of(self._memory)
        try:
            self._fill()
            self._protect(ends)
        except BaseException:
            self._memory.close()
            raise

    def address(self, symbol: str) -> int:
        """
        Where a function of the object is.

        Raises:
            KeyError: it has none of that name.
        """
        return self._symbols[symbol]

    def close(self) -> None:
        """Free the memory."""
        self._memory.close()

    # -- layout ----------------------------------------------------------------

    def _find_externals(self) -> None:
        """Every symbol that is referred to is of a kind that can be resolved."""
        known = {_R64, _PC32, _PLT32, *_GOT_KINDS}
        for _, _, kind, symbol, _ in self._object.relocations():
            if kind not in known:
                raise Unlinkable(f"relocations of type {kind}")
            if symbol.info & 15 not in _SIMPLE_SYMBOLS:
                raise Unlinkable("symbols of unknown type")
            is_external = symbol.section == _UNDEFINED
            if symbol.section >= _FIRST_RESERVED and symbol.section != _ABSOLUTE:
                raise Unlinkable("common symbols")
            if not is_external and kind not in _GOT_KINDS:
                continue
            self._slots.setdefault(symbol, len(self._slots))
            name = self._object.name(symbol)
            if is_external and name not in self._externals:
                self._externals[name] = self._external(name)

    def _external(self, name: str) -> int:
        try:
            function = getattr(self._process, name)
        except AttributeError:
            raise Unlinkable(f"this process has no '{name}'") from None
        return ctypes.cast(function, ctypes.c_void_p).value or 0

    def _lay_out(self) -> tuple[int, tuple[int, int]]:
        """Code and stubs, then constants and the table of addresses, then data."""
        end = 0
        ends: list[int] = []
        for flags in (_ALLOC | _EXECUTE, _ALLOC, _ALLOC | _WRITE):
            for number, section in enumerate(self._object.sections):
                if section.flags & (_ALLOC | _EXECUTE | _WRITE) != flags:
                    continue
                end = _aligned(end, max(1, section.alignment))
                self._places[number] = end
                end += section.size
            if flags & _EXECUTE:
                self._stubs = end = _aligned(end, 16)
                end += _STUB_BYTES * len(self._slots)
            elif flags == _ALLOC:
                self._table = end = _aligned(end, 8)
                end += 8 * len(self._slots)
            end = _aligned(end, mmap.PAGESIZE)
            ends.append(end)
        if end >= 1 << 31:
            raise Unlinkable("more than the small code model has room for")
        if any(s.flags & _EXECUTE and s.flags & _WRITE for s in self._object.sections):
            raise Unlinkable("code that changes")
        return max(end, mmap.PAGESIZE), (ends[0], ends[1])

    # -- contents ----------------------------------------------------------------

    def _fill(self) -> None:
        made, memory = self._object, self._memory
        for number, place in self._places.items():
            section = made.sections[number]
            if section.type != _NOBITS:
                memory[place : place + section.size] = made.content(section)
        for symbol in made.symbols:
            if symbol.section in self._places and symbol.info >> 4:
                self._symbols[made.name(symbol)] = self._target(symbol)
        numbers = {id(s): n for n, s in enumerate(made.sections)}
        for section, place, kind, symbol, addend in made.relocations():
            at = self._places[numbers[id(section)]] + place
            self._patch(at, kind, symbol, addend)
        self._fill_table()

    def _patch(self, at: int, kind: int, symbol: _Symbol, addend: int) -> None:
        if kind in _GOT_KINDS:
            slot = self._slots[symbol]
            target = self._base + self._table + 8 * slot
        elif symbol.section == _UNDEFINED and kind != _R64:
            slot = self._slots[symbol]
            target = self._base + self._stubs + _STUB_BYTES * slot
        else:
            target = self._target(symbol)
        if kind == _R64:
            struct.pack_into("<q", self._memory, at, target + addend)
        else:
            distance = target + addend - (self._base + at)
            struct.pack_into("<i", self._memory, at, distance)

    def _target(self, symbol: _Symbol) -> int:
        """Where a symbol is."""
        if symbol.section == _UNDEFINED:
            return self._externals[self._object.name(symbol)]
        if symbol.section == _ABSOLUTE:
            return symbol.value
        if symbol.section not in self._places:
            raise Unlinkable("a symbol of a section that is not loaded")
        return self._base + self._places[symbol.section] + symbol.value

    def _fill_table(self) -> None:
        """The addresses of the table, and the jumps through it."""
        for symbol, slot in self._slots.items():
            where = self._target(symbol)
            entry, stub = self._table + 8 * slot, self._stubs + _STUB_BYTES * slot
            struct.pack_into("<q", self._memory, entry, where)
            struct.pack_into(
                "<2si", self._memory, stub, _STUB, entry - (stub + len(_STUB) + 4)
            )

    def _protect(self, ends: tuple[int, int]) -> None:
        """Nothing that can be written can be executed, and the other way round."""
        code, constants = ends
        read_execute = mmap.PROT_READ | mmap.PROT_EXEC
        for start, end, access in (
            (0, code, read_execute),
            (code, constants, mmap.PROT_READ),
        ):
            where, size = ctypes.c_void_p(self._base + start), end - start
            if size and self._process.mprotect(where, ctypes.c_size_t(size), access):
                raise Unlinkable("the system does not let memory become executable")


def _aligned(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment


def _address_of(memory: mmap.mmap) -> int:
    """Where a mapping is; holds no reference to it."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
