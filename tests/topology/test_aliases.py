"""Requester IDs behind bridges: the rules of Linux's `pci_for_each_dma_alias`, bridge by bridge."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.topology.aliases import requesters

HERE = Origin("here")


def machine(kind: str | None, *, known: bool = True) -> PciTopology:
    """Return a root port, a bridge of the given kind behind it, and an endpoint behind that."""
    return PciTopology(
        (
            PciFunction(0, 0x0010, HERE, header_type=1, secondary=1, subordinate=2, pcie_type="root-port"),
            PciFunction(0, 0x0118, HERE, header_type=1, secondary=2, subordinate=2, pcie_type=kind, pcie_known=known),
            PciFunction(0, 0x0221, HERE),
        )
    )


@pytest.mark.parametrize(
    ("kind", "alias", "words"),
    [
        ("root-port", None, ""),
        ("upstream-port", None, ""),
        ("downstream-port", None, ""),
        ("pcie-to-pci-bridge", 0x0200, "as PCI Express to PCI bridge 0000:01:03.0 sends it"),
        ("pci-to-pcie-bridge", 0x0118, "as PCI to PCI Express bridge 0000:01:03.0 sends it"),
        (None, 0x0118, "as conventional PCI bridge 0000:01:03.0 sends it"),
    ],
)
def test_each_kind_of_bridge(kind: str | None, alias: int | None, words: str) -> None:
    """Ports pass IDs on; a PCI Express to PCI bridge sends (secondary bus, 00.0); other bridges send their own."""
    topology = machine(kind)
    found = requesters(topology, topology.functions[0, 0x0221])
    assert [one.rid for one in found] == [0x0221, *([alias] if alias is not None else [])]
    assert [one.why for one in found[1:]] == ([words] if words else [])
    assert [one.bridge for one in found] == ["", *(["0000:01:03.0"] if alias is not None else [])]


def test_a_bridge_of_which_capabilities_are_unknown_says_so() -> None:
    """Where only 64 bytes of configuration space could be read, the alias is told with that doubt."""
    topology = machine(None, known=False)
    found = requesters(topology, topology.functions[0, 0x0221])
    assert found[1].why == "as bridge (not known to be PCI Express) 0000:01:03.0 sends it"


def test_an_alias_that_is_the_same_id_is_said_once() -> None:
    """Function 00.0 just behind a PCI Express to PCI bridge has the bridge's ID already."""
    functions = (*machine("pcie-to-pci-bridge").functions.values(), PciFunction(0, 0x0200, HERE))
    topology = PciTopology(functions)
    assert [one.rid for one in requesters(topology, topology.functions[0, 0x0200])] == [0x0200]


def test_a_function_on_a_root_bus_sends_its_own_id_alone() -> None:
    """Nothing stands above a root bus."""
    topology = machine(None)
    assert [one.rid for one in requesters(topology, topology.functions[0, 0x0010])] == [0x0010]
