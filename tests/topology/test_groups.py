"""Isolation groups: Linux's own on every captured board, and each reason on machines made for it."""

from __future__ import annotations

import json
from functools import cache

import pytest
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.topology import Device, IdMap, Iommu, PciRoot, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.from_pci import add_pci
from iommuman.topology.groups import NO_DMA, Group, group_of, isolation_groups
from iommuman.topology.view import attachments

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("here")
NAMES = sorted(path.name for path in BOARDS.iterdir())
ON = (0x5F, 0x1D)


@cache
def board(name: str) -> tuple[Group, ...]:
    """Return the groups of a captured board."""
    return isolation_groups(load_topology([str(BOARDS / name)]))


@pytest.mark.parametrize("name", NAMES)
def test_the_groups_are_those_of_linux(name: str) -> None:
    """Every group that Linux made is one of ours, less the devices that we say it leaves out; and none is missing."""
    verdict = json.loads((BOARDS / name / "linux" / "verdict.json").read_text())
    theirs = {frozenset(group["devices"]) for group in verdict["groups"].values()}
    ours = {frozenset(one.devices) - {left for left, _ in one.left_out} for one in board(name)}
    assert ours == theirs
    functions = {one["address"] for one in json.loads((BOARDS / name / "pci.json").read_text())["functions"]}
    grouped = {device for group in board(name) for device in group.devices}
    bare = functions - {device for group in theirs for device in group}
    assert bare == (functions - grouped) | {left for group in board(name) for left, _ in group.left_out}


@pytest.mark.parametrize("name", NAMES)
def test_a_group_of_several_has_its_reasons(name: str) -> None:
    """The reasons of a group join all of its devices, each has a remedy, and a device alone has none."""
    for group in board(name):
        assert {device for reason in group.reasons for device in reason.devices} == (
            set(group.devices) if len(group.devices) > 1 else set()
        )
        assert all(reason.text and reason.remedy and reason.origin for reason in group.reasons)


def machine(*functions: PciFunction, kind: str = "vtd", **more: object) -> Topology:
    """Return a machine with these functions behind one unit that takes every requester ID as it is."""
    builder = TopologyBuilder()
    add_pci(builder, PciTopology(functions))
    builder.iommus.append(Iommu("unit", kind, HERE))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "unit", 0, 0x10000, 0, HERE, "map", **more))  # type: ignore[arg-type]
    return Topology(builder)


def bridge(rid: int, secondary: int, kind: str | None, subordinate: int = 9, **more: object) -> PciFunction:
    """Return a bridge."""
    return PciFunction(
        0, rid, HERE, header_type=1, secondary=secondary, subordinate=subordinate, pcie_type=kind,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def end(rid: int, kind: str | None = "endpoint", **more: object) -> PciFunction:
    """Return an endpoint."""
    return PciFunction(0, rid, HERE, pcie_type=kind, **more)  # type: ignore[arg-type]


def names(topology: Topology) -> list[tuple[str, ...]]:
    """Return the groups by what their devices' addresses end with."""
    return [tuple(device[5:] for device in group.devices) for group in isolation_groups(topology)]


def switch(upstream: dict[str, object] | None = None, **ports: object) -> Topology:
    """Return a switch with two ports behind a root port with ACS, and an endpoint behind each."""
    return machine(
        bridge(0x10, 1, "root-port", acs=ON), bridge(0x100, 2, "upstream-port", **(upstream or {})),  # type: ignore[arg-type]
        bridge(0x200, 3, "downstream-port", 3, **ports), bridge(0x208, 4, "downstream-port", 4, **ports),
        end(0x300), end(0x400),
    )  # fmt: skip


def test_ports_with_acs_keep_everything_apart() -> None:
    """Each device is alone, and there is nothing to say of any."""
    found = isolation_groups(switch(acs=ON))
    assert [group.devices for group in found if len(group.devices) > 1] == []
    assert [(group.reasons, group.cautions, group.left_out) for group in found] == [((), (), ())] * 6


def test_a_downstream_port_without_acs_takes_in_what_is_behind_it() -> None:
    """As Linux has it each port by itself; that the switch can lead from one to the other is said."""
    found = isolation_groups(switch())
    assert names(switch()) == [("00:02.0",), ("01:00.0",), ("02:00.0", "03:00.0"), ("02:01.0", "04:00.0")]
    (reason,) = found[2].reasons
    assert (reason.kind, reason.at, reason.remedy) == ("path", "0000:02:00.0", "use a switch with ACS, or another slot")
    assert [group.cautions[0][:30] for group in found if group.cautions] == [
        "0000:02:00.0 and 0000:02:01.0 ", "0000:02:01.0 and 0000:02:00.0 "
    ]  # fmt: skip
    assert found[2].wants_acs


def test_a_leak_further_up_takes_in_all_that_is_below() -> None:
    """An upstream port of several functions without ACS joins both sides of its switch, once."""
    topology = switch({"multifunction": True}, acs=ON)
    assert names(topology) == [("00:02.0",), ("01:00.0", "02:00.0", "02:01.0", "03:00.0", "04:00.0")]
    (reason,) = isolation_groups(topology)[1].reasons
    assert (reason.kind, reason.at) == ("path", "0000:01:00.0")


def test_a_bridge_that_no_unit_controls_joins_what_is_behind_it() -> None:
    """It is no member itself."""
    functions = (bridge(0x10, 1, None), end(0x100, None), end(0x108, None))
    builder = TopologyBuilder()
    add_pci(builder, PciTopology(functions))
    builder.iommus.append(Iommu("unit", "vtd", HERE))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "unit", 0x100, 0x100, 0x100, HERE, "map"))
    (group,) = isolation_groups(Topology(builder))
    assert (group.devices, [reason.kind for reason in group.reasons]) == (("0000:01:00.0", "0000:01:01.0"), ["bridge"])


def test_a_bridge_alone_gives_no_reason() -> None:
    """Nothing is behind it, or one device of which the bridge is no neighbour for a unit."""
    builder = TopologyBuilder()
    add_pci(builder, PciTopology((bridge(0x10, 1, None), end(0x100, None))))
    builder.iommus.append(Iommu("unit", "vtd", HERE))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "unit", 0x100, 0x100, 0x100, HERE, "map"))
    (group,) = isolation_groups(Topology(builder))
    assert (group.devices, group.reasons) == (("0000:01:00.0",), ())


def test_ports_that_no_unit_controls_lead_to_each_other_all_the_same() -> None:
    """The reason names the devices that are together by them."""
    builder = TopologyBuilder()
    ports = (bridge(0x10, 1, "root-port"), bridge(0x100, 2, "upstream-port"))
    below = (bridge(0x200, 3, "downstream-port", 3), bridge(0x208, 4, "downstream-port", 4))
    add_pci(builder, PciTopology((*ports, *below, end(0x300), end(0x400))))
    builder.iommus.append(Iommu("unit", "vtd", HERE))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "unit", 0x300, 0x200, 0x300, HERE, "map"))
    (group,) = isolation_groups(Topology(builder))
    assert group.devices == ("0000:03:00.0", "0000:04:00.0")
    assert {reason.devices for reason in group.reasons} == {group.devices}
    assert "0000:00:02.0" in [reason.at for reason in group.reasons]


def test_integrated_endpoints_of_intel_isolate_without_acs() -> None:
    """Linux takes them to (`pci_quirk_rciep_acs`); those of others, and Intel's behind a port, it does not."""
    several = {"vendor": 0x8086, "multifunction": True}
    assert names(machine(end(0x70, None, multifunction=True), end(0x71, "rc-endpoint", vendor=0x8086), end(0x72))) == [
        ("00:0e.0", "00:0e.2"),
        ("00:0e.1",),
    ]
    assert names(machine(end(0x70, "endpoint", **several), end(0x71, "endpoint", **several))) == [
        ("00:0e.0", "00:0e.1"),
    ]


def test_functions_of_one_device_are_together_unless_they_have_acs() -> None:
    """A function that has it is apart from the others, which are together all the same."""
    several = [end(0x100, multifunction=True, acs=ON), end(0x101), end(0x102, acs=(0x5F, 0))]
    topology = machine(bridge(0x10, 1, "root-port", acs=ON), *several)
    assert names(topology) == [("00:02.0",), ("01:00.0",), ("01:00.1", "01:00.2")]
    (reason,) = isolation_groups(topology)[2].reasons
    assert (reason.kind, reason.remedy) == (
        "functions", "give the whole device to one owner, or use a device whose functions have ACS"
    )  # fmt: skip


def test_acs_of_functions_that_is_off_could_be_switched_on() -> None:
    """The remedy is another one than for a device without it."""
    topology = machine(end(0x10, multifunction=True, acs=(0x5F, 0)), end(0x11, acs=(0x5F, 0)))
    (group,) = isolation_groups(topology)
    assert group.reasons[0].remedy == "have firmware or the kernel switch ACS of the functions on"


def test_virtual_functions_are_apart() -> None:
    """They have their bridge's isolation, on a bus of their own too, and no siblings."""
    physical = end(0x100)
    virtual = [end(rid, physfn="0000:01:00.0") for rid in (0x101, 0x180, 0x200)]
    assert [len(one) for one in names(machine(bridge(0x10, 1, "root-port", acs=ON), physical, *virtual))] == [1] * 5
    assert names(machine(bridge(0x10, 1, "root-port"), physical, *virtual)) == [
        ("00:02.0", "01:00.0", "01:00.1", "01:10.0", "02:00.0")
    ]


def test_what_cannot_be_read_joins_and_is_said_to_be_unknown() -> None:
    """The remedy is to read as root; there is no talk of ACS then."""
    topology = machine(
        bridge(0x10, 1, None, pcie_known=False), end(0x100, None, pcie_known=False, multifunction=True),
        end(0x101, None, pcie_known=False), end(0x20, None, pcie_known=False, multifunction=True),
        end(0x21, None, pcie_known=False),
    )  # fmt: skip
    found = isolation_groups(topology)
    assert [len(group.devices) for group in found] == [3, 2]
    assert {reason.remedy for group in found for reason in group.reasons} == {
        "read /sys, or copy it, as root: others do not see the capabilities"
    }
    assert not any(reason.known for group in found for reason in group.reasons)
    assert not any(group.wants_acs for group in found)


def test_a_function_that_no_pci_topology_lists_is_named() -> None:
    """Nothing is known of its bridges."""
    builder = TopologyBuilder()
    builder.device(Device("0000:01:00.0", "pci", HERE, 0, 0x100))
    builder.iommus.append(Iommu("unit", "vtd", HERE))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "unit", 0, 0x10000, 0, HERE, "map"))
    (group,) = isolation_groups(Topology(builder))
    assert group.unseen == group.devices == ("0000:01:00.0",)


def test_a_port_that_has_acs_to_switch_on_is_told_so() -> None:
    """The remedy is another one than for a port without it, or one that is conventional PCI."""
    (group,) = isolation_groups(machine(bridge(0x10, 1, "root-port", acs=(0x5F, 0)), end(0x100)))
    assert group.reasons[0].remedy.startswith("have firmware or the kernel switch it on")
    (group,) = isolation_groups(machine(bridge(0x10, 1, None), bridge(0x100, 2, "root-port", acs=ON), end(0x200)))
    assert [reason.kind for reason in group.reasons] == ["bridge"]


def test_a_port_below_one_that_cannot_be_read_is_not_known_to_isolate() -> None:
    """A virtual function's only bridge, with a header alone, may be a port without ACS or a conventional bridge."""
    topology = machine(bridge(0x10, 1, "root-port", pcie_known=False), end(0x100))
    (group,) = isolation_groups(topology)
    assert [(reason.kind, reason.known) for reason in group.reasons] == [("path", False)]


def test_requester_ids_that_a_map_makes_one_are_together() -> None:
    """A root complex whose requests all arrive with one ID; SMMUv3's driver takes the first device only."""
    topology = machine(end(0x10, "rc-endpoint"), end(0x18, "rc-endpoint"), kind="smmuv3", single=True)
    (group,) = isolation_groups(topology)
    (reason,) = group.reasons
    assert (reason.kind, reason.at) == ("id", "unit")
    assert reason.text == "map gives 0000:00:02.0 and 0000:00:03.0 one ID of unit, 0x0"
    assert [name for name, _ in group.left_out] == ["0000:00:03.0"]


def test_bits_that_a_map_leaves_out_are_told_the_same_way() -> None:
    """An `iommu-map-mask` can take the function number away."""
    topology = machine(end(0x10, multifunction=True, acs=ON), end(0x11, acs=ON), mask=0xFFF8)
    (group,) = isolation_groups(topology)
    assert [reason.kind for reason in group.reasons] == ["id"]


def platform(*ids: tuple[str, int | None, int], kind: str = "smmuv2") -> Topology:
    """Return devices of a platform with an ID and the bits of it that are ignored."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("unit", kind, HERE))
    for name, stream, ignored in ids:
        builder.device(Device(f"dt:/{name}", "dt", HERE))
        builder.maps.append(
            IdMap(f"dt:/{name}", "unit", 0, 1, stream, HERE, "iommus", single=True, ignored_bits=ignored)
        )
    return Topology(builder)


@pytest.mark.parametrize(
    ("topology", "text"),
    [
        (platform(("a", 4, 0), ("b", 4, 0)), "dt:/a and dt:/b have one ID of unit, 0x4"),
        (platform(("a", 4, 3), ("b", 6, 0)), "unit ignores the bits 0x3 of the IDs of dt:/a and dt:/b"),
        (platform(("a", None, 0), ("b", None, 0)), "unit sees no IDs by which to tell dt:/a and dt:/b apart"),
    ],
)
def test_devices_of_a_platform_that_share_an_id(topology: Topology, text: str) -> None:
    """The same ID, one for ignored bits, or none at all; each has a remedy of its own."""
    (group,) = isolation_groups(topology)
    assert (group.name, [reason.text for reason in group.reasons]) == ("dt:/a", [text])


def test_sources_of_interrupts_are_in_no_group() -> None:
    """I/O APICs and HPETs write interrupts, and no memory."""
    found = isolation_groups(load_topology([str(BOARDS / "q35-vtd")]))
    assert group_of(found, "ioapic:0") is None
    assert group_of(found, "0000:08:01.0") is found[-3]


@pytest.mark.parametrize("folder", ["dmar-segments", "iort-e", "iort-smmuv2", "dt-parents", "damaged/dmar-wrong-scope"])
def test_every_controlled_device_is_in_one_group(folder: str) -> None:
    """Groups part the devices of a board: none is in two, none that a unit controls is lost."""
    topology = load_topology([str(HANDMADE / folder)])
    found = [device for group in isolation_groups(topology) for device in group.devices]
    controlled = {one.device.name for one in attachments(topology) if one.units and one.device.kind not in NO_DMA}
    assert len(found) == len(set(found))
    assert set(found) == controlled
