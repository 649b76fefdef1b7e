"""Which requester IDs the requests of a PCI function carry when they reach the root bus.

Bridges of conventional PCI take ownership of what passes them: a PCI Express to PCI bridge sends it as (its secondary
bus, 00.0) (PCI Express to PCI/PCI-X Bridge Specification 1.0 §2.3), a conventional bridge as itself. The rules are
those of Linux's `pci_for_each_dma_alias`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base import Origin

if TYPE_CHECKING:
    from ..parsers.pci import PciFunction, PciTopology

OWN = "its own"
"""Why a function sends the ID of its own address."""

TRANSPARENT = ("root-port", "upstream-port", "downstream-port")
"""PCI Express ports, which pass requester IDs on unchanged."""


@dataclass(frozen=True, slots=True)
class Requester:
    """One requester ID that a function's requests may carry: why, and where that is known from.

    `bridge` is the address of the bridge that puts it there; empty when it is the function's own.
    """

    rid: int
    why: str
    origin: Origin | None = None
    bridge: str = ""


def requesters(topology: PciTopology, function: PciFunction) -> list[Requester]:
    """Return the requester IDs of a function: its own first, then those that bridges give it, going up."""
    found = [Requester(function.rid, OWN)]
    for bridge in topology.upstream(function):
        alias = _alias(bridge)
        if alias is not None and all(alias.rid != one.rid for one in found):
            found.append(alias)
    return found


def _alias(bridge: PciFunction) -> Requester | None:
    """Return the requester ID that a bridge puts in place of the one that it receives, if it does."""
    if bridge.pcie_type in TRANSPARENT:
        return None
    if bridge.pcie_type == "pcie-to-pci-bridge":
        rid = (bridge.secondary or 0) << 8
        return Requester(rid, f"as PCI Express to PCI bridge {bridge.address} sends it", bridge.origin, bridge.address)
    kind = "PCI to PCI Express bridge" if bridge.pcie_type == "pci-to-pcie-bridge" else "conventional PCI bridge"
    if not bridge.pcie_known:
        kind = "bridge (not known to be PCI Express)"
    return Requester(bridge.rid, f"as {kind} {bridge.address} sends it", bridge.origin, bridge.address)
