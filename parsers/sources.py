"""Finds out what the files that a user names hold, by their content and not by their names.

A source is a file (an ACPI table, the text of acpidump, a device tree, a PCI topology), a folder of these, a Linux
`/sys` tree or a copy of one, or `live`, which is this machine's `/sys`. Beside these, the memory map is taken from
`/sys`, the text of `/proc/iomem`, and kernel logs, and from the latter what was found and set up at boot.

Every command imports this module, so it does without pathlib, which takes as long to import as a table to read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base import Finding, Origin
from .errors import ParseError

if TYPE_CHECKING:
    from .acpi import Table
    from .devicetree import DeviceTree
    from .kernel_iommu import KernelView
    from .kernel_log import BootLog
    from .memory_map import MemoryRange
    from .pci import PciTopology
    from .smmu_config import Configuration

MAX_FILE = 64 << 20
"""Bytes of the largest file that is read: an acpidump of a large server is below 20 MiB."""

MAX_ENTRIES = 10_000
"""Most files of one folder that are looked at."""

NOT_IN_A_FOLDER = "a configuration; give it with --config"
"""Why a configuration that lies beside the tables is passed over: it is the user who says that it holds."""

NO_SOURCE = "no table, acpidump text, device tree or PCI topology"
"""Why a file is passed over that holds something else."""

SAME = "the same as "
"""Why a file is passed over that was read already; the name under which it was follows."""

_START = 4096
_FIRST_LETTERS = (*(bytes([letter]) for letter in b"#@adfrsu"), b"")
"""What option words, comments and names of included files begin with; nothing: the first word comes later."""

LIVE = "live"
_SYS = "/sys"
_TABLES = "firmware/acpi/tables"
DEVICE_TREE = "firmware/fdt"
"""Where Linux keeps the flattened device tree, below `/sys`."""

_TREE_FOLDERS = "firmware/devicetree/base"
_PCI = "bus/pci/devices"
_MEMMAP = "firmware/memmap"


@dataclass(slots=True)
class Inputs:
    """What was found in the sources, in their order.

    Attributes:
        tables: ACPI tables; `acpi.read_body` reads those that no IOMMU is declared in.
        trees: device trees.
        pci: PCI topologies.
        memory: the memory map; ranges of several sources stand after each other and may say the same.
        kernel_logs: what kernel logs say that was found and set up at boot.
        kernel_views: what running kernels make of their IOMMUs, as `/sys` trees show it.
        configurations: configurations of smmuman that the user named.
        modules: board modules that the user named.
        passed_over: files that are nothing of these, each with the reason.
        findings: what went wrong on the way to a table or tree; what is wrong inside one is kept with it.
        contents: what was read, and the name of the first file that held it.
    """

    tables: list[Table] = field(default_factory=list)
    trees: list[DeviceTree] = field(default_factory=list)
    pci: list[PciTopology] = field(default_factory=list)
    memory: list[MemoryRange] = field(default_factory=list)
    kernel_logs: list[BootLog] = field(default_factory=list)
    kernel_views: list[KernelView] = field(default_factory=list)
    configurations: list[Configuration] = field(default_factory=list)
    modules: list[Configuration] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    contents: dict[bytes, str] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """How many tables, trees, PCI topologies and configurations were found."""
        return len(self.tables) + len(self.trees) + len(self.pci) + len(self.configurations)

    @property
    def empty(self) -> bool:
        """Whether nothing was found that a topology could be made of; a memory map alone is not enough."""
        return not self.found


def read_sources(paths: Sequence[str], *, more_units: bool = False) -> Inputs:
    """Read everything that the given files and folders hold.

    Args:
        paths: the files and folders.
        more_units: something else defines units, which configurations among them may use.

    Raises:
        ParseError: one of them does not exist or cannot be opened, or all of them together hold nothing of use.
    """
    inputs = Inputs()
    for path in paths:
        before = inputs.found, len(inputs.memory), len(inputs.kernel_logs)
        passed_over = len(inputs.passed_over)
        _read_path(path, inputs, more_units=more_units)
        repeats = any(reason.startswith(SAME) for _, reason in inputs.passed_over[passed_over:])
        after = inputs.found, len(inputs.memory), len(inputs.kernel_logs)
        if before == after and not inputs.findings and not repeats:
            inputs.findings.append(_nothing_in(path, inputs, passed_over))
    if inputs.empty:
        errors = [finding for finding in inputs.findings if finding.severity == "error"]
        raise ParseError(errors[0] if errors else _nothing_in(paths[0] if paths else "", inputs, 0))
    return inputs


def _nothing_in(path: str, inputs: Inputs, start: int) -> Finding:
    """Return the finding for a source that the user named and that gives nothing.

    `start` is how many entries had been passed over before it.
    """
    text = "there is no ACPI table, acpidump text, device tree or PCI topology"
    entries = inputs.passed_over[start:]
    name, reason = entries[0] if entries else ("", "")
    if path and name == path:
        inputs.passed_over.pop()
        text += "" if reason == NO_SOURCE else f" ({reason})"
    elif name:
        text += f" ({name}: {reason}" + (f", and {len(entries) - 1} more)" if len(entries) > 1 else ")")
    advice = "name a table, a DTB, the text of acpidump, a folder of these, a copy of /sys, or 'live'"
    return Finding("SOURCE-EMPTY", "error", Origin(path), text, advice=advice)


def _read_path(path: str, inputs: Inputs, *, more_units: bool) -> None:
    """Read one source that the user named."""
    place = _SYS if path == LIVE and not os.path.exists(path) else path
    try:
        mode = os.stat(place).st_mode
    except (OSError, ValueError) as error:
        raise _cannot_open(path, error) from error
    if not stat.S_ISDIR(mode):
        try:
            data = read_file(place)
        except OSError as error:
            raise _cannot_open(path, error) from error
        if not _is_known(data) and _is_configuration(data):
            from .smmu_config import read_configuration

            if data in inputs.contents:
                inputs.passed_over.append((path, f"{SAME}{inputs.contents[data]}"))
            else:
                inputs.contents[data] = path
                before = more_units or bool(inputs.configurations)
                inputs.configurations.append(read_configuration(path, more_units=before))
            return
        _read_content(data, path, inputs)
    elif is_sys_tree(place):
        _read_sys(place, inputs)
    else:
        _read_folder(place, inputs)


def is_sys_tree(folder: str) -> bool:
    """Tell whether a folder is a Linux `/sys` tree, or as much of one as matters here."""
    return any(os.path.exists(os.path.join(folder, part)) for part in (_TABLES, DEVICE_TREE, _PCI))


def _cannot_open(path: str, error: Exception) -> ParseError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    advice = "name a file or folder that is there and that may be read"
    origin = Origin(path or "''")
    return ParseError(Finding("SOURCE-OPEN", "error", origin, f"this cannot be opened: {reason}", advice=advice))


def read_file(path: str, limit: int | None = None) -> bytes:
    """Return the first `limit` bytes of a regular file; without a limit, one byte more than is allowed at most.

    Raises:
        OSError: the file cannot be read, or is a pipe, a socket, a device or a folder.
    """
    # Without O_NONBLOCK, opening a named pipe that nobody writes to would hang.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is no regular file")
        return file.read(MAX_FILE + 1 if limit is None else limit)


def _read_folder(folder: str, inputs: Inputs) -> None:
    """Read the files of a folder, in the order of their names; folders inside it are passed over."""
    for entry in _entries(folder, inputs):
        if os.path.isdir(entry):
            inputs.passed_over.append((entry, "a folder"))
            continue
        _read_inner(entry, inputs)


def _read_inner(entry: str, inputs: Inputs) -> None:
    """Read a file that the user did not name: what goes wrong with it does not stop the others."""
    try:
        _read_content(read_file(entry), entry, inputs)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):  # it may be the very table that matters
            inputs.findings.append(_cannot_open(entry, error).finding)
        else:
            inputs.passed_over.append((entry, error.strerror or str(error)))
    except ParseError as error:
        inputs.findings.append(error.finding)


def _entries(folder: str, inputs: Inputs) -> Iterator[str]:
    """Iterate over the entries of a folder in the order of their names, up to `MAX_ENTRIES`."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        inputs.passed_over.append((folder, error.strerror or str(error)))
        return
    if len(names) > MAX_ENTRIES:
        inputs.findings.append(
            Finding(
                "SOURCE-MANY",
                "warning",
                Origin(folder),
                "the folder has too many entries",
                found=str(len(names)),
                expected=f"at most {MAX_ENTRIES}",
                advice="only the first by name are looked at; name the others on their own",
            )
        )
    yield from (os.path.join(folder, name) for name in names[:MAX_ENTRIES])


def _read_sys(root: str, inputs: Inputs) -> None:
    """Read the tables, the device tree and the PCI functions of a `/sys` tree."""
    if os.path.isdir(tables := os.path.join(root, _TABLES)):
        for entry in _entries(tables, inputs):
            if not os.path.isdir(entry):  # `data` and `dynamic` hold no tables that speak of IOMMUs
                _read_inner(entry, inputs)
    _read_tree_of(root, inputs)
    if os.path.isdir(os.path.join(root, _PCI)):
        from pathlib import Path

        from .pci import read_sysfs_pci

        inputs.pci.append(read_sysfs_pci(Path(root), root))
    if os.path.isdir(memmap := os.path.join(root, _MEMMAP)):
        from .memory_map import read_memmap

        _add_memory(read_memmap(memmap, read_file), inputs)
    from .kernel_iommu import has_kernel_view, read_kernel_view

    if has_kernel_view(root):
        inputs.kernel_views.append(read_kernel_view(root, root))


def _read_tree_of(root: str, inputs: Inputs) -> None:
    """Read the device tree of a `/sys` tree; where the blob is for root alone, from the folders beside it."""
    tree, folder = os.path.join(root, DEVICE_TREE), os.path.join(root, _TREE_FOLDERS)
    if os.path.isdir(folder) and not os.access(tree, os.R_OK):
        from .devicetree.folders import flatten

        data, findings = flatten(folder)
        inputs.findings.extend(findings)
        _read_content(data, folder, inputs)
    elif os.path.exists(tree):
        _read_inner(tree, inputs)


def _read_content(data: bytes, name: str, inputs: Inputs) -> None:
    """Read the content of one file by what it begins with."""
    if len(data) > MAX_FILE:
        inputs.passed_over.append((name, f"larger than {MAX_FILE >> 20} MiB"))
        return
    for looks_like, read in _KINDS:
        if looks_like(data):
            if data in inputs.contents:  # read twice, every unit in it would be there twice
                inputs.passed_over.append((name, f"{SAME}{inputs.contents[data]}"))
            else:
                inputs.contents[data] = name
                read(data, name, inputs)
            return
    reason = "empty" if not data else NOT_IN_A_FOLDER if _is_configuration(data) else NO_SOURCE
    inputs.passed_over.append((name, reason))


def _is_known(data: bytes) -> bool:
    return any(looks_like(data) for looks_like, _ in _KINDS)


def _is_configuration(data: bytes) -> bool:
    """Tell a configuration by its first word; by its first letter first: to import what reads words takes time."""
    if data[:_START].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in _FIRST_LETTERS:
        return False
    from .smmu_config import is_configuration

    return is_configuration(data)


def _looks_like_tree(data: bytes) -> bool:
    return data[:4] == b"\xd0\x0d\xfe\xed"


def _read_tree(data: bytes, name: str, inputs: Inputs) -> None:
    from .devicetree import read_devicetree

    inputs.trees.append(read_devicetree(data, name))


def _looks_like_pci(data: bytes) -> bool:
    if data[:64].lstrip()[:1] != b"{":
        return False
    from .pci import is_pci_file

    return is_pci_file(data)


def _read_pci(data: bytes, name: str, inputs: Inputs) -> None:
    from .pci import parse_pci

    inputs.pci.append(parse_pci(data, name))


def _looks_like_table(data: bytes) -> bool:
    from .acpi import is_table

    return is_table(data)


def _read_table(data: bytes, name: str, inputs: Inputs) -> None:
    from .acpi import parse_table

    inputs.tables.append(parse_table(data, name, neighbours=False))


def _looks_like_acpidump(data: bytes) -> bool:
    from .acpi.acpidump import is_acpidump

    return is_acpidump(data)


def _read_acpidump(data: bytes, name: str, inputs: Inputs) -> None:
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


def _read_iomem(data: bytes, name: str, inputs: Inputs) -> None:
    from .memory_map import parse_iomem

    _add_memory(parse_iomem(data, name), inputs)


def _looks_like_log(data: bytes) -> bool:
    if b": [mem 0x" in data or b"efi: " in data:
        from .memory_map import has_memory_log

        if has_memory_log(data):
            return True
    if b"to iommu group " not in data and b"DRHD base: 0x" not in data:
        return False
    from .kernel_log import parse_boot_log

    return not parse_boot_log(data).empty


def _read_log(data: bytes, name: str, inputs: Inputs) -> None:
    from .kernel_log import parse_boot_log
    from .memory_map import parse_memory_log

    _add_memory(parse_memory_log(data, name), inputs)
    boot = parse_boot_log(data, name)
    if not boot.empty:
        inputs.kernel_logs.append(boot)


def _add_memory(found: tuple[tuple[MemoryRange, ...], tuple[Finding, ...]], inputs: Inputs) -> None:
    """Add a memory map, and what is wrong with it."""
    ranges, findings = found
    inputs.memory.extend(ranges)
    inputs.findings.extend(findings)


# Cheapest first; what a reader needs is imported when a file asks for it.
_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, str, Inputs], None]], ...] = (
    (_looks_like_tree, _read_tree),
    (_looks_like_table, _read_table),
    (_looks_like_pci, _read_pci),
    (_looks_like_iomem, _read_iomem),
    (_looks_like_acpidump, _read_acpidump),
    (_looks_like_log, _read_log),
)
