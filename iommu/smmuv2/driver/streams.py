"""Stream mapping: which stream goes to which context bank (IHI 0062 D.c, stream mapping).

A stream that no entry names is denied by sCR0.USFCFG. An entry is written whole before the one store that makes it
valid, and is invalid again before it is used for something else; a stream goes from one bank to another in one store.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from ...errors import failure
from ..layout.registers import CR0, S2CR, SMR, ExtendedSMR
from ..names import StreamType
from .access import CLAUSE, UnitAccess

_FAULT = S2CR(TYPE=StreamType.FAULT)


class StreamTable:
    """The stream match and stream-to-context registers.

    Attributes:
        matching: entries name the streams that they are for; otherwise the n-th is for stream n.
        extended: entries compare 16 bits.
        bits: bits of a stream ID.
    """

    def __init__(self, unit: UnitAccess) -> None:
        """Look at what the unit has; nothing is written before `deny_all`."""
        self._unit = unit
        self._count = unit.id0.NUMSMRG
        self.matching = bool(unit.id0.SMS)
        self.extended = self.matching and bool(unit.id0.EXIDS)
        self.bits = 16 if self.extended else unit.id0.NUMSIDB
        self._entries: dict[tuple[int, int], int] = {}
        self._free = list(range(self._count))
        heapify(self._free)

    def deny_all(self) -> None:
        """Deny every stream, whatever the unit was doing: no store lets one through that was denied before it."""
        unit = self._unit
        # What is unmatched faults from here on, so that an entry that goes leaves no way around it.
        found = unit.read(CR0)
        unit.write(found.replace(USFCFG=1, GFRE=1))
        # All entries fault before the first becomes invalid: of two that match the same stream, which is a conflict,
        # the one that is left would let it through.
        for at in range(0, 4 * self._count, 4):
            unit.write(unit.read(S2CR, at).replace(TYPE=StreamType.FAULT), at)
        for at in range(0, 4 * self._count, 4):
            unit.write(_FAULT, at)
            if self.matching:
                unit.write(SMR(0), at)
        # Only now are clients' transactions subject to all this, if they were not.
        unit.write(CR0(GFRE=1, EXIDENABLE=int(self.extended), USFCFG=1, VMIDPNE=1, PTM=1))

    def set(self, stream: int, mask: int, bank: int | None) -> None:
        """Lead a stream to a context bank, or with None deny it. Bits of `mask` are those of the ID that do not count.

        Raises `IommuError`: `SMMU-REQUEST` for IDs that the unit has not, or that overlap those of another entry;
        `SMMU-STREAM-ENTRIES` when no entry is free.
        """
        self._check(stream, mask)
        key = stream & ~mask, mask
        index = self._entries.get(key)
        if bank is None:
            if index is not None:
                self._invalidate(index)
                del self._entries[key]
                heappush(self._free, index)
        elif index is not None:
            self._unit.write(self._target(bank), 4 * index)
        else:
            index = self._take(key)
            self._validate(index, *key, self._target(bank))
            self._entries[key] = index

    def _check(self, stream: int, mask: int) -> None:
        if stream < 0 or mask < 0 or (stream | mask) >> self.bits:
            raise self._unit.refuse(f"stream 0x{stream:x}, mask 0x{mask:x} exceed {self.bits} bits")
        if not self.matching and (mask or stream >= self._count):
            raise self._unit.refuse(f"the unit has an entry for each stream, and {self._count} of them, no masks")

    def _take(self, key: tuple[int, int]) -> int:
        stream, mask = key
        if not self.matching:
            return stream
        for other, ignored in self._entries:
            if not (stream ^ other) & ~(mask | ignored):
                raise self._unit.refuse(
                    f"stream 0x{stream:x}, mask 0x{mask:x} overlaps stream 0x{other:x}, mask 0x{ignored:x}"
                )
        if not self._free:
            raise failure(
                "SMMU-STREAM-ENTRIES", f"all {self._count} stream match entries are in use", self._unit.name,
                field="ID0.NUMSMRG", found=f"stream 0x{stream:x}", clause=CLAUSE,
                advice="attach fewer devices that have an ID each",
            )  # fmt: skip
        return heappop(self._free)

    def _target(self, bank: int) -> S2CR:
        return S2CR(TYPE=StreamType.TRANSLATE, CBNDX=bank, EXIDVALID=int(self.extended))

    def _validate(self, index: int, stream: int, mask: int, target: S2CR) -> None:
        """Make an entry valid: by the target where that has the valid bit, otherwise by the match."""
        unit, at = self._unit, 4 * index
        if self.extended:
            unit.write(ExtendedSMR(ID=stream, MASK=mask), at)
            unit.write(target, at)
            return
        unit.write(target, at)
        if self.matching:
            unit.write(SMR(ID=stream, MASK=mask, VALID=1), at)

    def _invalidate(self, index: int) -> None:
        unit, at = self._unit, 4 * index
        unit.write(_FAULT, at)
        if self.matching:
            unit.write(SMR(0), at)
