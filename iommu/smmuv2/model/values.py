"""What goes into the model and what comes out: capabilities, transactions, outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..layout.registers import ID0, ID1, ID2, ID7
from ..names import SIZES

READ, WRITE, FETCH = 0, 1, 2
"""Access codes of `Model.translate`: data read, data write, instruction read."""
PRIVILEGED = 4
"""Added to an access code for a privileged access."""

Result = Literal["done", "abort", "raz_wi", "stall"]


def _id0() -> ID0:
    return ID0(
        S1TS=1, S2TS=1, SMS=1, ATOSNS=1, PTFS_NO_AARCH32S=1, NUMIRPT=64, CTTW=1, NUMSIDB=15, EXIDS=1, NUMSMRG=128
    )


def _id2() -> ID2:
    return ID2(VMID16=1, PTFS_64K=1, PTFS_16K=1, PTFS_4K=1, UBS=5, OAS=5, IAS=5)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The identification registers of a model; by default an SMMUv2 with everything that is modelled, of 48 bits."""

    id0: ID0 = field(default_factory=_id0)
    id1: ID1 = field(default_factory=lambda: ID1(NUMPAGENDXB=5, NUMCB=64))
    id2: ID2 = field(default_factory=_id2)
    id7: ID7 = field(default_factory=lambda: ID7(MAJOR=2))

    @property
    def oas(self) -> int:
        """Bits of a physical address."""
        return SIZES[min(self.id2.OAS, len(SIZES) - 1)]

    def unmodelled(self) -> str:
        """Name the first capability that the model does not have, or return an empty string."""
        missing = (
            ("ID0.NTS", self.id0.NTS),
            ("ID0.ATOSNS", not self.id0.ATOSNS),
            ("ID0.PTFS_NO_AARCH32S", not self.id0.PTFS_NO_AARCH32S),
            ("ID0.NUMSMRG", self.id0.NUMSMRG > 128),
            ("ID1.NUMCB", self.id1.NUMCB > 2 << self.id1.NUMPAGENDXB),
            ("ID2.OAS", len(SIZES) <= self.id2.OAS),
            ("ID2.IAS", len(SIZES) <= self.id2.IAS),
        )
        return next((name for name, present in missing if present), "")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a device sends.

    Attributes:
        stream_id: 16 bits.
        address: 64 bits.
        write: a write; else a read.
        instruction: an instruction read; ignored for a write.
        privileged: with the privilege attribute.
    """

    stream_id: int
    address: int
    write: bool = False
    instruction: bool = False
    privileged: bool = False

    @property
    def access(self) -> int:
        """The access code."""
        return (WRITE if self.write else FETCH if self.instruction else READ) | PRIVILEGED * self.privileged


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a transaction.

    Attributes:
        result: `done` with `address`; `abort`; `raz_wi`: reads as zeros, writes vanish; `stall` until RESUME.
        address: physical address.
        bank: context bank that translated it, or found the fault; None where none did.
        reason: the flag of FSR or sGFSR, or why there is none; empty when nothing was wrong.
    """

    result: Result
    address: int | None = None
    bank: int | None = None
    reason: str = ""


class Fault(Exception):  # noqa: N818  # it never leaves the model
    """Why a transaction cannot go on.

    Attributes:
        flag: of FSR, or of sGFSR where no context bank is concerned.
        level: of the table.
        walk: it happened while a descriptor was fetched.
    """

    def __init__(self, flag: str, level: int = 0, *, walk: bool = False) -> None:
        """Make the fault."""
        super().__init__(flag, level)
        self.flag = flag
        self.level = level
        self.walk = walk
