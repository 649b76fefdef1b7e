"""When an STE or a CD is ILLEGAL (IHI 0070 clauses 5.2.2 and 5.4.2), condition by condition in the order of the text.

Conditions of formats and states that are not modelled (AArch32 tables, Secure and Realm state, permission
indirection) cannot arise: the fields that select them are reserved where IDR registers say so, and are ignored.
"""

from __future__ import annotations

from ..layout import CD, STE
from ..names import StreamConfig
from .stage import GRANULES_TG0, GRANULES_TG1, stage2_start
from .values import OAS_BITS, Capabilities

_TTENDIAN_LE, _TTENDIAN_BE = 2, 3
_NO_STALL, _STALL_FORCED = 1, 2
_4K, _16K, _64K = 12, 14, 16


def effective_strw(ste: STE, caps: Capabilities) -> int:
    """Return STE.STRW where it is used, 0 (NS-EL1) where it is not."""
    used = caps.idr0.S1P and caps.idr0.Hyp and ste.Config == StreamConfig.STAGE1
    return ste.STRW if used else 0


def illegal_ste(ste: STE, caps: Capabilities) -> str:
    """Return the first condition that makes an STE ILLEGAL, in the manual's names; empty when it is legal."""
    if not ste.V:
        return "V"
    config = ste.Config
    if not config & 4:
        return ""  # a silent abort: nothing else is looked at
    if config & 1 and not caps.idr0.S1P:
        return "Config selects stage 1, IDR0.S1P"
    if config & 2 and not caps.idr0.S2P:
        return "Config selects stage 2, IDR0.S2P"
    reason = _illegal_ats(ste, caps)
    if not reason and effective_strw(ste, caps) & 1:
        reason = "STRW"
    if not reason and config & 1:
        reason = _illegal_stage1(ste, caps)
    if not reason and config & 2:
        reason = _illegal_stage2(ste, caps)
    if not reason and ste.S2VMID > 0xFF and not caps.idr0.VMID16 and (config & 2 or _vmid_tags_stage1(ste, caps)):
        reason = "S2VMID, IDR0.VMID16"
    if not reason and config == StreamConfig.NESTED and ste.S1MPAM and caps.idr3.MPAM and ste.VMSPtr >> caps.oas:
        reason = "VMSPtr"
    return reason


def _vmid_tags_stage1(ste: STE, caps: Capabilities) -> bool:
    return bool(caps.idr0.S2P and ste.Config & 1 and effective_strw(ste, caps) == 0)


def _illegal_ats(ste: STE, caps: Capabilities) -> str:
    if not caps.idr0.ATS or ste.Config == StreamConfig.BYPASS:
        return ""
    if ste.EATS == 2 and (ste.Config != StreamConfig.NESTED or ste.S2S or caps.idr0.NS1ATS):
        return "EATS selects split-stage ATS"
    if ste.EATS == 1 and ste.S2S and ste.Config & 2:
        return "EATS with S2S"
    return ""


def _illegal_stage1(ste: STE, caps: Capabilities) -> str:
    if ste.S1STALLD and caps.idr0.STALL_MODEL:
        return "S1STALLD, IDR0.STALL_MODEL"
    if caps.idr1.SSIDSIZE:
        if ste.S1CDMax > caps.idr1.SSIDSIZE:
            return "S1CDMax, IDR1.SSIDSIZE"
        if ste.S1CDMax and not caps.idr0.CD2L and ste.S1Fmt in (1, 2):
            return "S1Fmt, IDR0.CD2L"
    return "S1ContextPtr" if ste.S1ContextPtr >> caps.oas else ""


def _illegal_stage2(ste: STE, caps: Capabilities) -> str:
    model, httu = caps.idr0.STALL_MODEL, caps.idr0.HTTU
    granule = GRANULES_TG0[ste.S2TG]
    ds = ste.S2DS and caps.idr5.DS
    conditions = (
        ("S2S, IDR0.STALL_MODEL", ste.S2S and model == _NO_STALL),
        ("S2S clear, IDR0.STALL_MODEL", not ste.S2S and model == _STALL_FORCED),
        ("S2AA64, IDR0.TTF", not ste.S2AA64),
        ("S2HA or S2HD, IDR0.HTTU", (ste.S2HA or ste.S2HD) and httu == 0),
        ("S2HD, IDR0.HTTU", ste.S2HD and httu == 1),
        ("S2TG", not _granule_present(granule, caps)),
        ("S2TTB, S2PS", ste.S2TTB >> min(OAS_BITS[ste.S2PS], caps.oas)),
        ("S2TTB from 48 bits up", granule != _64K and not ds and ste.S2TTB >> 48),
    )
    for reason, present in conditions:
        if present:
            return reason
    return _illegal_stage2_size(ste, caps, granule, ds=bool(ds)) or _illegal_endianness(ste.S2ENDI, "S2ENDI", caps)


def _illegal_stage2_size(ste: STE, caps: Capabilities, granule: int, *, ds: bool) -> str:
    size = ste.S2T0SZ
    highest = (47 if granule == _64K else 48) if caps.idr3.STT else 39
    lowest = max(12 if granule == _64K or ds else 16, 64 - caps.oas)
    if caps.aidr.ArchMinorRev == 0:
        lowest = 64 - caps.oas
    if not lowest <= size <= highest:
        return "S2T0SZ"
    start = stage2_start(ste)
    if start is None or not _start_present(granule, start, caps, ds=ds):
        return "S2SL0"
    bits, stride = 64 - size, granule - 3
    low = (3 - start) * stride + granule + 1
    return "" if low <= bits <= low + stride - 1 + 4 else "S2SL0 with S2T0SZ"


def _start_present(granule: int, start: int, caps: Capabilities, *, ds: bool) -> bool:
    needs = {(_4K, 0): 44, (_16K, 1): 42, (_64K, 1): 44, (_4K, -1): 52}.get((granule, start), 0)
    if caps.oas < needs:
        return False
    if (granule, start) == (_4K, 3):
        return bool(caps.idr3.STT)
    return ds if (granule, start) == (_16K, 0) else True


def _granule_present(granule: int, caps: Capabilities) -> bool:
    present = {_4K: caps.idr5.GRAN4K, _16K: caps.idr5.GRAN16K, _64K: caps.idr5.GRAN64K}
    return bool(present.get(granule, 0))


def _illegal_endianness(big: int, name: str, caps: Capabilities) -> str:
    endianness = caps.idr0.TTENDIAN
    wrong = big if endianness == _TTENDIAN_LE else not big if endianness == _TTENDIAN_BE else False
    return f"{name}, IDR0.TTENDIAN" if wrong else ""


def illegal_cd(cd: CD, ste: STE, caps: Capabilities, *, single: bool = False) -> str:
    """Return the first condition that makes a CD ILLEGAL under its STE; empty when it is legal.

    `single` says that the stream world has one address range and one privilege level (EL2 without E2H).
    """
    if not cd.V:
        return "V"
    model, httu = caps.idr0.STALL_MODEL, caps.idr0.HTTU
    conditions = (
        ("S, STE.S1STALLD", ste.S1STALLD and cd.S),
        ("A clear, IDR0.TERM_MODEL", caps.idr0.TERM_MODEL and not cd.A),
        ("S, IDR0.STALL_MODEL", model == _NO_STALL and cd.S),
        ("S clear, IDR0.STALL_MODEL", model == _STALL_FORCED and not cd.S),
        ("AA64, IDR0.TTF", not cd.AA64),
        ("HA or HD, IDR0.HTTU", (cd.HA or cd.HD) and httu == 0),
        ("HD, IDR0.HTTU", cd.HD and httu == 1),
        ("ASID, IDR0.ASID16", cd.ASID > 0xFF and not caps.idr0.ASID16 and not single),
    )
    for reason, present in conditions:
        if present:
            return reason
    enabled0 = single or not cd.EPD0
    enabled1 = not single and not cd.EPD1
    reason = _illegal_endianness(cd.ENDI, "ENDI", caps) if enabled0 or enabled1 else ""
    if not reason and enabled0:
        reason = _illegal_table(cd.T0SZ, GRANULES_TG0[cd.TG0], cd.TTB0, "0", cd, caps)
    if not reason and enabled1:
        reason = _illegal_table(cd.T1SZ, GRANULES_TG1[cd.TG1], cd.TTB1, "1", cd, caps)
    return reason


def _illegal_table(size: int, granule: int, base: int, which: str, cd: CD, caps: Capabilities) -> str:
    if not _granule_present(granule, caps):
        return f"TG{which}"
    ds = cd.DS and caps.idr5.DS
    highest = (47 if granule == _64K else 48) if caps.idr3.STT else 39
    lowest = 12 if caps.idr5.VAX and (granule == _64K or ds) else 16
    if not lowest <= size <= highest:
        return f"T{which}SZ"
    if base >> min(OAS_BITS[cd.IPS], caps.oas):
        return f"TTB{which}, IPS"
    return f"TTB{which} from 48 bits up" if granule != _64K and not ds and base >> 48 else ""
