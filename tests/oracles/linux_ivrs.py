"""How Linux reads an IVRS (drivers/iommu/amd/init.c), worked out anew on raw bytes.

Where Linux would go round for ever, or read outside the table, the answer here is what it has read until then.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = 48
_IVHD = struct.Struct("<BBHHHQHHI")
_MEMORY = struct.Struct("<BBHHHHxxxxxxQQ")
_HIGHEST = 0x40
_EXTENDED = (0x11, 0x40)
_UNITY, _READ_WRITE, _EXCLUSION = 1, 3, 8


class Range(NamedTuple):
    """Memory that stays mapped one to one for a device: first address, the one after the last, 1 read | 2 write."""

    start: int
    end: int
    access: int


class Reading:
    """What Linux has of a table once it has read it.

    Attributes:
        unit: register base of the IOMMU of each (segment, device ID).
        alias: the ID that each (segment, device ID) arrives with, where a table entry says so.
        special: (kind, number) of each I/O APIC (1) and HPET (2) to its (segment, device ID).
        acpi: (hardware ID, unique ID) of each ACPI device to its (segment, device ID).
        settings: device table settings: segment, first, last, setting.
    """

    def __init__(self, table: bytes) -> None:
        """Read it."""
        self.data = table[: struct.unpack_from("<I", table, 4)[0]]
        self.unit: dict[tuple[int, int], int] = {}
        self.alias: dict[tuple[int, int], int] = {}
        self.special: dict[tuple[int, int], tuple[int, int]] = {}
        self.acpi: dict[tuple[str, str], tuple[int, int]] = {}
        self.settings: list[tuple[int, int, int, int]] = []
        kind = self._type()
        own = []
        for at in self._blocks():
            if self.data[at] == kind:
                _, _, length, devid, _, base, segment, _, _ = _IVHD.unpack_from(self.data, at)
                self._entries(at + (40 if kind in _EXTENDED else 24), at + length, segment, base, kind)
                own.append((segment, devid))
        for place in own:
            self.unit.pop(place, None)  # "The IVRS table tells us so, but this is a lie!"

    def _blocks(self) -> Iterator[int]:
        at = _HEADER
        while at + 24 <= len(self.data):
            length = int.from_bytes(self.data[at + 2 : at + 4], "little")
            if not length:
                return
            yield at
            at += length

    def _type(self) -> int:
        """Return the last type of the first unit's blocks, up to a block of a type that Linux does not know."""
        found = wanted = None
        for at in self._blocks():
            devid = int.from_bytes(self.data[at + 4 : at + 6], "little")
            if self.data[at] > _HIGHEST:
                break
            if found is None or devid == wanted:
                found, wanted = self.data[at], devid
        return found or 0

    def _length(self, at: int) -> int:
        kind = self.data[at]
        if kind < 0x80:
            return 4 << (kind >> 6)
        return 22 + self.data[at + 21] if kind == 240 else 0

    def _take(self, segment: int, base: int, first: int, last: int, setting: int) -> None:
        if setting and all(one[:3] != (segment, first, last) for one in self.settings):
            self.settings.append((segment, first, last, setting))
        for devid in range(first, last + 1):
            self.unit[segment, devid] = base

    def _entries(self, at: int, end: int, segment: int, base: int, block: int) -> None:
        start = setting = 0
        to: int | None = None
        while at < end:
            data = self.data[at : at + 300]
            kind, devid, flags = data[0], int.from_bytes(data[1:3], "little"), data[3]
            source = int.from_bytes(data[5:7], "little")
            if kind == 1:
                self._take(segment, base, 0, 0xFFFF, flags)
            elif kind in (2, 70):
                self._take(segment, base, devid, devid, flags)
            elif kind == 66:
                self._take(segment, base, devid, devid, flags)
                self._take(segment, base, source, source, flags)
                self.alias[segment, devid] = source
            elif kind in (3, 67, 71):
                start, setting, to = devid, flags, source if kind == 67 else None
            elif kind == 4:
                if to is not None:
                    self.alias.update({(segment, one): to for one in range(start, devid + 1)})
                    self._take(segment, base, to, to, setting)
                self._take(segment, base, start, devid, setting)
            elif kind == 72:
                self.special.setdefault((data[7], data[4]), (segment, source))
                self._take(segment, base, source, source, flags)
            elif kind == 240 and block == 0x40 and data[4]:
                hid = data[4:12].partition(b"\0")[0].decode("latin-1")
                raw = data[22 : 22 + data[21]]
                uid = str(int.from_bytes(raw, "little")) if data[20] == 1 else raw.decode("latin-1")
                self.acpi.setdefault((hid, uid if data[20] else ""), (segment, devid))
                self._take(segment, base, devid, devid, flags)
            length = self._length(at)
            if not length:
                return
            at += length

    def lookup(self, segment: int, devid: int) -> tuple[int | None, int | None]:
        """Return the register base of a device's IOMMU, and the ID that it arrives with there."""
        base = self.unit.get((segment, devid))
        return base, None if base is None else self.alias.get((segment, devid), devid)

    def setting(self, segment: int, devid: int) -> int:
        """Return the setting of a device's table entry: that of the smallest range with it, the first of two alike."""
        held = [one for one in self.settings if one[0] == segment and one[1] <= devid <= one[2]]
        return min(held, key=lambda one: one[2] - one[1])[3] if held else 0

    def memory(self, segment: int, devid: int) -> list[Range]:
        """Return the memory that stays mapped for a device: Linux takes exclusion ranges for such, too."""
        found = []
        for at in self._blocks():
            kind, flags, _, first, last, own, start, length = _MEMORY.unpack_from(self.data.ljust(at + 32, b"\0"), at)
            if kind not in (0x20, 0x21, 0x22) or not flags & (_UNITY | _EXCLUSION) or own != segment:
                continue
            wanted = {0x20: (0, 0xFFFF), 0x21: (first, first), 0x22: (first, last)}[kind]
            if wanted[0] <= devid <= wanted[1]:
                access = _READ_WRITE if flags & _EXCLUSION else flags >> 1 & _READ_WRITE
                found.append(Range(_page(start), _page(start) + _page(length), access))
        return found


def _page(number: int) -> int:
    """Round up to whole pages."""
    return number + 0xFFF & ~0xFFF
