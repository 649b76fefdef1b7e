"""Numbers of VT-d and their names, in the mnemonics of the specification."""

from __future__ import annotations

from enum import IntEnum


class TTM(IntEnum):
    """Translation table mode, RTADDR.TTM."""

    LEGACY = 0
    SCALABLE = 1
    RESERVED = 2
    ABORT = 3


class TT(IntEnum):
    """Translation type of a legacy context entry."""

    UNTRANSLATED = 0
    ALL = 1
    PASS_THROUGH = 2


class PGTT(IntEnum):
    """PASID granular translation type of a PASID entry."""

    FIRST_STAGE = 1
    SECOND_STAGE = 2
    NESTED = 3
    PASS_THROUGH = 4


class CIRG(IntEnum):
    """Granularity of a context cache invalidation."""

    GLOBAL = 1
    DOMAIN = 2
    DEVICE = 3


class IIRG(IntEnum):
    """Granularity of an IOTLB invalidation."""

    GLOBAL = 1
    DOMAIN = 2
    PAGE = 3


class ATYPE(IntEnum):
    """Address type of a request."""

    UNTRANSLATED = 0
    TRANSLATION = 1
    TRANSLATED = 2


class SVT(IntEnum):
    """Source validation type of an IRTE."""

    NONE = 0
    SID = 1
    BUS = 2


class IQEI(IntEnum):
    """What stopped the invalidation queue, IQERCD.IQEI."""

    TAIL = 1
    FETCH = 2
    TYPE = 3
    RESERVED = 4
    WIDTH = 5
    ALIGN = 6
    MODE = 7


class Descriptor(IntEnum):
    """Type of an invalidation descriptor."""

    CONTEXT = 1
    IOTLB = 2
    DEVICE_TLB = 3
    INTERRUPT_ENTRY = 4
    WAIT = 5
    PASID_IOTLB = 6
    PASID_CACHE = 7
    PASID_DEVICE_TLB = 8
    PAGE_RESPONSE = 9


class Reason(IntEnum):
    """Fault reason, chapter 7: the mnemonic of the condition, its point replaced by an underscore."""

    LRT_2 = 0x01
    LCT_2 = 0x02
    LCT_4 = 0x03
    LGN_1 = 0x04
    LGN_2 = 0x05
    LGN_3 = 0x06
    LSL_1 = 0x07
    LRT_1 = 0x08
    LCT_1 = 0x09
    LRT_3 = 0x0A
    LCT_3 = 0x0B
    LSL_2 = 0x0C
    LCT_5 = 0x0D
    LGN_4 = 0x0E
    IR_REQUEST_RSVD = 0x20
    IR_INDEX = 0x21
    IR_NOT_PRESENT = 0x22
    IR_READ = 0x23
    IR_RSVD = 0x24
    IR_COMPATIBILITY = 0x25
    IR_SOURCE = 0x26
    IR_POSTED_READ = 0x27
    IR_POSTED_RSVD = 0x28
    IR_MODE = 0x29
    RTA_1 = 0x30
    RTA_2 = 0x31
    RTA_3 = 0x32
    RTA_4 = 0x33
    SRT_1 = 0x38
    SRT_2 = 0x39
    SRT_3 = 0x3A
    SCT_1 = 0x40
    SCT_2 = 0x41
    SCT_3 = 0x42
    SCT_4 = 0x43
    SCT_5 = 0x44
    SCT_6 = 0x45
    SCT_7 = 0x46
    SCT_8 = 0x47
    SCT_9 = 0x48
    SPD_1 = 0x50
    SPD_2 = 0x51
    SPD_3 = 0x52
    SPT_1 = 0x58
    SPT_2 = 0x59
    SPT_3 = 0x5A
    SPT_4 = 0x5B
    SPT_5 = 0x5C
    SPT_6 = 0x5D
    SFL_1 = 0x70
    SFL_2 = 0x71
    SFL_3 = 0x72
    SFL_4 = 0x73
    SFL_5 = 0x74
    SFL_6 = 0x75
    SFL_7 = 0x76
    SFL_8 = 0x77
    SSL_1 = 0x78
    SSL_2 = 0x79
    SSL_3 = 0x7A
    SSL_4 = 0x7B
    SSL_5 = 0x7C
    SSL_6 = 0x7D
    SGN_1 = 0x80
    SGN_2 = 0x81
    SGN_3 = 0x82
    SGN_4 = 0x83
    SGN_5 = 0x84
    SGN_6 = 0x85
    SGN_7 = 0x86
    SGN_8 = 0x87
    SGN_9 = 0x88
    SGN_10 = 0x89
    SFL_9 = 0x90
    SFL_10 = 0x91


MEANINGS: dict[Reason, str] = {
    Reason.LRT_2: "the root entry is not present",
    Reason.LCT_2: "the context entry is not present",
    Reason.LCT_4: "the context entry is not valid: address width, translation type or table address",
    Reason.LGN_1: "the address is above the width of the domain",
    Reason.LGN_2: "no permission to write",
    Reason.LGN_3: "no permission to read",
    Reason.LSL_1: "a page table entry could not be read",
    Reason.LRT_1: "the root entry could not be read",
    Reason.LCT_1: "the context entry could not be read",
    Reason.LRT_3: "a reserved field of the root entry is set",
    Reason.LCT_3: "a reserved field of the context entry is set",
    Reason.LSL_2: "a reserved field of a page table entry is set",
    Reason.LCT_5: "the translation type does not allow translation or translated requests",
    Reason.LGN_4: "the address is in the interrupt range",
    Reason.IR_REQUEST_RSVD: "a reserved field of the interrupt request is set",
    Reason.IR_INDEX: "the interrupt index is beyond the table",
    Reason.IR_NOT_PRESENT: "the interrupt remapping entry is not present",
    Reason.IR_READ: "the interrupt remapping entry could not be read",
    Reason.IR_RSVD: "a reserved field of the interrupt remapping entry is set",
    Reason.IR_COMPATIBILITY: "interrupts of compatibility format are blocked",
    Reason.IR_SOURCE: "the interrupt does not come from the source that the entry names",
    Reason.IR_POSTED_READ: "the posted interrupt descriptor could not be read",
    Reason.IR_POSTED_RSVD: "a reserved field of the posted interrupt descriptor is set",
    Reason.IR_MODE: "an untranslated request to the interrupt range in a mode that does not allow it",
    Reason.RTA_1: "the root table address register is not valid",
    Reason.RTA_2: "a request with PASID while the mode is legacy",
    Reason.RTA_3: "a page request while the mode is legacy",
    Reason.RTA_4: "a request that the mode does not allow",
    Reason.SRT_1: "the root entry could not be read",
    Reason.SRT_2: "the root entry is not present",
    Reason.SRT_3: "a reserved field of the root entry is set",
    Reason.SCT_1: "the context entry could not be read",
    Reason.SCT_2: "the context entry is not present",
    Reason.SCT_3: "a reserved field of the context entry is set",
    Reason.SCT_4: "the context entry is not valid",
    Reason.SCT_5: "a translation or translated request while DTE is clear",
    Reason.SCT_6: "a request with PASID while PASIDE is clear",
    Reason.SCT_7: "the PASID is beyond the directory",
    Reason.SCT_8: "a page request while PRE is clear",
    Reason.SCT_9: "RID_PASID is not valid",
    Reason.SPD_1: "the PASID directory entry could not be read",
    Reason.SPD_2: "the PASID directory entry is not present",
    Reason.SPD_3: "a reserved field of the PASID directory entry is set",
    Reason.SPT_1: "the PASID entry could not be read",
    Reason.SPT_2: "the PASID entry is not present",
    Reason.SPT_3: "a reserved field of the PASID entry is set",
    Reason.SPT_4: "the PASID entry is not valid",
    Reason.SPT_5: "a request to execute while ERE is clear",
    Reason.SPT_6: "a supervisor request while SRE is clear",
    Reason.SFL_1: "a first-stage entry could not be read",
    Reason.SFL_2: "a first-stage entry is not present",
    Reason.SFL_3: "a reserved field of a first-stage entry is set",
    Reason.SFL_4: "the first-stage root table could not be read",
    Reason.SFL_5: "nested: a first-stage entry holds an address above the second stage's width",
    Reason.SFL_6: "nested: the second stage does not let the first-stage root table be read",
    Reason.SFL_7: "nested: the second stage does not let a first-stage table be read",
    Reason.SFL_8: "nested: the second stage does not let accessed and dirty bits be written",
    Reason.SSL_1: "a second-stage entry could not be read",
    Reason.SSL_2: "a second-stage entry is not present",
    Reason.SSL_3: "a reserved field of a second-stage entry is set",
    Reason.SSL_4: "the second-stage root table could not be read",
    Reason.SSL_5: "accessed or dirty bits of the second stage need an update without snooping",
    Reason.SSL_6: "accessed or dirty bits of the second stage could not be updated",
    Reason.SGN_1: "the address is not canonical",
    Reason.SGN_2: "a user request to a supervisor page",
    Reason.SGN_3: "no permission to execute",
    Reason.SGN_4: "the address is above the width of the hardware",
    Reason.SGN_5: "the address is above the width of the second stage",
    Reason.SGN_6: "no permission to write",
    Reason.SGN_7: "no permission to read",
    Reason.SGN_8: "the address is in the interrupt range",
    Reason.SGN_9: "reserved",
    Reason.SGN_10: "reserved",
    Reason.SFL_9: "accessed or dirty bits of the first stage need an update without snooping",
    Reason.SFL_10: "accessed or dirty bits of the first stage could not be updated",
}
"""What each reason means, as a clause."""

UNQUALIFIED: frozenset[Reason] = frozenset(
    {
        Reason.LRT_2,
        Reason.LRT_1,
        Reason.LCT_1,
        Reason.LRT_3,
        Reason.LCT_3,
        Reason.IR_REQUEST_RSVD,
        Reason.IR_INDEX,
        Reason.IR_READ,
        Reason.IR_COMPATIBILITY,
        Reason.IR_MODE,
        Reason.RTA_1,
        Reason.RTA_2,
        Reason.RTA_3,
        Reason.RTA_4,
        Reason.SRT_1,
        Reason.SRT_2,
        Reason.SRT_3,
        Reason.SCT_1,
        Reason.SCT_3,
        Reason.SPD_1,
        Reason.SPD_3,
        Reason.SPT_1,
        Reason.SPT_3,
    }
)
"""Reasons that FPD does not silence; all others are qualified."""
