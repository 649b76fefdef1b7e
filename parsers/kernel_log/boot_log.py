"""What a kernel's log says of a board: the units, reserved regions and groups that the kernel found and made."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import islice

from .reader import read_kernel_log
from .records import BootFact, BootGroup, BootReserved, BootUnit

MAX_BOOT = 20_000
"""Most records that are taken; servers with a thousand functions have two thousand."""


@dataclass(frozen=True, slots=True)
class BootLog:
    """What one log says, each in the order of its lines. A log of several boots says it several times.

    Attributes:
        source: name of the log.
        units: IOMMUs.
        reserved: reserved memory regions (RMRR); the lines do not tell whose.
        groups: devices and their isolation groups.
        facts: what else is said of IOMMUs.
    """

    source: str
    units: tuple[BootUnit, ...]
    reserved: tuple[BootReserved, ...]
    groups: tuple[BootGroup, ...]
    facts: tuple[BootFact, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing is said."""
        return not (self.units or self.reserved or self.groups or self.facts)


def parse_boot_log(data: bytes, source: str = "") -> BootLog:
    """Read what a log says of a board; faults are passed by."""
    kinds = (BootUnit, BootReserved, BootGroup, BootFact)
    log = read_kernel_log(io.BytesIO(data), name=source)
    records = list(islice((record for record in log if isinstance(record, kinds)), MAX_BOOT))
    return BootLog(
        source,
        tuple(record for record in records if isinstance(record, BootUnit)),
        tuple(record for record in records if isinstance(record, BootReserved)),
        tuple(record for record in records if isinstance(record, BootGroup)),
        tuple(record for record in records if isinstance(record, BootFact)),
    )
