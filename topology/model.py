r"""The records of a topology: units, devices, the maps between their IDs, and reserved memory.

Every source speaks of the same few things. *ID spaces* (a PCI root complex, or one device that has its own IDs) send
requests that carry an ID; *maps* carry IDs from a space to an IOMMU, and from there to an MSI controller. Each record
says where it was read (`origin`). Names are unique in a topology and are what people type:

- IOMMUs `vtd@fed90000`, `smmuv3@9050000`: the kind and the base address in hexadecimal, or the PCI function that the
  unit is, `virtio-iommu@0000:00:02.0`
- PCI functions `0000:02:01.0`, PCI roots `pci:0000` (or the device-tree path of the host bridge, `dt:/pcie@10000000`)
- ACPI devices `acpi:\\_SB.USB0`, device-tree nodes `dt:/soc/usb@1000`, `ioapic:2`, `hpet:0`, `pmcg@2b442000`;
  `mem:e6ef0000`, a device of which a source (a configuration, a VIOT) says only where its registers are;
  `acpi:AMDI0040` or `acpi:AMDI0040:1`, one of which an IVRS says only its hardware ID and its number
- MSI controllers `its:0` (GIC ITS number), or the device-tree node, `dt:/intc@8000000/its@8080000`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..base import Origin

Property = tuple[str, str | int | bool]
"""A named fact of a unit or device that only people read: (name, value)."""

CONFIGURED_AS = "configured as"
"""Property of a unit: the name that a configuration calls it by."""

HOST_BRIDGE = "host bridge"
"""Property of a PCI root: the path of an ACPI object that is a host bridge of its segment, and its first bus."""

Carries = Literal["dma", "msi", "both"]
"""What a map is for: memory accesses, message-signalled interrupts, or both (an IORT has one chain for them; a VT-d
unit sees the interrupts of an I/O APIC as it sees memory accesses)."""

ITSELF = "the unit itself"
"""The rule of a map that leads nowhere because it is for an IOMMU's own requester ID."""


@dataclass(frozen=True, slots=True)
class Source:
    """One input that was read.

    Attributes:
        name: as shown in provenance.
        kind: a table signature, `devicetree`, `overlay`, `pci`, `configuration` or `board-module`.
        size: in bytes.
        used: whether anything of it went into the topology.
    """

    name: str
    kind: str
    size: int
    used: bool = True


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a source says of the whole machine, such as that interrupt remapping is supported."""

    name: str
    value: str | int | bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A wired interrupt of a unit: what it is for (`event`, `gerror`, `context 3`), its number, and how it triggers.

    `number` is the number that the source gives: a GSIV in ACPI, and in device trees the INTID when the parent is a
    GIC, else the first cell of the specifier.
    """

    purpose: str
    number: int
    trigger: Literal["edge", "level", ""] = ""


@dataclass(frozen=True, slots=True)
class Iommu:
    """One IOMMU or SMMU.

    Attributes:
        name: unique, `<kind>@<base>`.
        kind: `vtd`, `amdvi`, `smmuv1`, `smmuv2`, `smmuv3`, `virtio-iommu`, `riscv-iommu`, …
        origin: the structure or node that declares it.
        base: physical address of its registers, if it has one.
        size: bytes of its register window, if known.
        segment: PCI segment that it belongs to, if it belongs to one.
        enabled: false when the source says that it must not be used (device tree `status`).
        id_cells: how many cells an ID has in a device tree (0: the unit has a single master and no IDs); else 1.
        interrupts: its wired interrupts.
        properties: further facts, for people.
        bypass: whether accesses with an ID that no device has are let through; None when nothing says so.
        reserved_ids: IDs that are kept for the system and never given to a device.
    """

    name: str
    kind: str
    origin: Origin
    base: int | None = None
    size: int | None = None
    segment: int | None = None
    enabled: bool = True
    id_cells: int = 1
    interrupts: tuple[Interrupt, ...] = ()
    properties: tuple[Property, ...] = ()
    bypass: bool | None = None
    reserved_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """One DMA device, or source of interrupts, that a source names.

    Attributes:
        name: unique; see the module's list.
        kind: what names it.
        origin: where it is named first.
        segment: PCI segment, for PCI functions.
        rid: own requester ID (bus, device, function as 16 bits), for PCI functions.
        base: physical address of its registers, when it is known by that.
        enabled: false when the source says that it is not in use (device tree `status`).
        properties: further facts, for people.
    """

    name: str
    kind: Literal["pci", "acpi", "dt", "mmio", "ioapic", "hpet", "pmcg", "iwb"]
    origin: Origin
    segment: int | None = None
    rid: int | None = None
    base: int | None = None
    enabled: bool = True
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class PciRoot:
    """An ID space of PCI requester IDs: one root complex, or as much of it as one structure describes.

    Attributes:
        name: `pci:<segment>` or the device-tree path; several of one segment get `#2`, `#3`, …
        origin: the structure or node that declares it.
        segment: its PCI segment; None when the source does not say.
        first_bus: first bus number of it.
        last_bus: last bus number of it.
        enabled: false when the source says that it is not in use (device tree `status`).
        properties: further facts, for people.
    """

    name: str
    origin: Origin
    segment: int | None
    first_bus: int = 0
    last_bus: int = 255
    enabled: bool = True
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class MsiController:
    """What message-signalled interrupts are written to: a group of GIC ITS, a GICv2m frame, and so on."""

    name: str
    kind: str
    origin: Origin
    base: int | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class IdMap:
    """IDs of one space, and what they become at the next unit.

    An ID `i` of `source` is in the map when `single`, or when `base <= (i & mask) < base + length`; it becomes
    `output + (i & mask) - base` (`output` when `single` or `merges`) at `target`.

    Attributes:
        source: name of the PCI root, device or IOMMU that the IDs come from.
        target: name of the IOMMU or MSI controller that they go to; None when the source names none, or one that
            does not exist (there is a finding then): such an ID has no IOMMU.
        base: first ID of the range, after `mask`.
        length: number of IDs in the range.
        output: ID at the target for `base`; None when the target knows no IDs (a single-master IOMMU).
        origin: the entry that says so.
        rule: the kind of entry, in the source's words (`ID mapping`, `device scope`, `iommu-map`, …).
        carries: what the map is for.
        single: the map applies whatever the ID (and to devices that have no ID of their own).
        fallback: the map holds only for IDs that no other map of the space takes (VT-d INCLUDE_PCI_ALL).
        tentative_last: the last ID of the range gives way to a later map that begins with it (Linux reads ranges of
            an IORT so, because some firmware counts one ID too many).
        mask: bits of the ID that are looked at.
        ignored_bits: bits of the output ID that the IOMMU ignores (an SMMUv2 stream match mask).
        cells: the specifier for `base` as the device tree writes it; empty for other sources.
        covers: for PCI, the function whose scope it is, when the range is what lies behind it.
        merges: every ID of the range becomes `output` itself: the requests of all arrive with that one ID.
        overrides: the source is a PCI function, and this says what becomes of its requests, whatever the maps of its
            root say (a user's word over the firmware's). Without it, such a map is one more way beside the root's.
    """

    source: str
    target: str | None
    base: int
    length: int
    output: int | None
    origin: Origin
    rule: str
    carries: Carries = "dma"
    single: bool = False
    fallback: bool = False
    tentative_last: bool = False
    mask: int = 0xFFFFFFFF
    ignored_bits: int = 0
    cells: tuple[int, ...] = ()
    covers: str = ""
    merges: bool = False
    overrides: bool = False


@dataclass(frozen=True, slots=True)
class UnresolvedScope:
    """A VT-d device scope whose path leads through bridges of which nothing is known here.

    Attributes:
        owner: what the scope belongs to: the name of an IOMMU, or `RMRR 0x…`.
        iommu: name of the IOMMU that controls what the scope names; None when it is not a unit's scope.
        segment: PCI segment.
        start_bus: bus that the path starts on.
        path: (device, function) pairs.
        kind: `endpoint` or `sub-hierarchy`.
        reason: why it is not resolved.
        origin: the scope entry.
    """

    owner: str
    iommu: str | None
    segment: int
    start_bus: int
    path: tuple[tuple[int, int], ...]
    kind: Literal["endpoint", "sub-hierarchy"]
    reason: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class StreamRange:
    """`length` IDs from `base` at the IOMMU named `iommu`."""

    iommu: str
    base: int
    length: int


@dataclass(frozen=True, slots=True)
class ReservedRegion:
    """Memory that some devices must, or must not, reach.

    Attributes:
        kind: `rmrr`, `rmr`, `ivmd`, `reserved-memory`, or `configured` when a user's configuration says so.
        start: first address as the device sees it (IOVA); for `rmrr`, `rmr` and `ivmd` also the physical address.
        length: in bytes.
        origin: the structure, descriptor or node.
        meaning: `direct`: must stay mapped one to one; `mapped`: must stay mapped at `start`; `avoid`: addresses that
            must not be used for anything else; `memory`: memory set aside for a device, nothing said of its IOMMU.
        physical: physical address, when it is another one than `start`; None when there is none.
        devices: names of the devices it is for.
        streams: IOMMU and IDs it is for (IORT RMR, IVMD).
        properties: further facts, for people.
    """

    kind: Literal["rmrr", "rmr", "ivmd", "reserved-memory", "configured"]
    start: int
    length: int
    origin: Origin
    meaning: Literal["direct", "mapped", "avoid", "memory"]
    physical: int | None = None
    devices: tuple[str, ...] = ()
    streams: tuple[StreamRange, ...] = ()
    properties: tuple[Property, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """Memory that a configuration lets devices reach from start, before any client asks (an `allow` region).

    Attributes:
        name: of the set that the region belongs to.
        start: first physical address; devices see it at the same address.
        length: in bytes.
        read: devices may read it.
        write: devices may write it.
        devices: names of the devices that have the set; empty: no device has it.
        origin: where the region is declared.
    """

    name: str
    start: int
    length: int
    read: bool
    write: bool
    devices: tuple[str, ...]
    origin: Origin
