"""Our resolution against independent readings: Linux's algorithms worked out anew, dtc's and libfdt's trees.

Over the fixtures, and over the corpus where it is present beside the checkout.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from iommuman.base import parse_pci_address
from iommuman.parsers.acpi import parse_table
from iommuman.parsers.devicetree import read_devicetree
from iommuman.parsers.sources import Inputs
from iommuman.topology import IdMap, Route, Topology, assemble, load_topology, route_rid, route_root_rid, routes
from iommuman.topology.query import ask

from tests.conftest import FIXTURES, HANDMADE, corpus_files, missing
from tests.oracles import (
    OracleMissing,
    dts,
    libfdt,
    linux_dmar,
    linux_iort,
    linux_ivrs,
    linux_of,
    linux_rimt,
    linux_viot,
)

READ_ALIKE = {"ACPI-CHECKSUM", "ACPI-TRAILING", "IORT-REFERENCE-TYPE", "IORT-TRAILING"}
"""Findings that do not keep Linux and us from reading a table alike."""


def iort_files() -> list[Path]:
    """Return all IORTs that are sound enough to be read in one way only."""
    paths = [*sorted(FIXTURES.rglob("IORT.bin")), *corpus_files("IORT")]
    return [path for path in paths if all(one.rule in READ_ALIKE for one in parse_table(path.read_bytes()).findings)]


def edges(topology: Topology, root: str) -> list[int]:
    """Return the requester IDs at and beside the ends of a root's maps, and some others."""
    found = {0, 0xFFFF, *(random.Random(1).randrange(0x10000) for _ in range(50))}
    for one in topology.maps_from(root):
        ends = (one.base, one.base + one.length)
        found |= {number + step for number in ends for step in (-1, 0, 1)}
    return sorted(rid for rid in found if 0 <= rid <= 0xFFFF)


def base_and_stream(topology: Topology, route: Route) -> tuple[int | None, int | None]:
    """Return the address of the unit that a route reaches, and the stream ID there."""
    if route.verdict != "controlled" or route.iommu is None:
        return None, None
    return topology.iommus[route.iommu].base, route.stream


@pytest.mark.parametrize("path", iort_files(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_requester_ids_map_as_linux_maps_them(path: Path) -> None:
    """Stream ID, SMMU, ITS and device ID of a requester ID are those that Linux's walk over the raw bytes gives."""
    data = path.read_bytes()
    topology = assemble(Inputs(tables=[parse_table(data, path.name)]))
    first = {root.segment: root for root in reversed(topology.roots.values())}  # Linux sees the first of a segment
    for segment, root in first.items():
        assert segment is not None
        for rid in edges(topology, root.name):
            theirs = linux_iort.map_rid(data, segment, rid)
            ours = route_root_rid(topology, root, rid)
            assert base_and_stream(topology, ours) == (theirs.smmu_base, theirs.stream_id), (segment, hex(rid))
            its = ours.msi_hops[-1] if ours.msi_hops else None
            assert (its.target_id if its else None) == theirs.device_id, (segment, hex(rid))


@pytest.mark.parametrize("path", iort_files(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_named_components_have_the_streams_that_linux_gives_them(path: Path) -> None:
    """The stream IDs of a component's single mappings are those that Linux assigns, until one leads to none."""
    data = path.read_bytes()
    topology = assemble(Inputs(tables=[parse_table(data, path.name)]))
    for device in topology.devices.values():
        if device.kind == "acpi":
            theirs = [
                (one.smmu_base, one.stream_id)
                for one in linux_iort.map_named(data, device.name.removeprefix("acpi:"))
                if one.smmu_base is not None
            ]
            ours = [base_and_stream(topology, route) for route in routes(topology, device) if route.count == 1]
            assert ours[: len(theirs)] == theirs, device.name


NO_REGISTERS = FIXTURES / "handmade" / "damaged" / "dmar-base-zero"


def dmar_boards() -> list[Path]:
    """Return the folders that have a DMAR and a PCI topology; the one where Linux gives up has a test of its own."""
    found = sorted(path.parent for path in FIXTURES.rglob("pci.json") if (path.parent / "DMAR.bin").exists())
    return [folder for folder in found if folder != NO_REGISTERS]


@pytest.mark.parametrize("folder", dmar_boards(), ids=lambda path: path.name)
def test_functions_have_the_unit_that_linux_takes(folder: Path) -> None:
    """The unit of every PCI function is the one that Linux's search over the raw bytes ends with."""
    topology = load_topology([str(folder)])
    data, pci = (folder / "DMAR.bin").read_bytes(), json.loads((folder / "pci.json").read_text())
    for entry in pci["functions"]:
        device = topology.devices[entry["address"]]
        own = routes(topology, device)[0]
        assert base_and_stream(topology, own)[0] == linux_dmar.unit_for(data, pci, device.name), device.name


def test_linux_uses_no_unit_where_one_has_no_registers() -> None:
    """Where Linux gives up on the whole table, we use its other units, and say that Linux does not."""
    data, pci = (NO_REGISTERS / "DMAR.bin").read_bytes(), json.loads((NO_REGISTERS / "pci.json").read_text())
    board = load_topology([str(NO_REGISTERS)])
    assert linux_dmar.unit_for(data, pci, "0000:00:14.0") is None
    assert base_and_stream(board, routes(board, board.devices["0000:00:14.0"])[0])[0] == 0xFED91000
    assert "Linux uses no unit at all then" in str(board.findings[0])


def sound(name: str, *also: str) -> list[Path]:
    """Return the tables of a signature that are read without a finding that could set Linux and us apart."""
    paths = [*sorted(FIXTURES.rglob(f"{name}.bin")), *corpus_files(name)]
    known = {"ACPI-CHECKSUM", "ACPI-TRAILING", *also}
    return [path for path in paths if all(one.rule in known for one in parse_table(path.read_bytes()).findings)]


@pytest.mark.parametrize("path", sound("IVRS", "IVRS-BLOCK-TYPE"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_ids_have_the_amd_iommu_that_linux_looks_up(path: Path) -> None:
    """Unit, alias, settings and memory of requester IDs, and the IDs of other devices, are those that Linux has."""
    data = path.read_bytes()
    theirs = linux_ivrs.Reading(data)
    topology = assemble(Inputs(tables=[parse_table(data, path.name)]))
    for root in topology.roots.values():
        assert root.segment is not None
        for rid in edges(topology, root.name):
            own = route_root_rid(topology, root, rid)
            assert base_and_stream(topology, own) == theirs.lookup(root.segment, rid), (root.name, hex(rid))
            asked = ask(topology, f"{root.segment:04x}:{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}")
            wanted = {(one.start, one.end - one.start) for one in theirs.memory(root.segment, rid)}
            if own.iommu is not None:
                pages = {(one.start + 0xFFF & ~0xFFF, one.length + 0xFFF & ~0xFFF) for one in asked.reserved}
                assert pages >= wanted, (root.name, hex(rid))
    for device in topology.devices.values():
        if device.kind in ("ioapic", "hpet"):
            key = (1 if device.kind == "ioapic" else 2, int(device.name.partition(":")[2]))
            assert theirs.special[key][1] == routes(topology, device)[0].stream
        elif device.rid is not None:
            setting = theirs.setting(device.segment or 0, device.rid)
            said = dict(device.properties)
            assert said.get("SysMgt", 0) == setting >> 4 & 3, device.name
            assert said.get("NMIPass", False) == bool(setting & 4), device.name
    acpi = sorted(str(routes(topology, one)[0].stream) for one in topology.devices.values() if one.kind == "acpi")
    assert acpi == sorted(str(devid) for _, devid in theirs.acpi.values())


@pytest.mark.parametrize("path", sound("VIOT"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_endpoints_are_those_that_linux_computes(path: Path) -> None:
    """The virtio-iommu and endpoint ID of each requester ID and platform device are those of Linux's lists."""
    data = path.read_bytes()
    theirs = linux_viot.Reading(data)
    topology = assemble(Inputs(tables=[parse_table(data, path.name)]))
    names = {}
    for unit in topology.iommus.values():
        place = unit.name.partition("@")[2].partition("#")[0]
        address = parse_pci_address(place) if ":" in place else None
        names[unit.name] = (address, unit.base)
    for root in topology.roots.values():
        assert root.segment is not None
        for rid in edges(topology, root.name):
            route = route_root_rid(topology, root, rid)
            ours = None if route.iommu is None else (*names[route.iommu], route.stream)
            assert ours == theirs.function(root.segment, rid), (root.name, hex(rid))
    for device in topology.devices.values():
        if device.base is not None:
            (route,) = routes(topology, device)
            assert route.iommu is not None
            assert (*names[route.iommu], route.stream) == theirs.platform(device.base)


@pytest.mark.parametrize("path", sound("RIMT"), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_device_ids_are_those_that_linux_computes_but_for_its_count(path: Path) -> None:
    """With the count of the specification, Linux's walk over the raw bytes gives our unit and device ID everywhere."""
    data = path.read_bytes()
    theirs = linux_rimt.Reading(data, exact=True)
    topology = assemble(Inputs(tables=[parse_table(data, path.name)]))

    def where(route: Route) -> tuple[int | None, int | None] | None:
        return None if route.iommu is None else (topology.iommus[route.iommu].origin.offset, route.stream)

    for root in topology.roots.values():
        assert root.segment is not None
        for rid in edges(topology, root.name):
            assert where(route_root_rid(topology, root, rid)) == theirs.function(root.segment, rid), hex(rid)
    for device in topology.devices.values():
        ours = [where(route) for route in routes(topology, device)]
        assert ours == theirs.platform(device.name.removeprefix("acpi:")), device.name


def test_linux_takes_one_id_more_than_a_rimt_counts() -> None:
    """At the end of each mapping Linux has an ID that we do not: the IOMMU's own here, and a neighbour's first."""
    data = (HANDMADE / "rimt-mappings" / "RIMT.bin").read_bytes()
    exact, linux = linux_rimt.Reading(data, exact=True), linux_rimt.Reading(data)
    places = [(segment, rid) for segment in (0, 1) for rid in range(0x10000)]
    assert [place for place in places if linux.function(*place) != exact.function(*place)] == [
        (0, 0xFFFF),
        (1, 8),
        (1, 0x100),
        (1, 0x110),
    ]
    found = assemble(Inputs(tables=[parse_table(data, "RIMT.bin")])).findings
    assert [finding.rule for finding in found] == [
        "RIMT-COUNT-LINUX",
        "RIMT-COUNT-QEMU",
        "RIMT-COUNT-SELF",
        "RIMT-COUNT-OVERLAP",
    ]


def tree_files() -> list[Path]:
    """Return all device trees but those that were damaged on purpose."""
    found = sorted(path for path in FIXTURES.rglob("board.dtb") if HANDMADE / "damaged" not in path.parents)
    return found + corpus_files("DTB")


def map_text(topology: Topology, one: IdMap) -> tuple[Any, ...]:
    """Return a map in the form of the judges: base, path of the target, cells, length."""
    path = None
    if one.target in topology.iommus:
        path = dict(topology.iommus[one.target].properties).get("node")
    elif one.target is not None:
        path = one.target.removeprefix("dt:").partition("#")[0]
    return (one.base, path, tuple(one.cells), one.length)


def ours_of_tree(topology: Topology) -> dict[tuple[str, str], list[tuple[Any, ...]]]:
    """Return what our maps say by node path and property, in the form of the judges."""
    found: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for one in topology.maps:
        path = one.source.removeprefix("dt:").partition("#")[0]
        text = map_text(topology, one)
        if one.rule == "iommus":
            text = (text[1], text[2])
        found.setdefault((path, one.rule), []).append(text)
    return found


def judged(views: dict[str, dts.View]) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield path, property and entries of what a judge decoded whole."""
    for path, view in views.items():
        for name in ("iommus", "iommu-map", "msi-map"):
            entries = [tuple(entry) for entry in view.get(name, ())]
            if entries and not any(entry[0] == "undecoded" for entry in entries):
                yield path, name, entries


def holds_tree_to(views: dict[str, dts.View], path: Path) -> int:
    """Assert that our maps of a tree equal a judge's; return how many properties were compared."""
    tree = read_devicetree(path.read_bytes(), path.name)
    topology = assemble(Inputs(trees=[tree]))
    ours = ours_of_tree(topology)
    compared = 0
    for node, name, wanted in judged(views):
        if any(entry[-2 if name != "iommus" else 0] is None for entry in wanted):
            continue  # a phandle of no node: what follows it cannot be cut into entries
        if ours.get((node, name), []) == wanted:
            compared += 1
            continue
        # entries of several cells and several IDs are refused, and nodes that are no PCI bus have no root
        assert name != "iommus", (node, name, wanted, ours.get((node, name)))
        assert [one[0] for one in ours.get((node, name), [])] in ([], [entry[0] for entry in wanted]), (node, name)
    return compared


def test_trees_say_what_dtc_reads(need_tool: Callable[[str, str], str]) -> None:
    """`iommus`, `iommu-map` and `msi-map` of every tree equal an independent decoding of dtc's source text."""
    need_tool("dtc", "device-tree-compiler")
    compared = sum(holds_tree_to(dts.iommu_views(dts.read_tree(path)), path) for path in tree_files())
    assert compared > 25


def test_trees_say_what_libfdt_reads() -> None:
    """The same against libfdt's reading of the blob."""
    try:
        compared = sum(holds_tree_to(libfdt.iommu_views(path.read_bytes()), path) for path in tree_files())
    except OracleMissing as error:
        missing(str(error))
    else:
        assert compared > 25


@pytest.mark.parametrize("path", tree_files(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_tree_maps_send_ids_where_linux_sends_them(path: Path) -> None:
    """Wherever Linux's walk over `iommu-map` ends at a target, ours ends there with the same ID."""
    data = path.read_bytes()
    topology = assemble(Inputs(trees=[read_devicetree(data, path.name)]))
    for root in topology.roots.values():
        host = root.name.removeprefix("dt:").partition("#")[0]
        for rid in edges(topology, root.name)[:60]:
            try:
                theirs = linux_of.map_id(data, host, rid)
            except linux_of.MapError:
                continue
            if theirs is None:
                continue
            ours = route_root_rid(topology, root, rid)
            assert ours.iommu is not None, (host, hex(rid))
            assert dict(topology.iommus[ours.iommu].properties)["node"] == theirs.path
            assert theirs.cells == () or theirs.cells[0] == ours.stream, (host, hex(rid))


def test_a_segment_is_answered_alike_by_address_and_by_root() -> None:
    """For a root with a segment, asking by address and asking at the root give the same route."""
    topology = load_topology([str(FIXTURES / "boards" / "virt-bypass-acpi")])
    root = topology.roots["pci:0000"]
    for rid in edges(topology, root.name):
        assert route_rid(topology, 0, rid) == route_root_rid(topology, root, rid)
