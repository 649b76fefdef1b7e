"""Reads folders: those whose files are sources, and Linux `/sys` trees."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..base import Finding, Origin
from .content import add_memory, read_content
from .errors import ParseError
from .files import DISK, Files, is_link

if TYPE_CHECKING:
    from .sources import Inputs

MAX_ENTRIES = 10_000
"""Most files of one folder that are looked at."""

TABLES = "firmware/acpi/tables"
"""Where Linux keeps the ACPI tables, below `/sys`."""

DEVICE_TREE = "firmware/fdt"
"""Where Linux keeps the flattened device tree, below `/sys`."""

_DYNAMIC = "dynamic"
_NODES = "firmware/devicetree/base"
_CELLS = "#address-cells"
_CELL = 4
_PCI = "bus/pci/devices"
_MEMMAP = "firmware/memmap"

KERNEL = ("kernel/iommu_groups", "class/iommu")
"""Where Linux shows its groups and its units, below `/sys`; a copy may have been made without them."""


def is_sys_tree(folder: str, files: Files = DISK) -> bool:
    """Tell whether a folder is a Linux `/sys` tree, or as much of one as matters here."""
    return any(files.exists(os.path.join(folder, part)) for part in (TABLES, DEVICE_TREE, _NODES, _PCI))


def is_tree_folder(folder: str, files: Files = DISK) -> bool:
    """Tell whether a folder is the root of a device tree, whose nodes are folders: `#address-cells` is there."""
    try:
        return len(files.read(os.path.join(folder, _CELLS), _CELL + 1)) == _CELL
    except OSError:
        return False


def read_folder(folder: str, inputs: Inputs, files: Files = DISK, depth: int = 0) -> None:
    """Read a `/sys` tree, a device tree, or the files of any other folder in the order of their names.

    Of folders inside another, those that are trees are read. `depth` is how many archives it is inside of.
    """
    if _read_known(folder, inputs, files, depth):
        return
    for entry in _entries(folder, inputs, files):
        if not files.is_folder(entry):
            _read_entry(entry, inputs, files, depth)
        elif is_link(entry, files) or not _read_known(entry, inputs, files, depth):
            inputs.passed_over.append((files.show(entry), "a folder"))


def _read_known(folder: str, inputs: Inputs, files: Files, depth: int) -> bool:
    """Read a folder that is known by what it holds; tell whether it is such a one."""
    if is_sys_tree(folder, files):
        _read_sys(folder, inputs, files, depth)
    elif os.path.basename(folder) == _DYNAMIC or files.is_folder(os.path.join(folder, _DYNAMIC)):
        _read_tables(folder, inputs, files, depth)
    elif is_tree_folder(folder, files):
        _read_nodes(folder, inputs, files)
    else:
        return False
    return True


def _read_tables(folder: str, inputs: Inputs, files: Files, depth: int) -> None:
    """Read the ACPI tables that Linux shows, with those that were loaded later; `data` has what tables point to."""
    for entry in _entries(folder, inputs, files):
        if not files.is_folder(entry):
            _read_entry(entry, inputs, files, depth)
        elif os.path.basename(entry) == _DYNAMIC and not is_link(entry, files):
            _read_tables(entry, inputs, files, depth)


def _read_sys(root: str, inputs: Inputs, files: Files, depth: int) -> None:
    """Read the tables, the device tree and the PCI functions of a `/sys` tree."""
    if files.is_folder(tables := os.path.join(root, TABLES)):
        _read_tables(tables, inputs, files, depth)
    _read_tree(root, inputs, files, depth)
    if files.is_folder(os.path.join(root, _PCI)):
        from .pci import read_sysfs_pci

        inputs.pci.append(read_sysfs_pci(root, files.show(root), files))
    if files.is_folder(memmap := os.path.join(root, _MEMMAP)):
        from .memory_map import read_memmap

        add_memory(read_memmap(memmap, files), inputs)
    if any(files.is_folder(os.path.join(root, place)) for place in KERNEL):
        from .kernel_iommu import read_kernel_view

        inputs.kernel_views.append(read_kernel_view(root, files.show(root), files))


def _read_tree(root: str, inputs: Inputs, files: Files, depth: int) -> None:
    """Read the device tree of a `/sys` tree: the blob, or, where only root may read that, the folders of its nodes."""
    tree, nodes = os.path.join(root, DEVICE_TREE), os.path.join(root, _NODES)
    if not is_tree_folder(nodes, files):
        if files.exists(tree):
            _read_entry(tree, inputs, files, depth)
        return
    try:
        files.read(tree, 1)
    except OSError as error:
        if error.errno != errno.ENOENT:
            inputs.passed_over.append((files.show(tree), error.strerror or str(error)))
        _read_nodes(nodes, inputs, files)
    else:
        _read_entry(tree, inputs, files, depth)


def _read_nodes(folder: str, inputs: Inputs, files: Files) -> None:
    """Read a device tree whose nodes are folders."""
    from .devicetree.folder import read_tree_folder

    try:
        inputs.trees.append(read_tree_folder(folder, files))
    except ParseError as error:
        inputs.findings.append(error.finding)


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
    if isinstance(error, PermissionError):
        advice = "read it, or copy it, as root"
    origin = Origin(name or "''")
    return Finding("SOURCE-OPEN", "error", origin, f"this cannot be opened: {reason}", advice=advice)
