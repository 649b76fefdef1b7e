"""Boards with a configuration, made of records: what the tests of its rules start from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iommuman.base import Origin
from iommuman.parsers.acpi import Table
from iommuman.parsers.memory_map import MemoryRange
from iommuman.parsers.smmu_config import Configuration, DeviceEntry, MmioSpec, Unit, Use
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.check import Board
from iommuman.topology.model import Device, Grant, IdMap, Iommu, MsiController, PciRoot, ReservedRegion

DISK, NET = 0xE6EF0000, 0xE6800000
"""Registers of two devices."""


def at(line: int) -> Origin:
    """Return a line of the configuration."""
    return Origin("board.smmu", line=line)


def iommu(base: int = 0x51400000, kind: str = "smmuv2", **more: Any) -> Iommu:
    """Return a unit of the board."""
    return Iommu(f"{kind}@{base:x}", kind, Origin("board.dtb"), base, **more)


def unit(name: str = "mmu", base: int = 0x51400000, line: int = 1, **more: Any) -> Unit:
    """Return a unit of the configuration."""
    return Unit(name, more.pop("type", "armsmmu"), base, at(line), **more)


def device(base: int) -> Device:
    """Return a device that is known by its registers, `mem:…`."""
    return Device(f"mem:{base:x}", "mmio", Origin("board.dtb"), base=base)


def entry(base: int, allow: str = "", line: int = 2, *ids: int) -> DeviceEntry:
    """Return a device of the configuration, with its IDs at the unit `mmu`, on the lines after its own."""
    uses = tuple(Use("mmu", at(line + 1 + index), number) for index, number in enumerate(ids))
    return DeviceEntry(MmioSpec(base), at(line), allow, uses)


def way(base: int, number: int, target: str = "smmuv2@51400000", length: int = 1) -> IdMap:
    """Return the map of a device's ID at a unit."""
    return IdMap(f"mem:{base:x}", target, 0, length, number, at(9), "use", single=length == 1)


def grant(start: int, length: int, *bases: int, name: str = "set", rights: str = "rw", line: int = 5) -> Grant:
    """Return a region that devices are granted."""
    devices = tuple(f"mem:{base:x}" for base in bases)
    return Grant(name, start, length, "r" in rights, "w" in rights, devices, at(line))


def region(start: int, length: int, *bases: int, **more: Any) -> ReservedRegion:
    """Return memory that the board reserves for devices."""
    made = {"meaning": "direct", "devices": tuple(f"mem:{base:x}" for base in bases), **more}
    return ReservedRegion("reserved-memory", start, length, Origin("board.dtb", "/memory"), **made)


def configured(
    *,
    units: Iterable[Unit] = (),
    entries: Iterable[DeviceEntry] = (),
    iommus: Iterable[Iommu] = (),
    devices: Iterable[Device] = (),
    maps: Iterable[IdMap] = (),
    grants: Iterable[Grant] = (),
    reserved: Iterable[ReservedRegion] = (),
    roots: Iterable[PciRoot] = (),
    controllers: Iterable[MsiController] = (),
    memory: Iterable[MemoryRange] = (),
    tables: Iterable[Table] = (),
) -> Board:
    """Return a board on which a configuration was laid."""
    builder = TopologyBuilder()
    builder.iommus += iommus
    builder.maps += maps
    builder.grants += grants
    builder.reserved += reserved
    builder.roots += roots
    builder.msi_controllers += controllers
    for one in devices:
        builder.device(one)
    configuration = Configuration("board.smmu", units=tuple(units), devices=tuple(entries))
    return Board(Inputs(memory=list(memory), tables=list(tables)), Topology(builder), configuration)
