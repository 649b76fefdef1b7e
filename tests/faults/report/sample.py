"""Hand-made faults that the tests of the report share."""

from __future__ import annotations

from typing import Any

from iommuman.base import Origin
from iommuman.faults import Fault

MS = 1_000_000
START = 1_795_224_952_891 * MS
"""2026-11-21 01:35:52.891 UTC."""


def fault(at: int | None = None, **others: Any) -> Fault:
    """Return a blocked write of 0000:02:01.0, `at` milliseconds after START; keywords change it."""
    values: dict[str, Any] = {
        "origin": Origin("dmesg", line=7),
        "architecture": "vtd",
        "driver": "DMAR",
        "iommu": "dmar0",
        "reason": "the write permission is missing",
        "name": "SGN.3",
        "code": 0x53,
        "time": None if at is None else START + at * MS,
        "clock": "" if at is None else "utc",
        "segment": 0,
        "identifier": 0x208,
        "address": 0x7D000010,
        "access": "write",
    }
    return Fault(**values | others)


def overflow(at: int) -> Fault:
    """Return the notice of an overflow that does not say how many records it cost."""
    return fault(
        at, reason="the fault recording registers were full", name="PFO", code=None, segment=None, identifier=None,
        address=None, access="", lost=True, count=0,
    )  # fmt: skip


def suppressed(at: int, count: int) -> Fault:
    """Return the notice of a kernel that it kept `count` lines back."""
    return fault(
        at, iommu="", reason="the kernel did not print so many messages", name="", code=None, segment=None,
        identifier=None, address=None, access="", lost=True, count=count,
    )  # fmt: skip


def session() -> list[Fault]:
    """Return a storm of one device, another unit that faults with it, a fault at start-up, and two losses."""
    found = [fault(None, time=1_500_000_000, clock="boot", identifier=0x18, address=0x0, access="read", name="RTA.1",
                   reason="the present bit of the root entry is clear")]  # fmt: skip
    for index in range(12):
        found.append(fault(20 * index, address=0x7D000000 + 0x800 * index))
        if index % 4 == 0:
            found.append(fault(20 * index + 1, iommu="dmar1", identifier=0x4100, address=0xFEE00000, count=2))
    return [*found, overflow(240), suppressed(241, 40), fault(5000, segment=None, identifier=0x9, address=None)]
