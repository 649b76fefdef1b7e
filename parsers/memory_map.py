"""The machine's physical memory map, as firmware tells it to the operating system and Linux shows it.

Three places have it: the folders of `/sys/firmware/memmap` (x86), the text of `/proc/iomem`, and the kernel log. The
end of a range is included in all of them; here a range is a start and a length.

Entry points: `read_memmap`, `parse_iomem` and `parse_memory_log` read, `is_iomem` and `has_memory_log` tell whether a
text is one of these, `build_iomem` writes.

Sources: `e820_type_to_string` and `e820_print_type` (`arch/x86/kernel/e820.c`), `efi_print_memmap`
(`arch/x86/platform/efi/efi.c`), `reserve_regions` and `memory_type_name` (`drivers/firmware/efi`), `free_area_init`
(`mm/mm_init.c`) and `kernel/resource.c` of Linux.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..base import Finding, Origin
from .files import DISK, Files, text_of

MemoryKind = Literal["ram", "reserved", "acpi", "nvs", "mmio", "persistent", "other"]
"""What a range is: `acpi` holds tables that may be given up after use, `nvs` what firmware keeps for itself."""

MAX_RANGES = 4096
"""Most ranges that are taken from one source; large servers have some hundred."""

MAX_TEXT = 4 << 20
"""Bytes of a text that are read; 4096 ranges are below 1 MiB, and a boot begins with its memory map."""

LOG_HEAD = 256 << 10
"""Bytes of a text in which a kernel log shows the memory map: it is among the first lines of a boot."""


@dataclass(frozen=True, slots=True)
class MemoryRange:
    """`length` bytes of physical memory at `start`, and where that is said."""

    start: int
    length: int
    kind: MemoryKind
    origin: Origin


_RESOURCES: dict[str, MemoryKind] = {
    "system ram": "ram",
    "reserved": "reserved",
    "acpi tables": "acpi",
    "acpi non-volatile storage": "nvs",
    "mmio": "mmio",
    "persistent memory": "persistent",
    "persistent memory (legacy)": "persistent",
    "unusable memory": "other",
    "soft reserved": "other",
    "unknown e820 type": "other",
}
"""Names in `/sys/firmware/memmap` and `/proc/iomem`, in lower case: older kernels and arm64 write `reserved`."""

_WORDS: dict[MemoryKind, str] = {
    "ram": "System RAM",
    "reserved": "Reserved",
    "acpi": "ACPI Tables",
    "nvs": "ACPI Non-volatile Storage",
    "mmio": "MMIO",
    "persistent": "Persistent Memory",
    "other": "Unknown E820 type",
}

_E820: dict[str, MemoryKind] = {
    "usable": "ram",
    "System RAM": "ram",
    "reserved": "reserved",
    "device reserved": "reserved",
    "ACPI data": "acpi",
    "ACPI NVS": "nvs",
    "persistent (type 7)": "persistent",
    "persistent (type 12)": "persistent",
    "persistent RAM (type 7)": "persistent",
    "persistent RAM (type 12)": "persistent",
}
"""Words of the kernel log for e820 types; the rest (`unusable`, `soft reserved`, `type 20`) is `other`."""

_EFI: dict[str, MemoryKind] = {
    "Reserved": "reserved",
    "Loader Code": "ram",
    "Loader Data": "ram",
    "Boot Code": "ram",
    "Boot Data": "ram",
    "Runtime Code": "reserved",
    "Runtime Data": "reserved",
    "Conventional": "ram",
    "Conventional Memory": "ram",
    "ACPI Reclaim": "acpi",
    "ACPI Reclaim Memory": "acpi",
    "ACPI Mem NVS": "nvs",
    "ACPI Memory NVS": "nvs",
    "MMIO": "mmio",
    "Memory Mapped I/O": "mmio",
    "MMIO Port": "mmio",
    "MMIO Port Space": "mmio",
    "PAL Code": "reserved",
    "Persistent": "persistent",
    "Persistent Memory": "persistent",
}
"""Names of EFI memory types, new and old, as what they are for a running system; the rest is `other`."""

_NUMBER = re.compile(r"[0-9]{1,9}")
_RESOURCE = re.compile(r"( *)([0-9a-fA-F]{8,16})-([0-9a-fA-F]{8,16}) : (.+)")
_E820_LINE = re.compile(r"BIOS-e820: \[mem 0x([0-9a-f]{8,16})-0x([0-9a-f]{8,16})\] +(\S.*?)\s*$")
_EFI_LINE = re.compile(
    r"efi: (?:mem\d+: \[([^|\]]+?) *\|[^\]]*\] range=\[0x([0-9a-f]{16})-0x([0-9a-f]{16})([\])])"
    r"|  0x([0-9a-f]{12,16})-0x([0-9a-f]{12,16}) \[([^|\]]+?) *\|)"
)
_NODE_LINE = re.compile(r"  node +\d+: \[mem 0x([0-9a-f]{8,16})-0x([0-9a-f]{8,16})\]")


class _Map:
    """Collects ranges of one source: none twice, no more than `MAX_RANGES`, and what is wrong with the others."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.ranges: dict[tuple[int, int, MemoryKind], MemoryRange] = {}
        self.findings: list[Finding] = []
        self.more = 0

    def add(self, start: int, end: int, kind: MemoryKind, origin: Origin) -> None:
        """Take the range from `start` to `end`, which is included."""
        if len(self.ranges) + len(self.findings) >= MAX_RANGES:
            self.more += (start, end, kind) not in self.ranges
        elif end < start:
            text = "a range of memory ends before it begins"
            details = {"found": f"0x{end:x}", "expected": f"at least 0x{start:x}", "advice": "it is left out"}
            self.findings.append(Finding("MEMORY-RANGE", "error", origin, text, **details))
        else:
            self.ranges.setdefault((start, end, kind), MemoryRange(start, end - start + 1, kind, origin))

    def result(self) -> tuple[tuple[MemoryRange, ...], tuple[Finding, ...]]:
        """Return the ranges in their order, and what was found."""
        if self.more:
            text = "there are too many ranges of memory"
            count = str(MAX_RANGES + self.more)
            self.findings.append(
                Finding(
                    "MEMORY-MANY", "warning", Origin(self.source), text, found=count,
                    expected=f"at most {MAX_RANGES}", advice="only the first are read",
                )
            )  # fmt: skip
        return tuple(self.ranges.values()), tuple(self.findings)


def read_memmap(folder: str, files: Files = DISK) -> tuple[tuple[MemoryRange, ...], tuple[Finding, ...]]:
    """Read the folders `0`, `1`, … of `/sys/firmware/memmap`, in the order of their numbers.

    Args:
        folder: the `memmap` folder; its name goes into provenance.
        files: where it is.

    Returns:
        The ranges, and a finding for each folder that cannot be read.
    """
    found = _Map(files.show(folder))
    try:
        numbers = sorted(int(name) for name in files.names(folder) if _NUMBER.fullmatch(name))
    except OSError:
        numbers = []
    found.more = max(0, len(numbers) - MAX_RANGES)
    for number in numbers[:MAX_RANGES]:
        place = os.path.join(folder, str(number))
        try:
            parts = (text_of(files.read(os.path.join(place, part), 64)).strip() for part in ("start", "end", "type"))
            start, end, kind = parts
            limits = int(start, 16), int(end, 16)
            readable = all(0 <= limit < 1 << 64 for limit in limits)
        except (OSError, ValueError):
            readable = False
        if not readable:
            text, advice = "this range of memory cannot be read", "it is left out"
            found.findings.append(Finding("MEMORY-RANGE", "error", Origin(files.show(place)), text, advice=advice))
            continue
        found.add(*limits, _RESOURCES.get(kind.lower(), "other"), Origin(files.show(place)))
    return found.result()


def is_iomem(data: bytes) -> bool:
    """Tell whether a text looks like `/proc/iomem`: all whole lines near its beginning are ranges with a name."""
    lines = data[:4096].decode("latin-1").split("\n")
    whole = [line.rstrip("\r") for line in (lines[:-1] if len(lines) > 1 else lines) if line.strip()]
    return bool(whole) and all(_RESOURCE.fullmatch(line) for line in whole)


def parse_iomem(data: bytes, source: str = "") -> tuple[tuple[MemoryRange, ...], tuple[Finding, ...]]:
    """Read the text of `/proc/iomem`, where two spaces more say that a range is inside the one above.

    Ranges of memory are taken from the top level, reserved ones from every level: such a one lies inside another range
    and stands after it. Devices and what the kernel uses memory for are passed by.

    Returns:
        The ranges in their order, and what is wrong: all addresses are zero when another user than root read the file.
    """
    found = _Map(source)
    seen = False
    for number, line in _lines(data):
        match = _RESOURCE.fullmatch(line)
        if match is None:
            continue
        start, end = int(match[2], 16), int(match[3], 16)
        seen = seen or bool(start or end)
        kind = _RESOURCES.get(match[4].strip().lower())
        if kind == "reserved" or (kind is not None and not match[1]):
            found.add(start, end, kind, Origin(source, line=number))
    if not seen:
        text, advice = "all addresses of this memory map are zero", "read /proc/iomem as root; no range is used"
        return (), (Finding("MEMORY-HIDDEN", "warning", Origin(source), text, advice=advice),)
    return found.result()


def build_iomem(ranges: Iterable[MemoryRange]) -> bytes:
    """Write ranges in the form of `/proc/iomem`, all on the top level and in their order."""
    lines = (f"{one.start:08x}-{one.start + one.length - 1:08x} : {_WORDS[one.kind]}\n" for one in ranges)
    return "".join(lines).encode()


def has_memory_log(data: bytes) -> bool:
    """Tell whether a text looks like a kernel log that shows the memory map: a line of one is near its beginning."""
    patterns = _E820_LINE, _EFI_LINE, _NODE_LINE
    return any(pattern.search(line) for _, line in _lines(data[:LOG_HEAD]) for pattern in patterns)


def parse_memory_log(data: bytes, source: str = "") -> tuple[tuple[MemoryRange, ...], tuple[Finding, ...]]:
    """Read the memory map that a kernel log shows; the rest of the log is passed by.

    Of several maps that a log has, the one that says most of what the system uses is taken: e820, else that of EFI
    (`efi=debug`), else the memory that the kernel found (`Early memory node ranges`), in which nothing is reserved.
    """
    maps = _Map(source), _Map(source), _Map(source)
    for number, line in _lines(data):
        if "0x" not in line:
            continue
        origin = Origin(source, line=number)
        if match := _E820_LINE.search(line):
            maps[0].add(int(match[1], 16), int(match[2], 16), _E820.get(match[3], "other"), origin)
        elif match := _EFI_LINE.search(line):
            name, start, end = match.group(1, 2, 3) if match[1] else match.group(7, 5, 6)
            # Old kernels wrote the first address after the range, and a round bracket.
            maps[1].add(int(start, 16), int(end, 16) - (match[4] == ")"), _EFI.get(name, "other"), origin)
        elif match := _NODE_LINE.search(line):
            maps[2].add(int(match[1], 16), int(match[2], 16), "ram", origin)
    best = next((one for one in maps if one.ranges), maps[0])
    return best.result()


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Iterate over the lines of a text up to `MAX_TEXT`, with their numbers from 1."""
    for number, line in enumerate(io.BytesIO(data[:MAX_TEXT]), 1):
        yield number, line.decode("latin-1").rstrip("\r\n")
