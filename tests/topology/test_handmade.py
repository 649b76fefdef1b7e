"""The boards written by hand: our resolution against the one that was written by hand beside each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from iommuman.topology import Route, load_topology
from iommuman.topology.query import ask
from iommuman.topology.view import Attachment

from tests.conftest import HANDMADE

EXPECTED = sorted(HANDMADE.glob("*/expected.json"))


def expectation(path: Path) -> dict[str, Any]:
    """Return what was written by hand."""
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def on_the_bus(routes: tuple[Route, ...]) -> list[Route]:
    """Return the routes of IDs that conventional PCI lets reach the root bus: the bridge's, where there is one."""
    return [route for route in routes if route.bridge] or list(routes)


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.parent.name)
def test_every_device_resolves_as_written_by_hand(path: Path) -> None:
    """IOMMU, IDs, masks and MSI device ID of each device are what the specification asks for, worked out by hand."""
    topology = load_topology([str(path.parent)])
    told: dict[str, set[str]] = {}
    for wanted in expectation(path)["devices"]:
        found = ask(topology, wanted["device"])
        sent = [route for route in on_the_bus(found.routes) if route.verdict == "controlled"]
        here = [route for route in sent if route.iommu == wanted["iommu"]]
        told.setdefault(wanted["device"], {str(route.iommu) for route in sent}).discard(str(wanted["iommu"]))
        assert bool(here) == (wanted["iommu"] is not None), wanted
        ids = [route.stream + index for route in here if route.stream is not None for index in range(route.count)]
        assert ids == wanted["ids"], wanted
        if "masks" in wanted:
            assert [route.ignored_bits for route in here] == wanted["masks"], wanted
        msi = Attachment(found.device, found.routes).msi
        if wanted["msi"] is None:
            assert msi is None, wanted
        else:
            assert msi == (wanted["msi"]["controller"], wanted["msi"]["device_id"]), wanted
    assert not any(told.values()), told


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.parent.name)
def test_reserved_memory_is_as_written_by_hand(path: Path) -> None:
    """Reserved regions have the start and length that were worked out by hand, concern those devices, and are all."""
    topology = load_topology([str(path.parent)])
    wanted = expectation(path).get("reserved", ())
    extents = {(int(one["start"], 16), int(one["length"], 16)) for one in wanted}
    found = [one for one in topology.reserved if one.meaning != "memory"]  # the rest says nothing of an IOMMU
    assert {(one.start, one.length) for one in found} == extents
    for one in wanted:
        extent = (int(one["start"], 16), int(one["length"], 16))
        for name in one["devices"]:
            assert extent in {(region.start, region.length) for region in ask(topology, name).reserved}, (name, one)
