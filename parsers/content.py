"""Tells what the bytes of one file are by what they begin with, and reads them.

What a reader needs is imported when a file asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import files
from .errors import ParseError

if TYPE_CHECKING:
    from ..base import Finding
    from .memory_map import MemoryRange
    from .sources import Inputs

NOT_IN_A_FOLDER = "a configuration; give it with --config"
"""Why a configuration that lies beside the tables is passed over: it is the user who says that it holds."""

NO_SOURCE = "no table, acpidump text, device tree or PCI topology"
"""Why a file is passed over that holds something else."""

SAME = "the same as "
"""Why a file is passed over that was read already; the name under which it was follows."""

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\3\4", b"PK\5\6")
"""What gzip, bzip2, xz and ZIP files begin with."""

_START = 4096
_FIRST_LETTERS = (*(bytes([letter]) for letter in b"#@adfrsu"), b"")
"""What option words, comments and names of included files begin with; nothing: the first word comes later."""


def read_content(data: bytes, name: str, inputs: Inputs, depth: int = 0) -> None:
    """Read the content of one file by what it begins with; what is nothing of ours is added to `passed_over`.

    Args:
        data: the content.
        name: of the file, for provenance.
        inputs: takes what is found.
        depth: how many archives it is inside of.

    Raises:
        ParseError: it is one of ours, and cannot be read at all.
    """
    if len(data) > files.MAX_FILE:
        inputs.passed_over.append((name, f"larger than {files.MAX_FILE >> 20} MiB"))
        return
    read = _reader(data)
    if read is None:
        reason = "empty" if not data else NOT_IN_A_FOLDER if _is_configuration(data) else NO_SOURCE
        inputs.passed_over.append((name, reason))
    elif data in inputs.contents:  # read twice, every unit in it would be there twice
        inputs.passed_over.append((name, f"{SAME}{inputs.contents[data]}"))
    else:
        inputs.contents[data] = name
        read(data, name, inputs, depth)


def is_only_configuration(data: bytes) -> bool:
    """Tell whether a file that the user named is a configuration, and nothing else."""
    return _is_configuration(data) and _reader(data) is None


def _reader(data: bytes) -> _Reader | None:
    """Return what reads a content; None when it is nothing of ours."""
    return next((read for looks_like, read in _KINDS if looks_like(data)), None)


def _is_configuration(data: bytes) -> bool:
    """Tell a configuration by its first word; by its first letter first: to import what reads words takes time."""
    if data[:_START].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in _FIRST_LETTERS:
        return False
    from .smmu_config import is_configuration

    return is_configuration(data)


def _looks_packed(data: bytes) -> bool:
    return data.startswith(_PACKED) or data[257:262] == b"ustar"


def _read_packed(data: bytes, name: str, inputs: Inputs, depth: int) -> None:
    from .containers.packed import read_packed

    read_packed(data, name, inputs, depth)


def _looks_like_tree(data: bytes) -> bool:
    return data[:4] == b"\xd0\x0d\xfe\xed"


def _read_tree(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .devicetree import read_devicetree

    inputs.trees.append(read_devicetree(data, name))


def _looks_like_pci(data: bytes) -> bool:
    if data[:64].lstrip()[:1] != b"{":
        return False
    from .pci import is_pci_file

    return is_pci_file(data)


def _read_pci(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .pci import parse_pci

    inputs.pci.append(parse_pci(data, name))


def _looks_like_table(data: bytes) -> bool:
    from .acpi import is_table

    return is_table(data)


def _read_table(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .acpi import parse_table

    inputs.tables.append(parse_table(data, name, neighbours=False))


def _looks_like_acpidump(data: bytes) -> bool:
    from .acpi.acpidump import is_acpidump

    return is_acpidump(data)


def _read_acpidump(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .acpi import is_table, parse_table
    from .acpi.acpidump import parse_acpidump

    dumped, findings = parse_acpidump(data, name)
    inputs.findings.extend(findings)
    for table in dumped:
        if not is_table(table.data):
            inputs.passed_over.append((f"{name}:{table.line}", f"{table.name} is no table with a header"))
            continue
        try:
            inputs.tables.append(parse_table(table.data, name, neighbours=False))
        except ParseError as error:  # too large: the other tables of the dump are read all the same
            inputs.findings.append(error.finding)


def _looks_like_iomem(data: bytes) -> bool:
    if b" : " not in data[:64]:
        return False
    from .memory_map import is_iomem

    return is_iomem(data)


def _read_iomem(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .memory_map import parse_iomem

    add_memory(parse_iomem(data, name), inputs)


def _looks_like_log(data: bytes) -> bool:
    if b": [mem 0x" in data or b"efi: " in data:
        from .memory_map import has_memory_log

        if has_memory_log(data):
            return True
    if b"to iommu group " not in data and b"DRHD base: 0x" not in data:
        return False
    from .kernel_log import parse_boot_log

    return not parse_boot_log(data).empty


def _read_log(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .kernel_log import parse_boot_log
    from .memory_map import parse_memory_log

    add_memory(parse_memory_log(data, name), inputs)
    boot = parse_boot_log(data, name)
    if not boot.empty:
        inputs.kernel_logs.append(boot)


def add_memory(found: tuple[tuple[MemoryRange, ...], tuple[Finding, ...]], inputs: Inputs) -> None:
    """Add a memory map, and what is wrong with it."""
    ranges, findings = found
    inputs.memory.extend(ranges)
    inputs.findings.extend(findings)


# Cheapest first.
_Reader = Callable[[bytes, str, "Inputs", int], None]
_KINDS: tuple[tuple[Callable[[bytes], bool], _Reader], ...] = (
    (_looks_like_tree, _read_tree),
    (_looks_like_table, _read_table),
    (_looks_packed, _read_packed),
    (_looks_like_pci, _read_pci),
    (_looks_like_iomem, _read_iomem),
    (_looks_like_acpidump, _read_acpidump),
    (_looks_like_log, _read_log),
)
