"""Entries of the three queues: commands (IHI 0070 chapter 4), events (7.3), page requests (8.1).

Every command class names the fields of that one command, so that what is left over is reserved. `COMMANDS` finds
the class by opcode. An event has the fields of `Event` and those of its own kind, found in `EVENTS`.
"""

from __future__ import annotations

from ...bits import Address, Bits128, Bits256, Field
from ...bits import Ignored as Unnamed
from ..names import EventNumber, FaultClass, Opcode


class Command(Bits128):
    """What all commands have."""

    Opcode = Field(7, 0, names=Opcode)


class PrefetchConfig(Command):
    """CMD_PREFETCH_CONFIG."""

    SSec = Field(10)
    SSV = Field(11)
    SubstreamID = Field(31, 12)
    StreamID = Field(63, 32)


class PrefetchAddr(PrefetchConfig):
    """CMD_PREFETCH_ADDR."""

    Size = Field(68, 64)
    Stride = Field(73, 69)
    NS = Field(74)
    Addr = Address(127, 76)


class CfgiSte(Command):
    """CMD_CFGI_STE."""

    SSec = Field(10)
    StreamID = Field(63, 32)
    Leaf = Field(64)


class CfgiSteRange(Command):
    """CMD_CFGI_STE_RANGE; Range 31 is CMD_CFGI_ALL."""

    SSec = Field(10)
    StreamID = Field(63, 32)
    Range = Field(68, 64)


class CfgiCd(Command):
    """CMD_CFGI_CD."""

    SSec = Field(10)
    SubstreamID = Field(31, 12)
    StreamID = Field(63, 32)
    Leaf = Field(64)


class CfgiCdAll(Command):
    """CMD_CFGI_CD_ALL."""

    SSec = Field(10)
    StreamID = Field(63, 32)


class CfgiVmsPidm(Command):
    """CMD_CFGI_VMS_PIDM."""

    SSec = Field(10)
    VMID = Field(47, 32)


class TlbiAll(Command):
    """CMD_TLBI_EL2_ALL, CMD_TLBI_NSNH_ALL: no parameters."""


class TlbiVmid(Command):
    """CMD_TLBI_NH_ALL, CMD_TLBI_S12_VMALL."""

    VMID = Field(47, 32)


class TlbiAsid(TlbiVmid):
    """CMD_TLBI_NH_ASID; CMD_TLBI_EL2_ASID, which has no VMID."""

    ASID = Field(63, 48)


class TlbiAddress(TlbiAsid):
    """CMD_TLBI_NH_VA, CMD_TLBI_EL2_VA, and without ASID CMD_TLBI_NH_VAA, CMD_TLBI_EL2_VAA, CMD_TLBI_S2_IPA.

    NUM, SCALE, TTL and TG exist with IDR3.RIL only.
    """

    NUM = Field(16, 12)
    SCALE = Field(25, 20)
    Leaf = Field(64)
    TTL = Field(73, 72)
    TG = Field(75, 74)
    Addr = Address(127, 76)


class AtcInv(Command):
    """CMD_ATC_INV."""

    SSec = Field(10)
    G = Field(9)
    SSV = Field(11)
    SubstreamID = Field(31, 12)
    StreamID = Field(63, 32)
    Size = Field(69, 64)
    Addr = Address(127, 76)


class PriResp(Command):
    """CMD_PRI_RESP."""

    SSec = Field(10)
    SSV = Field(11)
    SubstreamID = Field(31, 12)
    StreamID = Field(63, 32)
    PRGIndex = Field(72, 64)
    Resp = Field(77, 76)


class Resume(Command):
    """CMD_RESUME."""

    SSec = Field(10)
    Ac = Field(12)
    Ab = Field(13)
    StreamID = Field(63, 32)
    STAG = Field(79, 64)


class StallTerm(Command):
    """CMD_STALL_TERM."""

    SSec = Field(10)
    StreamID = Field(63, 32)


class Sync(Command):
    """CMD_SYNC."""

    CS = Field(13, 12)
    MSH = Field(23, 22)
    MSIAttr = Field(27, 24)
    MSIData = Field(63, 32)
    MSIAddress = Address(119, 66)


COMMANDS: dict[int, type[Command]] = {
    0x01: PrefetchConfig,
    0x02: PrefetchAddr,
    0x03: CfgiSte,
    0x04: CfgiSteRange,
    0x05: CfgiCd,
    0x06: CfgiCdAll,
    0x07: CfgiVmsPidm,
    0x10: TlbiVmid,
    0x11: TlbiAsid,
    0x12: TlbiAddress,
    0x13: TlbiAddress,
    0x20: TlbiAll,
    0x21: TlbiAsid,
    0x22: TlbiAddress,
    0x23: TlbiAddress,
    0x28: TlbiVmid,
    0x2A: TlbiAddress,
    0x30: TlbiAll,
    0x40: AtcInv,
    0x41: PriResp,
    0x44: Resume,
    0x45: StallTerm,
    0x46: Sync,
}
"""Commands of the Non-secure queue by opcode."""


class Event(Bits256):
    """What all events have (7.3). In C_BAD_SUBSTREAMID the SubstreamID is valid whatever SSV says."""

    Number = Field(7, 0, names=EventNumber)
    SSV = Field(11)
    SubstreamID = Field(31, 12)
    StreamID = Field(63, 32)


class UnsupportedEvent(Event):
    """F_UUT."""

    Reason = Field(79, 64)
    PnU = Field(97)
    InD = Field(98)
    RnW = Field(99)
    InputAddr = Field(191, 128)


class FetchEvent(Event):
    """F_STE_FETCH, F_CD_FETCH, F_VMS_FETCH."""

    Reason = Field(79, 64)
    GPCF = Field(80)
    FetchAddr = Address(247, 195)


class AtsRequestEvent(Event):
    """F_BAD_ATS_TREQ; the places of the requested permissions and of Span are not public in text, and not named."""

    Request = Unnamed(127, 64)
    InputAddr = Field(191, 128)


class ForbiddenEvent(Event):
    """F_TRANSL_FORBIDDEN."""

    RnW = Field(99)
    InputAddr = Field(191, 128)


class WalkAbortEvent(Event):
    """F_WALK_EABT."""

    Reason = Field(79, 64)
    GPCF = Field(80)
    PnU = Field(97)
    InD = Field(98)
    RnW = Field(99)
    S2 = Field(103)
    CLASS = Field(105, 104, names=FaultClass)
    InputAddr = Field(191, 128)
    FetchAddr = Address(247, 195)


class TranslationEvent(Event):
    """F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION; TTRnW in the last of them only."""

    STAG = Field(79, 64)
    Stall = Field(95)
    PnU = Field(97)
    InD = Field(98)
    RnW = Field(99)
    NSIPA = Field(100)
    S2 = Field(103)
    CLASS = Field(105, 104, names=FaultClass)
    TTRnW = Field(108)
    InputAddr = Field(191, 128)
    IPA = Address(247, 204)


class TlbConflictEvent(Event):
    """F_TLB_CONFLICT."""

    Reason = Field(79, 64)
    PnU = Field(97)
    InD = Field(98)
    RnW = Field(99)
    S2 = Field(103)
    InputAddr = Field(191, 128)
    IPA = Address(247, 204)


class ConfigConflictEvent(Event):
    """F_CFG_CONFLICT."""

    Reason = Field(79, 64)


class PageRequestEvent(Event):
    """E_PAGE_REQUEST, a hint; Span counts pages of 4 KiB."""

    uX = Field(97)  # noqa: N815  # the manual's spelling
    uW = Field(98)  # noqa: N815
    uR = Field(99)  # noqa: N815
    pX = Field(101)  # noqa: N815
    pW = Field(102)  # noqa: N815
    pR = Field(103)  # noqa: N815
    Span = Field(115, 108)
    InputAddr = Address(191, 140)


EVENTS: dict[int, type[Event]] = {
    0x01: UnsupportedEvent,
    0x02: Event,
    0x03: FetchEvent,
    0x04: Event,
    0x05: AtsRequestEvent,
    0x06: Event,
    0x07: ForbiddenEvent,
    0x08: Event,
    0x09: FetchEvent,
    0x0A: Event,
    0x0B: WalkAbortEvent,
    0x10: TranslationEvent,
    0x11: TranslationEvent,
    0x12: TranslationEvent,
    0x13: TranslationEvent,
    0x20: TlbConflictEvent,
    0x21: ConfigConflictEvent,
    0x24: PageRequestEvent,
    0x25: FetchEvent,
}
"""Event classes by event number."""


class PageRequest(Bits128):
    """An entry of the PRI queue."""

    StreamID = Field(31, 0)
    SubstreamID = Field(51, 32)
    Priv = Field(58)
    X = Field(59)
    R = Field(60)
    W = Field(61)
    Last = Field(62)
    SSV = Field(63)
    PRGIndex = Field(72, 64)
    Addr = Address(127, 76)
