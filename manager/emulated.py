"""A board on QEMU: its units are QEMU's emulated hardware, its devices do real DMA.

The drivers and ports are those of the simulated board, unchanged. What the units hold is read back from their registers
and from memory, which is shared, into models: so proofs and walks are of what hardware has, not of what we believe that
it has. In place of each function of the board stands one that does DMA when told to, at the same place behind bridges.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..iommu import Memory, PageAllocator
from ..iommu.qemu import MACHINES, Description, Function, Placed, Probe, Qemu
from ..topology import Iommu, Topology
from .dma import TracedMemory
from .errors import ManagerError
from .machine import Machine
from .models import send
from .ports import DRIVEN, Port, open_port
from .survey import Endpoint

if TYPE_CHECKING:
    from ..iommu.amdvi.model import Unit as AmdviUnit
    from ..iommu.smmuv3.model import Model as SmmuModel
    from ..iommu.vtd.model import RemappingUnit
    from ..parsers.pci import PciFunction, PciTopology
    from .models import Model

RAM = 2 << 30
"""Bytes of memory of the machine; only what is used is there."""
TABLES = 64 << 20
"""Bytes kept for tables, at the end of memory."""
HOST_WIDTH = 48
"""Bits of a physical address of QEMU's VT-d unit, as its own tables say."""
_REGISTERS = {"smmuv3": 0x20000, "amdvi": 0x4000}
"""Bytes of registers; of others, a page."""
BUILT_IN = frozenset({0x00, 0x1F})
"""Device numbers on bus 0 that the machines have of their own: host bridge and chipset."""
BRIDGES = {
    "root-port": "pcie-root-port",
    "upstream-port": "x3130-upstream",
    "downstream-port": "xio3130-downstream",
    "pcie-to-pci-bridge": "pcie-pci-bridge",
    None: "pci-bridge",
}
"""QEMU's devices by type of bridge."""
EXPANDER = (0x1B36, 0x000B)
"""Vendor and device of QEMU's bridge to another root bus."""
_MARK = 0xA7
_DATA = 0x5AA5


def emulate(topology: Topology, name: str = "", *, traced: bool = False) -> Machine:
    """Start QEMU with the unit and the devices of a board.

    Args:
        topology: of the board.
        name: of the machine; empty: the one that has a unit of this kind at this place.
        traced: memory notes what is read, for `dma.access`.

    Raises:
        ManagerError: `PLATFORM-MACHINE` the board is not one that this machine can be.
        IommuError: QEMU is missing, too old, or does not start.
    """
    unit, description = _match(topology, name)
    tree = next((one for one in topology.pci if any(key[0] == 0 for key in one.functions)), None)
    builder = _Functions(tree, description, unit)
    qemu = Qemu(description, builder.root(), RAM)
    try:
        start, length = qemu.ram
        pages = PageAllocator(qemu, start + length - TABLES, TABLES)
        memory = (TracedMemory if traced else Memory)([qemu.ram], qemu.file)
        ports: dict[str, Port] = {unit.name: open_port(unit, qemu.registers, qemu, pages, HOST_WIDTH)}
        probes = dict(builder.probes(qemu))
    except BaseException:
        qemu.close()
        raise
    models = _ReadBack(unit, qemu, memory)
    private = ((start + length - TABLES, TABLES), (qemu.registers, _REGISTERS.get(unit.kind, 0x1000)))

    def close() -> None:
        memory.close()
        qemu.close()

    def dma(place: Endpoint, address: int, write: bool) -> int | None:  # noqa: FBT001 - as `Dma`
        probe = probes.get(place.identifier)
        if probe is None:
            raise ManagerError(
                "ENOENT", "PLATFORM-DEVICE", f"no device of the machine sends ID 0x{place.identifier:x}", place.unit,
                found=", ".join(f"0x{one:x}" for one in sorted(probes)) or "none",
            )  # fmt: skip
        return _access(
            qemu,
            probe,
            send(models[unit.name], unit.kind, place.identifier, address, write=write),
            address,
            write=write,
        )

    kinds = {unit.name: unit.kind}
    return Machine(memory, qemu, models, kinds, ports, private, dma, qemu.text, frozenset(probes), close)


def _match(topology: Topology, name: str) -> tuple[Iommu, Description]:
    """Return the unit of a board, and the machine that has it."""
    units = [unit for unit in topology.iommus.values() if unit.enabled and unit.kind in DRIVEN]
    usual = [MACHINES[one] for one in ("q35", "q35-amd", "virt")]
    wanted = [MACHINES[name]] if name else usual
    for description in wanted:
        for unit in units:
            if (unit.kind, unit.base) == (description.kind, description.registers) and len(units) == 1:
                return unit, description
    found = ", ".join(f"{unit.name} ({unit.kind})" for unit in units) or "no unit that is driven"
    expected = " or ".join(f"one {one.kind} at 0x{one.registers:x} ({one.name})" for one in wanted)
    raise ManagerError(
        "EINVAL", "PLATFORM-MACHINE", "the board is not this machine", found=found, expected=expected,
        advice="take a board that was captured from it, or leave --platform out",
    )  # fmt: skip


class _ReadBack(Mapping[str, "Model"]):
    """Models that hold what the unit's registers say at the moment, over the memory that it uses."""

    def __init__(self, unit: Iommu, qemu: Qemu, memory: Memory) -> None:
        self._unit = unit
        self._qemu = qemu
        self._memory = memory

    def __iter__(self) -> Iterator[str]:
        return iter((self._unit.name,))

    def __len__(self) -> int:
        return 1

    def __getitem__(self, name: str) -> Model:
        if name != self._unit.name:
            raise KeyError(name)
        if self._unit.kind == "amdvi":
            return self._amdvi()
        return self._vtd() if self._unit.kind == "vtd" else self._smmuv3()

    def _read(self, offset: int, size: int = 4) -> int:
        return self._qemu.read_mmio(self._qemu.registers + offset, size)

    def _vtd(self) -> RemappingUnit:
        from ..iommu.vtd.layout import CAP, ECAP, GCMD, GSTS, RTADDR
        from ..iommu.vtd.model import Hardware, RemappingUnit

        hardware = Hardware(CAP(self._read(CAP.offset, 8)), ECAP(self._read(ECAP.offset, 8)), haw=HOST_WIDTH)
        model = RemappingUnit(self._memory, hardware)
        status = GSTS(self._read(GSTS.offset))
        model.write_register(RTADDR.offset, self._read(RTADDR.offset, 8), 8)
        model.write_register(GCMD.offset, GCMD(SRTP=status.RTPS).value, 4)
        model.write_register(GCMD.offset, GCMD(TE=status.TES).value, 4)
        return model

    def _amdvi(self) -> AmdviUnit:
        from ..iommu.amdvi.layout import registers as regs
        from ..iommu.amdvi.model import Hardware, Unit

        features = regs.EFR(self._read(regs.EFR.offset, 8))
        model = Unit(self._memory, Hardware(regs.EFR(HATS=features.HATS), HOST_WIDTH))
        model.caches.filling = False
        for layout in (regs.DevTabBase, regs.ExclusionBase, regs.ExclusionLimit):
            model.write_register(layout.offset, self._read(layout.offset, 8), 8)
        enabled = regs.Control(self._read(regs.Control.offset, 8)).IommuEn
        model.write_register(regs.Control.offset, regs.Control(IommuEn=enabled).value, 8)
        return model

    def _smmuv3(self) -> SmmuModel:
        from ..iommu.smmuv3.layout import registers as regs
        from ..iommu.smmuv3.model import Capabilities, Model

        capabilities = Capabilities(
            regs.IDR0(self._read(regs.IDR0.offset)),
            regs.IDR1(self._read(regs.IDR1.offset)),
            regs.IDR3(self._read(regs.IDR3.offset)),
            regs.IDR5(self._read(regs.IDR5.offset)),
            regs.AIDR(self._read(regs.AIDR.offset)),
        )
        model = Model(self._memory, capabilities, caching=False)
        for layout in (regs.STRTAB_BASE, regs.STRTAB_BASE_CFG, regs.CR2, regs.GBPA):
            model.write_register(layout.offset, self._read(layout.offset, layout.size), layout.size)
        enabled = regs.CR0ACK(self._read(regs.CR0ACK.offset)).SMMUEN
        model.write_register(regs.CR0.offset, regs.CR0(SMMUEN=enabled).value, 4)
        return model


def _access(qemu: Qemu, probe: Probe, expected: int | None, address: int, *, write: bool) -> int | None:
    """Let a device access memory, and find out from the bytes whether it got there.

    Looked at are the place where tables lead, and the address itself, where a unit that is open would let it go.
    """
    address &= -4
    start, length = qemu.ram
    places = {place & -4 for place in (expected, address) if place is not None and start <= place <= start + length - 4}
    kept = {place: qemu.read(place, 4) for place in places}
    reached = []
    try:
        if write:
            for place in places:
                qemu.write(place, bytes(4))
            probe.write(address, _DATA)
            reached = [place for place in places if qemu.read(place, 4) != bytes(4)]
        else:
            for mark, place in enumerate(places):
                qemu.write(place, Probe.planted(_MARK + mark))
            mark = probe.read(address)
            reached = [place for at, place in enumerate(places) if mark == _MARK + at]
    finally:
        for place, data in kept.items():
            qemu.write(place, data)
    if expected is not None and not places:
        return expected  # where there is no memory, no bytes can tell
    return reached[0] if reached and expected is None else expected if reached else None


class _Functions:
    """The functions of a board as QEMU is to have them: each that is no bridge does DMA."""

    def __init__(self, tree: PciTopology | None, description: Description, unit: Iommu) -> None:
        self._description = description
        self._unit = dict(unit.properties).get("function")
        self._all = [one for (segment, _), one in tree.functions.items() if segment == 0] if tree is not None else []
        self._intended: dict[int, int] = {}

    def root(self) -> tuple[Function, ...]:
        """Return the functions of bus 0, root buses of their own among them."""
        secondaries = {one.secondary for one in self._all if one.secondary}
        own = self._description.function
        taken = BUILT_IN | ({own.slot} if own is not None else set())
        # A unit that QEMU makes a function of by itself stands in the first slot that is free.
        taken |= {one.rid >> 3 & 0x1F for one in self._all if one.bus == 0 and one.address == self._unit}
        functions = [*self._below(0, taken)]
        expanders = [one for one in self._all if (one.vendor, one.device) == EXPANDER and one.bus == 0]
        buses = sorted({one.bus for one in self._all} - secondaries - {0})
        for bus, expander in zip(buses, expanders, strict=False):
            if bus < self._description.buses:
                slot = expander.rid >> 3 & 0x1F
                functions.append(Function("pxb-pcie", slot, bus=bus, below=tuple(self._below(bus, frozenset()))))
        return tuple(functions)

    def _below(self, bus: int, taken: frozenset[int] | set[int]) -> Iterator[Function]:
        here = [one for one in self._all if one.bus == bus and (one.rid >> 3 & 0x1F) not in taken]
        first = {one.rid >> 3 for one in here if one.rid & 7 == 0}
        several = {one.rid >> 3 for one in here if one.rid & 7}
        for one in here:
            if one.rid >> 3 not in first or (one.vendor, one.device) == EXPANDER:
                continue
            function = self._function(one, several=one.rid >> 3 in several and one.rid & 7 == 0)
            if function is not None:
                self._intended[id(function)] = one.rid
                yield function

    def _function(self, one: PciFunction, *, several: bool) -> Function | None:
        options = ("multifunction=on",) if several else ()
        slot, number = one.rid >> 3 & 0x1F, one.rid & 7
        if one.header_type == 1:
            device = BRIDGES.get(one.pcie_type)
            if device is None or not one.secondary or one.secondary >= self._description.buses:
                return None
            return Function(device, slot, number, options, below=tuple(self._below(one.secondary, frozenset())))
        return Function("intel-hda", slot, number, options)

    def probes(self, qemu: Qemu) -> Iterator[tuple[int, Probe]]:
        """Yield each device that stands where the board has it, by the ID that its accesses carry."""
        engines = {probe.rid: probe for probe in qemu.probes()}

        def walk(placed: Placed, above: int | None) -> Iterator[tuple[int, Probe]]:
            if placed.rid in engines and self._intended.get(id(placed.function)) == placed.rid:
                yield placed.rid if above is None else above, engines[placed.rid]
            # A conventional bridge puts its own ID, or that of its bus, in place of those behind it.
            if above is None and placed.function.device == "pci-bridge":
                above = placed.rid
            for one in placed.below:
                under = one.rid & 0xFF00 if above is None and placed.function.device == "pcie-pci-bridge" else above
                yield from walk(one, under)

        for placed in qemu.functions:
            yield from walk(placed, None)
