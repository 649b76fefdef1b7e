"""One access of a device, shown as hardware takes it: each structure that is read on the way, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..iommu import Memory
from .incidents import Incident
from .machine import Machine
from .manager import Manager
from .models import send
from .ports import GRANULE

if TYPE_CHECKING:
    from ..iommu.vtd.model import RemappingUnit
    from .survey import Endpoint


@dataclass(frozen=True, slots=True)
class Step:
    """A structure that the unit read: what it is, where it is, and its bytes as a number (little-endian)."""

    what: str
    address: int
    size: int
    value: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes of a part of an access that lies in one page.

    Attributes:
        address: device address.
        length: in bytes.
        physical: where it goes; None when it is refused.
        steps: what the unit read to find out.
        incident: what the unit recorded, when it is refused and recorded.
    """

    address: int
    length: int
    physical: int | None
    steps: tuple[Step, ...]
    incident: Incident | None


class TracedMemory(Memory):
    """Memory that notes what is read, while asked to.

    Attributes:
        trace: `(address, size, value)` of every read since it was made a list; None: not asked.
    """

    def __init__(self, ranges: list[tuple[int, int]], path: Path | None = None) -> None:
        """Make memory of these `(start, length)` ranges, in a file if one is named; see `Memory`."""
        super().__init__(ranges, path)
        self.trace: list[tuple[int, int, int]] | None = None

    def read(self, address: int, size: int) -> bytes:
        """Return bytes, as `Memory.read` does."""
        data = super().read(address, size)
        if self.trace is not None:
            self.trace.append((address, size, int.from_bytes(data, "little")))
        return data

    def read_u64(self, address: int) -> int:
        """Return a doubleword, as `Memory.read_u64` does."""
        value = super().read_u64(address)
        if self.trace is not None:
            self.trace.append((address, 8, value))
        return value


def access(
    machine: Machine, manager: Manager, endpoint: Endpoint, address: int, length: int, *, write: bool
) -> Iterator[Piece]:
    """Make one access page by page, as the device that sends this ID, and yield what becomes of each part.

    The machine is one of `simulate(topology, TracedMemory, caching=False)`: units then read everything anew; or one of
    `emulate(topology, traced=True)`.
    Incidents go to clients and sinks as any do.
    """
    memory = machine.memory
    assert isinstance(memory, TracedMemory)
    end = address + length
    while address < end:
        size = min(end - address, GRANULE - address % GRANULE)
        trace: list[tuple[int, int, int]] = []
        memory.trace = trace
        physical = _send(machine, memory, endpoint, address, write=write)
        memory.trace = None
        steps = tuple(_NAMES[machine.kinds[endpoint.unit]](trace))
        incident = next((one for one in manager.poll() if one.refusal.identifier == endpoint.identifier), None)
        yield Piece(address, size, physical, steps, incident)
        address += size


def _send(machine: Machine, memory: TracedMemory, place: Endpoint, address: int, *, write: bool) -> int | None:
    """Make the access, with what the unit reads noted once, and then recorded by the unit."""
    model, kind = machine.models[place.unit], machine.kinds[place.unit]
    if kind == "vtd":
        from ..iommu.vtd.model import READ, WRITE

        # A VT-d unit remembers: what is shown is walked with nothing remembered.
        cast("RemappingUnit", model).walk(place.identifier, address, WRITE if write else READ)
    elif machine.hardware:  # by a model of what the hardware holds, which has no queue for events
        send(model, kind, place.identifier, address, write=write)
    else:
        return machine.dma(place, address, write)
    memory.trace = None
    return machine.dma(place, address, write)


def _vtd_steps(trace: list[tuple[int, int, int]]) -> Iterator[Step]:
    """Name root entry, context entry (two doublewords each) and second-stage entries (VT-d 9.1, 9.3, 9.8)."""
    from ..iommu.vtd.layout import ContextEntry

    levels = 0
    for what, at in (("root entry", 0), ("context entry", 2)):
        pair = trace[at : at + 2]
        if len(pair) == 2:  # noqa: PLR2004 - a doubleword each
            value = pair[0][2] | pair[1][2] << 64
            levels = ContextEntry(value).AW + 2
            yield Step(what, pair[0][0], 16, value)
    for index, (address, size, value) in enumerate(trace[4:]):
        yield Step(f"second-stage entry of level {levels - index}", address, size, value)


def _smmu_steps(trace: list[tuple[int, int, int]]) -> Iterator[Step]:
    """Name level 1 stream table descriptor, STE and stage 2 descriptors (IHI 0070 5.1, 5.2; DDI 0487 D8.3)."""
    from ..iommu.smmuv3.layout import STE

    number = 0
    configured = False
    for address, size, value in trace:
        if size == STE.size:
            configured = True
            yield Step("stream table entry (STE)", address, size, value)
        elif not configured:
            yield Step("level 1 stream table descriptor", address, size, value)
        else:
            number += 1
            yield Step(f"stage 2 descriptor, step {number}", address, size, value)


def _riscv_steps(trace: list[tuple[int, int, int]]) -> Iterator[Step]:
    """Name entries of the device directory, device context and second-stage entries (RISC-V IOMMU 2.1, 2.3)."""
    from ..iommu.riscv.layout import DC

    sizes = [size for _, size, _ in trace]
    directory = sizes.index(DC.size) if DC.size in sizes else len(sizes)
    levels = DC(trace[directory][2]).iohgatp_MODE - 5 if directory < len(trace) else 0
    for index, (address, size, value) in enumerate(trace):
        if index < directory:
            yield Step(f"device directory entry, step {index + 1}", address, size, value)
        elif index == directory:
            yield Step("device context (DC)", address, size, value)
        else:
            yield Step(f"second-stage entry of level {levels - index + directory}", address, size, value)


def _amdvi_steps(trace: list[tuple[int, int, int]]) -> Iterator[Step]:
    """Name device table entry and host page-table entries (AMD 48882 2.2.2, 2.2.3)."""
    from ..iommu.amdvi.layout import DTE, PTE

    level = 0
    for address, size, value in trace:
        if size == DTE.size:
            level = DTE(value).Mode
            yield Step("device table entry (DTE)", address, size, value)
        else:
            yield Step(f"page-table entry of level {level}", address, size, value)
            level = PTE(value).NextLevel


def _smmuv2_steps(trace: list[tuple[int, int, int]]) -> Iterator[Step]:
    """Name stage 2 descriptors (DDI 0487 D8.3): all else is in registers, and nothing of it in memory."""
    for number, (address, size, value) in enumerate(trace, 1):
        yield Step(f"stage 2 descriptor, step {number}", address, size, value)


_NAMES = {
    "vtd": _vtd_steps,
    "smmuv3": _smmu_steps,
    "smmuv1": _smmuv2_steps,
    "smmuv2": _smmuv2_steps,
    "riscv-iommu": _riscv_steps,
    "amdvi": _amdvi_steps,
}
"""By kind of unit: names what was read, in the order of the architecture's walk."""
