"""Events: from a fault to the 32 bytes of its record, and the queue they go to (IHI 0070 clauses 7.2 to 7.4)."""

from __future__ import annotations

from ...errors import IommuError
from ...platform import Memory
from ..layout.queues import EVENTS, Event
from ..names import EventNumber, FaultClass
from .values import FETCH, PRIVILEGED, WRITE, Fault, Transaction

TRANSLATION_FAULTS = frozenset((0x10, 0x11, 0x12, 0x13))
_IGNORES_PAGE_OFFSET = TRANSLATION_FAULTS | {0x07, 0x0B, 0x20}
BEFORE_STE = frozenset((0x01, 0x02, 0x03, 0x04))
"""Events that may be merged whatever STE.MEV says."""
EVENT_SIZE = 32


def event_record(  # one line a field
    fault: Fault, transaction: Transaction, code: int, stag: int | None
) -> bytes:
    """Return the record of a fault; `code` is the access code after overrides, `stag` is set if it stalls."""
    number = fault.number
    fields = {"Number": number, "StreamID": transaction.stream_id}
    if transaction.substream_id is not None:
        fields["SubstreamID"] = transaction.substream_id
        if number != EventNumber.C_BAD_SUBSTREAMID:  # whose SubstreamID is always valid: it has no SSV
            fields["SSV"] = 1
    layout = EVENTS[number]
    if hasattr(layout, "InputAddr"):
        fields["InputAddr"] = transaction.address
    if hasattr(layout, "RnW"):
        fields["RnW"] = int(code & 3 != WRITE)
    if hasattr(layout, "InD"):
        fields |= {"InD": int(code & 3 == FETCH), "PnU": int(bool(code & PRIVILEGED)), "S2": int(fault.stage2)}
    if hasattr(layout, "CLASS"):
        fields["CLASS"] = fault.kind
    if hasattr(layout, "FetchAddr"):
        fields["FetchAddr"] = fault.fetch
    if hasattr(layout, "IPA"):
        fields["IPA"] = fault.ipa if fault.stage2 else 0
    if stag is not None:
        fields |= {"Stall": 1, "STAG": stag}
    if number == EventNumber.F_PERMISSION and fault.kind == FaultClass.TT:
        fields["TTRnW"] = int(fault.tt_read)
    return _compose(layout, fields)


def _compose(layout: type[Event], fields: dict[str, int]) -> bytes:
    """Return a record with fields set, of addresses the bits that the field has: `Bits` would be too slow here."""
    value = 0
    for name, number in fields.items():
        if number:
            field = getattr(layout, name)
            value |= number >> field.low << field.shift
    return value.to_bytes(EVENT_SIZE, "little")


def mergeable(record: bytes) -> bytes:
    """Return a record as it is compared for merging: for some events the low 12 bits of InputAddr do not count."""
    if record[0] in _IGNORES_PAGE_OFFSET:
        return record[:16] + bytes([0, record[17] & 0xF0]) + record[18:]
    return record


class OutputQueue:
    """A queue that hardware fills: events or page requests.

    Indexes hold the position and, one bit above it, the wrap flag; an overflow toggles OVFLG until it is acknowledged.
    """

    def __init__(self, memory: Memory, size: int, most: int) -> None:
        """Make a disabled queue of entries of `size` bytes, at most 2^most of them."""
        self._memory = memory
        self._size = size
        self._most = most
        self.enabled = False
        self.aborted = False
        self.base = 0
        self.log2size = 0
        self.prod = self.cons = 0
        self.overflow = self.acknowledged = 0
        self.last = b""

    @property
    def _wrap(self) -> int:
        return 1 << min(self.log2size, self._most)

    @property
    def empty(self) -> bool:
        """Nothing to consume."""
        return (self.prod ^ self.cons) & (2 * self._wrap - 1) == 0

    @property
    def full(self) -> bool:
        """No place left."""
        return (self.prod ^ self.cons) & (2 * self._wrap - 1) == self._wrap

    @property
    def writable(self) -> bool:
        """Entries can be written."""
        return self.enabled and not self.aborted and not self.full

    def put(self, record: bytes) -> bool:
        """Write a record and tell whether it is in the queue. Where the write aborts, `aborted` is set."""
        if not self.writable:
            if self.enabled and not self.aborted and self.overflow == self.acknowledged:
                self.overflow ^= 1
            return False
        wrap = self._wrap
        base = self.base & -max(wrap * self._size, 32)
        try:
            self._memory.write(base + (self.prod & wrap - 1) * self._size, record)
        except IommuError:
            self.aborted = True
            return False
        self.prod = (self.prod + 1) & (2 * wrap - 1)
        self.last = record
        return True
