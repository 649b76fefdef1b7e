"""A board of models: memory and one model for each unit that can be modelled, and the ports that drive them.

The same drivers program the models that program hardware. Tables lie at the top of the physical address space, where no
client may be granted anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..iommu import Memory, PageAllocator, Platform, Simulated
from ..topology import Iommu, Topology
from .models import send
from .ports import BEFORE_SMMUV3, DRIVEN, Port, open_port
from .survey import Endpoint

if TYPE_CHECKING:
    from ..iommu.smmuv2.model import Capabilities as SmmuV2Capabilities
    from .models import Model

PHYSICAL_BITS = 48
"""Bits of a physical address where no source says."""

_WIDTHS = ("host address width", "physical address width")
"""What a DMAR and an IVRS call it."""

TABLES = 1 << 30
"""Bytes kept for the tables of all units."""

SMMUV1_BITS = 40
"""Bits of an address that an SMMUv1 with long descriptors has."""
ID2_SMMUV1 = 0x22
"""SMMU_IDR2 of the modelled SMMUv1: 40 bits, no AArch64 tables."""

VTD_REGISTERS = 0x1000
_CAP = 0xD2008C222F0606
_ECAP = 0xF00F4A
"""Capability registers of the modelled VT-d units: four levels, pages of 4 KiB to 1 GiB, queued invalidation."""


Dma = Callable[[Endpoint, int, bool], int | None]
"""Makes one access, a write or not, under an ID at a unit; returns the physical address, or None when it is refused."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A board that can be programmed: a simulated one, or one that QEMU emulates.

    Attributes:
        memory: its physical memory; of a simulated one all of the address space is memory.
        platform: what drivers see of it.
        models: its units by name; of an emulated one, models that hold what its units hold now.
        kinds: what they are, as the topology says it.
        ports: the same, taken over with every device denied.
        private: `(start, length)` of tables and registers, which no device may be granted.
        dma: makes a device access memory; its unit records what it refuses.
        hardware: what the units are, when they are no models of ours; else empty.
        sent: the IDs under which `dma` can access memory; None: all.
        close: ends it.
    """

    memory: Memory
    platform: Platform
    models: Mapping[str, Model]
    kinds: Mapping[str, str]
    ports: dict[str, Port]
    private: tuple[tuple[int, int], ...]
    dma: Dma
    hardware: str = ""
    sent: frozenset[int] | None = None
    close: Callable[[], None] = lambda: None


def simulate(
    topology: Topology, make_memory: Callable[[list[tuple[int, int]]], Memory] = Memory, *, caching: bool = True
) -> Machine:
    """Make a board with the units of a topology that are enabled and of a kind that is driven.

    Args:
        topology: of the board.
        make_memory: makes its memory from `(start, length)` ranges.
        caching: whether units remember what they have read; of VT-d, they always do.
    """
    bits = _physical_bits(topology)
    memory = make_memory([(0, 1 << bits)])
    platform = Simulated(memory)
    top = (1 << bits) - TABLES
    pages = PageAllocator(platform, top, TABLES)
    models: dict[str, Model] = {}
    ports: dict[str, Port] = {}
    private = [(top, TABLES)]
    for unit in topology.iommus.values():
        if not unit.enabled or unit.base is None or unit.base >= top or unit.kind not in DRIVEN:
            continue
        length = _attach(unit, platform, models, bits, caching=caching)
        private.append((unit.base, length))
        ports[unit.name] = open_port(unit, unit.base, platform, pages, bits)
    kinds = {name: topology.iommus[name].kind for name in models}

    def dma(place: Endpoint, address: int, write: bool) -> int | None:  # noqa: FBT001 - as `Dma`
        return send(models[place.unit], kinds[place.unit], place.identifier, address, write=write)

    return Machine(memory, platform, models, kinds, ports, tuple(private), dma)


def _attach(unit: Iommu, platform: Simulated, models: dict[str, Model], bits: int, *, caching: bool) -> int:
    """Put the model of a unit at its registers, and return their length."""
    memory, base = platform.memory, unit.base or 0
    if unit.kind == "vtd":
        from ..iommu.vtd.layout import CAP, ECAP
        from ..iommu.vtd.model import Hardware, RemappingUnit

        remapping = RemappingUnit(memory, Hardware(CAP(_CAP), ECAP(_ECAP), haw=bits))
        models[unit.name] = remapping
        platform.attach(base, VTD_REGISTERS, remapping)
        return VTD_REGISTERS
    if unit.kind == "amdvi":
        from ..iommu.amdvi.layout.registers import REGISTERS_SIZE as AMDVI_REGISTERS
        from ..iommu.amdvi.model import Hardware as AmdviHardware
        from ..iommu.amdvi.model import Unit as AmdviUnit

        amdvi = AmdviUnit(memory, AmdviHardware(physical_bits=bits))
        amdvi.caches.filling = caching
        models[unit.name] = amdvi
        platform.attach(base, AMDVI_REGISTERS, amdvi)
        return AMDVI_REGISTERS
    if unit.kind == "riscv-iommu":
        from ..iommu.riscv.layout.registers import REGISTERS_SIZE as RISCV_REGISTERS
        from ..iommu.riscv.model import Capabilities
        from ..iommu.riscv.model import Model as RiscvModel

        caps = Capabilities()
        iommu = RiscvModel(memory, replace(caps, register=caps.register.replace(PAS=bits)), caching=caching)
        models[unit.name] = iommu
        platform.attach(base, RISCV_REGISTERS, iommu)
        return RISCV_REGISTERS
    if unit.kind in BEFORE_SMMUV3:
        from ..iommu.smmuv2.model import Model as SmmuV2Model

        smmu = SmmuV2Model(memory, _smmuv2_capabilities(unit, bits), caching=caching)
        models[unit.name] = smmu
        platform.attach(base, smmu.pages.total, smmu)
        return smmu.pages.total
    from ..iommu.smmuv3 import REGISTERS_SIZE
    from ..iommu.smmuv3.model import Model

    model = models[unit.name] = Model(memory, caching=caching)
    platform.attach(base, REGISTERS_SIZE, model)
    return REGISTERS_SIZE


def _smmuv2_capabilities(unit: Iommu, bits: int) -> SmmuV2Capabilities:
    """Return what a modelled SMMUv1 or SMMUv2 has: as many context banks as its registers have room for, at least 8."""
    from ..iommu.smmuv2.model import Capabilities
    from ..iommu.smmuv2.names import SIZES

    caps = Capabilities()
    # Pages of 4 KiB, half of them global ones and half of them context banks.
    room = min(max((unit.size or 0) >> 13, 8).bit_length() - 1, 8)
    id1 = caps.id1.replace(NUMPAGENDXB=room - 1, NUMCB=min(1 << room, 128))
    if unit.kind == "smmuv1":
        id0, id2 = caps.id0.replace(S1TS=0, EXIDS=0), ID2_SMMUV1
        return replace(caps, id0=id0, id1=id1, id2=type(caps.id2)(id2))
    code = max((code for code, size in enumerate(SIZES) if size <= bits), default=0)
    return replace(caps, id1=id1, id2=caps.id2.replace(IAS=code, OAS=code))


def _physical_bits(topology: Topology) -> int:
    """Return the least host address width that a source states, or that a unit has."""
    widths = [int(fact.value) for fact in topology.facts if fact.name in _WIDTHS]
    if any(unit.kind == "smmuv1" and unit.enabled for unit in topology.iommus.values()):
        widths.append(SMMUV1_BITS)
    return min([PHYSICAL_BITS, *(width for width in widths if width > 30)])  # noqa: PLR2004 - room for the tables
