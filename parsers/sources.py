"""Finds out what the files that a user names hold, by their content and not by their names.

A source is a file (an ACPI table, the text of acpidump, a device tree, a PCI topology), a folder of these, a Linux
`/sys` tree or a copy of one, or `live`, which is this machine's `/sys`. Beside these, the memory map is taken from
`/sys`, the text of `/proc/iomem`, and kernel logs, and from the latter what was found and set up at boot.

Modules: `files` is where files are (disk, or an archive), `content` tells what one file is, `folders` reads folders,
and `containers` what holds files, tables or trees in another form.

Every command imports this module, so it does without pathlib, which takes as long to import as a table to read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..base import Finding, Origin
from . import files
from .content import NO_SOURCE, SAME, is_only_configuration, read_content, read_large
from .errors import ParseError
from .files import read_file
from .folders import cannot_open, read_folder

if TYPE_CHECKING:
    from .acpi import Table
    from .devicetree import DeviceTree
    from .kernel_iommu import KernelView
    from .kernel_log import BootLog
    from .memory_map import MemoryRange
    from .pci import PciTopology
    from .smmu_config import Configuration

LIVE = "live"
_SYS = "/sys"


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
        unpacked: how many bytes came out of archives.
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
    unpacked: int = 0

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
    if any(tree.is_overlay for tree in inputs.trees):
        from .devicetree.overlays import apply_overlays

        inputs.trees, found = apply_overlays(inputs.trees)
        inputs.findings.extend(found)
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
        is_folder = stat.S_ISDIR(os.stat(place).st_mode)
        data = b"" if is_folder else read_file(place)
    except (OSError, ValueError) as error:
        raise ParseError(cannot_open(path, error)) from error
    if is_folder:
        read_folder(place, inputs)
        return
    if len(data) > files.MAX_FILE and read_large(place, path, inputs):
        return
    if not is_only_configuration(data):
        read_content(data, path, inputs)
    elif data in inputs.contents:
        inputs.passed_over.append((path, f"{SAME}{inputs.contents[data]}"))
    else:
        from .smmu_config import read_configuration

        inputs.contents[data] = path
        before = more_units or bool(inputs.configurations)
        inputs.configurations.append(read_configuration(path, more_units=before))
