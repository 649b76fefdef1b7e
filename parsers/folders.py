"""Reads folders: those whose files are sources, and Linux `/sys` trees."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..base import Finding, Origin
from .content import add_memory, read_content
from .errors import ParseError
from .files import DISK, Files

if TYPE_CHECKING:
    from .sources import Inputs

MAX_ENTRIES = 10_000
"""Most files of one folder that are looked at."""

TABLES = "firmware/acpi/tables"
"""Where Linux keeps the ACPI tables, below `/sys`."""

DEVICE_TREE = "firmware/fdt"
"""Where Linux keeps the flattened device tree, below `/sys`."""

_PCI = "bus/pci/devices"
_MEMMAP = "firmware/memmap"


def is_sys_tree(folder: str, files: Files = DISK) -> bool:
    """Tell whether a folder is a Linux `/sys` tree, or as much of one as matters here."""
    return any(files.exists(os.path.join(folder, part)) for part in (TABLES, DEVICE_TREE, _PCI))


def read_folder(folder: str, inputs: Inputs, files: Files = DISK, depth: int = 0) -> None:
    """Read a `/sys` tree, or the files of any other folder in the order of their names.

    `depth` is how many archives it is inside of.
    """
    if is_sys_tree(folder, files):
        _read_sys(folder, inputs, files, depth)
        return
    for entry in _entries(folder, inputs, files):
        if files.is_folder(entry):
            inputs.passed_over.append((files.show(entry), "a folder"))
        else:
            _read_entry(entry, inputs, files, depth)


def _read_sys(root: str, inputs: Inputs, files: Files, depth: int) -> None:
    """Read the tables, the device tree and the PCI functions of a `/sys` tree."""
    if files.is_folder(tables := os.path.join(root, TABLES)):
        for entry in _entries(tables, inputs, files):
            if not files.is_folder(entry):  # `data` and `dynamic` hold no tables that speak of IOMMUs
                _read_entry(entry, inputs, files, depth)
    if files.exists(tree := os.path.join(root, DEVICE_TREE)):
        _read_entry(tree, inputs, files, depth)
    if files.is_folder(os.path.join(root, _PCI)):
        from .pci import read_sysfs_pci

        inputs.pci.append(read_sysfs_pci(root, files.show(root), files))
    if files.is_folder(memmap := os.path.join(root, _MEMMAP)):
        from .memory_map import read_memmap

        add_memory(read_memmap(memmap, files), inputs)


def _entries(folder: str, inputs: Inputs, files: Files) -> Iterator[str]:
    """Iterate over the entries of a folder in the order of their names, up to `MAX_ENTRIES`."""
    try:
        names = files.names(folder)
    except OSError as error:
        inputs.passed_over.append((files.show(folder), error.strerror or str(error)))
        return
    if len(names) > MAX_ENTRIES:
        inputs.findings.append(
            Finding(
                "SOURCE-MANY",
                "warning",
                Origin(files.show(folder)),
                "the folder has too many entries",
                found=str(len(names)),
                expected=f"at most {MAX_ENTRIES}",
                advice="only the first by name are looked at; name the others on their own",
            )
        )
    yield from (os.path.join(folder, name) for name in names[:MAX_ENTRIES])


def _read_entry(entry: str, inputs: Inputs, files: Files, depth: int) -> None:
    """Read a file that the user did not name: what goes wrong with it does not stop the others."""
    name = files.show(entry)
    try:
        read_content(files.read(entry), name, inputs, depth)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):  # it may be the very table that matters
            inputs.findings.append(cannot_open(name, error))
        else:
            inputs.passed_over.append((name, error.strerror or str(error)))
    except ParseError as error:
        inputs.findings.append(error.finding)


def cannot_open(name: str, error: Exception) -> Finding:
    """Return the finding for a source that the system does not open."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    advice = "name a file or folder that is there and that may be read"
    origin = Origin(name or "''")
    return Finding("SOURCE-OPEN", "error", origin, f"this cannot be opened: {reason}", advice=advice)
