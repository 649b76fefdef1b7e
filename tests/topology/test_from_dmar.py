"""What a DMAR adds to a topology: each rule by a table that was changed in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.acpi.dmar import Andd, Atsr, DeviceScope, Dmar, Drhd, Rhsa, Rmrr
from iommuman.parsers.pci import PciTopology, parse_pci
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology, assemble, load_topology, route_rid

from tests.conftest import HANDMADE

SEGMENTS = HANDMADE / "dmar-segments"
TWO_HOP = HANDMADE / "dmar-two-hop"


def table(folder: str = "dmar-segments") -> Table:
    """Return the table of a handmade board."""
    return parse_table((HANDMADE / folder / "DMAR.bin").read_bytes(), "DMAR.bin")


def changed(whole: Table, kind: type, index: int, **values: Any) -> Table:
    """Return the table with values of its `index`-th structure of a kind replaced."""
    assert isinstance(whole.body, Dmar)
    places = [place for place, one in enumerate(whole.body.structures) if isinstance(one, kind)]
    structures = list(whole.body.structures)
    structures[places[index]] = replace(structures[places[index]], **values)
    return replace(whole, body=replace(whole.body, structures=tuple(structures)))


def built(whole: Table, pci: PciTopology | None = None) -> Topology:
    """Return the topology of a table, with a PCI topology if one is given."""
    return assemble(Inputs(tables=[whole], pci=[pci] if pci else []))


def known_pci(folder: str) -> PciTopology:
    """Return the PCI topology of a handmade board."""
    return parse_pci((HANDMADE / folder / "pci.json").read_bytes(), "pci.json")


def rules(topology: Topology) -> list[str]:
    """Return the rules of all findings."""
    return [finding.rule for finding in topology.findings]


def scopes(whole: Table, kind: type, index: int) -> tuple[DeviceScope, ...]:
    """Return the scopes of a structure."""
    assert isinstance(whole.body, Dmar)
    found: tuple[DeviceScope, ...] = [one for one in whole.body.structures if isinstance(one, kind)][index].scopes  # type: ignore[union-attr]
    return found


def test_a_sound_table_has_no_findings() -> None:
    """The handmade board with everything in it gives no finding at all."""
    assert load_topology([str(SEGMENTS)]).findings == ()


def test_a_unit_without_registers_is_left_out() -> None:
    """A register base of 0 is an error, and what only that unit names goes to the unit that takes the rest."""
    found = built(changed(table(), Drhd, 0, register_base=0))
    assert "vtd@0" not in found.iommus
    assert str(found.findings[0]) == (
        "DMAR.bin: DMAR+0x30 (24 bytes): the unit has no registers: Register Base Address is 0, expected the address "
        "of its register set (VT-d specification 4.1 §8.3); it is left out (Linux uses no unit at all then: 'Your BIOS "
        "is broken; DMAR reported at address 0')"
    )
    assert route_rid(found, 0, 0x10).iommu == "vtd@fed91000"


def test_a_unit_declared_twice_counts_once() -> None:
    """The second declaration of one register base in one segment is left out, with a warning."""
    found = built(changed(table(), Drhd, 1, register_base=0xFED90000))
    assert rules(found).count("DMAR-UNIT-TWICE") == 1
    assert list(found.iommus) == ["vtd@fed90000", "vtd@fed91000", "vtd@fbffc000", "vtd@fbffe000"]


def test_one_register_base_in_two_segments_is_two_units() -> None:
    """Units of different segments may have one register base here; their names are told apart."""
    found = built(changed(table(), Drhd, 3, register_base=0xFED90000))
    assert "vtd@fed90000#2" in found.iommus
    assert "DMAR-UNIT-TWICE" not in rules(found)


def test_of_two_claims_the_later_unit_in_the_table_has_the_device() -> None:
    """Linux puts every unit without INCLUDE_PCI_ALL at the front of its list, so the last one is asked first."""
    whole = table()
    claimed = changed(whole, Drhd, 1, scopes=scopes(whole, Drhd, 0))
    assert route_rid(built(claimed), 0, 0x10).iommu == "vtd@fed92000"


def test_scopes_that_need_bridges_stay_open_without_a_pci_topology() -> None:
    """Without a PCI topology, a path of two elements is not guessed, and what may be behind it is left open."""
    found = built(table("dmar-two-hop"))
    assert {scope.owner for scope in found.unresolved} >= {"vtd@fed90000", "vtd@fed91000", "vtd@fed92000"}
    assert route_rid(found, 0, 0x0800).verdict == "unresolved"
    assert route_rid(found, 0, 0x00A0).verdict == "controlled"


def test_a_path_through_a_bridge_that_is_not_there_is_named() -> None:
    """With a PCI topology that lacks a bridge of the path, the scope is left out with the address that is missing."""
    found = built(table("dmar-two-hop"), PciTopology((next(iter(known_pci("dmar-two-hop").functions.values())),)))
    absent = [finding for finding in found.findings if finding.severity == "warning"]
    assert {finding.message for finding in absent} == {"the path leads through a bridge that is not there"}
    assert {finding.found for finding in absent} >= {"0000:00:01.0", "0000:00:1c.0", "0000:00:1d.0"}


def test_a_scope_that_names_nothing_is_a_note() -> None:
    """A scope for a function that the PCI topology does not have is worth a note and keeps its map."""
    whole = table()
    ghost = replace(scopes(whole, Drhd, 0)[0], path=((9, 1),))
    found = built(changed(whole, Drhd, 0, scopes=(ghost,)), known_pci("dmar-segments"))
    assert [(one.rule, one.severity) for one in found.findings] == [("DMAR-SCOPE-ABSENT", "note")]
    assert route_rid(found, 0, 9 << 3 | 1).iommu == "vtd@fed90000"


@pytest.mark.parametrize(
    ("kind", "path", "wrong"), [(1, (1, 0), True), (2, (2, 0), True), (2, (1, 0), False), (2, (0, 0), False)]
)
def test_a_scope_must_be_of_the_kind_of_its_function(kind: int, path: tuple[int, int], wrong: bool) -> None:
    """An endpoint scope on a bridge, or a bridge scope on an endpoint, is left out; a host bridge passes as one."""
    whole = table()
    scope = replace(scopes(whole, Drhd, 0)[0], type=kind, path=(path,))
    found = built(changed(whole, Drhd, 0, scopes=(scope,)), known_pci("dmar-segments"))
    assert ("DMAR-SCOPE-KIND" in rules(found)) == wrong


@pytest.mark.parametrize(
    ("pair", "rule"), [((32, 0), "DMAR-SCOPE-PATH"), ((31, 8), "DMAR-SCOPE-PATH"), ((31, 7), None)]
)
def test_a_path_element_has_five_and_three_bits(pair: tuple[int, int], rule: str | None) -> None:
    """A device above 31 or a function above 7 cannot be, and the scope is left out."""
    whole = table()
    scope = replace(scopes(whole, Drhd, 0)[0], path=(pair,))
    assert rules(built(changed(whole, Drhd, 0, scopes=(scope,)))) == ([rule] if rule else [])


def test_scopes_without_a_path_or_of_a_reserved_type_are_left_out() -> None:
    """Neither adds a map; a reserved type is named."""
    whole = table()
    first = scopes(whole, Drhd, 0)[0]
    empty, strange, nothing = replace(first, path=()), replace(first, type=9), replace(first, type=3, path=())
    found = built(changed(whole, Drhd, 0, scopes=(empty, strange, nothing)))
    assert rules(found) == ["DMAR-SCOPE-TYPE"]
    assert not [one for one in found.maps if one.target == "vtd@fed90000"]


def test_a_namespace_scope_needs_its_declaration() -> None:
    """A scope of type 5 whose number no ANDD declares is left out with an error."""
    found = built(changed(table(), Andd, 0, device_number=77))
    assert rules(found) == ["DMAR-ANDD-MISSING"]
    assert "acpi:\\_SB.PCI0.I2C0" not in found.devices


def test_an_affinity_needs_its_unit() -> None:
    """An RHSA with the registers of no unit is left out with a warning; the others tell their proximity domain."""
    found = built(changed(table(), Rhsa, 0, register_base=0x1000))
    assert rules(found) == ["DMAR-RHSA-UNIT"]
    assert dict(found.iommus["vtd@fbffc000"].properties)["proximity domain"] == 1


@pytest.mark.parametrize(("limit", "kept"), [(0x7B800000, False), (0x7B7FFFFF, False), (0x7B800001, True)])
def test_a_reserved_region_ends_after_it_begins(limit: int, kept: bool) -> None:
    """The limit is the last byte; one at or below the base is an error, and the region is left out."""
    found = built(changed(table(), Rmrr, 0, base=0x7B800000, limit=limit))
    assert ("DMAR-RMRR-RANGE" not in rules(found)) == kept
    assert [one.length for one in found.reserved if one.start == 0x7B800000] == ([2] if kept else [])


def test_a_reserved_region_may_be_for_a_namespace_device() -> None:
    """An RMRR scope of type 5 names the device of the ANDD."""
    whole = table()
    scope = replace(scopes(whole, Rmrr, 0)[0], type=5, enumeration_id=1)
    odd = replace(scope, type=9)
    found = built(changed(whole, Rmrr, 0, scopes=(scope, odd)))
    assert found.reserved[0].devices == ("acpi:\\_SB.PCI0.I2C0",)


def test_properties_of_devices_come_from_atsr_satc_and_sidp() -> None:
    """What these structures say of a function stands with the device; scopes of other types say nothing."""
    found = load_topology([str(HANDMADE / "dmar-satc-sidp")])
    properties = [dict(device.properties) for device in found.devices.values()]
    assert any(one.get("ATC") for one in properties)
    assert any(one.get("ATC_REQUIRED") for one in properties)
    whole = table()
    first = scopes(whole, Atsr, 0)[0]
    atsr = (replace(first, type=3), replace(first, path=((32, 0),)), first)
    again = built(changed(whole, Atsr, 0, scopes=atsr))
    assert [device.name for device in again.devices.values() if dict(device.properties).get("ATS")] == ["0000:00:01.0"]
