"""Bytes of a FADT to records."""

from __future__ import annotations

from ..record import Raw, Report
from . import names
from .records import Fadt, GenericAddress, HypervisorIdentity, Pointers, Reset

CLAUSE = "ACPI 6.5 §5.2.9"

_PARTS: tuple[tuple[type[GenericAddress | Reset | Pointers | HypervisorIdentity], str], ...] = (
    (GenericAddress, names.RESET_REGISTER),
    (Reset, ""),
    (Pointers, ""),
    *((GenericAddress, name) for name in (*names.BLOCKS, *names.SLEEP_REGISTERS)),
    (HypervisorIdentity, ""),
)
"""What follows the part that ACPI 1.0 had, in its order, with the name of the register."""


def read_fadt(data: bytes, offset: int, report: Report) -> Fadt:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there."""
    at = offset + Fadt.LAYOUT.size
    parts: list[GenericAddress | Reset | Pointers | HypervisorIdentity] = []
    for kind, name in _PARTS:
        if at + kind.LAYOUT.size > len(data):
            break
        parts.append(kind.read(data, at, register=name) if kind is GenericAddress else kind.read(data, at))
        at += kind.LAYOUT.size
    rest = None
    if left := len(data) - at:
        rest = Raw(at, data[at:])
        # Some firmware of the time of ACPI 1.5 ends with the reset value: 129 bytes.
        report(
            "FADT-LENGTH", "note", at, left, "the table ends within a field or after the last one", field="Length",
            found=str(len(data)), expected="116, 132, 244, 268 or 276", clause=CLAUSE,
            advice="the bytes after the last whole field are kept as raw data",
        )  # fmt: skip
    return Fadt.read(data, offset, parts=tuple(parts), rest=rest)
