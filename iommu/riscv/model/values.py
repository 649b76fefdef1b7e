"""What goes into the model and what comes out: capabilities, transactions, outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..layout.registers import CAPABILITIES, FCTL
from ..names import DirectoryMode, Signalling

READ, WRITE, FETCH = 0, 1, 2
"""Access codes of `Model.translate`: data read, data write or AMO, read for execute."""
PRIVILEGED = 4
"""Added to an access code for a transaction that asks for supervisor privilege."""

NEEDS = (2, 4, 8)
"""Permission bit of a page-table entry (R, W, X) by access code."""

ACCESS, PAGE, GUEST = 1, 12, 20
"""Causes of a read for execute; those of a read and of a write are `AFTER` further."""
AFTER = {ACCESS: (4, 6, 0), PAGE: (1, 3, 0), GUEST: (1, 3, 0)}
"""What to add to ACCESS, PAGE or GUEST, by access code."""

Kind = Literal["untranslated", "ats_request", "translated"]
Result = Literal["done", "abort"]
Status = Literal["success", "unsupported request", "completer abort"]


def _capabilities() -> CAPABILITIES:
    return CAPABILITIES(
        version=0x10, Sv39=1, Sv48=1, Sv57=1, Svpbmt=1, Sv39x4=1, Sv48x4=1, Sv57x4=1, AMO_MRIF=1, MSI_FLAT=1,
        MSI_MRIF=1, AMO_HWAD=1, ATS=1, T2GPA=1, IGS=Signalling.BOTH, DBG=1, PAS=56, PD8=1, PD17=1, PD20=1,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model has; by default everything that is modelled but extensions that came after 1.0.

    Attributes:
        register: the capabilities register.
        directories: values of ddtp.iommu_mode, beside Off and Bare, that it takes.
        vectors: number of interrupt vectors, a power of two up to 16.
        qos_bits: bits of RCID and MCID with capabilities.QOSID.
    """

    register: CAPABILITIES = field(default_factory=_capabilities)
    directories: frozenset[int] = frozenset((DirectoryMode.LVL1, DirectoryMode.LVL2, DirectoryMode.LVL3))
    vectors: int = 4
    qos_bits: int = 12

    @property
    def fctl(self) -> int:
        """Bits of fctl that can be written: WSI where there is a choice; BE and GXL are fixed."""
        return FCTL.WSI.mask if self.register.IGS == Signalling.BOTH else 0

    @property
    def process_bits(self) -> int:
        """Bits of the widest process ID; 0 without process directories."""
        register = self.register
        return 20 if register.PD20 else 17 if register.PD17 else 8 if register.PD8 else 0

    def unmodelled(self) -> str:
        """Name the first capability that the model does not have, or return an empty string."""
        register = self.register
        missing = (
            ("capabilities.version", register.version != 0x10),
            ("capabilities.END", register.END),  # big-endian structures
            ("capabilities.HPM", register.HPM),
            ("capabilities.IGS", register.IGS > Signalling.BOTH),
        )
        return next((name for name, present in missing if present), "")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a device sends.

    Attributes:
        device_id: 24 bits.
        address: 64 bits.
        write: a write or AMO; else a read. Of an ATS request: it does not say No Write.
        instruction: a read for execute; ignored for a write.
        privileged: it asks for supervisor privilege; without a process ID ignored.
        process_id: 20 bits, None without.
        kind: `ats_request` asks for a translation, `translated` brings a translated address.
    """

    device_id: int
    address: int
    write: bool = False
    instruction: bool = False
    privileged: bool = False
    process_id: int | None = None
    kind: Kind = "untranslated"

    @property
    def access(self) -> int:
        """The access code, without privilege."""
        return WRITE if self.write else FETCH if self.instruction else READ

    @property
    def supervisor(self) -> bool:
        """Whether it has supervisor privilege."""
        return self.privileged and self.process_id is not None


@dataclass(frozen=True, slots=True)
class Mrif:
    """Where an MSI goes that a memory-resident interrupt file takes (2.3.3).

    Attributes:
        address: of the file, a multiple of 512.
        notice: address of the notice message.
        nid: data of the notice message.
    """

    address: int
    notice: int
    nid: int


@dataclass(frozen=True, slots=True)
class Completion:
    """Answer to an ATS translation request (2.6).

    Attributes:
        status: whether there is a translation.
        read, write, execute: permissions; with none the address means nothing.
        privileged: permissions are those of supervisor privilege.
        shared: the Global field.
        untranslated_only: the device must not use the translated address (the U field).
    """

    status: Status
    read: bool = False
    write: bool = False
    execute: bool = False
    privileged: bool = False
    shared: bool = False
    untranslated_only: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a transaction.

    Attributes:
        result: `done` with `address` or `mrif`, or `abort`.
        address: physical address; in a completion, the guest's with DC.tc.T2GPA.
        cause: cause number of what was wrong, 0 when nothing was or it has none.
        record: the 32 bytes of the fault record that belongs to it, queued or not; empty when there is none.
        reason: what was wrong, in the specification's names.
        mrif: where an MSI goes instead of an address.
        completion: answer to an ATS request.
    """

    result: Result
    address: int | None = None
    cause: int = 0
    record: bytes = b""
    reason: str = ""
    mrif: Mrif | None = None
    completion: Completion | None = None


class Fault(Exception):  # noqa: N818  # it never leaves the model
    """Why a transaction cannot go on.

    Attributes:
        kind: cause number, or `ACCESS`, `PAGE`, `GUEST`, which the access of the transaction completes; 0: no cause.
        reason: the condition, in the specification's names.
        second: iotval2.
        quiet: DC.tc.DTF of the device context that was found.
    """

    def __init__(self, kind: int, reason: str = "", *, quiet: int = 0) -> None:
        """Make the fault."""
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason
        self.second = 0
        self.quiet = bool(quiet)
