"""Which functions isolate: the rules of Linux's `pci_acs_enabled`, kind by kind."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.topology.acs import bridges_above, has_siblings, isolation

HERE = Origin("here")
ON, OFF = (0x5F, 0x1D), (0x5F, 0x00)


def one(kind: str | None, acs: tuple[int, int] | None = None, rid: int = 0x10, **more: object) -> PciFunction:
    """Return a function of this kind."""
    return PciFunction(0, rid, HERE, pcie_type=kind, acs=acs, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("function", "holds"),
    [
        (one(None), False),
        (one(None, multifunction=True), False),
        (one("pcie-to-pci-bridge", ON), False),
        (one("pci-to-pcie-bridge", ON), False),
        (one("rc-event-collector", ON), False),
        (one("root-port"), False),
        (one("root-port", OFF), False),
        (one("root-port", ON), True),
        (one("downstream-port"), False),
        (one("downstream-port", ON), True),
        (one("upstream-port"), True),
        (one("upstream-port", multifunction=True), False),
        (one("upstream-port", ON, multifunction=True), True),
        (one("endpoint"), True),
        (one("endpoint", multifunction=True), False),
        (one("endpoint", OFF, multifunction=True), False),
        (one("endpoint", ON, multifunction=True), True),
        (one("endpoint", rid=0x11), False),
        (one("legacy-endpoint"), True),
        (one("rc-endpoint"), True),
        (one("rc-endpoint", rid=0x11), False),
        (one("rc-endpoint", rid=0x11, vendor=0x8086), True),
        (one("endpoint", rid=0x11, vendor=0x8086), False),
        (one(None, pcie_known=False), False),
    ],
)
def test_each_kind_of_function(function: PciFunction, holds: bool) -> None:
    """Ports need ACS, functions of several too; conventional PCI never isolates, a function alone always does."""
    assert isolation(function).holds is holds
    assert bool(isolation(function).why) is not holds


@pytest.mark.parametrize(
    ("acs", "off"),
    [
        ((0x1D, 0x1D), ""),
        ((0x1D, 0x1C), "source validation"),
        ((0x1D, 0x19), "P2P request redirect"),
        ((0x1D, 0x15), "P2P completion redirect"),
        ((0x1D, 0x0D), "upstream forwarding"),
        ((0x0C, 0x0C), ""),  # what it has not to offer is taken to be wired on
        ((0x00, 0x00), ""),
        ((0x5F, 0x42), "source validation, P2P request redirect, P2P completion redirect, upstream forwarding"),
    ],
)
def test_all_four_controls_have_to_be_on(acs: tuple[int, int], off: str) -> None:
    """Translation blocking, egress control and direct translated requests are not asked for."""
    found = isolation(one("root-port", acs))
    assert found.why == (f"has ACS, but {off} off" if off else "")
    assert (found.holds, found.off) == (not off, bool(off))


def test_what_cannot_be_read_is_said_to_be_unknown() -> None:
    """Without privileges capabilities are not seen; the function counts as one that does not isolate."""
    assert not isolation(one(None, pcie_known=False)).known
    assert isolation(one("root-port")).known


@pytest.mark.parametrize(
    ("function", "several"),
    [
        (one("endpoint"), False),
        (one("endpoint", multifunction=True), True),
        (one("endpoint", rid=0x107), True),
        (one("endpoint", rid=0x108), False),  # device 1, function 0
        (one("endpoint", rid=0x108, ari=True), True),  # function 8 of device 0
        (one("endpoint", rid=0x102, physfn="0000:01:00.0"), False),  # a virtual function is its own
    ],
)
def test_who_has_siblings(function: PciFunction, several: bool) -> None:
    """The header of function 0 says so, or the number of another function; with ARI the whole byte is that number."""
    assert has_siblings(function) is several


def test_a_virtual_function_on_a_bus_of_its_own_is_behind_the_bridges_of_its_physical_one() -> None:
    """No bridge has the bus that SR-IOV has added."""
    port = PciFunction(0, 0x10, HERE, header_type=1, secondary=1, subordinate=2, pcie_type="root-port")
    physical = one("endpoint", rid=0x100)
    virtual = one("endpoint", rid=0x200, physfn="0000:01:00.0")
    lost = one("endpoint", rid=0x300, physfn="0000:07:00.0")
    pci = PciTopology((port, physical, virtual, lost))
    assert list(bridges_above(pci, virtual)) == [port]
    assert list(bridges_above(pci, lost)) == []
