"""From a source-id to the tables of its domain: root, context and PASID entries, VT-d 3.4 and 9.1 to 9.6."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import IommuError
from ...platform import Memory
from ..layout import (
    ContextEntry,
    PasidDirectoryEntry,
    PasidEntry,
    RootEntry,
    ScalableContextEntry,
    ScalableRootEntry,
)
from ..names import PGTT, TT, Reason
from .caches import DomainTlb
from .hardware import Hardware
from .requests import Fault


@dataclass(slots=True)
class Context:
    """What a request needs to be translated: the outcome of a legacy context entry, or of a PASID entry.

    Attributes:
        kind: PGTT; legacy contexts are `SECOND_STAGE` or `PASS_THROUGH`.
        scalable: which fault reasons apply.
        did: domain ID.
        fpd: qualified faults leave no record.
        requests_translated: translation and translated requests are allowed.
        levels: levels of the second stage.
        root: second-stage root table.
        width: bits of address that the second stage takes.
        first_levels: levels of the first stage.
        first_root: first-stage root table (with nesting, an address the second stage translates).
        second_ad: second-stage accessed and dirty bits are kept.
        coherent: page walks snoop, so that accessed and dirty bits can be updated.
        execute: ERE, requests to execute are allowed.
        second_execute: SSEE, the X bit of the second stage counts.
        supervisor: SRE, requests with supervisor privilege are allowed.
        wpe, nxe, smep, eafe: first-stage controls of the PASID entry.
        tlb: translations of this domain that the unit remembers.
    """

    kind: int
    scalable: bool
    did: int
    fpd: bool
    requests_translated: bool
    levels: int
    root: int
    width: int
    tlb: DomainTlb
    first_levels: int = 4
    first_root: int = 0
    second_ad: bool = False
    coherent: bool = False
    execute: bool = False
    second_execute: bool = False
    supervisor: bool = False
    wpe: bool = False
    nxe: bool = False
    smep: bool = False
    eafe: bool = False


@dataclass(slots=True)
class ScalableContext:
    """A scalable-mode context entry, as the context cache keeps it.

    Attributes:
        fpd: qualified faults leave no record.
        dte: translation and translated requests are allowed.
        paside: requests with PASID are allowed.
        pre: page requests are allowed.
        directory: PASID directory.
        entries: number of its entries.
        rid_pasid: PASID of requests without one.
        rid_privileged: such requests have supervisor privilege.
    """

    fpd: bool
    dte: bool
    paside: bool
    pre: bool
    directory: int
    entries: int
    rid_pasid: int
    rid_privileged: bool


_ROOT_P = RootEntry.P.mask
_ROOT_RESERVED_LOW = RootEntry.reserved_mask & (1 << 64) - 1  # all of the upper word is reserved
_CONTEXT_RESERVED = ContextEntry.reserved_mask
_ADDRESS = RootEntry.CTP.mask
_NOTHING = DomainTlb()
"""What a fresh context remembers; never filled, since a context gets the memory of its domain before use."""


def fetch_legacy(memory: Memory, hardware: Hardware, root_table: int, source: int) -> Context:
    """Read root and context entry of a source-id in legacy mode (9.1, 9.3). The caller gives the context its `tlb`."""
    # 1. Root entry: error, present, reserved.
    entry = root_table + (source >> 8) * 16
    try:
        low, high = memory.read_u64(entry), memory.read_u64(entry + 8)
    except IommuError:
        raise Fault(Reason.LRT_1) from None
    if not low & _ROOT_P:
        raise Fault(Reason.LRT_2)
    if low & _ROOT_RESERVED_LOW or high or low & hardware.beyond:
        raise Fault(Reason.LRT_3)
    # 2. Context entry: error, present, reserved.
    entry = (low & _ADDRESS) + (source & 0xFF) * 16
    try:
        low, high = memory.read_u64(entry), memory.read_u64(entry + 8)
    except IommuError:
        raise Fault(Reason.LCT_1) from None
    fpd = bool(low & 2)
    if not low & 1:
        raise Fault(Reason.LCT_2, silent=fpd)
    kind = low >> 2 & 3
    pass_through = kind == TT.PASS_THROUGH
    if (high << 64 | low) & _CONTEXT_RESERVED or (low & hardware.beyond and not pass_through):
        raise Fault(Reason.LCT_3)
    # 3. What the unit cannot do is invalid programming.
    levels = (high & 7) + 2
    if (
        kind == 3
        or (kind == TT.ALL and not hardware.ecap.DT)
        or (pass_through and not hardware.ecap.PT)
        or levels not in hardware.levels
    ):
        raise Fault(Reason.LCT_4, silent=fpd)
    did = high >> 8 & 0xFFFF
    return Context(
        kind=PGTT.PASS_THROUGH if pass_through else PGTT.SECOND_STAGE,
        scalable=False,
        did=did,
        fpd=fpd,
        requests_translated=kind == TT.ALL,
        levels=levels,
        root=low & _ADDRESS,
        width=min(12 + 9 * levels, hardware.mgaw),
        tlb=_NOTHING,
    )


def fetch_scalable(memory: Memory, hardware: Hardware, root_table: int, source: int) -> ScalableContext:
    """Read root and context entry of a source-id in scalable mode (9.2, 9.4)."""
    # 1. The half of the root entry that holds the device: error, present, reserved.
    entry = root_table + (source >> 8) * 16 + (source >> 7 & 1) * 8
    try:
        half = memory.read_u64(entry)
    except IommuError:
        raise Fault(Reason.SRT_1) from None
    if not half & 1:
        raise Fault(Reason.SRT_2)
    if half & (ScalableRootEntry.reserved_mask & (1 << 64) - 1 | hardware.beyond):
        raise Fault(Reason.SRT_3)
    # 2. Context entry: error, present, reserved.
    entry = (half & _ADDRESS) + (source & 0x7F) * ScalableContextEntry.size
    try:
        raw = memory.read(entry, ScalableContextEntry.size)
    except IommuError:
        raise Fault(Reason.SCT_1) from None
    bits = ScalableContextEntry.from_bytes(raw)
    fpd = bool(bits.FPD)
    if not bits.P:
        raise Fault(Reason.SCT_2, silent=fpd)
    ecap = hardware.ecap
    unsupported = (
        (bits.DTE and not ecap.DT)
        or (bits.PASIDE and not ecap.PASID)
        or (bits.PRE and not ecap.PRS)
        or (bits.RID_PRIV and not ecap.RPRIVS)
    )
    if bits.reserved or unsupported or bits.PASIDDIRPTR & hardware.beyond:
        raise Fault(Reason.SCT_3)
    # 3. A directory for more PASIDs than the unit has is invalid programming.
    entries = 1 << bits.PDTS + 7
    if bits.PDTS and entries << 6 > 1 << ecap.PSS + 1:
        raise Fault(Reason.SCT_4, silent=fpd)
    if bits.RID_PASID and not ecap.RPS:
        raise Fault(Reason.SCT_9, silent=fpd)
    return ScalableContext(
        fpd=fpd,
        dte=bool(bits.DTE),
        paside=bool(bits.PASIDE),
        pre=bool(bits.PRE),
        directory=bits.PASIDDIRPTR,
        entries=entries,
        rid_pasid=bits.RID_PASID,
        rid_privileged=bool(bits.RID_PRIV),
    )


def fetch_pasid(memory: Memory, hardware: Hardware, context: ScalableContext, pasid: int, *, rid: bool) -> Context:
    """Read directory and table entry of a PASID (9.5, 9.6); `rid`: it stands in for a request without PASID."""
    # 1. Directory entry: range, error, present, reserved.
    if pasid >> 6 >= context.entries:
        raise Fault(Reason.SCT_9 if rid else Reason.SCT_7, silent=context.fpd)
    try:
        directory = memory.read_u64(context.directory + (pasid >> 6) * PasidDirectoryEntry.size)
    except IommuError:
        raise Fault(Reason.SPD_1) from None
    fpd = context.fpd or bool(directory & 2)
    if not directory & 1:
        raise Fault(Reason.SPD_2, silent=fpd)
    if directory & (PasidDirectoryEntry.reserved_mask | hardware.beyond):
        raise Fault(Reason.SPD_3)
    # 2. Table entry: error, present, reserved.
    try:
        raw = memory.read((directory & _ADDRESS) + (pasid & 0x3F) * PasidEntry.size, PasidEntry.size)
    except IommuError:
        raise Fault(Reason.SPT_1) from None
    bits = PasidEntry.from_bytes(raw)
    fpd = fpd or bool(bits.FPD)
    if not bits.P:
        raise Fault(Reason.SPT_2, silent=fpd)
    if bits.reserved or _pasid_bits_not_there(bits, hardware):
        raise Fault(Reason.SPT_3)
    # 3. What the unit cannot do is invalid programming.
    if not _pasid_entry_valid(bits, hardware):
        raise Fault(Reason.SPT_4, silent=fpd)
    levels = bits.AW + 2
    return Context(
        kind=bits.PGTT,
        scalable=True,
        did=bits.DID,
        fpd=fpd,
        requests_translated=context.dte,
        levels=levels,
        root=bits.SSPTPTR,
        width=min(12 + 9 * levels, hardware.mgaw),
        tlb=_NOTHING,
        first_levels=4 + bits.FSPM,
        first_root=bits.FSPTPTR,
        second_ad=bool(bits.SSADE),
        coherent=bool(bits.PWSNP),
        execute=bool(bits.ERE),
        second_execute=bool(bits.SSEE),
        supervisor=bool(bits.SRE),
        wpe=bool(bits.WPE),
        nxe=bool(bits.NXE),
        smep=bool(bits.SMEP),
        eafe=bool(bits.EAFE),
    )


def _pasid_bits_not_there(bits: PasidEntry, hardware: Hardware) -> bool:
    """Bits of features that the unit lacks are reserved, and so are address bits above the host's width."""
    ecap = hardware.ecap
    absent = (
        (bits.SSADE and not ecap.SSADS)
        or (bits.SRE and not ecap.SRS)
        or ((bits.ERE or bits.SSEE) and not ecap.ERS)
        or (bits.EAFE and not ecap.EAFS)
        or (bits.PWSNP and not ecap.SMPWCS)
        or (bits.PGSNP and not ecap.SC)
        or ((bits.CD or bits.EMTE or bits.EMT or bits.PAT) and not ecap.MTS)
    )
    nested = bits.PGTT == PGTT.NESTED
    return bool(absent or bits.SSPTPTR & hardware.beyond or (not nested and bits.FSPTPTR & hardware.beyond))


def _pasid_entry_valid(bits: PasidEntry, hardware: Hardware) -> bool:
    ecap, kind = hardware.ecap, bits.PGTT
    supported: dict[int, int] = {
        PGTT.FIRST_STAGE: ecap.FSTS,
        PGTT.SECOND_STAGE: ecap.SSTS,
        PGTT.NESTED: ecap.NEST,
        PGTT.PASS_THROUGH: ecap.PT,
    }
    if not supported.get(kind):
        return False
    if kind in (PGTT.FIRST_STAGE, PGTT.NESTED) and bits.FSPM > hardware.cap.FS5LP:
        return False
    return kind == PGTT.FIRST_STAGE or bits.AW + 2 in hardware.levels
