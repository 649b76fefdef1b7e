"""What QEMU's VT-d does otherwise than the specification, by name."""

from __future__ import annotations

from iommuman.iommu.vtd.layout import FRCD, FirstStagePage
from iommuman.iommu.vtd.names import TTM, Reason

from .harness import Difference, Known

HOST_WIDTH = 48
"""Of QEMU's unit: what the width of device addresses is set to."""


def _reasons(difference: Difference) -> tuple[int, int]:
    """Return our fault reason and theirs; 0: there is no record."""
    ours, theirs = (
        (one.registers[2] >> 32 & 0xFF) if len(one.registers) == 3 else 0
        for one in (difference.ours, difference.theirs)
    )
    return ours, theirs


def _alike(difference: Difference) -> bool:
    """Both refuse and record, and nothing but reason and PP differs."""
    ours, theirs = difference.ours.registers, difference.theirs.registers
    other = ~(FRCD.FR.mask | FRCD.PP.mask | FRCD.PV.mask) >> 64
    return (
        difference.access is not None
        and difference.ours.mark == difference.theirs.mark == 0
        and ours[:2] == theirs[:2]
        and ours[2] & other == theirs[2] & other
        and ours[2] >> 63 == 1
    )


def _no_record_of_cached(difference: Difference) -> bool:
    """A page was used since the last flush, and the record of a refusal is all that is missing."""
    access, ours, theirs = difference.access, difference.ours, difference.theirs
    if access is None or access.before or ours.mark != theirs.mark or theirs.registers != (0, 0, 0):
        return False
    for earlier, physical in reversed(difference.earlier):
        if physical is not None and earlier.address >> 30 == access.address >> 30:
            refused = (Reason.LGN_2, Reason.LGN_3, Reason.SGN_6, Reason.SGN_7, Reason.SSL_2)
            return _reasons(difference)[0] in refused
        if earlier.before:
            break
    return False


def _pass_through_any_address(difference: Difference) -> bool:
    return (
        difference.configuration.notes["pass"] == 1
        and difference.access is not None
        and _reasons(difference) in ((Reason.LGN_1, 0), (Reason.SGN_4, 0))
        and difference.access.address >> HOST_WIDTH - 1 != 0
    )


def _pass_through_with_pointer(difference: Difference) -> bool:
    return difference.configuration.notes["pass"] == 1 and _reasons(difference)[1] == Reason.LCT_3


def _mode_not_known(difference: Difference) -> bool:
    return difference.configuration.notes["mode"] > TTM.SCALABLE


def _legacy_reason(difference: Difference) -> bool:
    return _alike(difference) and _reasons(difference) in _LEGACY_REASONS


def _pasid_shown(difference: Difference) -> bool:
    ours, theirs = _reasons(difference)
    return _alike(difference) and ours == theirs


def _absent_feature(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("more")) and _reasons(difference)[0] in (0, *_OF_CONTEXT)


def _pasid_bits(difference: Difference) -> bool:
    return _reasons(difference)[0] in (Reason.SPD_3, Reason.SPT_3)


def _pass_through_width(difference: Difference) -> bool:
    notes = difference.configuration.notes
    return notes["pass"] == 1 and notes.get("aw", 1) not in (1, 2) and _reasons(difference) == (Reason.SPT_4, 0)


def _type_before_present(difference: Difference) -> bool:
    return _alike(difference) and _reasons(difference) == (Reason.SPT_2, Reason.SPT_4)


def _pasid_fpd(difference: Difference) -> bool:
    ours, theirs = _reasons(difference)
    return (
        bool(difference.configuration.notes.get("fpd"))
        and ours == 0
        and theirs in (Reason.SPT_2, Reason.SPT_4, Reason.SPD_2)
    )


def _not_coherent(difference: Difference) -> bool:
    notes = difference.configuration.notes
    return bool(notes.get("no snoop")) and bool(notes.get("first")) and _refused_as(difference, Reason.SFL_9)


def _either_bit(difference: Difference) -> bool:
    ours, theirs = difference.ours.registers[0], difference.theirs.registers[0]
    both = FirstStagePage.A.mask | FirstStagePage.D.mask
    return difference.access is None and ours ^ theirs in (both & ours & ~theirs, 0) and bool(theirs & both)


def _unused_half(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("upper")) and _reasons(difference)[1] == Reason.LRT_3


def _snoop_bit(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("snp")) and _refused_as(difference, Reason.LSL_2, Reason.SSL_3)


def _execute_disable(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("xd")) and _refused_as(difference, Reason.SFL_3)


def _refused_as(difference: Difference, *reasons: Reason) -> bool:
    """Our model refuses the access for one of these reasons, or unseen (FPD); or memory differs, as QEMU went on."""
    reason = _reasons(difference)[0]
    return difference.access is None or reason in reasons or (reason == 0 and difference.ours.mark == 0)


def _first_stage_width(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("first")) and difference.configuration.notes["aw"] != 2


_LEGACY_REASONS = {
    (Reason.SRT_1, Reason.LRT_1), (Reason.SRT_2, Reason.LRT_2), (Reason.SRT_3, Reason.LRT_3),
    (Reason.SCT_1, Reason.LCT_1), (Reason.SCT_2, Reason.LCT_2), (Reason.SCT_3, Reason.LCT_3),
    (Reason.SSL_1, Reason.LSL_1), (Reason.SSL_2, Reason.LGN_2), (Reason.SSL_2, Reason.LGN_3),
    (Reason.SSL_3, Reason.LSL_2), (Reason.SSL_4, Reason.LCT_4),
    (Reason.SGN_5, Reason.LGN_1), (Reason.SGN_6, Reason.LGN_2), (Reason.SGN_7, Reason.LGN_3),
}  # fmt: skip
_OF_CONTEXT = (Reason.SCT_3, Reason.SCT_4, Reason.SCT_9)
_SOURCE = "hw/i386/intel_iommu.c"
KNOWN = (
    Known(
        "no record of a refused access to a page that is cached",
        "VT-d 4.1 chapter 7: each condition of a blocked request is recorded",
        f"{_SOURCE}, vtd_do_iommu_translate: an IOTLB hit leaves permissions to the caller, who records nothing",
        _no_record_of_cached,
    ),
    Known(
        "pass-through lets every address pass",
        "VT-d 4.1 chapter 7, LGN.1 and SGN.4: addresses above the host's or the unit's width are blocked",
        f"{_SOURCE}, vtd_do_iommu_translate and vtd_pt_enable_fast_path: no width is looked at",
        _pass_through_any_address,
    ),
    Known(
        "pass-through checks the pointer that it does not use",
        "VT-d 4.1 clause 9.3: SSPTPTR is ignored with translation type 10b",
        f"{_SOURCE}, vtd_context_entry_rsvd_bits_check",
        _pass_through_with_pointer,
    ),
    Known(
        "translation table modes 2 and 3 are taken for others",
        "VT-d 4.1 clause 11.4, RTADDR.TTM: 10b is reserved, 11b aborts where ECAP.ADMS is set",
        f"{_SOURCE}, vtd_update_scalable_state: one bit of two is looked at",
        _mode_not_known,
    ),
    Known(
        "reasons of legacy mode for root, context and second stage of scalable mode",
        "VT-d 4.1 chapter 7: conditions of scalable mode have reasons from 38h on",
        f"{_SOURCE}, vtd_dev_to_context_entry and vtd_iova_to_slpte",
        _legacy_reason,
    ),
    Known(
        "a record of a request without PASID shows the PASID that stands in for it",
        "VT-d 4.1 clause 11.4, FRCD: PP is set when the request has a PASID",
        f"{_SOURCE}, vtd_do_iommu_translate: pasid is that of the context entry from there on",
        _pasid_shown,
    ),
    Known(
        "context entries may have bits of features that the unit lacks",
        "VT-d 4.1 clause 9.4: DTE, PASIDE, PRE, RID_PASID and RID_PRIV are reserved without the feature",
        f"{_SOURCE}, vtd_context_entry_rsvd_bits_check",
        _absent_feature,
    ),
    Known(
        "reserved bits of PASID directory and PASID table are accepted",
        "VT-d 4.1 chapter 7, SPD.3 and SPT.3",
        f"{_SOURCE}, vtd_get_pdire_from_pdir_table and vtd_get_pe_in_pasid_leaf_table",
        _pasid_bits,
    ),
    Known(
        "the type of a PASID entry is looked at before its present bit",
        "VT-d 4.1 chapter 7: SPT.2 before SPT.4",
        f"{_SOURCE}, vtd_get_pe_in_pasid_leaf_table",
        _type_before_present,
    ),
    Known(
        "FPD of an invalid PASID entry is not looked at",
        "VT-d 4.1 clause 9.6: FPD holds whatever P is",
        f"{_SOURCE}, vtd_do_iommu_translate",
        _pasid_fpd,
    ),
    Known(
        "accessed and dirty bits are set by walks that do not snoop",
        "VT-d 4.1 chapter 7, SFL.9: PWSNP is 0 and a bit needs setting",
        f"{_SOURCE}, vtd_set_flag_in_pte",
        _not_coherent,
    ),
    Known(
        "the width of the second stage counts for the first",
        "VT-d 4.1 clauses 3.6 and 9.6: FSPM is the first stage's, AW is not",
        f"{_SOURCE}, vtd_get_iova_level and vtd_iova_limit",
        _first_stage_width,
    ),
    Known(
        "a write sets neither accessed nor dirty bit where one of them is set",
        "VT-d 4.1 clause 3.6: A is set in every entry that is used, D in the last one for a write",
        f"{_SOURCE}, vtd_set_flag_in_pte: either bit stands for both",
        _either_bit,
    ),
    Known(
        "the unused half of a scalable root entry is checked",
        "VT-d 4.1 chapter 7, SRT.3: of the half that the function's number selects",
        f"{_SOURCE}, vtd_root_entry_rsvd_bits_check",
        _unused_half,
    ),
    Known(
        "bit SNP is accepted without snoop control",
        "VT-d 4.1 clause 9.8: SNP is reserved without ECAP.SC",
        f"{_SOURCE}, vtd_init: the bit is not reserved where scalable mode exists",
        _snoop_bit,
    ),
    Known(
        "bit XD is accepted while it is not enabled",
        "VT-d 4.1 clause 9.7: XD is reserved while NXE is 0",
        f"{_SOURCE}, vtd_init: VTD_FL_IGN_COM has it",
        _execute_disable,
    ),
    Known(
        "pass-through of scalable mode may have any AW",
        "VT-d 4.1 clause 9.6: AW is one that CAP.SAGAW has",
        f"{_SOURCE}, vtd_get_pe_in_pasid_leaf_table",
        _pass_through_width,
    ),
)
