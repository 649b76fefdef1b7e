"""What an IORT adds to a topology: each rule by a table that was changed in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import pytest
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.acpi.iort import Iort, Iwb, NamedComponent, Node, Pmcg, Rmr, RootComplex, SmmuV2, SmmuV3
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology, assemble, load_topology, route_rid

from tests.conftest import HANDMADE

AnyNode = TypeVar("AnyNode", bound=Node)


def table(folder: str) -> Table:
    """Return the table of a handmade board."""
    return parse_table((HANDMADE / folder / "IORT.bin").read_bytes(), "IORT.bin")


def nodes(whole: Table, kind: type[AnyNode]) -> list[AnyNode]:
    """Return the nodes of a kind."""
    assert isinstance(whole.body, Iort)
    return [node for node in whole.body.nodes if isinstance(node, kind)]


def changed(whole: Table, old: Node, **values: Any) -> Table:
    """Return the table with values of one node replaced."""
    assert isinstance(whole.body, Iort)
    again = tuple(replace(node, **values) if node is old else node for node in whole.body.nodes)
    return replace(whole, body=replace(whole.body, nodes=again))


def built(whole: Table) -> Topology:
    """Return the topology of a table."""
    return assemble(Inputs(tables=[whole]))


def rules(topology: Topology) -> list[str]:
    """Return the rules of all findings."""
    return [finding.rule for finding in topology.findings]


@pytest.mark.parametrize("folder", ["iort-smmuv2", "iort-smmuv3", "iort-e", "iort-offbyone"])
def test_sound_tables_have_no_findings(folder: str) -> None:
    """The handmade boards give no finding at all."""
    assert load_topology([str(HANDMADE / folder)]).findings == ()


def test_a_reference_to_no_node_is_an_error_and_no_iommu() -> None:
    """A mapping whose output reference is no node's offset is named, and its IDs have no IOMMU."""
    whole = table("iort-e")
    root = nodes(whole, RootComplex)[0]
    for reference, words in ((0, "NULL parent reference"), (49, "IDs of this mapping have no IOMMU here")):
        mapping = replace(root.mappings[0], output_reference=reference)
        found = built(changed(whole, root, mappings=(mapping,)))
        assert rules(found) == ["IORT-REFERENCE"]
        assert words in str(found.findings[0])
        assert route_rid(found, 0, 0x18).verdict == "no-iommu"


def test_a_reference_to_a_node_of_a_forbidden_type_is_followed_and_named() -> None:
    """A root complex that leads to another root complex is an error of the table; the way is told as it stands."""
    whole = table("iort-e")
    first, second = nodes(whole, RootComplex)[:2]
    found = built(changed(whole, first, mappings=(replace(first.mappings[0], output_reference=second.offset),)))
    assert rules(found) == ["IORT-REFERENCE-TYPE"]
    assert [hop.target for hop in route_rid(found, 0, 0x18).hops] == ["pci:0001", "smmuv3@2b600000"]


def test_a_circle_of_smmus_ends() -> None:
    """Two SMMUs whose mappings lead to each other are named, and IDs still reach the first."""
    found = load_topology([str(HANDMADE / "damaged" / "iort-cycle")])
    assert "IORT-REFERENCE-TYPE" in rules(found)
    assert route_rid(found, 0, 0x18).verdict == "controlled"


def test_a_single_mapping_is_not_for_an_smmu() -> None:
    """A SINGLE mapping of an SMMU that is not its own is left out with a warning, as by Linux."""
    whole = table("iort-e")
    unit = nodes(whole, SmmuV3)[1]
    found = built(changed(whole, unit, mappings=(replace(unit.mappings[0], flags=1),)))
    assert rules(found) == ["IORT-SINGLE"]
    assert not found.maps_from("smmuv3@2b600000")


def test_a_single_mapping_of_a_root_takes_every_id() -> None:
    """A SINGLE mapping of a root complex turns every requester ID into one."""
    whole = table("iort-e")
    root = nodes(whole, RootComplex)[0]
    found = built(changed(whole, root, mappings=(replace(root.mappings[0], flags=1, output_base=7),)))
    assert {route_rid(found, 0, rid).stream for rid in (0, 0x18, 0xFFFF)} == {7}


@pytest.mark.parametrize(
    ("revision", "flags", "gsivs", "own"),
    [
        (5, 1 << 4, (1, 2, 3, 4), True),
        (5, 0, (0, 0, 0, 0), False),
        (4, 0, (1, 2, 3, 4), False),
        (4, 0, (1, 0, 3, 4), True),
        (1, 0, (0, 0, 0, 0), True),
    ],
)
def test_when_an_smmu_has_a_device_id_of_its_own(
    revision: int,
    flags: int,
    gsivs: tuple[int, ...],
    own: bool,
) -> None:
    """From revision 5 on a flag says so; before, it has one unless all four interrupts are wired."""
    whole = table("iort-e")
    unit = nodes(whole, SmmuV3)[0]
    names = ("event_gsiv", "pri_gsiv", "gerror_gsiv", "sync_gsiv")
    found = built(changed(whole, unit, revision=revision, flags=flags, **dict(zip(names, gsivs, strict=True))))
    properties = dict(found.iommus["smmuv3@2b400000"].properties)
    assert properties.get("own MSI") == ("its:0 device ID 0x20000" if own else None)


def test_an_own_mapping_that_is_not_there_is_an_error() -> None:
    """An index past the mappings is named; index 0 of no mappings, before revision 5, means that there is none."""
    whole = table("iort-e")
    unit = nodes(whole, SmmuV3)[0]
    assert "IORT-OWN-MAPPING" in rules(built(changed(whole, unit, device_id_mapping_index=9)))
    bare = {"mappings": (), "revision": 1, "event_gsiv": 0}
    assert "IORT-OWN-MAPPING" not in rules(built(changed(whole, unit, **bare, device_id_mapping_index=0)))
    assert "IORT-OWN-MAPPING" in rules(built(changed(whole, unit, **bare, device_id_mapping_index=1)))


def test_what_is_said_of_an_smmu_v3() -> None:
    """Overrides, the proximity domain, the VATOS page and the window of a model with one page are told."""
    whole = table("iort-e")
    unit = nodes(whole, SmmuV3)[0]
    values = {"flags": 0b01101, "model": 2, "vatos_address": 0x40000, "proximity_domain": 3}
    found = built(changed(whole, unit, **values)).iommus["smmuv3@2b400000"]
    assert found.size == 0x10000
    properties = dict(found.properties)
    assert properties["COHACC override"] is True
    assert (properties["HTTU override"], properties["proximity domain"], properties["VATOS"]) == (2, 3, "0x40000")
    strange = built(changed(whole, unit, model=9)).iommus["smmuv3@2b400000"]
    assert dict(strange.properties)["model"] == "model 9"


def test_models_of_version_1_are_told_from_version_2() -> None:
    """Generic v1, MMU-400 and MMU-401 are SMMUv1; the rest of node type 3 is SMMUv2."""
    whole = table("iort-smmuv2")
    unit = nodes(whole, SmmuV2)[0]
    kinds = [next(iter(built(changed(whole, unit, model=model)).iommus.values())).kind for model in range(7)]
    assert kinds == ["smmuv1", "smmuv2", "smmuv1", "smmuv2", "smmuv1", "smmuv2", "smmuv2"]


def test_wired_interrupts_have_their_trigger() -> None:
    """The interrupt flags say level or edge, for global, context and PMU interrupts alike; 0 is none."""
    whole = table("iort-smmuv2")
    unit = nodes(whole, SmmuV2)[1]
    silent = replace(unit.global_interrupts[0], nsg_cfg_irpt=0)
    found = built(changed(whole, unit, global_interrupts=(silent,))).iommus["smmuv2@2b600000"]
    assert [(one.purpose, one.number, one.trigger) for one in found.interrupts] == [
        ("global", 0x4B, "level"),
        ("context 0", 0x120, "edge"),
        ("context 1", 0x121, "edge"),
        ("pmu 0", 0x130, "level"),
    ]


def test_what_is_said_of_a_component_depends_on_its_revision() -> None:
    """Stall support and substream bits are reserved before node revision 2."""
    whole = table("iort-e")
    node = nodes(whole, NamedComponent)[0]
    new = dict(built(whole).devices["acpi:\\_SB.ACC0"].properties)
    old = dict(built(changed(whole, node, revision=1)).devices["acpi:\\_SB.ACC0"].properties)
    assert (new["may stall"], new["substream bits"], new["address bits"], new["coherent"]) == (True, 16, 48, True)
    assert "may stall" not in old
    bare = changed(whole, node, node_flags=0, memory_address_limit=0, cache_coherency=0)
    assert built(bare).devices["acpi:\\_SB.ACC0"].properties == ()


def test_reserved_ranges_name_their_streams() -> None:
    """An RMR's ranges stand with the SMMU and IDs; single mappings are one ID, ranges their count."""
    whole = table("iort-e")
    node = nodes(whole, Rmr)[0]
    mapping = replace(node.mappings[0], flags=0, id_count=3, output_base=0x40)
    dead = replace(mapping, output_reference=1)
    found = built(changed(whole, node, mappings=(mapping, dead), flags=0x80 << 2 | 3))
    region = found.reserved[0]
    assert [(one.iommu, one.base, one.length) for one in region.streams] == [("smmuv3@2b400000", 0x40, 4)]
    assert dict(region.properties) == {"attributes": "0x80", "remap permitted": True, "privileged": True}
    assert rules(found) == ["IORT-REFERENCE"]


def test_an_empty_reserved_range_and_an_old_revision_are_named() -> None:
    """A range of length 0 is left out; a node revision that Linux does not read is worth a note."""
    whole = table("iort-e")
    node = nodes(whole, Rmr)[0]
    empty = replace(node.descriptors[0], length=0)
    found = built(changed(whole, node, revision=1, descriptors=(empty, *node.descriptors[1:])))
    assert rules(found) == ["IORT-RMR-REVISION", "IORT-RMR-RANGE"]
    assert len(found.reserved) == len(node.descriptors) - 1


def test_interrupt_sources_are_devices_with_interrupts_only() -> None:
    """PMCG and IWB nodes have a way to their ITS and no IOMMU."""
    whole = table("iort-smmuv3")
    wired, message = nodes(whole, Pmcg)
    found = built(changed(whole, wired, node_reference=3))
    assert dict(found.devices["pmcg@40040000"].properties)["monitors"] == "nothing"
    assert found.maps_from(f"pmcg@{message.page0_base:x}")[0].carries == "msi"
    bridge = nodes(table("iort-iwb"), Iwb)[0]
    again = built(changed(table("iort-iwb"), bridge))
    assert dict(again.devices[f"iwb:{bridge.iwb_index}"].properties) == {"path": bridge.name}
    whole = table("iort-iwb")
    nameless = built(changed(whole, nodes(whole, Iwb)[0], name=""))
    assert nameless.devices[f"iwb:{bridge.iwb_index}"].properties == ()


def test_what_is_said_of_a_root_complex() -> None:
    """ATS, PRI and PASID, coherency and address size are told where the node says them."""
    whole = table("iort-e")
    root = nodes(whole, RootComplex)[0]
    found = dict(built(whole).roots["pci:0000"].properties)
    assert found["ATS Supported"] is True
    assert found["PASID supported"] is True
    assert found["address bits"] == 64
    bare = changed(whole, root, ats_attribute=0, cache_coherency=0, memory_address_limit=0, flags=0)
    assert built(bare).roots["pci:0000"].properties == ()
