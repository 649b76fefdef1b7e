"""What goes into the model and what comes out: capabilities, transactions, outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..layout.registers import AIDR, IDR0, IDR1, IDR3, IDR5

if TYPE_CHECKING:
    from .configuration import Context

READ, WRITE, FETCH = 0, 1, 2
"""Access codes of `Model.translate`: data read, data write, instruction read."""
PRIVILEGED = 4
"""Added to an access code for a privileged access."""

OAS_BITS = (32, 36, 40, 42, 44, 48, 52, 48)
"""Address bits by encoding of IDR5.OAS, CD.IPS and STE.S2PS; 7 is reserved before SMMUv3.4 and behaves as 48 here."""

Kind = Literal["ordinary", "ats_request", "translated"]
Result = Literal["done", "abort", "stall", "raz_wi"]


def _idr0() -> IDR0:
    features = IDR0(ST_LEVEL=1, CD2L=1, VMID16=1, PRI=1, MSI=1, ASID16=1, ATS=1, Hyp=1, HTTU=2, COHACC=1)
    return features.replace(TTF=2, S1P=1, S2P=1)


def _idr1() -> IDR1:
    return IDR1(ATTR_PERMS_OVR=1, CMDQS=8, EVENTQS=7, PRIQS=6, SSIDSIZE=12, SIDSIZE=16)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The identification registers of a model; by default an SMMUv3.2 with everything that is modelled but 52 bits."""

    idr0: IDR0 = field(default_factory=_idr0)
    idr1: IDR1 = field(default_factory=_idr1)
    idr3: IDR3 = field(default_factory=lambda: IDR3(RIL=1, STT=1, XNX=1, HAD=1, EPAN=1, E0PD=1))
    idr5: IDR5 = field(default_factory=lambda: IDR5(STALL_MAX=4, GRAN64K=1, GRAN16K=1, GRAN4K=1, OAS=5))
    aidr: AIDR = field(default_factory=lambda: AIDR(ArchMinorRev=2))

    @property
    def oas(self) -> int:
        """Bits of a physical address."""
        return OAS_BITS[self.idr5.OAS]

    def unmodelled(self) -> str:
        """Name the first capability that the model does not have, or return an empty string."""
        missing = (
            ("IDR0.RME_IMPL", self.idr0.RME_IMPL),
            ("IDR0.TTF", self.idr0.TTF != 2),  # AArch64 without AArch32
            ("IDR0.HTTU", self.idr0.HTTU == 3),  # access flag of table descriptors
            ("IDR0.ATOS", self.idr0.ATOS),
            ("IDR1.ECMDQ", self.idr1.ECMDQ),
            ("IDR1.TABLES_PRESET", self.idr1.TABLES_PRESET),
            ("IDR1.QUEUES_PRESET", self.idr1.QUEUES_PRESET),
            ("IDR3.S1PI", self.idr3.S1PI),
            ("IDR3.S2PI", self.idr3.S2PI),
            ("IDR3.S2PO", self.idr3.S2PO),
            ("IDR3.DPT", self.idr3.DPT),
            ("IDR3.PASIDTT", self.idr3.PASIDTT),
            ("IDR5.D128", self.idr5.D128),
            ("IDR5.OAS", self.idr5.OAS > 6),  # 56 bits
            ("IDR5.VAX", self.idr5.VAX > 1),
        )
        return next((name for name, present in missing if present), "")


@dataclass(frozen=True, slots=True)
class Transaction:
    """What a device sends.

    Attributes:
        stream_id: 32 bits.
        address: 64 bits.
        write: a write; else a read.
        instruction: an instruction read; ignored for a write.
        privileged: with the privilege attribute.
        substream_id: 20 bits, None without.
        kind: `ats_request` asks for a translation, `translated` brings a physical address.
        unsupported: of a type that the SMMU cannot handle (F_UUT).
    """

    stream_id: int
    address: int
    write: bool = False
    instruction: bool = False
    privileged: bool = False
    substream_id: int | None = None
    kind: Kind = "ordinary"
    unsupported: bool = False

    @property
    def access(self) -> int:
        """The access code before overrides."""
        code = WRITE if self.write else FETCH if self.instruction else READ
        return code | PRIVILEGED if self.privileged else code


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a transaction.

    Attributes:
        result: `done` with `address`; `abort`; `stall` with `stag`; `raz_wi`: reads as zeros, writes vanish.
        address: physical address.
        event: the 32 bytes of the event that belongs to it, recorded or not; empty when there is none.
        reason: what was wrong, in the manual's names; empty when nothing was.
        stag: token that CMD_RESUME takes.
    """

    result: Result
    address: int | None = None
    event: bytes = b""
    reason: str = ""
    stag: int | None = None


class Fault(Exception):  # noqa: N818  # it never leaves the model
    """Why a transaction cannot go on.

    Attributes:
        number: event number; 0 when there is no event.
        reason: the condition, in the manual's names.
        stage2: found by stage 2.
        kind: CLASS of the event.
        ipa: intermediate physical address.
        fetch: physical address of the structure that could not be read.
        tt_read: the descriptor access was a read.
        context: the configuration of the transaction as far as it was found.
    """

    def __init__(
        self,
        number: int,
        reason: str = "",
        *,
        stage2: bool = False,
        kind: int = 2,
        ipa: int = 0,
        fetch: int = 0,
        tt_read: bool = False,
    ) -> None:
        """Make the fault."""
        super().__init__(number, reason)
        self.number = number
        self.reason = reason
        self.stage2 = stage2
        self.kind = kind
        self.ipa = ipa
        self.fetch = fetch
        self.tt_read = tt_read
        self.context: Context | None = None
