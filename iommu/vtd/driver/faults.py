"""Reading fault records and making room for new ones, VT-d 7.4."""

from __future__ import annotations

from dataclasses import dataclass

from ..layout import FRCD, FSTS
from ..records import FaultRecord, decode_fault
from .access import UnitAccess


@dataclass(frozen=True, slots=True)
class Faults:
    """What the unit had to report.

    Attributes:
        records: fault records, the oldest first.
        lost: more faults came than there were registers for; how many is not known.
    """

    records: tuple[FaultRecord, ...]
    lost: bool


def take_faults(unit: UnitAccess) -> Faults:
    """Return all pending fault records and clear them, so that the unit can record again."""
    status = unit.read(FSTS)
    count, base = unit.cap.NFR + 1, unit.cap.FRO * 16
    found: list[FaultRecord] = []
    # The oldest is at FRI; a record may come in while the others are read, so the walk goes on while F is set.
    index = status.FRI % count
    while status.PPF and len(found) < 2 * count:
        at = unit.base + base + 16 * index
        record = FRCD(unit.platform.read_mmio(at, 8) | unit.platform.read_mmio(at + 8, 8) << 64)
        if not record.F:
            break
        found.append(decode_fault(bytes(record)))
        unit.platform.write_mmio(at + 12, FRCD.F.mask >> 96, 4)
        index = (index + 1) % count
    if status.PFO:
        unit.write(FSTS(PFO=1))
    return Faults(tuple(found), bool(status.PFO))
