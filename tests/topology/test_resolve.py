"""Following IDs: the rules of matching, and what is said when there is no answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.topology import (
    Device,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    Topology,
    UnresolvedScope,
    route_rid,
    route_root_rid,
    routes,
)
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.resolve import apply, match
from iommuman.topology.senders import senders

HERE = Origin("here")


def id_map(base: int, length: int, output: int | None = 0, target: str | None = "unit", **more: object) -> IdMap:
    """Return a map of the root `pci:0000`."""
    return IdMap("pci:0000", target, base, length, output, HERE, "test", **more)  # type: ignore[arg-type]


def topology(*maps: IdMap, segment: int | None = 0, enabled: bool = True) -> Topology:
    """Return a topology with one root, one unit, one MSI controller and the given maps."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("pci:0000", HERE, segment))
    builder.iommus.append(Iommu("unit", "smmuv3", HERE, enabled=enabled))
    builder.msi_controllers.append(MsiController("its", "its", HERE))
    builder.maps.extend(maps)
    return Topology(builder)


def test_the_first_map_that_holds_an_id_takes_it() -> None:
    """Of two maps that hold an ID, the first in order has it; fallbacks come last wherever they stand."""
    fallback = id_map(0, 0x10000, fallback=True)
    first, second = id_map(0x10, 0x10, 1), id_map(0x18, 0x10, 2)
    assert match([fallback, first, second], 0x18, "dma") is first
    assert match([fallback, first, second], 0x27, "dma") is second
    assert match([fallback, first, second], 0x28, "dma") is fallback
    assert match([first, second], 0x28, "dma") is None


def test_a_last_id_gives_way_only_to_a_range_that_begins_with_it() -> None:
    """The last ID of a tentative range goes to a later range that begins with it, and stays else (Linux's rule)."""
    first = id_map(0, 9, 0x100, tentative_last=True)
    assert match([first, id_map(8, 8, 0x200, tentative_last=True)], 8, "dma").output == 0x200  # type: ignore[union-attr]
    assert match([first, id_map(7, 8, 0x200, tentative_last=True)], 8, "dma") is first
    assert match([first], 8, "dma") is first
    assert match([first, id_map(0, 1, 0x300, single=True)], 8, "dma").output == 0x300  # type: ignore[union-attr]
    assert match([id_map(8, 1, 5), first], 8, "dma").output == 5  # type: ignore[union-attr]


def test_a_range_of_one_id_never_gives_way() -> None:
    """An exact match before a tentative one is final, as for ranges whose count field is 0."""
    one = id_map(8, 1, 1)
    assert match([one, id_map(8, 8, 2, tentative_last=True)], 8, "dma") is one


def test_maps_serve_their_purpose_only() -> None:
    """A map for interrupts does not carry memory accesses, and the other way round; `both` does both."""
    dma, msi, both = id_map(0, 4), id_map(0, 4, carries="msi"), id_map(4, 4, carries="both")
    assert match([msi, dma, both], 1, "dma") is dma
    assert match([dma, msi, both], 1, "msi") is msi
    assert match([dma, msi, both], 5, "dma") is both
    assert match([dma, msi, both], 5, "msi") is both


@given(
    st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(1, 64), st.integers(0, 1 << 20), st.integers(0, 0xFFFF)
)
def test_a_map_shifts_what_it_holds(number: int, base: int, length: int, output: int, mask: int) -> None:
    """An ID in the range keeps its distance from the base; IDs outside are not held; a mask is applied first."""
    one = id_map(base, length, output, mask=mask)
    held = match([one], number, "dma")
    assert (held is one) == (base <= number & mask < base + length)
    if held:
        assert apply(one, number) == output + (number & mask) - base


def test_an_iommu_without_ids_gives_none() -> None:
    """A map to a unit that knows no IDs ends with no ID, and the device is controlled."""
    found = route_rid(topology(id_map(0, 0x100, None)), 0, 0x18)
    assert (found.verdict, found.iommu, found.stream) == ("controlled", "unit", None)


def test_a_map_without_target_is_no_iommu() -> None:
    """An entry that leads to no unit leaves the device without an IOMMU, and says so."""
    found = route_rid(topology(id_map(0, 0x100, target=None)), 0, 0x18)
    assert (found.verdict, found.reason) == ("no-iommu", "the map that takes its ID leads to no unit")


def test_no_map_is_an_answer() -> None:
    """An ID that no map takes has no IOMMU; the reason names the root and the ID."""
    found = route_rid(topology(id_map(0, 8)), 0, 0x18)
    assert found.verdict == "no-iommu"
    assert found.reason == "no map of pci:0000 takes requester ID 0x0018 (00:03.0)"


def test_an_unknown_segment_is_said() -> None:
    """A segment that no source speaks of is named as the reason; without any IOMMU that is the reason."""
    assert route_rid(topology(), 7, 0x18).reason == "no source says anything of its PCI segment and bus"
    assert route_rid(Topology(TopologyBuilder()), 0, 0x18).reason == "the sources declare no IOMMU"


def test_a_disabled_unit_is_named_and_does_not_control() -> None:
    """A map to a unit that is not in use gives the verdict `disabled` with the unit's name."""
    found = route_rid(topology(id_map(0, 0x100), enabled=False), 0, 0x18)
    assert (found.verdict, found.iommu) == ("disabled", "unit")
    assert found.reason == "unit is not enabled, so accesses are not translated"


def test_maps_that_go_in_a_circle_end() -> None:
    """Maps that lead back to where an ID has been end with that as the reason."""
    onward = IdMap("loop", "pci:0000", 0, 0x100, 0, HERE, "test")
    found = route_rid(topology(id_map(0, 0x100, target="loop"), onward), 0, 0x18)
    assert (found.verdict, found.reason) == ("no-iommu", "the maps lead in a circle")


def test_a_way_past_every_iommu_says_where_it_ends() -> None:
    """A map straight to an interrupt controller means that no IOMMU is on the way."""
    found = route_rid(topology(id_map(0, 0x100, target="its", carries="both")), 0, 0x18)
    assert (found.verdict, found.reason) == ("no-iommu", "the maps lead to its, and to no IOMMU")
    assert found.msi_hops[-1].target == "its"


def test_interrupt_maps_that_lead_nowhere_give_no_hops() -> None:
    """The way of interrupts is only told when it ends at a controller, and a circle ends."""
    circle = IdMap("unit", "pci:0000", 0, 0x100, 0, HERE, "test", carries="both")
    assert route_rid(topology(id_map(0, 0x100, carries="both"), circle), 0, 1).msi_hops == ()


def test_a_root_without_segment_is_asked_for_by_name() -> None:
    """When no source gives a root its segment, an address is not guessed to be there, and the root can be named."""
    found = topology(id_map(0, 0x100), segment=None)
    assert route_rid(found, 0, 0x18).verdict == "unresolved"
    assert route_root_rid(found, found.roots["pci:0000"], 0x18).stream == 0x18


@pytest.mark.parametrize(("rid", "verdict"), [(0x0018, "controlled"), (0x0100, "unresolved"), (0x0110, "controlled")])
def test_an_unresolved_scope_may_hold_what_is_behind_bridges(rid: int, verdict: str) -> None:
    """Only IDs that an unresolved scope can hold are left open: not those of the start bus, nor other functions."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.iommus += [Iommu("all", "vtd", HERE), Iommu("some", "vtd", HERE)]
    rest = IdMap("pci:0000", "all", 0, 0x10000, 0, HERE, "INCLUDE_PCI_ALL", fallback=True)
    builder.maps.append(rest)
    for path in (((1, 0), (0, 0)), ((2, 0), (0, 0))):
        builder.unresolved.append(UnresolvedScope("some", "some", 0, 0, path, "endpoint", "why", HERE))
    found = route_rid(Topology(builder), 0, rid)
    assert found.verdict == verdict
    assert ("a scope of some;" in found.reason) == (verdict == "unresolved")


def test_a_virtual_function_follows_its_physical_function() -> None:
    """A virtual function, which scopes do not name, has the unit of its physical function and its own ID there."""
    functions = (
        PciFunction(0, 0x100, HERE),
        PciFunction(0, 0x110, HERE, physfn="0000:01:00.0"),
        PciFunction(0, 0x111, HERE, physfn="nonsense"),
    )
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.iommus += [Iommu("one", "vtd", HERE), Iommu("all", "vtd", HERE)]
    builder.pci.append(PciTopology(functions))
    builder.maps.append(IdMap("pci:0000", "one", 0x100, 1, 0x100, HERE, "device scope"))
    builder.maps.append(IdMap("pci:0000", "all", 0, 0x10000, 0, HERE, "INCLUDE_PCI_ALL", fallback=True))
    found = Topology(builder)
    assert [
        (
            routes(found, Device("x", "pci", HERE, 0, rid))[0].iommu,
            routes(found, Device("x", "pci", HERE, 0, rid))[0].stream,
        )
        for rid in (0x100, 0x110, 0x111)
    ] == [("one", 0x100), ("one", 0x110), ("all", 0x111)]


def test_senders_of_an_id_are_found_among_known_devices_and_by_the_maps() -> None:
    """An ID leads back to the devices that are known to send it, and else to the requester ID that would."""
    builder = TopologyBuilder()
    builder.roots += [PciRoot("pci:0000", HERE, 0), PciRoot("dt:/pcie", HERE, None)]
    builder.iommus.append(Iommu("unit", "smmuv3", HERE))
    builder.maps += [id_map(0, 0x100, 0x400), id_map(0, 1, 0x900, single=True)]
    builder.maps.append(IdMap("dt:/pcie", "unit", 0x10, 8, 0x410, HERE, "iommu-map"))
    builder.maps.append(IdMap("acpi:DEV", "unit", 0, 1, 0x418, HERE, "ID mapping", single=True))
    builder.maps.append(IdMap("acpi:MANY", "unit", 0, 8, 0x500, HERE, "ID mapping"))
    builder.device(Device("0000:00:03.0", "pci", HERE, 0, 0x18))
    builder.device(Device("acpi:DEV", "acpi", HERE))
    builder.device(Device("acpi:MANY", "acpi", HERE))
    found = Topology(builder)
    assert [sender.name for sender in senders(found, "unit", 0x418)] == ["0000:00:03.0", "acpi:DEV"]
    assert [sender.name for sender in senders(found, "unit", 0x411)] == ["0000:00:02.1", "dt:/pcie/00:02.1"]
    assert [sender.name for sender in senders(found, "unit", 0x507)] == ["acpi:MANY"]
    assert senders(found, "unit", 0x508) == []


def test_ignored_bits_make_ids_one() -> None:
    """An SMMU that ignores bits of an ID takes every ID that differs in these bits only for the same sender's."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("unit", "smmuv2", HERE))
    builder.maps.append(IdMap("dt:/dev", "unit", 0, 1, 0x10, HERE, "iommus", single=True, ignored_bits=3))
    builder.maps.append(IdMap("dt:/whole", "unit", 0, 1, None, HERE, "iommus", single=True))
    builder.device(Device("dt:/dev", "dt", HERE))
    builder.device(Device("dt:/whole", "dt", HERE))
    found = Topology(builder)
    assert [sender.name for sender in senders(found, "unit", 0x13)] == ["dt:/dev", "dt:/whole"]
    assert [sender.name for sender in senders(found, "unit", 0x14)] == ["dt:/whole"]


def test_a_component_without_maps_and_one_with_a_dead_map_have_no_iommu() -> None:
    """A device that no map starts from has no IOMMU, nor has one whose map leads to no unit."""
    found = topology(IdMap("acpi:B", None, 0, 1, 4, HERE, "ID mapping", single=True))
    assert routes(found, Device("acpi:A", "acpi", HERE))[0].reason == "no source names an IOMMU for it"
    assert routes(found, Device("acpi:B", "acpi", HERE))[0].reason == "the map leads to no unit"


def _function_with(*stated: IdMap) -> Topology:
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.iommus += [Iommu("unit", "smmuv3", HERE), Iommu("other", "smmuv2", HERE)]
    builder.msi_controllers.append(MsiController("its", "its", HERE))
    builder.device(Device("0000:00:03.0", "pci", HERE, 0, 0x18))
    builder.maps += [id_map(0, 0x100, 0x1000), id_map(0, 0x100, 0, "its", carries="msi"), *stated]
    return Topology(builder)


def test_a_map_of_a_function_itself_is_one_more_way_beside_its_roots() -> None:
    """What is said of a function by name is added to what its root says, and stands in its place when it overrides."""
    own = IdMap("0000:00:03.0", "other", 0x18, 1, 5, HERE, "use")
    one = _function_with(own)
    found = routes(one, one.devices["0000:00:03.0"])
    assert [(route.iommu, route.requester, route.stream) for route in found] == [
        ("unit", 0x18, 0x1018),
        ("other", 0x18, 5),
    ]
    one = _function_with(replace(own, overrides=True))
    found = routes(one, one.devices["0000:00:03.0"])
    assert [(route.iommu, route.stream, route.why) for route in found] == [("other", 5, "its own")]
    assert found[0].msi_hops[-1].target_id == 0x18


def test_a_map_of_a_function_may_hold_several_ids() -> None:
    """A range of IDs that a function is given stays one route."""
    one = _function_with(IdMap("0000:00:03.0", "other", 0x18, 4, 0x40, HERE, "use", overrides=True))
    found = routes(one, one.devices["0000:00:03.0"])
    assert [(route.stream, route.count) for route in found] == [(0x40, 4)]
    assert [sender.name for sender in senders(one, "other", 0x43)] == ["0000:00:03.0"]
    assert senders(one, "unit", 0x1018) == []


def test_maps_that_lead_on_and_on_are_not_followed_for_ever() -> None:
    """A map that leads to its own space one ID further would visit every ID there is: it counts as a circle."""
    shifting = IdMap("pci:0000", "pci:0000", 0, 1 << 32, 1, HERE, "test", carries="both")
    route = route_rid(topology(shifting), 0, 0x18)
    assert (route.verdict, route.reason, len(route.hops)) == ("no-iommu", "the maps lead in a circle", 64)
    assert route.msi_hops == ()


def test_a_map_without_ids_leads_a_device_nowhere() -> None:
    """A bus whose map a boot loader is to fill in has no ID at the unit until then."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("unit", "smmuv2", HERE))
    builder.device(Device("dt:/fsl-mc", "dt", HERE))
    builder.maps.append(IdMap("dt:/fsl-mc", "unit", 0, 0, 0, HERE, "iommu-map"))
    found = Topology(builder)
    (route,) = routes(found, found.devices["dt:/fsl-mc"])
    assert (route.verdict, route.iommu, route.stream, route.hops) == ("no-iommu", None, None, ())
    assert route.reason == "its map has no IDs; a boot loader is to fill it in"
    assert senders(found, "unit", 0) == []
