"""Faults as people work with them, from the fault registers as they were read."""

from __future__ import annotations

from dataclasses import dataclass

from .layout import CBFRSYNRA, FSR, FSYNR0, GFSR, GFSYNR0, GFSYNR1, ContextFault, GlobalFault
from .names import CONTEXT_FLAGS, GLOBAL_FLAGS


@dataclass(frozen=True, slots=True)
class ReportedFault:
    """One fault (IHI 0062 D.c, 3.10).

    Attributes:
        bank: context bank that found it; None for a global fault.
        code: FSR or sGFSR.
        name: flags that are set, such as `TF`.
        meaning: what they mean, as a clause.
        stream_id: stream ID of the transaction.
        address: input address of the transaction; for a bank of stage 2 it is the IPA too.
        write: the transaction was a write.
        instruction: it fetched instructions.
        privileged: it was privileged.
        level: level of the table at which a bank found the fault, None for a global fault.
        walk: it happened on the way through the tables.
        stalled: the transaction waits for RESUME.
        more: further faults came while the registers were full (MULTI); what they were is lost.
        raw: the registers as `layout.ContextFault` or `layout.GlobalFault` has them.
    """

    bank: int | None
    code: int
    name: str
    meaning: str
    stream_id: int
    address: int
    write: bool
    instruction: bool
    privileged: bool
    level: int | None
    walk: bool
    stalled: bool
    more: bool
    raw: bytes

    def __str__(self) -> str:
        """Say it in one line, such as `stream 0x18 read of 0x1000: the address is not mapped (TF, bank 2, level 3)`."""
        kind = "write" if self.write else "fetch" if self.instruction else "read"
        where = "global" if self.bank is None else f"bank {self.bank}, level {self.level}"
        return f"stream 0x{self.stream_id:x} {kind} of 0x{self.address:x}: {self.meaning} ({self.name}, {where})"


def decode_context(raw: bytes, bank: int) -> ReportedFault:
    """Return the fault in the 36 bytes of a context bank's registers. Raises ValueError for another length."""
    if len(raw) != ContextFault.size:
        raise ValueError(f"a context bank's fault registers are {ContextFault.size} bytes, not {len(raw)}")
    whole = ContextFault.from_bytes(raw)
    status, syndrome = FSR(whole.FSR), FSYNR0(whole.FSYNR0)
    name, meaning = _words(dict(status.items()), CONTEXT_FLAGS)
    return ReportedFault(
        bank, whole.FSR, name, meaning, CBFRSYNRA(whole.CBFRSYNRA).StreamID, whole.FAR, bool(syndrome.WNR),
        bool(syndrome.IND), bool(syndrome.PNU), syndrome.PLVL, bool(syndrome.PTWF), bool(status.SS),
        bool(status.MULTI), bytes(raw),
    )  # fmt: skip


def decode_global(raw: bytes) -> ReportedFault:
    """Return the fault in the 32 bytes of the global fault registers. Raises ValueError for another length."""
    whole = GlobalFault.from_bytes(raw)
    status, syndrome = GFSR(whole.GFSR), GFSYNR0(whole.GFSYNR0)
    name, meaning = _words(dict(status.items()), GLOBAL_FLAGS)
    return ReportedFault(
        None, whole.GFSR, name, meaning, GFSYNR1(whole.GFSYNR1).StreamID, whole.GFAR, bool(syndrome.WNR),
        bool(syndrome.IND), bool(syndrome.PNU), None, False, False, bool(status.MULTI), bytes(raw),  # noqa: FBT003
    )  # fmt: skip


def _words(fields: dict[str, int], meanings: dict[str, str]) -> tuple[str, str]:
    """Return the names of the flags that are set, and what they mean."""
    names = [name for name in meanings if fields[name]]
    return " ".join(names), "; ".join(meanings[name] for name in names) or "no fault flag is set"
