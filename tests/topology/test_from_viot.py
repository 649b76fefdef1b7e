"""What a VIOT adds to a topology: each rule by a table that was changed in one place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.acpi.viot import Viot
from iommuman.parsers.pci import PciTopology
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology, assemble, load_topology, route_rid, routes
from iommuman.topology.senders import senders

from tests.conftest import BOARDS, HANDMADE
from tests.oracles import linux_viot
from tests.parsers.acpi.test_sdt import sealed

PCI_UNIT, MMIO_UNIT = "virtio-iommu@0000:00:02.0", "virtio-iommu@a003e00"


def table() -> Table:
    """Return the table of the handmade board."""
    return parse_table((HANDMADE / "viot-segments" / "VIOT.bin").read_bytes(), "VIOT.bin")


def changed(index: int, **values: Any) -> Table:
    """Return the table with values of its `index`-th node replaced."""
    whole = table()
    assert isinstance(whole.body, Viot)
    nodes = list(whole.body.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(whole, body=replace(whole.body, nodes=tuple(nodes)))


def built(whole: Table, pci: PciTopology | None = None) -> Topology:
    """Return the topology of a table, with a PCI topology if one is given."""
    return assemble(Inputs(tables=[whole], pci=[pci] if pci else []))


def told(topology: Topology) -> list[str]:
    """Return the findings as their sentences."""
    return [str(finding) for finding in topology.findings]


def test_a_sound_table_has_no_findings() -> None:
    """The handmade board gives no finding at all, and two units."""
    found = load_topology([str(HANDMADE / "viot-segments")])
    assert found.findings == ()
    units = [(unit.name, unit.kind, unit.base, unit.segment) for unit in found.iommus.values()]
    assert units == [(PCI_UNIT, "virtio-iommu", None, 0), (MMIO_UNIT, "virtio-iommu", 0xA003E00, None)]


@pytest.mark.parametrize(("index", "name"), [(2, "PCI range"), (5, "MMIO endpoint")])
@pytest.mark.parametrize("reference", [0, 0x31, 0x50])
def test_a_node_that_leads_to_no_unit_is_left_out(index: int, name: str, reference: int) -> None:
    """An output node that is none, or no virtio-iommu, is an error, and the node gives no map."""
    found = built(changed(index, output_node=reference))
    (sentence,) = told(found)
    assert f"a {name} does not lead to a virtio-iommu: Output node is 0x{reference:x}, expected the offset" in sentence
    assert sentence.endswith("it is left out (Linux: 'No IOMMU node found')")
    assert route_rid(found, 0, 0x18).iommu == (None if index == 2 else PCI_UNIT)
    assert ("mem:a000000" in found.devices) == (index == 2)


@pytest.mark.parametrize(
    ("values", "field"), [({"segment_start": 2}, "PCI Segment end"), ({"bdf_start": 0x200}, "PCI BDF end")]
)
def test_a_range_that_ends_before_it_begins_holds_nothing(values: dict[str, int], field: str) -> None:
    """A range whose segments or functions are the wrong way round is an error and gives no map."""
    found = built(changed(2, **values))
    (sentence,) = told(found)
    assert f"a PCI range ends before it begins: {field} is " in sentence
    assert route_rid(found, 0, 0x18).iommu is None


def test_one_segment_and_one_function_are_ranges() -> None:
    """A range that begins where it ends holds one function of one segment."""
    found = built(changed(2, segment_end=0, bdf_start=0x18, bdf_end=0x18))
    assert found.findings == ()
    assert [rid for rid in range(0x100) if route_rid(found, 0, rid).iommu] == [0x18]
    assert route_rid(found, 0, 0x18).stream == 0x100


def test_ranges_over_more_segments_than_there_can_be_are_cut() -> None:
    """Of a range over all segments the first 257 have maps, and a warning says which have none; no range has none."""
    found = built(changed(4, segment_start=2, segment_end=0xFFFF))
    assert {one.segment for one in found.roots.values()} == {0, *range(2, 259)}
    assert told(found) == [
        f"VIOT.bin: VIOT+0x{place:x} (24 bytes): the ranges are for more segments than a machine has: found more than "
        f"256 (ACPI 6.6 §5.2.33); what is said of segment {segment:04x} and of those after it is left out"
        for place, segment in ((0x80, 0x103), (0x50, 1))
    ]


def test_of_two_nodes_for_one_endpoint_the_later_counts() -> None:
    """Linux puts each node at the front of its list, so the last of two has the device."""
    found = built(changed(6, base_address=0xA000000))
    (route,) = routes(found, found.devices["mem:a000000"])
    assert (route.iommu, route.stream) == (MMIO_UNIT, 0x30001)
    assert told(found) == [
        (
            "VIOT.bin: VIOT+0x98 (24 bytes): a later node names the endpoint at 0xa000000 too (ACPI 6.6 §5.2.33); the "
            "later one counts, as in Linux"
        )
    ]


def test_a_unit_that_is_not_there_is_named() -> None:
    """With a PCI topology that lacks the function that the unit is, a warning says what Linux does then."""
    pci = load_topology([str(BOARDS / "q35-virtio-iommu")]).pci[0]
    assert built(table(), pci).findings == ()
    assert told(built(changed(0, bdf=0x11), pci)) == [
        (
            "VIOT.bin: VIOT+0x30 (16 bytes): the virtio-iommu is to be 0000:00:02.1, which is not there "
            "(ACPI 6.6 §5.2.33); give the function that it is (Linux: 'Could not find PCI IOMMU', and has none for its "
            "endpoints)"
        )
    ]


def test_the_unit_is_not_behind_itself_but_may_be_behind_another() -> None:
    """A virtio-iommu in a range of its own has no IOMMU; in a range of the other it has that one."""
    assert route_rid(built(table()), 0, 0x10).iommu is None
    assert route_rid(built(changed(3, bdf_start=0x10)), 0, 0x10).iommu == MMIO_UNIT


def test_endpoint_ids_wrap_as_those_of_linux() -> None:
    """An endpoint ID is a number of 32 bits: the second segment of a range that begins near its end starts over."""
    found = built(changed(2, endpoint_start=0xFFFF0000))
    assert route_rid(found, 0, 5).stream == 0xFFFF0005
    assert route_rid(found, 1, 5).stream == 5


def test_senders_of_an_endpoint_are_found() -> None:
    """Who has an endpoint ID is answered with the function of the segment, or with the platform device."""
    found = built(table())
    assert [one.name for one in senders(found, PCI_UNIT, 0x10110)] == ["0001:00:02.0"]
    assert [one.name for one in senders(found, PCI_UNIT, 0x30000)] == ["mem:a000000"]


def test_what_the_iort_sends_to_an_its_alone_is_left_to_the_viot() -> None:
    """On the captured board the IORT knows the ITS, the VIOT the IOMMU: functions have both."""
    found = load_topology([str(BOARDS / "virt-virtio-iommu-acpi")])
    (route,) = routes(found, found.devices["0000:00:03.0"])
    assert (route.iommu, route.stream) == (PCI_UNIT, 0x18)
    assert [(hop.target, hop.target_id) for hop in route.msi_hops] == [("its:0", 0x18)]


ids = st.integers(0, 0x20) | st.integers(0xFFF0, 0xFFFF)
ranges = st.tuples(st.integers(0, 0xFFFF), st.integers(0, 3), st.integers(0, 3), ids, ids, st.booleans())


@given(st.lists(ranges, max_size=5))
def test_any_ranges_are_read_as_linux_reads_them(parts: list[tuple[int, int, int, int, int, bool]]) -> None:
    """Unit and endpoint ID of every function at the ends of any ranges are those of Linux."""
    nodes = [b"\3\0\x10\0\0\0\5\0" + bytes(8), b"\4\0\x10\0" + bytes(4) + b"\0\0\0\x0a" + bytes(4)]
    for endpoint, first, last, low, high, mmio in parts:
        ends = (first, max(first, last), low, max(low, high), 0x40 if mmio else 0x30)
        numbers = endpoint.to_bytes(4, "little") + b"".join(number.to_bytes(2, "little") for number in ends)
        nodes.append(b"\1\0\x18\0" + numbers + bytes(6))
    data = sealed(b"VIOT", len(nodes).to_bytes(2, "little") + b"\x30\0" + bytes(8) + b"".join(nodes))
    theirs = linux_viot.Reading(data)
    found = built(parse_table(data))
    for segment in range(4):
        for rid in (*range(0x22), *range(0xFFEF, 0x10000)):
            wanted = theirs.function(segment, rid)
            route = route_rid(found, segment, rid)
            assert (route.stream if route.iommu else None) == (wanted.endpoint if wanted else None), (segment, rid)
            if wanted and route.iommu:
                assert found.iommus[route.iommu].base == wanted.base
