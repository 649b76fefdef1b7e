"""PCI topologies: the way from a function to its root bus."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.parsers.pci.names import class_name

NOWHERE = Origin("")


def function(rid: int, secondary: int | None = None, segment: int = 0) -> PciFunction:
    """Return a function, or a bridge to one bus."""
    return PciFunction(segment, rid, NOWHERE, secondary=secondary, subordinate=secondary)


PORT, SWITCH, DEVICE, OTHER = function(0x0008, 1), function(0x0100, 4), function(0x0400), function(0x0400, segment=1)


def test_the_way_up_goes_over_every_bridge() -> None:
    """From a function each bridge follows whose secondary bus the one before is on, up to the root bus."""
    topology = PciTopology((DEVICE, SWITCH, PORT, OTHER))
    assert list(topology.upstream(DEVICE)) == [SWITCH, PORT]
    assert topology.parent(SWITCH) == PORT
    assert topology.parent(PORT) is None


def test_segments_are_apart() -> None:
    """A bridge leads only to buses of its own segment."""
    topology = PciTopology((DEVICE, SWITCH, PORT, OTHER))
    assert list(topology.upstream(OTHER)) == []


def test_a_bridge_at_an_address_is_one_with_buses_behind_it() -> None:
    """A function that is no bridge, one that has no number yet, and no function at all are none."""
    topology = PciTopology((PORT, DEVICE, function(0x0010, 0)))
    assert topology.bridge_at(0, 0x0008) == PORT
    assert topology.bridge_at(0, 0x0400) is None
    assert topology.bridge_at(0, 0x0010) is None
    assert topology.bridge_at(0, 0x0018) is None
    assert topology.bridge_at(1, 0x0008) is None


def test_the_first_function_and_the_first_bridge_count() -> None:
    """Of two functions with an address, and of two bridges to a bus, the first is taken."""
    first, second = PciFunction(0, 8, NOWHERE, vendor=1), PciFunction(0, 8, NOWHERE, vendor=2)
    assert list(PciTopology((first, second)).functions.values()) == [first]
    assert PciTopology((PORT, function(0x0010, 1))).parent(function(0x0100)) == PORT


@pytest.mark.parametrize(("bus", "secondary"), [(1, 1), (2, 1), (0, 0), (5, None)])
def test_a_bridge_that_leads_back_leads_nowhere(bus: int, secondary: int | None) -> None:
    """A secondary bus that is not above the bridge's own would make a circle, and does not count."""
    bridge = function(bus << 8, secondary)
    assert PciTopology((bridge,)).parent(function((secondary or 0) << 8)) is None


@given(st.lists(st.builds(function, st.integers(0, 0xFFFF), st.none() | st.integers(0, 255)), max_size=20))
def test_the_way_up_always_ends(functions: list[PciFunction]) -> None:
    """Whatever the bridges say, bus numbers fall on the way up."""
    topology = PciTopology(tuple(functions))
    for one in functions:
        buses = [one.bus, *(bridge.bus for bridge in topology.upstream(one))]
        assert buses == sorted(set(buses), reverse=True)


def test_a_function_knows_its_address_and_bus() -> None:
    """The address is written as Linux does, the bus is the upper byte of the requester ID."""
    assert (OTHER.address, OTHER.bus) == ("0001:04:00.0", 4)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0x010802, "NVMe controller"),
        (0x060400, "PCI bridge"),
        (0x020300, "network controller"),
        (0x000100, "unclassified device"),
        (0xFF0000, "unassigned class"),
        (0x7F1234, "class 7f1234"),
    ],
)
def test_class_codes_have_words(code: int, words: str) -> None:
    """The words are those of the sub-class, else of the base class, else the number."""
    assert class_name(code) == words
