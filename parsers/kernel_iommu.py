"""What a running Linux makes of its IOMMUs: groups, domains, reserved regions and units, as `/sys` shows them.

The files are described in the kernel's `Documentation/ABI/testing/sysfs-kernel-iommu_groups`, `sysfs-class-iommu` and
those of the drivers beside them. All may be read by every user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..base import Finding, Origin
from .files import DISK, Files, text_of
from .folders import KERNEL

GROUPS, UNITS = KERNEL

TEXT_BYTES = 4096
MOST_NAMES = 1 << 16
"""Entries of one folder that are looked at."""

MOST_ENTRIES = 1 << 18
"""Entries of all folders together: links can lead from each of many names to one folder of many."""

_NO_ATTRIBUTES = ("device", "devices", "subsystem", "power", "uevent")


@dataclass(frozen=True, slots=True)
class KernelRegion:
    """A reserved region of a group.

    Attributes:
        start: first address, as devices see it.
        last: last address.
        kind: `direct`: mapped one to one; `direct-relaxable`: the same, and given up when a guest takes the device;
            `reserved`: not to be used; `msi`: where interrupts are written to.
    """

    start: int
    last: int
    kind: str


@dataclass(frozen=True, slots=True)
class KernelGroup:
    """One group of Linux.

    Attributes:
        number: its number.
        origin: its folder.
        devices: names of its devices, as Linux has them.
        domain: type of its default domain (`DMA`, `DMA-FQ`, `identity`, `blocked`, …); empty when it cannot be read.
        regions: its reserved regions.
    """

    number: int
    origin: Origin
    devices: tuple[str, ...]
    domain: str = ""
    regions: tuple[KernelRegion, ...] = ()


@dataclass(frozen=True, slots=True)
class KernelUnit:
    """One IOMMU that a driver of Linux runs.

    Attributes:
        name: as Linux has it: `dmar0`, `ivhd0`, `smmu3.0x0000000009050000`, the name of a PCI function, …
        origin: its folder.
        devices: names of the devices that it is for.
        attributes: what else Linux shows of it, such as the `cap` and `ecap` registers of VT-d, by name.
    """

    name: str
    origin: Origin
    devices: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KernelView:
    """All that a `/sys` tree shows of it.

    Attributes:
        source: name of the tree.
        groups: by number.
        units: by name.
        findings: what could not be read.
    """

    source: str
    groups: tuple[KernelGroup, ...] = ()
    units: tuple[KernelUnit, ...] = ()
    findings: tuple[Finding, ...] = ()


def read_kernel_view(root: str, source: str = "/sys", files: Files = DISK) -> KernelView:
    """Read what the tree at `root` shows; what cannot be read is named in the findings, and left out."""
    reader = _Reader(root, source, files)
    numbers = sorted(int(name) for name in reader.names(GROUPS) if re.fullmatch("[0-9]{1,9}", name))
    groups = tuple(reader.group(number) for number in numbers)
    units = tuple(reader.unit(name) for name in reader.names(UNITS))
    return KernelView(source, groups, units, tuple(reader.findings))


class _Reader:
    """Reads folders and texts below one root, and collects what is wrong with them."""

    def __init__(self, root: str, source: str, files: Files) -> None:
        """Start at a root."""
        self.files = files
        self.root = root
        self.source = source
        self.findings: list[Finding] = []
        self.room = MOST_ENTRIES

    def group(self, number: int) -> KernelGroup:
        """Read one group."""
        place = f"{GROUPS}/{number}"
        domain = self.text(f"{place}/type")
        regions = tuple(self.regions(f"{place}/reserved_regions"))
        return KernelGroup(number, self.at(place), tuple(self.names(f"{place}/devices")), domain, regions)

    def unit(self, name: str) -> KernelUnit:
        """Read one unit: the attributes are in a folder that is named after its driver."""
        place = f"{UNITS}/{name}"
        found: dict[str, str] = {}
        for folder in self.names(place):
            inner = f"{place}/{folder}"
            if folder in _NO_ATTRIBUTES or not self.files.is_folder(f"{self.root}/{inner}"):
                continue
            found |= {one: self.text(f"{inner}/{one}") for one in self.names(inner)}
        devices = tuple(self.names(f"{place}/devices"))
        return KernelUnit(name, self.at(place), devices, tuple((key, text) for key, text in found.items() if text))

    def regions(self, place: str) -> Iterator[KernelRegion]:
        """Read the lines `first last kind` of a group's reserved regions."""
        for line in self.text(place).splitlines():
            words = line.split()
            try:
                start, last, kind = int(words[0], 16), int(words[1], 16), words[2]
            except (IndexError, ValueError):
                start, last, kind = 0, -1, ""
            if 0 <= start <= last < 1 << 64:
                yield KernelRegion(start, last, kind)
            else:
                self.complain(place, f"{line[:60]!r} is no reserved region")

    def names(self, place: str) -> list[str]:
        """Return the names in a folder, sorted; none when it is not there."""
        if not self.room:
            return []
        try:
            found = self.files.names(f"{self.root}/{place}")
        except FileNotFoundError:
            return []
        except OSError as error:
            self.complain(place, f"the folder cannot be listed: {error.strerror or error}")
            return []
        read = min(MOST_NAMES, self.room)
        if len(found) > read:
            self.complain(place, f"of {len(found)} entries only {read} are read")
        found = found[:read]
        self.room -= len(found)
        if not self.room:
            self.complain(place, f"these are {MOST_ENTRIES} entries of all folders together, and no more are read")
        return found

    def text(self, place: str) -> str:
        """Return the text of a file; empty when it is not there."""
        try:
            return text_of(self.files.read(f"{self.root}/{place}", TEXT_BYTES)).strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.complain(place, f"this cannot be read: {error.strerror or error}")
            return ""

    def at(self, place: str) -> Origin:
        """Return a place in the tree."""
        return Origin(self.source, place)

    def complain(self, place: str, text: str) -> None:
        """Note what is wrong."""
        advice = "what the kernel does is shown without it"
        self.findings.append(Finding("KERNEL-SYSFS", "warning", self.at(place), text, advice=advice))
