"""What a configuration says, as records; each says where it stands (file, line, column).

A configuration is read from `.smmu` files and option words, or from a board module; both say the same things: of which
type the units are, which units there are, which device uses which unit under which ID, and which memory devices are
granted before any client asks. Names of units and sets are the configuration's own.

Source: the options of QNX's smmuman (`docs/smmu-config.md` says which are QNX's and which are ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import Finding, Origin

Firmware = Literal["", "require", "ignore"]
"""What becomes of the firmware's tables for a type of unit: used where they are there (empty), `require`: their
absence is an error, `ignore`: what they say of units of this type is not used."""


@dataclass(frozen=True, slots=True)
class SocRevision:
    """A SoC and revision that the parameters of an R-Car IPMMU are for."""

    soc: int
    revision: int


@dataclass(frozen=True, slots=True)
class MainUnit:
    """The main-memory IPMMU of an R-Car Gen3: `base` of its registers, its fault interrupt, and the bit set on a fault.

    `revisions` are the chips that this holds for; empty: all.
    """

    base: int
    fault_interrupt: int
    fault_bit: int
    revisions: tuple[SocRevision, ...] = ()


@dataclass(frozen=True, slots=True)
class SmmuType:
    """The option `smmu`: a type of unit that the board has.

    Attributes:
        type: `armsmmu`, `rcar3`, `vtd` (QNX's), `smmuv3`, `amdvi`, `riscv` (ours).
        origin: where it stands.
        firmware: see `Firmware`.
        main: parameters of `rcar3`.
    """

    type: str
    origin: Origin
    firmware: Firmware = ""
    main: MainUnit | None = None


@dataclass(frozen=True, slots=True)
class Unit:
    """The option `unit`: one IOMMU.

    Attributes:
        name: what `use` calls it.
        type: the type of the last `smmu` before it.
        base: physical address of its registers.
        origin: where it stands.
        context_interrupt: interrupt of context faults (`armsmmu`), or of events (`smmuv3`).
        global_interrupt: interrupt of global faults (`armsmmu`), or of global errors (`smmuv3`).
        status_bit: bit of the interrupt status register for this unit's faults (`rcar3`).
        bypass: whether accesses with an ID that no device has are let through; None: not said, so denied.
        reserved_ids: IDs kept for the system.
        board_module: name of the board module that tells more of this board (`armsmmu`); empty: none.
    """

    name: str
    type: str
    base: int
    origin: Origin
    context_interrupt: int | None = None
    global_interrupt: int | None = None
    status_bit: int | None = None
    bypass: bool | None = None
    reserved_ids: tuple[int, ...] = ()
    board_module: str = ""


@dataclass(frozen=True, slots=True)
class PciSpec:
    """PCI functions of one segment, from requester ID `first` to `last` (both included)."""

    segment: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MmioSpec:
    """The device whose registers are at a physical address."""

    base: int


@dataclass(frozen=True, slots=True)
class NamedSpec:
    r"""A device that firmware names: `acpi:\\_SB.DEV` or `dt:/soc/usb@1000`, as the topology spells it."""

    name: str


DeviceSpec = PciSpec | MmioSpec | NamedSpec


@dataclass(frozen=True, slots=True)
class Use:
    """The option `use`: the current device's requests arrive at a unit.

    Attributes:
        unit: name of the unit.
        origin: where it stands.
        first: its first ID there (StreamID, micro-TLB, device ID); None: its own requester IDs (`vtd`, `amdvi`).
        count: number of IDs in a row.
        ignored_bits: bits of the IDs that the unit does not look at (only a board module can say them).
    """

    unit: str
    origin: Origin
    first: int | None = None
    count: int = 1
    ignored_bits: int = 0


@dataclass(frozen=True, slots=True)
class Reserved:
    """The option `reserved`: memory that the current device must keep reaching, mapped one to one."""

    start: int
    length: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """The option `device` with what follows it up to the next.

    Attributes:
        spec: which device.
        origin: where it stands.
        allow: name of the `allow` set that it may use from start; empty: none.
        uses: its units and IDs.
        reserved: its reserved memory.
    """

    spec: DeviceSpec
    origin: Origin
    allow: str = ""
    uses: tuple[Use, ...] = ()
    reserved: tuple[Reserved, ...] = ()


@dataclass(frozen=True, slots=True)
class Allow:
    """The option `allow`: one region of a named set.

    Attributes:
        name: of the set.
        start: first physical address.
        length: in bytes.
        read: it may be a source of DMA: devices may read it.
        write: it may be a target of DMA: devices may write it.
        origin: where it stands.
    """

    name: str
    start: int
    length: int
    read: bool
    write: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a configuration says, each list in the order of the input.

    Attributes:
        source: name of the file (or of the command line) that it was read from first.
        types: `smmu` options.
        units: `unit` options.
        devices: `device` options; one for each, also when two name the same device.
        allows: `allow` options.
        debug: 0, 1 or 2.
        foreground: whether the service stays in the foreground.
        findings: what is wrong with it; errors are left out of the lists above.
    """

    source: str
    types: tuple[SmmuType, ...] = ()
    units: tuple[Unit, ...] = ()
    devices: tuple[DeviceEntry, ...] = ()
    allows: tuple[Allow, ...] = ()
    debug: int = 0
    foreground: bool = False
    findings: tuple[Finding, ...] = ()
