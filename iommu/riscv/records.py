"""Fault records as people work with them, from the 32 bytes that the hardware leaves."""

from __future__ import annotations

from dataclasses import dataclass

from .layout.queues import FaultRecord
from .names import SECOND_STAGE_CAUSES, TTYPS, Cause, TransactionType, cause_words

_WRITES = frozenset((TransactionType.UNTRANSLATED_WRITE, TransactionType.TRANSLATED_WRITE))
_EXECUTES = frozenset((TransactionType.UNTRANSLATED_EXECUTE, TransactionType.TRANSLATED_EXECUTE))


@dataclass(frozen=True, slots=True)
class ReportedFault:
    """One fault (RISC-V IOMMU 3.2). A field that this kind of fault does not have is None.

    Attributes:
        cause: cause number; `name` and `meaning` say it in words.
        transaction: TTYP, 0 when no transaction is the reason.
        device_id: device ID, 24 bits.
        process_id: process ID, None without.
        privileged: the transaction asked for supervisor privilege.
        address: IOVA of the transaction; its low 12 bits may be missing.
        value: iotval where it is no IOVA: a message code, or what the cause says.
        gpa: guest physical address of a second-stage fault.
        implicit: the second stage failed for an access to a first-stage table or process directory.
        implicit_write: and that was an update of accessed and dirty bits.
        reserved: bits that are set but have no meaning.
        raw: the 32 bytes as they were read.
    """

    cause: int
    transaction: int
    device_id: int | None
    process_id: int | None
    privileged: bool | None
    address: int | None
    value: int | None
    gpa: int | None
    implicit: bool | None
    implicit_write: bool | None
    reserved: int
    raw: bytes

    @property
    def name(self) -> str:
        """Name of the cause, such as `READ_PAGE_FAULT`; the number when it is not a known one."""
        try:
            return Cause(self.cause).name
        except ValueError:
            return str(self.cause)

    @property
    def meaning(self) -> str:
        """What the cause means, as a clause."""
        return cause_words(self.cause)

    @property
    def write(self) -> bool:
        """The transaction was a write, or an atomic operation."""
        return self.transaction in _WRITES

    @property
    def execute(self) -> bool:
        """The transaction was a read for execution."""
        return self.transaction in _EXECUTES

    def __str__(self) -> str:
        """Say it in one line, such as `device 0x18 untranslated read of 0x1000: ... (READ_PAGE_FAULT, cause 13)`."""
        who = "the unit" if self.device_id is None else f"device 0x{self.device_id:x}"
        if self.process_id is not None:
            who += f" process 0x{self.process_id:x}"
        if self.transaction:
            who += f" {TTYPS.get(self.transaction, f'transaction of type {self.transaction}')}"
        if self.address is not None:
            who += f" of 0x{self.address:x}"
        during = " while walking the first stage" if self.implicit else ""
        return f"{who}: {self.meaning}{during} ({self.name}, cause {self.cause})"


def decode_fault(raw: bytes) -> ReportedFault:
    """Return the record in the 32 bytes of a fault-queue entry. Raises ValueError for another length."""
    bits = FaultRecord.from_bytes(raw)
    addressed = TTYPS.get(bits.TTYP) is not None and bits.TTYP != TransactionType.MESSAGE
    guest = bits.CAUSE in SECOND_STAGE_CAUSES
    return ReportedFault(
        cause=bits.CAUSE,
        transaction=bits.TTYP,
        device_id=bits.DID if bits.TTYP else None,
        process_id=bits.PID if bits.PV else None,
        privileged=bool(bits.PRIV) if bits.PV else None,
        address=bits.iotval if addressed else None,
        value=None if addressed else bits.iotval,
        gpa=bits.iotval2 & ~3 if guest else None,
        implicit=bool(bits.iotval2 & 1) if guest else None,
        implicit_write=bits.iotval2 & 3 == 3 if guest else None,
        reserved=bits.reserved,
        raw=bytes(raw),
    )
