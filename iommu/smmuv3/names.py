"""Numbers of SMMUv3 and the words of the manual for them."""

from __future__ import annotations

from enum import IntEnum


class StreamConfig(IntEnum):
    """STE.Config."""

    ABORT = 0
    BYPASS = 4
    STAGE1 = 5
    STAGE2 = 6
    NESTED = 7


class EventNumber(IntEnum):
    """Events (7.3)."""

    F_UUT = 0x01
    C_BAD_STREAMID = 0x02
    F_STE_FETCH = 0x03
    C_BAD_STE = 0x04
    F_BAD_ATS_TREQ = 0x05
    F_STREAM_DISABLED = 0x06
    F_TRANSL_FORBIDDEN = 0x07
    C_BAD_SUBSTREAMID = 0x08
    F_CD_FETCH = 0x09
    C_BAD_CD = 0x0A
    F_WALK_EABT = 0x0B
    F_TRANSLATION = 0x10
    F_ADDR_SIZE = 0x11
    F_ACCESS = 0x12
    F_PERMISSION = 0x13
    F_TLB_CONFLICT = 0x20
    F_CFG_CONFLICT = 0x21
    E_PAGE_REQUEST = 0x24
    F_VMS_FETCH = 0x25


class FaultClass(IntEnum):
    """CLASS of an event: what was being done when translation failed."""

    CD = 0
    TT = 1
    IN = 2


class Opcode(IntEnum):
    """Commands of the Non-secure queue (4.1.1)."""

    PREFETCH_CONFIG = 0x01
    PREFETCH_ADDR = 0x02
    CFGI_STE = 0x03
    CFGI_STE_RANGE = 0x04
    CFGI_CD = 0x05
    CFGI_CD_ALL = 0x06
    CFGI_VMS_PIDM = 0x07
    TLBI_NH_ALL = 0x10
    TLBI_NH_ASID = 0x11
    TLBI_NH_VA = 0x12
    TLBI_NH_VAA = 0x13
    TLBI_EL2_ALL = 0x20
    TLBI_EL2_ASID = 0x21
    TLBI_EL2_VA = 0x22
    TLBI_EL2_VAA = 0x23
    TLBI_S12_VMALL = 0x28
    TLBI_S2_IPA = 0x2A
    TLBI_NSNH_ALL = 0x30
    ATC_INV = 0x40
    PRI_RESP = 0x41
    RESUME = 0x44
    STALL_TERM = 0x45
    SYNC = 0x46


class CommandError(IntEnum):
    """CMDQ_CONS.ERR (7.1)."""

    CERROR_NONE = 0
    CERROR_ILL = 1
    CERROR_ABT = 2
    CERROR_ATC_INV_SYNC = 3


MEANINGS = {
    EventNumber.F_UUT: "transaction of a type that the SMMU does not support",
    EventNumber.C_BAD_STREAMID: "stream ID outside the stream table",
    EventNumber.F_STE_FETCH: "the stream table entry cannot be read",
    EventNumber.C_BAD_STE: "the stream table entry is invalid",
    EventNumber.F_BAD_ATS_TREQ: "translation request from a stream that may not use ATS",
    EventNumber.F_STREAM_DISABLED: "the stream may not send transactions without a substream, or with substream 0",
    EventNumber.F_TRANSL_FORBIDDEN: "translated transaction from a stream that may not use ATS",
    EventNumber.C_BAD_SUBSTREAMID: "substream ID outside the context descriptor table",
    EventNumber.F_CD_FETCH: "the context descriptor cannot be read",
    EventNumber.C_BAD_CD: "the context descriptor is invalid",
    EventNumber.F_WALK_EABT: "a translation table descriptor cannot be read or updated",
    EventNumber.F_TRANSLATION: "the address is not mapped",
    EventNumber.F_ADDR_SIZE: "the address that translation gives is too large",
    EventNumber.F_ACCESS: "the access flag is clear",
    EventNumber.F_PERMISSION: "no permission",
    EventNumber.F_TLB_CONFLICT: "overlapping translations are cached",
    EventNumber.F_CFG_CONFLICT: "overlapping configuration is cached",
    EventNumber.E_PAGE_REQUEST: "hint that pages will be needed",
    EventNumber.F_VMS_FETCH: "the virtual machine structure cannot be read",
}
"""What each event means."""
