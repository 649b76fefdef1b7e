"""Numbers of SMMUv1 and SMMUv2 and the words of the manual for them (Arm IHI 0062 D.c)."""

from __future__ import annotations

from enum import IntEnum


class StreamType(IntEnum):
    """S2CR.TYPE: what becomes of a stream."""

    TRANSLATE = 0
    BYPASS = 1
    FAULT = 2


class BankType(IntEnum):
    """CBAR.TYPE: what a context bank translates."""

    STAGE2 = 0
    STAGE1 = 1
    """Stage 1 with stage 2 bypass."""
    STAGE1_FAULT = 2
    """Stage 1 with stage 2 fault."""
    NESTED = 3


class TableFormat(IntEnum):
    """FSR.FORMAT."""

    AARCH32_SHORT = 0
    AARCH32_LONG = 1
    AARCH64 = 2


class Privilege(IntEnum):
    """S2CR.PRIVCFG: what replaces the privilege of a transaction."""

    DEFAULT = 0
    DIPAN = 1
    UNPRIVILEGED = 2
    PRIVILEGED = 3


SIZES = (32, 36, 40, 42, 44, 48)
"""Bits of an address by the code of ID2.IAS, ID2.OAS, VTCR.PS and TCR2.PASIZE."""

CONTEXT_FLAGS: dict[str, str] = {
    "TF": "the address is not mapped",
    "AFF": "the access flag is clear",
    "PF": "no permission",
    "EF": "memory answered a table walk with an error",
    "TLBMCF": "several cached translations match",
    "TLBLKF": "a locked cached translation is in the way",
    "ASF": "the address that translation gives is too large",
    "UUT": "transaction of a type that the SMMU does not support",
}
"""What each fault flag of FSR means."""

GLOBAL_FLAGS: dict[str, str] = {
    "ICF": "the stream is set up to fault",
    "USF": "unidentified stream: no stream match entry has this ID",
    "SMCF": "several stream match entries have this ID",
    "UCBF": "the stream leads to a context bank that does not exist",
    "UCIF": "the context bank has an interrupt that does not exist",
    "CAF": "software accessed a register in a way that is not allowed",
    "EF": "memory answered with an error",
    "PF": "no permission",
    "UUT": "transaction of a type that the SMMU does not support",
}
"""What each fault flag of sGFSR means."""
