"""What addresses fall in."""

from __future__ import annotations

from iommuman.base import Origin
from iommuman.faults.report.places import PlaceCounter
from iommuman.faults.report.records import PlaceRow
from iommuman.topology import Topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.model import Grant, Iommu, MsiController, ReservedRegion

O = Origin("board.smmu", line=3)  # noqa: E741 - it stands in every record below


def board() -> Topology:
    """Return a board with one thing of each kind."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("vtd@fed90000", "vtd", O, base=0xFED90000))
    builder.reserved.append(ReservedRegion("rmrr", 0x1000, 0x3000, O, "direct", devices=("0000:00:02.0",)))
    builder.grants.append(Grant("ram", 0x2000, 0x1000, read=True, write=False, devices=("dt:/usb",), origin=O))
    builder.grants.append(Grant("none", 0x9000, 0x1000, read=False, write=False, devices=(), origin=O))
    builder.msi_controllers.append(MsiController("its:0", "its", O, base=0x8080000))
    builder.msi_controllers.append(MsiController("v2m", "gicv2m", O, base=0x8020000))
    builder.msi_controllers.append(MsiController("its:1", "its", O))
    return Topology(builder)


def test_every_place_of_a_board_is_counted() -> None:
    """Reserved memory, grants, registers, interrupts and doorbells each have the accesses at their addresses."""
    places = PlaceCounter(board())
    for address, count in ((0x1000, 1), (0x2FFF, 10), (0x3000, 2), (0x4000, 100), (0xFEE00000, 5), (0x809FFFF, 3),
                           (0x8021000, 1000), (0x2000, 20)):  # fmt: skip
        places.add(address, count)
    assert places.rows() == (
        PlaceRow("reserved", "reserved memory (rmrr) for 0000:00:02.0", 0x1000, 0x3000, 33),
        PlaceRow("registers", "registers of vtd@fed90000", 0xFED90000, 0x1000, 0),
        PlaceRow("interrupts", "interrupt window, never translated", 0xFEE00000, 0x100000, 5),
        PlaceRow("granted", "grant ram (r) of dt:/usb", 0x2000, 0x1000, 30),
        PlaceRow("granted", "grant none (no access) of no device", 0x9000, 0x1000, 0),
        PlaceRow("doorbell", "MSI doorbell of its:0", 0x8080000, 0x20000, 3),
        PlaceRow("doorbell", "MSI doorbell of v2m", 0x8020000, 0x1000, 0),
    )
    assert places.elsewhere == 1100
