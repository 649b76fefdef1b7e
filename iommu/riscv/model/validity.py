"""What makes a device context or process context misconfigured (2.1.4, 2.2.4): each condition by its own name."""

from __future__ import annotations

from ..layout import DC, PC
from ..names import FirstStageMode, MsiMode, ProcessMode, SecondStageMode
from .values import Capabilities


def misconfigured_dc(dc: DC, caps: Capabilities) -> str:
    """Return the first condition that makes a valid DC misconfigured; empty when there is none.

    In base format the second half is zeros. fctl.BE and fctl.GXL are 0 and cannot be written.
    """
    have = caps.register
    first_stage: dict[int, int] = {
        FirstStageMode.SV39: have.Sv39,
        FirstStageMode.SV48: have.Sv48,
        FirstStageMode.SV57: have.Sv57,
    }
    second_stage: dict[int, int] = {
        SecondStageMode.SV39X4: have.Sv39x4,
        SecondStageMode.SV48X4: have.Sv48x4,
        SecondStageMode.SV57X4: have.Sv57x4,
    }
    processes: dict[int, int] = {ProcessMode.PD8: have.PD8, ProcessMode.PD17: have.PD17, ProcessMode.PD20: have.PD20}
    qos = dc.RCID | dc.MCID
    conditions = (
        ("reserved bits", dc.reserved),
        ("EN_ATS, EN_PRI or PRPR, capabilities.ATS", not have.ATS and (dc.EN_ATS or dc.EN_PRI or dc.PRPR)),
        ("T2GPA, EN_ATS", dc.T2GPA and not dc.EN_ATS),
        ("EN_PRI, EN_ATS", dc.EN_PRI and not dc.EN_ATS),
        ("PRPR, EN_PRI", dc.PRPR and not dc.EN_PRI),
        ("T2GPA, capabilities.T2GPA", dc.T2GPA and not have.T2GPA),
        ("T2GPA, iohgatp.MODE", dc.T2GPA and dc.iohgatp_MODE == SecondStageMode.BARE),
        ("pdtp.MODE", dc.PDTV and dc.fsc_MODE and not processes.get(dc.fsc_MODE)),
        ("iosatp.MODE", not dc.PDTV and dc.fsc_MODE and not first_stage.get(dc.fsc_MODE)),
        ("DPE, PDTV", dc.DPE and not dc.PDTV),
        ("iohgatp.MODE", dc.iohgatp_MODE and not second_stage.get(dc.iohgatp_MODE)),
        ("msiptp.MODE", dc.msiptp_MODE > MsiMode.FLAT),
        ("iohgatp.PPN", dc.iohgatp_MODE and dc.iohgatp_PPN & 0x3FFF),
        ("SADE or GADE, capabilities.AMO_HWAD", (dc.SADE or dc.GADE) and not have.AMO_HWAD),
        ("SBE, fctl.BE", dc.SBE),
        ("SXL, fctl.GXL", dc.SXL),
        ("RCID or MCID", qos if not have.QOSID else qos >> caps.qos_bits),
    )
    return next((name for name, present in conditions if present), "")


def misconfigured_pc(pc: PC, caps: Capabilities) -> str:
    """Return the first condition that makes a valid PC misconfigured; empty when there is none."""
    have = caps.register
    modes: dict[int, int] = {
        FirstStageMode.BARE: 1,
        FirstStageMode.SV39: have.Sv39,
        FirstStageMode.SV48: have.Sv48,
        FirstStageMode.SV57: have.Sv57,
    }
    if pc.reserved:
        return "reserved bits"
    return "" if modes.get(pc.fsc_MODE) else "PC.fsc.MODE"
