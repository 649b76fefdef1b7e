"""The judges against each other, and against what was written by hand beside the handmade boards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from . import OracleMissing, dts, iasl, libfdt, linux_dmar, linux_iort, linux_ivrs, linux_of, linux_rimt, linux_viot

Answer = TypeVar("Answer")
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
HANDMADE = FIXTURES / "handmade"
NO_LISTING = {"dmar-length-long", "iort-node-zero"}
"""Damaged tables that iasl 20200925 gives no listing of."""


def available(ask: Callable[..., Answer], *arguments: object) -> Answer:
    """Return an oracle's answer, or skip the test when it is not installed."""
    try:
        return ask(*arguments)
    except OracleMissing as error:
        pytest.skip(str(error))


def expected(board: str) -> list[dict[str, Any]]:
    """Return the devices that were written down for a board."""
    document = json.loads((HANDMADE / board / "expected.json").read_text())
    devices: list[dict[str, Any]] = document["devices"]
    return devices


def boards(start: str) -> list[str]:
    """Return the boards whose names begin so."""
    return sorted(path.parent.name for path in HANDMADE.glob(f"{start}*/expected.json"))


def pci_parts(address: str) -> tuple[int, int]:
    """Return segment and requester ID of an address."""
    segment, bus, rest = address.split(":")
    device, function = rest.split(".")
    return int(segment, 16), int(bus, 16) << 8 | int(device, 16) << 3 | int(function)


def trees() -> list[Path]:
    """Return all blobs that are meant to be sound."""
    return sorted(path for path in FIXTURES.rglob("*.dtb") if "damaged" not in path.parts)


def test_committed_binaries_equal_a_fresh_build() -> None:
    """Each handmade binary is what its source compiles to."""
    available(iasl.listings, [], Path())
    ended = subprocess.run(
        [sys.executable, str(HANDMADE / "build"), "--check"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_line_of_every_listing_is_understood(tmp_path: Path) -> None:
    """No line of iasl is passed by, and each integer is the one in the table."""
    tables = [path for path in sorted(FIXTURES.rglob("*.bin")) if path.stem in ("DMAR", "IORT", "IVRS", "MCFG")]
    for path, listing in available(iasl.listings, tables, tmp_path).items():
        data = path.read_bytes()
        assert listing.unread == [], path
        assert bool(listing.fields) is (path.parent.name not in NO_LISTING), path
        for field in listing.fields:
            if isinstance(field.value, int) and not field.bits:
                found = int.from_bytes(data[field.offset : field.offset + field.length], "little")
                assert found == field.value, (path, field)


@pytest.mark.parametrize("path", trees(), ids=lambda path: path.parent.name)
def test_three_readers_see_one_tree(path: Path) -> None:
    """dtc, libfdt and the small reader agree on every property, and so on every IOMMU reference."""
    blob = path.read_bytes()
    tree = available(dts.read_tree, path)
    by_dtc = {node["path"]: node["properties"] for node in dts.every_node(tree)}
    assert by_dtc == {node.path: node.properties for node in linux_of.nodes(linux_of.read_fdt(blob))}
    assert by_dtc == available(libfdt.properties, blob)
    assert dts.iommu_views(tree) == libfdt.iommu_views(blob)


@pytest.mark.parametrize("board", [board for board in boards("dmar") if (HANDMADE / board / "pci.json").exists()])
def test_linux_finds_the_expected_unit(board: str) -> None:
    """Linux's scope matching gives each PCI function the unit written down for it."""
    table = (HANDMADE / board / "DMAR.bin").read_bytes()
    pci = json.loads((HANDMADE / board / "pci.json").read_text())
    for one in expected(board):
        if one["device"][0].isdigit():
            base = linux_dmar.unit_for(table, pci, one["device"])
            assert f"vtd@{base:x}" == one["iommu"], one


@pytest.mark.parametrize("board", boards("iort"))
def test_linux_maps_to_the_expected_stream(board: str) -> None:
    """Linux's mapping walk gives each device the stream and the DeviceID written down for it."""
    table = (HANDMADE / board / "IORT.bin").read_bytes()
    for one in expected(board):
        if one["device"] == "acpi:\\_SB.DMA0":
            numbers = [*range(8), *range(0x10, 0x14)]
            found = [linux_iort.map_named_id(table, "\\_SB.DMA0", number) for number in numbers]
            assert linux_iort.map_named(table, "\\_SB.DMA0") == []
            assert [mapped.stream_id for mapped in found] == one["ids"]
            continue
        if one["device"].startswith("acpi:"):
            found = linux_iort.map_named(table, one["device"][5:])
        else:
            found = [linux_iort.map_rid(table, *pci_parts(one["device"]))]
        assert [mapped.stream_id for mapped in found if mapped.stream_id is not None] == one["ids"], one
        for mapped in found:
            base = None if one["iommu"] is None else int(one["iommu"].partition("@")[2], 16)
            assert mapped.smmu_base == base, one
            msi = one["msi"]
            assert mapped.device_id == (msi and msi["device_id"]), one
            controller = "its:" + ",".join(str(number) for number in mapped.its_ids or ())
            assert controller == (msi["controller"] if msi else "its:"), one


@pytest.mark.parametrize("board", boards("ivrs"))
def test_linux_looks_up_the_expected_amd_iommu(board: str) -> None:
    """Linux's tables give each device the unit and the device ID written down for it."""
    found = linux_ivrs.Reading((HANDMADE / board / "IVRS.bin").read_bytes())
    document = json.loads((HANDMADE / board / "expected.json").read_text())
    for one in document["devices"]:
        base = one["iommu"] and int(one["iommu"].partition("@")[2], 16)
        kind, _, number = one["device"].partition(":")
        if kind in ("ioapic", "hpet"):
            place = found.special[1 if kind == "ioapic" else 2, int(number)]
        elif kind == "acpi":
            place = next(
                place
                for (hid, uid), place in found.acpi.items()
                if number in (uid, f"{hid}:{uid}", hid) or (hid.startswith("A\xd0") and number == "PNP0D40")
            )
        else:
            place = pci_parts(one["device"])
        unit, devid = found.lookup(*place)
        assert (unit, [devid] if unit else []) == (base, one["ids"]), one
    for one in document["reserved"]:
        for device in one["devices"]:
            start, length = int(one["start"], 16), int(one["length"], 16)
            assert (start, start + length) in [region[:2] for region in found.memory(*pci_parts(device))], one


def test_linux_computes_the_expected_endpoint() -> None:
    """Linux's lists give each device of a VIOT the virtio-iommu and the endpoint ID written down for it."""
    found = linux_viot.Reading((HANDMADE / "viot-segments" / "VIOT.bin").read_bytes())
    for one in expected("viot-segments"):
        if one["device"].startswith("mem:"):
            endpoint = found.platform(int(one["device"][4:], 16))
        else:
            endpoint = found.function(*pci_parts(one["device"]))
        assert ([endpoint.endpoint] if endpoint else []) == one["ids"], one
        if endpoint is not None:
            name = "0000:00:02.0" if endpoint.function else f"{endpoint.base:x}"
            assert one["iommu"] == f"virtio-iommu@{name}"


def test_linux_maps_to_the_expected_device_id() -> None:
    """With the count of the specification, Linux's walk gives each device of a RIMT the ID written down for it."""
    found = linux_rimt.Reading((HANDMADE / "rimt-mappings" / "RIMT.bin").read_bytes(), exact=True)
    units = {0x30: "riscv-iommu@3010000", 0x68: "riscv-iommu@0001:00:01.0"}
    for one in expected("rimt-mappings"):
        if one["device"].startswith("acpi:"):
            mapped = [to for to in found.platform(one["device"][5:]) if units[to.node] == one["iommu"]]
            assert [to.device_id for to in mapped] == one["ids"][:1], one
            continue
        to = found.function(*pci_parts(one["device"]))
        assert ([to.device_id] if to else []) == one["ids"], one
        assert (units[to.node] if to else None) == one["iommu"], one


@pytest.mark.parametrize(
    ("board", "hosts"),
    [
        ("dt-masks", {0: "/pcie@30000000", 1: "/pcie@40000000", 2: "/pcie@50000000", 3: "/pcie@60000000"}),
        ("dt-cells", {0: "/pcie@30000000", 1: "/pcie@40000000", 2: "/pcie@50000000"}),
    ],
)
def test_linux_translates_to_the_expected_id(board: str, hosts: dict[int, str]) -> None:
    """Linux's map translation gives each PCI function the specifier written down for it."""
    blob = (HANDMADE / board / "board.dtb").read_bytes()
    for one in expected(board):
        segment, rid = pci_parts(one["device"])
        found = linux_of.map_id(blob, hosts[segment], rid)
        cells = (*one["ids"], *one.get("masks", ()))
        assert (found.cells if found else ()) == cells, one
        assert (found and found.path.partition("@")[2]) == (one["iommu"] and one["iommu"].partition("@")[2]), one


def test_two_units_of_one_function() -> None:
    """Of two units that name one function, Linux takes the later one: it adds units at the front of its list."""

    def drhd(base: int) -> bytes:
        scope = bytes([1, 8, 0, 0, 0, 0, 2, 0])
        return b"\0\0\x18\0\0\0\0\0" + base.to_bytes(8, "little") + scope

    body = b"\x26\0" + bytes(10) + drhd(0xFED90000) + drhd(0xFED91000)
    table = b"DMAR" + (36 + len(body)).to_bytes(4, "little") + bytes(28) + body
    pci = {"functions": [{"address": "0000:00:02.0", "header_type": 0, "class": "0x030000"}]}
    assert linux_dmar.unit_for(table, pci, "0000:00:02.0") == 0xFED91000
