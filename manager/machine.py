"""A board of models: memory and one model for each unit that can be modelled, and the ports that drive them.

The same drivers program the models that program hardware. Tables lie at the top of the physical address space, where no
client may be granted anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..iommu import Memory, PageAllocator, Simulated
from ..topology import Iommu, Topology
from .ports import DRIVEN, Port, open_port

if TYPE_CHECKING:
    from ..iommu.smmuv3.model import Model
    from ..iommu.vtd.model import RemappingUnit

PHYSICAL_BITS = 48
"""Bits of a physical address where no source says."""

TABLES = 1 << 30
"""Bytes kept for the tables of all units."""

VTD_REGISTERS = 0x1000
_CAP = 0xD2008C222F0606
_ECAP = 0xF00F4A
"""Capability registers of the modelled VT-d units: four levels, pages of 4 KiB to 1 GiB, queued invalidation."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A simulated board.

    Attributes:
        memory: its physical memory; all of the address space is memory.
        platform: what drivers see of it.
        models: the units that are modelled, by name.
        ports: the same, taken over with every device denied.
        private: `(start, length)` of tables and registers, which no device may be granted.
    """

    memory: Memory
    platform: Simulated
    models: dict[str, Model | RemappingUnit]
    ports: dict[str, Port]
    private: tuple[tuple[int, int], ...]


def simulate(
    topology: Topology, make_memory: Callable[[list[tuple[int, int]]], Memory] = Memory, *, caching: bool = True
) -> Machine:
    """Make a board with the units of a topology that are enabled and of a kind that is driven.

    Args:
        topology: of the board.
        make_memory: makes its memory from `(start, length)` ranges.
        caching: whether SMMUs remember what they have read.
    """
    bits = _physical_bits(topology)
    memory = make_memory([(0, 1 << bits)])
    platform = Simulated(memory)
    top = (1 << bits) - TABLES
    pages = PageAllocator(platform, top, TABLES)
    models: dict[str, Model | RemappingUnit] = {}
    ports: dict[str, Port] = {}
    private = [(top, TABLES)]
    for unit in topology.iommus.values():
        if not unit.enabled or unit.base is None or unit.base >= top or unit.kind not in DRIVEN:
            continue
        length = _attach(unit, platform, models, bits, caching=caching)
        private.append((unit.base, length))
        ports[unit.name] = open_port(unit, unit.base, platform, pages, bits)
    return Machine(memory, platform, models, ports, tuple(private))


def send(model: Model | RemappingUnit, identifier: int, address: int, *, write: bool) -> int | None:
    """Let a unit take one request, and return the physical address; None when it is refused, which the unit records.

    Args:
        model: the unit.
        identifier: stream ID or source ID that the request carries.
        address: of the byte that is accessed.
        write: whether it is written.
    """
    from ..iommu.vtd.model import RemappingUnit

    if isinstance(model, RemappingUnit):
        from ..iommu.vtd.model import READ, WRITE

        found = model.translate(identifier, address, WRITE if write else READ)
        return found if isinstance(found, int) else None
    from ..iommu.smmuv3.model import READ as STREAM_READ
    from ..iommu.smmuv3.model import WRITE as STREAM_WRITE

    physical = model.translate(identifier, address, STREAM_WRITE if write else STREAM_READ)
    return None if physical < 0 else physical


def _attach(
    unit: Iommu, platform: Simulated, models: dict[str, Model | RemappingUnit], bits: int, *, caching: bool
) -> int:
    """Put the model of a unit at its registers, and return their length."""
    memory, base = platform.memory, unit.base or 0
    if unit.kind == "vtd":
        from ..iommu.vtd.layout import CAP, ECAP
        from ..iommu.vtd.model import Hardware, RemappingUnit

        remapping = RemappingUnit(memory, Hardware(CAP(_CAP), ECAP(_ECAP), haw=bits))
        models[unit.name] = remapping
        platform.attach(base, VTD_REGISTERS, remapping)
        return VTD_REGISTERS
    from ..iommu.smmuv3 import REGISTERS_SIZE
    from ..iommu.smmuv3.model import Model

    model = models[unit.name] = Model(memory, caching=caching)
    platform.attach(base, REGISTERS_SIZE, model)
    return REGISTERS_SIZE


def _physical_bits(topology: Topology) -> int:
    """Return the least host address width that a source states."""
    widths = [int(fact.value) for fact in topology.facts if fact.name == "host address width"]
    return min([PHYSICAL_BITS, *(width for width in widths if width > 30)])  # noqa: PLR2004 - room for the tables
