# SPDX-License-Identifier: BSD-2-Clause
"""As much of ELF as a kernel module's object needs: 64 bits, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ET_REL = 1
EM_X86_64 = 62
OSABI_FREEBSD = 9

SHT_SYMTAB = 2
SHT_RELA = 4
SHT_NOBITS = 8
SHF_ALLOC = 2
SHN_UNDEF = 0
STB_GLOBAL = 1
STB_WEAK = 2

R_X86_64 = {
    **{0: "NONE", 1: "64", 2: "PC32", 3: "GOT32", 4: "PLT32", 5: "COPY"},
    **{6: "GLOB_DAT", 7: "JMP_SLOT", 8: "RELATIVE", 9: "GOTPCREL", 10: "32"},
    **{11: "32S", 24: "PC64", 41: "GOTPCRELX", 42: "REX_GOTPCRELX"},
}
PC32, PLT32 = 2, 4

_HEADER = struct.Struct("<4sBBBB8xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")


class NotElf(Exception):
    """The file is no ELF of this kind."""


@dataclass(frozen=True)
class Section:
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True)
class Symbol:
    name: str
    binding: int
    section: int
    value: int
    size: int


@dataclass(frozen=True)
class Relocation:
    at: int  # of the record, in the file
    section: str  # that it is for
    type: int
    symbol: int

    @property
    def name(self) -> str:
        return R_X86_64.get(self.type, str(self.type))


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


class Elf:
    """An ELF file, read whole."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        if len(self.data) < _HEADER.size:
            raise NotElf(f"{path.name} is too short")
        head = _HEADER.unpack_from(self.data)
        if head[:3] != (b"\x7fELF", 2, 1):
            raise NotElf(f"{path.name} is no ELF of 64 bits, little-endian")
        self.osabi, self.type, self.machine = head[4], head[5], head[6]
        at, size, count, names = head[10], head[15], head[16], head[17]
        raw = [_SECTION.unpack_from(self.data, at + i * size) for i in range(count)]
        strings = raw[names][4]
        self.sections = [
            Section(_text(self.data, strings + s[0]), s[1], s[2], *s[4:8]) for s in raw
        ]

    def section(self, name: str) -> Section | None:
        """The first of that name."""
        return next((s for s in self.sections if s.name == name), None)

    def bytes_of(self, section: Section) -> bytes:
        if section.type == SHT_NOBITS:
            return bytes(section.size)
        return self.data[section.offset : section.offset + section.size]

    def symbols(self) -> list[Symbol]:
        """By their numbers in relocations."""
        for table in self.sections:
            if table.type == SHT_SYMTAB:
                strings = self.sections[table.link].offset
                found = _SYMBOL.iter_unpack(self.bytes_of(table))
                return [
                    Symbol(_text(self.data, strings + s[0]), s[1] >> 4, *s[3:6])
                    for s in found
                ]
        return []

    def relocations(self) -> Iterator[Relocation]:
        for table in self.sections:
            if table.type != SHT_RELA:
                continue
            name = self.sections[table.info].name
            for i in range(table.size // _RELA.size):
                at = table.offset + i * _RELA.size
                info = _RELA.unpack_from(self.data, at)[1]
                yield Relocation(at, name, info & 0xFFFFFFFF, info >> 32)


def retype(path: Path, old: int, new: int) -> int:
    """Makes each relocation of one type one of another; returns how many."""
    elf = Elf(path)
    data = bytearray(elf.data)
    found = [r for r in elf.relocations() if r.type == old]
    for r in found:
        struct.pack_into("<Q", data, r.at + 8, r.symbol << 32 | new)
    path.write_bytes(data)
    return len(found)
