"""Units and devices of a configuration: for each rule one that breaks it, and one that barely does not."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.parsers.smmu_config import Configuration, DeviceEntry, NamedSpec, PciSpec
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.check import Board
from iommuman.topology.check.configuration import RULES
from iommuman.topology.from_pci import add_pci
from iommuman.topology.model import Device, IdMap, PciRoot

from .boards import ENDPOINT, board, dmar, drhd, scope
from .configured import DISK, NET, at, configured, device, entry, iommu, unit, way

SMMU = iommu()
BOTH = (device(DISK), device(NET))
ROOT = PciRoot("pci:0000", Origin("board.dtb"), 0)


def function(slot: int) -> Device:
    """Return the PCI function 00:xx.0."""
    return Device(f"0000:00:{slot:02x}.0", "pci", Origin("pci.json"), 0, slot << 3)


def said(identifier: str, found: Board) -> list[tuple[str, int | None, str]]:
    """Return severity, line and message of each finding of one rule."""
    rule = next(one for one in RULES if one.id == identifier)
    assert rule.look is not None
    return [(one.severity, one.origin.line, one.message) for one in rule.look(rule, found)]


def test_a_device_without_a_unit_is_told() -> None:
    """With its set, which limits nothing; one that a unit controls is not."""
    found = configured(entries=[entry(DISK, "dma"), entry(NET, line=3)], iommus=[SMMU], devices=BOTH)
    assert said("CONFIG-NO-UNIT", found) == [
        ("error", 2, "no unit controls mem:e6ef0000, so the set 'dma' limits nothing"),
        ("error", 3, "no unit controls mem:e6800000"),
    ]
    kept = configured(entries=[entry(DISK), entry(NET)], iommus=[SMMU], devices=BOTH, maps=[way(DISK, 1), way(NET, 2)])
    assert said("CONFIG-NO-UNIT", kept) == []


def test_a_unit_that_is_switched_off_controls_nothing() -> None:
    """A device behind a disabled unit reaches all of memory."""
    found = configured(entries=[entry(DISK)], iommus=[iommu(enabled=False)], devices=BOTH, maps=[way(DISK, 1)])
    assert said("CONFIG-NO-UNIT", found) == [("error", 2, "no unit controls mem:e6ef0000")]


def test_of_a_range_of_functions_those_without_a_unit_are_told() -> None:
    """The first three by name, the others by their number; functions outside the range are not meant."""
    taken = IdMap("pci:0000", SMMU.name, 8, 8, 8, at(9), "use")
    spec = DeviceEntry(PciSpec(0, 0x08, 0x3F), at(4))
    devices = [function(slot) for slot in (0, 1, 3, 4, 5, 6, 7, 8)]
    found = configured(entries=[spec], iommus=[SMMU], devices=devices, maps=[taken], roots=[ROOT])
    assert said("CONFIG-NO-UNIT", found) == [
        ("error", 4, "no unit controls 0000:00:03.0, 0000:00:04.0, 0000:00:05.0 and 2 more")
    ]
    other = DeviceEntry(PciSpec(1, 0x08, 0x3F), at(4))
    assert said("CONFIG-NO-UNIT", configured(entries=[other], devices=devices, roots=[ROOT])) == []


def test_a_function_and_a_named_device_are_looked_up() -> None:
    """A function that no source lists is looked at by its address; a name that nothing has is another rule's."""
    one = DeviceEntry(PciSpec(0, 0x10, 0x10), at(4))
    there = DeviceEntry(NamedSpec("acpi:\\_SB.USB0"), at(5))
    nowhere = DeviceEntry(NamedSpec("acpi:\\_SB.NONE"), at(6))
    named = Device("acpi:\\_SB.USB0", "acpi", Origin("IORT.bin"))
    found = configured(entries=[one, there, nowhere, entry(0x1000, line=7)], devices=[named], roots=[ROOT])
    assert said("CONFIG-NO-UNIT", found) == [
        ("error", 4, "no unit controls 0000:00:02.0"),
        ("error", 5, "no unit controls acpi:\\_SB.USB0"),
    ]
    listed = configured(entries=[one], devices=[function(2)], roots=[ROOT])
    assert said("CONFIG-NO-UNIT", listed) == [("error", 4, "no unit controls 0000:00:02.0")]


def test_a_unit_that_no_device_uses_is_told() -> None:
    """Neither by `use`, nor by what the board says of the unit at that address."""
    found = configured(units=[unit()], iommus=[SMMU])
    assert said("CONFIG-UNIT-UNUSED", found) == [("warning", 1, "no device uses the unit 'mmu'")]
    by_board = configured(units=[unit()], iommus=[SMMU], maps=[way(DISK, 1)])
    by_user = configured(units=[unit()], entries=[entry(DISK, "", 2, 1)], iommus=[SMMU])
    assert said("CONFIG-UNIT-UNUSED", by_board) == said("CONFIG-UNIT-UNUSED", by_user) == []


def test_a_unit_whose_scopes_need_the_pci_topology_has_devices() -> None:
    """Which they are is not known here; that there are some is."""
    firmware = board(dmar(drhd(0xFED90000, scope(ENDPOINT, (1, 0), (0, 0)))))
    mine = Configuration("board.smmu", units=(unit(base=0xFED90000, type="vtd"),))
    assert said("CONFIG-UNIT-UNUSED", Board(firmware.inputs, firmware.topology, mine)) == []


@pytest.mark.parametrize(
    ("base", "size", "told"),
    [(0x51410000, 0x10001, True), (0x51410000, 0x10000, False), (0x51400FFF, None, True), (0x51401000, None, False)],
)
def test_units_whose_registers_overlap_are_told(base: int, size: int | None, told: bool) -> None:
    """The last byte counts; a unit of which the size is not known has a page."""
    other = iommu(base, "smmuv3")
    first = iommu(0x51400000, size=size)
    found = configured(units=[unit(base=base, line=7)], iommus=[other, first])
    text = f"the registers of smmuv2@51400000 and smmuv3@{base:x} overlap"
    assert said("CONFIG-UNIT-OVERLAP", found) == ([("error", 7, text)] if told else [])


def test_the_lower_unit_may_be_the_one_of_the_configuration() -> None:
    """The finding stands where the configuration says it; two units of the board alone are not its fault."""
    units = [iommu(0x51400000, size=0x20000), iommu(0x51410000), iommu(0x51411000), iommu(0x51500000)]
    assert said("CONFIG-UNIT-OVERLAP", configured(units=[unit(line=7)], iommus=units)) == [
        ("error", 7, "the registers of smmuv2@51400000 and smmuv2@51410000 overlap"),
        ("error", 7, "the registers of smmuv2@51400000 and smmuv2@51411000 overlap"),
    ]
    assert said("CONFIG-UNIT-OVERLAP", configured(units=[unit(base=0x51500000)], iommus=units)) == []


@pytest.mark.parametrize(("bypass", "told"), [(True, True), (False, False), (None, False)])
def test_a_unit_that_lets_unknown_ids_pass_is_told(bypass: bool | None, told: bool) -> None:
    """What is not said is denied."""
    text = "the unit 'mmu' lets accesses pass whose ID no device has"
    found = said("CONFIG-BYPASS", configured(units=[unit(bypass=bypass)]))
    assert found == ([("warning", 1, text)] if told else [])


@pytest.mark.parametrize(("kept", "told"), [(4, True), (7, True), (3, False), (8, False)])
def test_a_device_with_an_id_of_the_system_is_told(kept: int, told: bool) -> None:
    """At the `use` that gives the ID; a range holds its first ID and its last."""
    unit_of = iommu(reserved_ids=(1, kept))
    ids = way(DISK, 4, length=4)
    found = configured(entries=[entry(DISK, "", 2, 4)], iommus=[unit_of], devices=BOTH, maps=[ids])
    text = f"mem:e6ef0000 has ID 0x{kept:x} of smmuv2@51400000, which is kept for the system"
    assert said("CONFIG-ID-RESERVED", found) == ([("error", 3, text)] if told else [])


def test_a_device_without_ids_has_none_of_the_system() -> None:
    """A unit with a single master knows no IDs."""
    only = IdMap(f"mem:{DISK:x}", SMMU.name, 0, 1, None, at(9), "use", single=True)
    found = configured(entries=[entry(DISK), entry(NET)], iommus=[iommu(reserved_ids=(0,))], devices=BOTH, maps=[only])
    assert said("CONFIG-ID-RESERVED", found) == said("CONFIG-ID-SHARED", found) == []


@pytest.mark.parametrize(("number", "told"), [(7, True), (8, False), (3, False)])
def test_devices_with_one_id_are_told(number: int, told: bool) -> None:
    """A warning when they have other sets, at the `use` of the second."""
    entries = [entry(DISK, "disk", 2, 4), entry(NET, "net", 5, number)]
    maps = [way(DISK, 4, length=4), way(NET, number)]
    found = configured(entries=entries, iommus=[SMMU], devices=BOTH, maps=maps)
    text = f"mem:e6ef0000 and mem:e6800000 have ID 0x{number:x} of smmuv2@51400000, and other sets: 'disk' and 'net'"
    assert said("CONFIG-ID-SHARED", found) == ([("warning", 6, text)] if told else [])


def test_devices_with_one_id_and_one_set_are_a_note() -> None:
    """They are granted together, as the unit has it; a device is not told against itself, nor twice."""
    entries = [entry(DISK, "all", 2, 4), entry(NET, "all", 5, 4)]
    maps = [way(DISK, 4), way(DISK, 4), way(NET, 4), way(NET, 4)]
    found = configured(entries=entries, iommus=[SMMU], devices=BOTH, maps=maps)
    text = "mem:e6800000 and mem:e6ef0000 have ID 0x4 of smmuv2@51400000"
    assert said("CONFIG-ID-SHARED", found) == [("note", 3, text)]


def test_sets_of_devices_with_one_id_are_compared_all_together() -> None:
    """A device that is named twice has two sets, in whatever order."""
    entries = [entry(DISK, "disk", 2, 4), entry(DISK, "log", 3), entry(NET, "log", 5, 4)]
    maps = [way(DISK, 4), way(NET, 4)]
    found = configured(entries=entries, iommus=[SMMU], devices=BOTH, maps=maps)
    text = "mem:e6800000 and mem:e6ef0000 have ID 0x4 of smmuv2@51400000"
    assert [(one, message) for one, _, message in said("CONFIG-ID-SHARED", found)] == [
        ("warning", text + ", and other sets: 'log' and 'disk log'")
    ]
    entries.append(entry(NET, "disk", 6))
    found = configured(entries=entries, iommus=[SMMU], devices=BOTH, maps=maps)
    assert [(one, message) for one, _, message in said("CONFIG-ID-SHARED", found)] == [("note", text)]


def test_at_two_units_one_id_is_two() -> None:
    """IDs are numbers of a unit."""
    entries = [entry(DISK, "disk"), entry(NET, "net")]
    other = iommu(0x51500000)
    maps = [way(DISK, 4), way(NET, 4, other.name)]
    found = configured(entries=entries, iommus=[SMMU, other], devices=BOTH, maps=maps)
    assert said("CONFIG-ID-SHARED", found) == []


def test_without_a_configuration_nothing_is_said() -> None:
    """A board alone breaks no rule of a configuration."""
    found = board(dmar(drhd(0xFED90000), drhd(0xFED90800)))
    assert not [one for rule in RULES if rule.look for one in rule.look(rule, found)]


def functions(*sets: str, bridge: bool = False) -> Board:
    """Return a device of several functions without ACS (or two behind a conventional bridge), each with its set."""
    second = 0x108 if bridge else 0x101
    made = (
        PciFunction(0, 0x10, at(9), header_type=1, secondary=1, subordinate=1,
                    pcie_type=None if bridge else "root-port", acs=(0x5F, 0x1D)),
        PciFunction(0, 0x100, at(9), pcie_type="endpoint", multifunction=True),
        PciFunction(0, second, at(9), pcie_type="endpoint"),
    )  # fmt: skip
    builder = TopologyBuilder()
    add_pci(builder, PciTopology(made))
    builder.iommus.append(SMMU)
    builder.roots.append(PciRoot("pci:0000", at(9), 0))
    builder.maps.append(IdMap("pci:0000", SMMU.name, 0, 0x10000, 0, at(9), "iommu-map"))
    rids = (0x10, 0x100, second)
    listed = tuple(
        DeviceEntry(PciSpec(0, rid, rid), at(2 + index), allow)
        for index, (rid, allow) in enumerate(zip(rids, sets, strict=True))
    )
    return Board(Inputs(), Topology(builder), Configuration("board.smmu", devices=listed))


def test_a_group_that_is_listed_apart_is_told() -> None:
    """A warning when the sets differ, a note when they are alike; bridges do not count."""
    pair = "0000:01:00.0 and 0000:01:00.1"
    why = f"{pair} are functions of one device, and none isolates: 0000:01:00.0 has no ACS"
    text = f"{pair} are in one isolation group"
    assert said("CONFIG-GROUP-SPLIT", functions("", "one", "other")) == [
        ("warning", 4, f"{text}, and have other sets: 'one' and 'other': {why}")
    ]
    assert said("CONFIG-GROUP-SPLIT", functions("x", "one", "one")) == [("note", 4, f"{text}: {why}")]


def test_a_group_by_one_id_is_told_as_a_shared_id() -> None:
    """Once is enough."""
    found = functions("", "one", "other", bridge=True)
    assert said("CONFIG-GROUP-SPLIT", found) == []
    assert said("CONFIG-ID-SHARED", found)


def test_a_group_that_one_line_lists_is_not_split() -> None:
    """A range of functions has one set, and so is one owner's."""
    found = functions("", "one", "other")
    whole = DeviceEntry(PciSpec(0, 0x100, 0x107), at(2), "one")
    one = Board(Inputs(), found.topology, Configuration("board.smmu", devices=(whole,)))
    assert said("CONFIG-GROUP-SPLIT", one) == []
