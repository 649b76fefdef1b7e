"""What a RIMT adds to a topology: each rule by a table that was changed in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.acpi.rimt import PcieRootComplex, PlatformDevice, Rimt
from iommuman.parsers.sources import Inputs
from iommuman.topology import Interrupt, Topology, assemble, load_topology, route_root_rid, routes

from tests.conftest import HANDMADE
from tests.oracles import linux_rimt
from tests.parsers.acpi.test_rimt import body, node
from tests.parsers.acpi.test_sdt import sealed

PLATFORM, PCIE = "riscv-iommu@3010000", "riscv-iommu@0001:00:01.0"


def table() -> Table:
    """Return the table of the handmade board."""
    return parse_table((HANDMADE / "rimt-mappings" / "RIMT.bin").read_bytes(), "RIMT.bin")


def changed(index: int, **values: Any) -> Table:
    """Return the table with values of its `index`-th node replaced."""
    whole = table()
    assert isinstance(whole.body, Rimt)
    nodes = list(whole.body.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(whole, body=replace(whole.body, nodes=tuple(nodes)))


def mapped(index: int, place: int = 0, **values: Any) -> Table:
    """Return the table with values of one mapping of its `index`-th node replaced."""
    whole = table()
    assert isinstance(whole.body, Rimt)
    owner = whole.body.nodes[index]
    assert isinstance(owner, PcieRootComplex | PlatformDevice)
    mappings = list(owner.mappings)
    mappings[place] = replace(mappings[place], **values)
    return changed(index, mappings=tuple(mappings))


def built(whole: Table) -> Topology:
    """Return the topology of a table."""
    return assemble(Inputs(tables=[whole]))


def by_rule(topology: Topology) -> dict[str, str]:
    """Return the findings as their sentences, by rule."""
    return {finding.rule: str(finding) for finding in topology.findings}


def test_units_are_described() -> None:
    """Base, window, wires, segment, proximity domain and hardware ID are those of the nodes."""
    units = built(table()).iommus
    first, second = units[PLATFORM], units[PCIE]
    assert (first.kind, first.base, first.size, first.segment) == ("riscv-iommu", 0x3010000, 0x1000, None)
    assert first.interrupts == (Interrupt("wire 0", 36, "level"), Interrupt("wire 1", 37, "edge"))
    assert first.properties == (("hardware ID", "RSCV0004"),)
    assert (second.base, second.size, second.segment, second.interrupts) == (None, None, 1, ())
    assert second.properties == (
        ("hardware ID", "00101014"),
        ("proximity domain", 1),
        ("own interrupts", "by message"),
    )


@pytest.mark.parametrize("hardware", [bytes(8), b"\x36\x1b\x14\0\0\0\0\0", b"\xe4\0\0\0\0\0\0\0"])
def test_a_hardware_id_that_is_no_text_is_not_told(hardware: bytes) -> None:
    """Zeros and numbers are no name of a unit."""
    assert built(changed(0, hardware_id=hardware)).iommus[PLATFORM].properties == ()


def test_what_roots_and_mappings_ask_for_is_told() -> None:
    """ATS and PRI that a root supports, and that a mapping requires, are properties of the root or device."""
    found = built(changed(2, flags=3))
    assert found.roots["pci:0000"].properties == (("ATS Supported", True), ("PRI Supported", True))
    assert found.roots["pci:0001"].properties == (("ATS required", "by IDs 0x100-0x10f"),)
    whole = mapped(5, 0, flags=2)
    assert built(whole).devices["acpi:\\_SB.GPU0"].properties == (("PRI required", "by IDs 0x0-0x3"),)


def test_where_linux_and_qemu_count_otherwise_is_said() -> None:
    """Notes say that Linux takes one ID more, and that QEMU writes one less than it means."""
    found = built(table())
    assert [(one.rule, one.severity) for one in found.findings] == [
        ("RIMT-COUNT-LINUX", "note"),
        ("RIMT-COUNT-QEMU", "note"),
        ("RIMT-COUNT-SELF", "warning"),
        ("RIMT-COUNT-OVERLAP", "warning"),
    ]
    assert by_rule(found) == {
        "RIMT-COUNT-LINUX": (
            "RIMT.bin: RIMT+0xa4 (20 bytes): Linux takes one ID more than a mapping counts: Number of IDs is 65535 "
            "(RIMT specification 1.0, ID mapping structure); by this mapping Linux also sends ID 0xffff to the IOMMU, "
            "and so on for the others"
        ),
        "RIMT-COUNT-QEMU": (
            "RIMT.bin: RIMT+0xa4 (20 bytes): a mapping of all requester IDs but the last, as QEMU writes it: Number of "
            "IDs is 0xffff, expected 0x10000 for all of them (RIMT specification 1.0, ID mapping structure); requester "
            "ID 0xffff (ff:1f.7) has no IOMMU by this mapping; Linux gives it one all the same"
        ),
        "RIMT-COUNT-SELF": (
            "RIMT.bin: RIMT+0xcc (20 bytes): Linux takes the IOMMU itself into this mapping to it: Number of IDs is 8 "
            "(RIMT specification 1.0, ID mapping structure); the mapping ends before the unit's own ID, 0x0008; Linux "
            "counts one ID more, and waits for the unit before it starts it"
        ),
        "RIMT-COUNT-OVERLAP": (
            "RIMT.bin: RIMT+0xf4 (20 bytes): Linux takes the first ID of this mapping by the mapping that ends before "
            "it: Source ID Base is 0x100 (RIMT specification 1.0, ID mapping structure); Linux sends it as device ID "
            "0x100 in place of 0x2000; put the mapping that begins with it first"
        ),
    }


def test_a_neighbour_that_goes_on_alike_is_no_trouble() -> None:
    """A mapping that goes on where the one before it ends, in IDs and device IDs, is read alike by Linux."""
    assert "RIMT-COUNT-OVERLAP" not in by_rule(built(mapped(3, 2, destination_base=0x100)))


def test_all_requester_ids_are_no_cause_for_a_note() -> None:
    """After a mapping of 10000h IDs there is no ID that Linux could take besides."""
    whole = mapped(2, 0, id_count=0x10000)
    assert isinstance(whole.body, Rimt)
    alone = replace(whole, body=replace(whole.body, nodes=whole.body.nodes[:3]))
    assert built(alone).findings == ()


@pytest.mark.parametrize(("reference", "end"), [(0, " (Linux: 'ID map has NULL parent reference')"), (0x90, "")])
def test_a_mapping_that_leads_to_no_unit_is_named(reference: int, end: str) -> None:
    """An offset that is no IOMMU node is an error, and its IDs have no IOMMU."""
    found = built(mapped(4, 0, destination_offset=reference))
    assert by_rule(found)["RIMT-REFERENCE"] == (
        "RIMT.bin: RIMT+0x120 (20 bytes): a mapping does not lead to an IOMMU: Destination IOMMU Offset is "
        f"0x{reference:x}, expected the offset of an IOMMU node (RIMT specification 1.0, ID mapping structure); IDs of "
        f"this mapping have no IOMMU here{end}"
    )
    (route,) = routes(found, found.devices["acpi:\\_SB.DMA0"])
    assert (route.verdict, route.reason) == ("no-iommu", "the map leads to no unit")


def test_a_mapping_of_no_ids_is_left_out() -> None:
    """A count of 0 is an error, and gives no map."""
    found = built(mapped(4, 0, id_count=0))
    assert "RIMT-COUNT-ZERO" in by_rule(found)
    assert [route.verdict for route in routes(found, found.devices["acpi:\\_SB.DMA0"])] == ["no-iommu"]
    assert "RIMT-COUNT-OVERLAP" not in by_rule(built(mapped(3, 2, id_count=0)))


def test_a_unit_in_a_mapping_to_itself_is_named() -> None:
    """A mapping that holds the IOMMU that it leads to is a warning, and the unit has no IOMMU all the same."""
    found = built(mapped(3, 0, id_count=9))
    assert "RIMT-SELF" in by_rule(found)
    root = found.roots["pci:0001"]
    assert route_root_rid(found, root, 8).reason == "it is an IOMMU itself, which does not translate its own accesses"
    assert route_root_rid(found, root, 7).iommu == PCIE
    assert "RIMT-COUNT-SELF" not in by_rule(found)
    assert {"RIMT-SELF", "RIMT-COUNT-SELF"}.isdisjoint(by_rule(built(mapped(3, 0, id_count=7))))
    assert "RIMT-SELF" not in by_rule(built(changed(3, segment=2)))


def test_a_second_root_complex_of_a_segment_is_named() -> None:
    """Two root complexes of one segment both count; Linux looks at the first only, which a warning says."""
    found = built(changed(3, segment=0))
    assert list(found.roots) == ["pci:0000", "pci:0000#2"]
    assert by_rule(found)["RIMT-SEGMENT-TWICE"].endswith("(Linux looks at the first root complex of a segment only)")


def test_a_sound_board_loads_by_its_folder() -> None:
    """The folder of the handmade board is a source like any other."""
    assert list(load_topology([str(HANDMADE / "rimt-mappings")]).iommus) == [PLATFORM, PCIE]


numbers = st.integers(0, 0x20) | st.integers(0xFFF0, 0xFFFF)


@given(
    st.lists(st.tuples(numbers, st.integers(1, 0x20), numbers, st.sampled_from((0x30, 0x58))), min_size=1, max_size=5)
)
def test_any_mappings_are_read_as_linux_reads_them_but_for_its_count(parts: list[tuple[int, int, int, int]]) -> None:
    """With the count of the specification, unit and device ID of every ID at the ends of any mappings are Linux's."""
    array = b"".join(b"".join(number.to_bytes(4, "little") for number in (*part, 0)) for part in parts)
    root = node(1, bytes(8) + bytes([20, 0, len(parts), 0]) + array)
    units = [node(0, bytes(8) + base.to_bytes(8, "little") + bytes(16)) for base in (0x1000, 0x2000)]
    data = sealed(b"RIMT", body(*units, root))
    theirs = linux_rimt.Reading(data, exact=True)
    found = built(parse_table(data))
    for rid in (*range(0x45), *range(0xFFEF, 0x10000)):
        wanted = theirs.function(0, rid)
        route = route_root_rid(found, found.roots["pci:0000"], rid)
        ours = (found.iommus[route.iommu].origin.offset, route.stream) if route.iommu else None
        assert ours == wanted, hex(rid)
