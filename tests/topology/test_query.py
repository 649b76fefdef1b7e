"""Questions about one thing: names as people type them, sharers, reserved memory, addresses."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.topology import Device, IdMap, Iommu, PciRoot, ReservedRegion, StreamRange, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.query import TopologyError, ask, at_address

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("here")


def board(path: str) -> Topology:
    """Return the topology of a fixture board."""
    return load_topology([str(BOARDS / path if (BOARDS / path).is_dir() else HANDMADE / path)])


@pytest.mark.parametrize("name", ["0000:02:01.0", "02:01.0", "0:02:1.0"])
def test_pci_functions_by_address(name: str) -> None:
    """The segment may be left out when it is 0, and leading zeros may be."""
    found = ask(board("q35-vtd"), name)
    assert (found.device.name, found.listed) == ("0000:02:01.0", True)


@pytest.mark.parametrize("name", ["acpi:\\_SB.PCI0.I2C0", "\\_SB.PCI0.I2C0", "PCI0.I2C0", "I2C0"])
def test_acpi_devices_by_path_and_by_its_end(name: str) -> None:
    """The prefix may be left out, and a last part that only one device has is enough."""
    assert ask(board("dmar-segments"), name).device.name == "acpi:\\_SB.PCI0.I2C0"


@pytest.mark.parametrize("name", ["dt:/soc@10000000/usb@6000000", "/soc@10000000/usb@6000000", "usb@6000000"])
def test_device_tree_nodes_by_path_and_by_its_end(name: str) -> None:
    """The same for nodes of a device tree."""
    assert ask(board("dt-parents"), name).device.name == "dt:/soc@10000000/usb@6000000"


def test_a_function_that_no_source_lists_is_answered_by_its_address() -> None:
    """What becomes of an ID can be told without knowing who has it."""
    found = ask(board("virt-smmuv3-acpi"), "00:1f.7")
    assert not found.listed
    assert found.routes[0].stream == 0xFF


def test_a_function_of_a_host_without_segment_is_named_with_the_host() -> None:
    """HOST/bb:dd.f asks at one host bridge, by its path or the end of it."""
    builder = TopologyBuilder()
    builder.roots += [PciRoot("dt:/soc/pcie@1", HERE, None), PciRoot("dt:/soc/pcie@2", HERE, None)]
    builder.iommus.append(Iommu("unit", "smmuv3", HERE))
    builder.maps.append(IdMap("dt:/soc/pcie@2", "unit", 0, 0x10000, 0x40000, HERE, "iommu-map"))
    topology = Topology(builder)
    for host in ("dt:/soc/pcie@2", "/soc/pcie@2", "pcie@2"):
        found = ask(topology, f"{host}/01:00.0")
        assert (found.device.name, found.routes[0].stream) == ("dt:/soc/pcie@2/01:00.0", 0x40100)
    assert ask(topology, "01:00.0").routes[0].verdict == "unresolved"
    with pytest.raises(TopologyError, match=r"there is no PCI host bridge 'pcie@3'; did you mean dt:/soc/pcie@"):
        ask(topology, "pcie@3/01:00.0")


def test_a_name_that_nobody_has_gets_near_ones() -> None:
    """A misspelt name is answered with those that are near, or with some that there are."""
    with pytest.raises(TopologyError, match=r"there is no device 'ioapik:0'; did you mean ioapic:0"):
        ask(board("q35-vtd"), "ioapik:0")
    with pytest.raises(TopologyError, match=r"there is no device ''; such names are 0000:00:00.0 or 0000:00:03.0 or "):
        ask(board("q35-vtd"), "")
    with pytest.raises(TopologyError, match="the sources name none"):
        ask(Topology(TopologyBuilder()), "usb")


def test_a_host_bridge_is_no_device_but_its_functions_are() -> None:
    """Who asks for a PCI host bridge is told how its functions are called."""
    with pytest.raises(TopologyError, match=r"dt:/pcie@10000000 is a PCI host bridge.*as dt:/pcie@10000000/01:00.0"):
        ask(board("virt-smmuv3-dt"), "/pcie@10000000")


def test_acpi_paths_are_known_with_and_without_padding() -> None:
    """The underscores that fill up the segments of an ACPI path are no part of the name."""
    builder = TopologyBuilder()
    builder.device(Device("acpi:\\_SB.PCI0.UA0", "acpi", HERE))
    topology = Topology(builder)
    for name in ("\\_SB_.PCI0.UA0_", "acpi:\\_SB_.PCI0.UA0", "\\_SB.PCI0.UA0"):
        assert ask(topology, name).device.name == "acpi:\\_SB.PCI0.UA0"
    with pytest.raises(TopologyError, match="there is no device"):
        ask(topology, "\\_SB_.PCI0.UA1")


def test_a_name_that_several_have_is_refused() -> None:
    """The end of a path that two devices share is refused, and both are listed."""
    builder = TopologyBuilder()
    for name in ("dt:/a/usb@1", "dt:/b/usb@1"):
        builder.device(Device(name, "dt", HERE))
    with pytest.raises(TopologyError, match=r"2 things are called 'usb@1'; did you mean dt:/a/usb@1 or dt:/b/usb@1"):
        ask(Topology(builder), "usb@1")


def test_devices_that_share_an_id_are_named() -> None:
    """The functions behind a conventional bridge share its ID with it and with each other."""
    found = ask(board("q35-vtd"), "02:01.0")
    assert found.sharers == (("vtd@fed90000", 0x30, ("0000:00:06.0", "0000:02:02.0")),)
    assert ask(board("q35-vtd"), "00:03.0").sharers == ()


def test_reserved_memory_is_found_by_device_and_by_id() -> None:
    """A region concerns the devices it names, and those whose ID at the IOMMU is in one of its ranges."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.iommus.append(Iommu("unit", "smmuv3", HERE))
    builder.maps.append(IdMap("pci:0000", "unit", 0, 0x10000, 0x1000, HERE, "ID mapping"))
    by_id = ReservedRegion("rmr", 0x1000, 0x1000, HERE, "direct", streams=(StreamRange("unit", 0x1018, 2),))
    by_name = ReservedRegion("rmrr", 0x3000, 0x1000, HERE, "direct", devices=("0000:00:03.2",))
    elsewhere = ReservedRegion("rmr", 0x5000, 0x1000, HERE, "direct", streams=(StreamRange("other", 0x1018, 2),))
    builder.reserved += [by_id, by_name, elsewhere]
    topology = Topology(builder)
    wanted = {"00:02.7": (), "00:03.0": (by_id,), "00:03.1": (by_id,), "00:03.2": (by_name,)}
    assert {name: ask(topology, name).reserved for name in wanted} == wanted


@pytest.mark.parametrize(
    ("address", "names"),
    [
        (0x7D000000, ["reserved memory (rmrr) for 0000:00:02.0"]),
        (0x7CFFFFFF, []),
        (0x7F7FFFFF, ["reserved memory (rmrr) for 0000:00:02.0"]),
        (0x7F800000, []),
        (0xFED90FFF, ["registers of vtd@fed90000"]),
        (0xFEE00000, ["interrupt window, never translated"]),
        (0xFEF00000, []),
    ],
)
def test_what_an_address_falls_in(address: int, names: list[str]) -> None:
    """Reserved memory, registers of units and the interrupt window, to the byte; nothing is an answer too."""
    found = [place.name for place in at_address(board("dmar-segments"), address)]
    assert list(dict.fromkeys(found)) == names


def test_windows_of_functions_are_found_by_address() -> None:
    """Memory windows that the PCI topology lists are found; port windows, whose numbers are no addresses, are not."""
    topology = board("q35-vtd")
    function = topology.pci[0].functions[0, 0x18]
    memory = [one for one in function.resources if one.flags & 0x200]
    ports = [one for one in function.resources if not one.flags & 0x200]
    assert any("0000:00:03.0" in place.name for place in at_address(topology, memory[0].start))
    assert not at_address(topology, ports[0].start)
    assert "KiB" in at_address(topology, memory[0].start)[0].extent


def test_regions_for_ids_name_the_ids() -> None:
    """Two ranges of IDs at one unit are told apart by the IDs, not by the unit named twice."""
    builder = TopologyBuilder()
    streams = (StreamRange("unit", 0x100, 1), StreamRange("unit", 0x200, 2))
    builder.reserved.append(ReservedRegion("rmr", 0x1000, 0x1000, HERE, "direct", streams=streams))
    (place,) = at_address(Topology(builder), 0x1000)
    assert place.name == "reserved memory (rmr) for unit ID 0x100, unit IDs 0x200-0x201"
