"""Whether a PCI function keeps what passes it apart: Access Control Services, and what Linux makes of them.

Requests that a port or a function of several sends on to its neighbour never reach the IOMMU. ACS (PCI Express Base
Specification 6.0 §6.12) forbids that. The rules are those of Linux's `pci_acs_enabled` and `pci_acs_path_enabled` with
the flags that its IOMMU groups ask for; of its list of devices that isolate without saying so, only Intel's root
complex integrated endpoints are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base import parse_pci_address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..parsers.pci import PciFunction, PciTopology

NEEDED = {0x01: "source validation", 0x04: "P2P request redirect", 0x08: "P2P completion redirect",
          0x10: "upstream forwarding"}  # fmt: skip
"""Bits of the ACS capability and control registers that isolation takes, all of them (Linux's `REQ_ACS_FLAGS`)."""

INTEL = 0x8086
"""The vendor whose root complex integrated endpoints have no way to each other but by the IOMMU, ACS or not
(Linux's `pci_quirk_rciep_acs`)."""

_PORTS = ("root-port", "downstream-port")
_ONLY_IF_SEVERAL = ("endpoint", "legacy-endpoint", "upstream-port", "rc-endpoint")


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a function keeps its neighbours apart.

    Attributes:
        holds: it does.
        why: why it does not, a clause without subject; empty when it does.
        off: whether it could: it has ACS, which is switched off.
        known: whether that could be read.
    """

    holds: bool
    why: str = ""
    off: bool = False
    known: bool = True


def isolation(function: PciFunction) -> Isolation:
    """Tell whether a function isolates: a port what is behind it, one of several functions itself from the others."""
    kind = function.pcie_type
    if not function.pcie_known:
        return Isolation(holds=False, why="has capabilities that cannot be read, so no ACS is known of", known=False)
    single = kind in _ONLY_IF_SEVERAL and not has_siblings(function)  # for these ACS is nothing (§6.12.1.3)
    if single or (kind == "rc-endpoint" and function.vendor == INTEL):
        return Isolation(holds=True)
    if kind not in (*_PORTS, *_ONLY_IF_SEVERAL):
        return Isolation(holds=False, why=f"is {f'a {kind}' if kind else 'conventional PCI'}, which has no ACS")
    if function.acs is None:
        return Isolation(holds=False, why="has no ACS")
    capability, control = function.acs
    # What cannot be controlled is taken to be wired on.
    off = [name for bit, name in NEEDED.items() if capability & bit and not control & bit]
    if off:
        return Isolation(holds=False, why=f"has ACS, but {', '.join(off)} off", off=True)
    return Isolation(holds=True)


def has_siblings(function: PciFunction) -> bool:
    """Tell whether a function is one of several of its device, as Linux sees it.

    Only function 0 has to say so in its header; that there is another function says it as well.
    """
    number = function.rid & (0xFF if function.ari else 7)
    return function.multifunction or (number > 0 and function.physfn is None)


def bridges_above(pci: PciTopology, function: PciFunction) -> Iterator[PciFunction]:
    """Iterate over the bridges from a function to its root bus; a virtual function is behind those of its physical."""
    start = function
    physical = parse_pci_address(function.physfn or "")
    if physical is not None and pci.parent(function) is None:
        start = pci.functions.get(physical, function)
    return pci.upstream(start)
