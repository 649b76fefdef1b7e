"""The captured boards: our IOMMU and ID of every device against what Linux, booted there, said and logged."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from iommuman.topology import Device, Route, Topology, load_topology, routes

from tests.conftest import BOARDS

NAMES = sorted(path.name for path in BOARDS.iterdir())


@cache
def board(name: str) -> Topology:
    """Return the topology of a board."""
    return load_topology([str(BOARDS / name)])


def verdict(name: str) -> dict[str, Any]:
    """Return what Linux said of a board."""
    document: dict[str, Any] = json.loads((BOARDS / name / "linux" / "verdict.json").read_text())
    return document


def matches(topology: Topology, ours: str, theirs: str, properties: dict[str, str]) -> bool:
    """Tell whether our name of a unit and Linux's mean the same hardware, by its address."""
    base = topology.iommus[ours].base
    if theirs.startswith("ivhd"):  # counted; its features are EFR2:EFR, and since 6.2 EFR:EFR2
        units = [unit for unit in topology.iommus.values() if unit.kind == "amdvi"]
        efr = dict(topology.iommus[ours].properties)["EFR"]
        features = {int(one, 16) for one in properties["features"].split(":")}
        return units[int(theirs[4:])].name == ours and features == {0, int(str(efr), 16)}
    if "address" in properties:  # dmar0
        return base == int(properties["address"], 16)
    found = re.search(r"\b(?:0x)?([0-9a-f]+)(?:\.iommu)?$", theirs.partition("@")[2] or theirs)
    if found and ":" not in theirs:
        return base == int(found[1], 16)
    # a unit that is a PCI function: its name ends with its address
    return base is None and ours.endswith(theirs.rpartition("@")[2][5:])


def functions(topology: Topology) -> list[Device]:
    """Return the PCI functions of a board."""
    return [device for device in topology.devices.values() if device.kind == "pci"]


def controlled(topology: Topology, device: Device) -> list[Route]:
    """Return the routes of a device on which an IOMMU translates."""
    return [route for route in routes(topology, device) if route.verdict == "controlled"]


@pytest.mark.parametrize("name", NAMES)
def test_every_device_is_behind_the_iommu_that_linux_found(name: str) -> None:
    """Each function that Linux lists under an IOMMU is, for us, controlled by that one and no other."""
    topology = board(name)
    checked = 0
    for theirs, unit in verdict(name)["iommus"].items():
        for address in unit["devices"]:
            found = controlled(topology, topology.devices[address])
            assert found, address
            assert all(matches(topology, str(route.iommu), theirs, unit["properties"]) for route in found)
            checked += 1
    assert checked


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_linux_finds_no_iommu_for_has_none_or_no_id_of_its_own(name: str) -> None:
    """Each function that no IOMMU of Linux lists has none for us, or an ID that we say another function has too.

    Linux gives a stream ID to one driver only, and refuses the functions that come later with the same; and it asks a
    virtio-iommu for endpoints by the functions' own IDs, which it does not know of functions behind such bridges.
    """
    topology = board(name)
    listed = {address for unit in verdict(name)["iommus"].values() for address in unit["devices"]}
    taken = {route.stream for address in listed for route in controlled(topology, topology.devices[address])}
    for device in functions(topology):
        if device.name not in listed:
            found = controlled(topology, device)
            unknown = any(route.bridge and topology.iommus[str(route.iommu)].kind == "virtio-iommu" for route in found)
            assert not found or unknown or any(route.stream in taken for route in found), device.name


FAULT_IDS = (
    re.compile(
        r"Request device \[(?:0000:)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\]"
        r"|0000:(\S+): AMD-Vi: Event logged \[IO_PAGE_FAULT|Event logged \[[A-Z_]+ device=0000:(\S+) "
    ),
    re.compile(r"arm-smmu-v3 [^:]+: \t0x([0-9a-f]{8})[0-9a-f]{8}$"),
    re.compile(r"sid 0x([0-9a-f]+)|sid: 0x([0-9a-f]+)"),
    re.compile(r"fault from EP ([0-9]+) "),
)


def faulting_ids(lines: list[str]) -> set[int]:
    """Return the IDs that Linux's fault lines name."""
    found = set()
    first_word = False
    for line in lines:
        if match := FAULT_IDS[0].search(line):
            bus, device, function = re.split(r"[:.]", match[1] or match[2] or match[3])
            found.add(int(bus, 16) << 8 | int(device, 16) << 3 | int(function, 16))
        elif match := FAULT_IDS[2].search(line):
            found.add(int(match[1] or match[2], 16))
        elif match := FAULT_IDS[3].search(line):
            found.add(int(match[1]))
        elif "event 0x" in line and "received" in line:
            first_word = True
        elif first_word and (match := FAULT_IDS[1].search(line)):
            found.add(int(match[1], 16))
            first_word = False
    return found


FAULT_FILES = sorted(path for name in NAMES for path in (BOARDS / name / "linux").glob("faults.json"))


@pytest.mark.parametrize("path", FAULT_FILES, ids=lambda path: path.parents[1].name)
def test_the_id_that_a_device_faulted_with_is_one_that_we_foretell(path: Path) -> None:
    """The ID in Linux's fault lines is the last one that we say the device's requests carry.

    A device that did DMA without any fault line is one that we say no IOMMU controls, or one with the ID of an endpoint
    of a virtio-iommu that Linux put into no group, and so into no domain.
    """
    topology = board(path.parents[1].name)
    groups = verdict(path.parents[1].name)["groups"].values()
    members = [topology.devices[address] for group in groups for address in group["devices"]]
    attached = {controlled(topology, device)[0].stream for device in members}
    for fault in json.loads(path.read_text())["faults"]:
        found = controlled(topology, topology.devices[fault["device"]])
        expected = {found[-1].stream} if found else set()
        if found and topology.iommus[str(found[-1].iommu)].kind == "virtio-iommu":
            expected &= attached
        assert faulting_ids(fault["lines"]) == expected, fault["device"]
