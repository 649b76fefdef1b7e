"""Devices that have an ID in common."""

from __future__ import annotations

from iommuman.topology import Device, IdMap
from iommuman.topology.diff.picture import picture
from iommuman.topology.diff.sharing import Sharing
from iommuman.topology.resolve import routes
from iommuman.topology.senders import reaches

from tests.topology.diff.boards import HERE, Record, fixture_topologies, picture_of, unit


def master(name: str, stream: int | None, length: int = 1, ignored: int = 0) -> list[Record]:
    """Return a device that has some IDs."""
    single = length == 1
    one = IdMap(name, "vtd@1000", 0, length, stream, HERE, "iommus", single=single, ignored_bits=ignored)
    return [Device(name, "dt", HERE), one]


def sharers(name: str, *records: Record) -> dict[tuple[str, str], int]:
    """Return the sharers of a device."""
    found = picture_of(unit(), *records)
    return Sharing(found).sharers(name, found.of("device")[name].fields["access"])


def test_the_first_common_id_is_named() -> None:
    """A device shares with each that has one of its IDs, by number or in a range; not with itself."""
    records = [*master("a", 4), *master("b", 4), *master("c", 0, 8), *master("d", 6, 4), *master("e", 5)]
    assert sharers("a", *records) == {("vtd@1000", "b"): 4, ("vtd@1000", "c"): 4}
    assert sharers("c", *records) == {("vtd@1000", "a"): 4, ("vtd@1000", "b"): 4, ("vtd@1000", "e"): 5,
                                      ("vtd@1000", "d"): 6}  # fmt: skip
    assert sharers("e", *records) == {("vtd@1000", "c"): 5}


def test_bits_that_are_ignored_match_anything() -> None:
    """IDs that differ only in bits that the unit ignores for either are one."""
    records = [*master("a", 0x400, ignored=0xF), *master("b", 0x40A), *master("c", 0x430, ignored=0x3F),
               *master("d", 0x500)]  # fmt: skip
    assert sharers("a", *records) == {("vtd@1000", "b"): 0x40A, ("vtd@1000", "c"): 0x400}
    assert sharers("b", *records) == {("vtd@1000", "a"): 0x40A, ("vtd@1000", "c"): 0x40A}
    assert sharers("d", *records) == {}


def test_no_ids_are_no_common_ids() -> None:
    """Devices of a unit that knows no IDs have none in common; nothing is known of a device without access."""
    records = [*master("a", None), *master("b", None)]
    assert sharers("a", *records) == {}
    assert Sharing(picture_of()).sharers("a", None) == {}


def test_fixtures_share_what_their_routes_share() -> None:
    """For every fixture, two devices share exactly when a route of one reaches a unit with an ID of the other."""
    for name, topology in fixture_topologies().items():
        devices = {one.name: routes(topology, one) for one in topology.devices.values()}
        if len(devices) > 60:
            continue
        found = picture(topology)
        sharing = Sharing(found)
        for one, ways in devices.items():
            expected = {
                (way.iommu, other)
                for way in ways
                if way.stream is not None and way.iommu is not None and way.count == 1
                for other, theirs in devices.items()
                if other != one
                and any(route.stream is not None and reaches(route, way.iommu, way.stream) for route in theirs)
            }
            value = found.of("device")[one].fields.get("access")
            assert expected <= set(sharing.sharers(one, value)), (name, one)
