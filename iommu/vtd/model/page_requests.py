"""The page request queue: what devices with ATS ask software to bring in, VT-d 7.4.1 and 7.6."""

from __future__ import annotations

from ...errors import IommuError
from ...platform import Memory
from ..layout import PQA, PQH, PQT, PRS, PageRequest
from .events import Event
from .registers import RegisterFile


class PageRequestQueue:
    """Puts page requests into memory for software."""

    def __init__(self, memory: Memory, registers: RegisterFile, event: Event) -> None:
        """Use the queue that PQA names."""
        self._memory = memory
        self._registers = registers
        self._event = event

    def put(self, request: PageRequest) -> bool:
        """Append a request and tell whether it was kept: not while an overflow is pending, nor into a full queue."""
        registers = self._registers
        status = registers.get(PRS)
        if status.PRO:
            return False
        address = registers.get(PQA)
        size = 4096 << address.PQS
        head, tail = registers.get(PQH).PQH, registers.get(PQT).PQT % size
        after = (tail + PageRequest.size) % size
        kept = after != head
        if kept:
            try:
                self._memory.write(address.PQA + tail, bytes(request))
            except IommuError:
                kept = False
        if kept:
            registers.set(PQT(PQT=after))
        registers.set(status.replace(PPR=1) if kept else status.replace(PRO=1))
        self._event.raise_(already=bool(status.value))
        return kept
