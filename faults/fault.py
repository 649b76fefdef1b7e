"""One fault, whatever said it: an event queue, a fault register, a line of a kernel's log, the manager.

A decoder fills in what its record holds and nothing more; `attribute` adds what a board's topology tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..base import Origin

Architecture = Literal["vtd", "smmuv3", "smmuv2", "amdvi", "riscv-iommu", "virtio-iommu", ""]
"""Kinds of units as the topology calls them; empty for a driver of another kind (`driver` names it then)."""

Access = Literal["read", "write", "execute", "atomic", "translation", "interrupt", ""]
"""What was tried: `translation` a request for a translation (ATS, PRI), `interrupt` a message-signalled interrupt;
empty: the record does not say."""

Clock = Literal["utc", "boot", "local", ""]
"""What `Fault.time` counts from: 1970 in UTC, the start of the machine, 1970 in an unknown time zone, or nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One refused or failed access, or one error that a unit reports of itself.

    Attributes:
        origin: the line, or the offset of the record.
        architecture: see `Architecture`.
        driver: what printed it, such as `DMAR`, `arm-smmu-v3`, `AMD-Vi`, `Xen`; empty for raw records.
        iommu: the unit as the source names it (`dmar0`, `2b400000.iommu`, `ivhd0`, `smmuv3@9050000`); empty: unnamed.
        reason: what was wrong, as a clause of plain English.
        name: the specification's name of the reason (`F_TRANSLATION`, `LGN.2`, `IO_PAGE_FAULT`); empty: it has none.
        code: its number.
        time: nanoseconds by `clock`; None: not known.
        clock: see `Clock`.
        segment: PCI segment of the ID, if it is a requester ID and the source tells.
        identifier: requester ID, stream ID or device ID; None: the record has none.
        substream: PASID or substream ID; None: none.
        device: the device as the source names it (`0000:01:00.0`, `mmc0`); empty: it names none.
        address: device address; None: the record has none. For an interrupt fault the index of its table entry.
        address_bits: low bits of `address` that the record does not hold (12: only the page is known).
        access: see `Access`.
        privileged: with supervisor privilege; None: not said.
        stage: stage of translation that failed, 1 or 2; None: not said.
        ipa: intermediate physical address; None: none.
        domain: domain ID or context bank, where the record has one.
        lost: it says that other records were lost (overflow, suppressed lines), and perhaps how many: `count`, else 0.
        count: how many accesses it stands for.
        facts: further fields of the record, for people: (name, value).
        raw: the record's bytes, or none.
        text: the lines that it was read from, joined by newlines; empty for raw records.
        place: what the address falls in, where somebody has laid the fault beside a board; no record holds it.
    """

    origin: Origin
    architecture: Architecture
    driver: str = ""
    iommu: str = ""
    reason: str = ""
    name: str = ""
    code: int | None = None
    time: int | None = None
    clock: Clock = ""
    segment: int | None = None
    identifier: int | None = None
    substream: int | None = None
    device: str = ""
    address: int | None = None
    address_bits: int = 0
    access: Access = ""
    privileged: bool | None = None
    stage: int | None = None
    ipa: int | None = None
    domain: int | None = None
    lost: bool = False
    count: int = 1
    facts: tuple[tuple[str, str | int], ...] = ()
    raw: bytes = b""
    text: str = ""
    place: str = ""
