"""Messages into memory-resident interrupt files (AIA 8.4): done by the IOMMU itself, as 2.3.3 lets it."""

from __future__ import annotations

from ...errors import IommuError
from ...platform import Memory
from ..names import Cause
from .values import Fault, Mrif

_MOST = 2047
"""Highest interrupt identity."""
_LITTLE, _BIG = 0, 4
"""Offsets of seteipnum_le and seteipnum_be in the page of an interrupt file."""


def store_message(memory: Memory, file: Mrif, offset: int, data: int) -> None:
    """Set the pending bit of an identity, and send the notice if it is enabled. Raises Fault.

    `offset` is that of the write in the page of the virtual interrupt file; one that is no message is discarded.
    """
    identity = int.from_bytes(data.to_bytes(4, "little"), "big") if offset == _BIG else data
    if offset not in (_LITTLE, _BIG) or not 0 < identity <= _MOST:
        return
    place, bit = file.address + (identity >> 6) * 16, 1 << (identity & 63)
    try:
        memory.write_u64(place, memory.read_u64(place) | bit)
        if memory.read_u64(place + 8) & bit:
            memory.write(file.notice, file.nid.to_bytes(4, "little"))
    except IommuError as error:
        corrupt = error.finding.rule == "MEMORY-CORRUPTION"
        kind = Cause.MRIF_CORRUPTION if corrupt else Cause.MRIF_ACCESS_FAULT
        raise Fault(kind, "memory-resident interrupt file") from None
