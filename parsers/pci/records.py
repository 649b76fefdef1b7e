"""What is known of a machine's PCI functions: enough to follow a request through bridges to its root bus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...base import Finding, Origin, format_pci_address

PCIE_TYPES = {
    0x0: "endpoint",
    0x1: "legacy-endpoint",
    0x4: "root-port",
    0x5: "upstream-port",
    0x6: "downstream-port",
    0x7: "pcie-to-pci-bridge",
    0x8: "pci-to-pcie-bridge",
    0x9: "rc-endpoint",
    0xA: "rc-event-collector",
}
"""Device/port type of the PCI Express capability (PCI Express Base Specification 6.0 §7.5.3.2) to its name."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A window of a function: first and last address (included), and Linux's resource flags."""

    start: int
    end: int
    flags: int


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function.

    Attributes:
        segment: PCI segment.
        rid: bus, device and function as a 16-bit requester ID.
        origin: where it was read.
        vendor: vendor ID.
        device: device ID.
        class_code: base class, sub-class and interface as 24 bits.
        header_type: 0 for functions, 1 for bridges, 2 for CardBus bridges.
        multifunction: whether the device has more functions.
        secondary: bus just behind a bridge; None for other functions.
        subordinate: last bus behind a bridge.
        pcie_type: a name of `PCIE_TYPES`; None for conventional PCI.
        pcie_known: whether the capabilities could be read, so that `pcie_type` None means conventional PCI.
        ari: whether ARI (Alternative Routing-ID Interpretation) forwarding is on above the function, so that its
            device number is part of its function number.
        acs: capability and control register of Access Control Services; None when the function has none.
        driver: name of the driver that is bound.
        physfn: address of the physical function, for an SR-IOV virtual function.
        numa_node: NUMA node; None when unknown.
        resources: its windows in memory and port space.
    """

    segment: int
    rid: int
    origin: Origin
    vendor: int = 0xFFFF
    device: int = 0xFFFF
    class_code: int = 0
    header_type: int = 0
    multifunction: bool = False
    secondary: int | None = None
    subordinate: int | None = None
    pcie_type: str | None = None
    pcie_known: bool = True
    ari: bool = False
    acs: tuple[int, int] | None = None
    driver: str | None = None
    physfn: str | None = None
    numa_node: int | None = None
    resources: tuple[Resource, ...] = ()

    @property
    def address(self) -> str:
        """The address as `ssss:bb:dd.f`."""
        return format_pci_address(self.segment, self.rid)

    @property
    def bus(self) -> int:
        """The bus that the function is on."""
        return self.rid >> 8


class PciTopology:
    """All PCI functions of a machine, with the way from each to its root bus.

    Attributes:
        source: name of the file or folder.
        size: bytes of the file; 0 for a folder.
        functions: by (segment, requester ID), in the order of the input.
        findings: what is wrong with the input.
    """

    __slots__ = ("_bridges", "_buses", "findings", "functions", "size", "source")

    def __init__(
        self,
        functions: tuple[PciFunction, ...] = (),
        findings: tuple[Finding, ...] = (),
        source: str = "",
        size: int = 0,
    ) -> None:
        """Index the functions; the first of an address, and of a secondary bus, counts."""
        self.functions: dict[tuple[int, int], PciFunction] = {}
        self._bridges: dict[tuple[int, int], PciFunction] = {}
        self._buses: dict[tuple[int, int], list[PciFunction]] = {}
        self.findings = findings
        self.source = source
        self.size = size
        for function in functions:
            self.functions.setdefault((function.segment, function.rid), function)
            # A bridge that firmware has not numbered has secondary bus 0, and nothing is behind it.
            if function.secondary and function.secondary > function.bus:
                self._bridges.setdefault((function.segment, function.secondary), function)
        for function in self.functions.values():
            self._buses.setdefault((function.segment, function.bus), []).append(function)

    def parent(self, function: PciFunction) -> PciFunction | None:
        """Return the bridge whose secondary bus the function is on; None on a root bus."""
        return self._bridges.get((function.segment, function.bus))

    def on_bus(self, segment: int, bus: int) -> list[PciFunction]:
        """Return the functions on a bus, in the order of the input."""
        return self._buses.get((segment, bus), [])

    def upstream(self, function: PciFunction) -> Iterator[PciFunction]:
        """Iterate over the bridges from the function up to its root bus (bus numbers fall, so this ends)."""
        bridge = self.parent(function)
        while bridge is not None:
            yield bridge
            bridge = self.parent(bridge)

    def bridge_at(self, segment: int, rid: int) -> PciFunction | None:
        """Return the function at this address when it is a bridge with buses behind it."""
        function = self.functions.get((segment, rid))
        return function if function is not None and function.secondary else None
