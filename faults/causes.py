"""Likely causes in words, and what to do next: a table of rules over the sort of a fault and what its address is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .fault import Fault

Sort = Literal[
    "all-blocked",
    "feature",
    "id-conflict",
    "interrupt-compatibility",
    "interrupt-missing",
    "interrupt-range",
    "interrupt-source",
    "invalidation",
    "lost",
    "memory",
    "not-set-up",
    "page-request",
    "permission",
    "queue",
    "tables",
    "too-large",
    "translated",
    "unknown-id",
    "unmapped",
    "",
]
"""What is wrong, whatever the architecture; empty: nothing can be said."""

_VTD: dict[Sort, tuple[int, ...]] = {
    "not-set-up": (0x01, 0x02, 0x39, 0x41, 0x51, 0x59),
    "unmapped": (0x05, 0x06, 0x71, 0x79),
    "permission": (0x81, 0x82, 0x85, 0x86),
    "too-large": (0x04, 0x80, 0x83, 0x84),
    "interrupt-range": (0x0E, 0x87),
    "interrupt-missing": (0x21, 0x22),
    "interrupt-compatibility": (0x25,),
    "interrupt-source": (0x26,),
    "translated": (0x0D, 0x44),
    "feature": (0x31, 0x32, 0x33, 0x45, 0x46, 0x47, 0x5C, 0x5D),
}
_SMMUV3: dict[Sort, tuple[int, ...]] = {
    "unmapped": (0x10,),
    "permission": (0x13,),
    "too-large": (0x11,),
    "unknown-id": (0x02,),
    "translated": (0x05, 0x07),
    "feature": (0x01, 0x06, 0x08),
    "page-request": (0x24,),
    "tables": (0x03, 0x04, 0x09, 0x0A, 0x0B, 0x12, 0x20, 0x21, 0x25),
}
_AMDVI: dict[Sort, tuple[int, ...]] = {
    "tables": (0x1, 0x3, 0x4, 0xE),
    "queue": (0x5, 0x6),
    "invalidation": (0x7,),
    "feature": (0x8, 0x9),
    "permission": (0xD,),
}
_RISCV: dict[Sort, tuple[int, ...]] = {
    "unmapped": (12, 13, 15, 20, 21, 23),
    "memory": (1, 5, 7),
    "all-blocked": (256,),
    "not-set-up": (258,),
    "feature": (260,),
    "interrupt-missing": (261, 262, 263, 264, 270, 271),
    "tables": (257, 259, 265, 266, 267, 268, 269, 272, 274),
}
_VIRTIO: dict[Sort, tuple[int, ...]] = {"not-set-up": (1,), "unmapped": (2,)}
_SMMUV2: dict[str, Sort] = {
    "SMCF": "id-conflict",
    "USF": "unknown-id",
    "ICF": "not-set-up",
    "TF": "unmapped",
    "PF": "permission",
    "ASF": "too-large",
    "EF": "tables",
    "AFF": "tables",
    "TLBMCF": "tables",
    "TLBLKF": "tables",
    "UCBF": "tables",
    "UCIF": "tables",
    "UUT": "feature",
}
_BY_CODE: dict[str, dict[int, Sort]] = {
    architecture: {code: sort for sort, codes in table.items() for code in codes}
    for architecture, table in (
        ("vtd", _VTD),
        ("smmuv3", _SMMUV3),
        ("amdvi", _AMDVI),
        ("riscv-iommu", _RISCV),
        ("virtio-iommu", _VIRTIO),
    )
}
Known = Literal["listed", "possible", "nobody", ""]
"""Who sends the ID: a device that a source lists; only one that a map would let have it; nobody; empty: no board."""

_BY_NAME: dict[str, Sort] = {
    "page request": "page-request",
    "stop marker": "page-request",
    "IQE": "queue",
    "ITE": "invalidation",
    "ICE": "invalidation",
    "PFO": "lost",
}
_IO_PAGE_FAULT = 2
_VTD_LAST = 0x91


def sort_of(fault: Fault) -> Sort:
    """Return what is wrong, whatever the architecture."""
    if fault.name in _BY_NAME:
        return _BY_NAME[fault.name]
    if fault.architecture == "smmuv2":
        return next((_SMMUV2[flag] for flag in fault.name.split() if flag in _SMMUV2), "")
    if fault.architecture == "amdvi" and fault.code == _IO_PAGE_FAULT:
        return _amd_page_fault(fault)
    code = fault.code or 0
    # What is left of VT-d's chapter 7 is about entries that are wrong or cannot be read.
    other: Sort = "tables" if fault.architecture == "vtd" and 0 < code <= _VTD_LAST else ""
    return _BY_CODE.get(fault.architecture, {}).get(code, other)


def _amd_page_fault(fault: Fault) -> Sort:
    """Return what the flags of an IO_PAGE_FAULT make of it."""
    facts = dict(fault.facts)
    if not facts.get("PR"):
        return "interrupt-missing" if fault.access == "interrupt" else "unmapped"
    return "tables" if facts.get("RZ") or not facts.get("PE") else "permission"


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause, and what to do next; both as plain sentences without a full stop."""

    text: str
    advice: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A cause, and when it is likely.

    Attributes:
        sorts: sorts of faults that it is for.
        tags: of these at least one is true of the address; empty: whatever the address is.
        architectures: empty: all.
        known: who has to send the ID; empty: whoever does.
        cause: `{who}` is the device, `{place}` what the address falls in, `{near}` what it just misses.
        advice: what to do next, likewise.
    """

    sorts: tuple[Sort, ...]
    cause: str
    advice: str
    tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    known: tuple[Known, ...] = ()


_REFUSED: tuple[Sort, ...] = ("unmapped", "permission")

RULES: tuple[Rule, ...] = (
    Rule(
        _REFUSED,
        "firmware still has {who} use memory that is reserved for it, and its address space lacks that memory",
        "keep that region mapped one to one whenever its address space is changed; without that it cannot be given to "
        "a guest",
        ("own-reserved",),
    ),
    Rule(
        _REFUSED,
        "{who} reaches for memory that is reserved for something else",
        "compare the firmware's reserved regions with the device that is meant: is a scope or an ID wrong?",
        ("other-reserved",),
    ),
    Rule(
        _REFUSED,
        "{who} sends an interrupt, and the doorbell is not mapped in its address space",
        "map the doorbell for it, or have the operating system do so (Linux: IOMMU_RESV_SW_MSI)",
        ("linux-msi",),
        ("smmuv2", "smmuv3"),
    ),
    Rule(
        ("unmapped", "permission", "interrupt-range"),
        "{who} accesses the window of interrupts with something that is no interrupt, or with interrupts not remapped",
        "look at how the interrupts of {who} are set up, and that no buffer of it was given an address there",
        ("msi",),
    ),
    Rule(
        _REFUSED,
        "{who} accesses the registers of an IOMMU, which no device has any business with",
        "treat it as a wild or hostile access; find out what address it was given",
        ("registers",),
    ),
    Rule(
        _REFUSED,
        "a grant covers the address, but not for this device or not for this kind of access",
        "compare the access with the rights of {place}",
        ("own-grant", "other-grant"),
    ),
    Rule(
        _REFUSED,
        "{who} accesses another device directly (peer to peer), and that is not mapped for it",
        "map {place} for it if that is meant, else find out what address it was given",
        ("window",),
    ),
    Rule(
        _REFUSED,
        "{who} runs over the end of {near}: a length that is one too large, or a prefetch",
        "compare the length that the device was given with the size of the mapping",
        ("past-end",),
    ),
    Rule(
        _REFUSED,
        "{who} begins before the start of {near}: an offset that is too small",
        "compare the address that the device was given with the start of the mapping",
        ("before-start",),
    ),
    Rule(
        _REFUSED,
        "{who} was given no address at all: a descriptor or ring register that is still 0",
        "look at what the driver writes into the device before it starts it",
        ("first-page",),
    ),
    Rule(
        ("unmapped",),
        "an access to an address that nobody mapped, by an ID that no listed device has",
        "find the device first: give the PCI functions of the board (pci.json, or a copy of /sys)",
        known=("possible", "nobody"),
    ),
    Rule(
        ("unmapped",),
        "{who} was given a physical address of memory rather than one that is mapped for it, or its mapping is gone",
        "see whether its driver maps every buffer (DMA API), and whether it was to be left untranslated",
        ("ram",),
    ),
    Rule(
        ("unmapped",),
        "{who} uses an address that its driver has not mapped, or has unmapped while the device was still at work",
        "look for a use after unmap in the driver; if it was switched to a guest or another driver just before, stop "
        "the device first",
    ),
    Rule(
        ("permission",),
        "the buffer is mapped, but not for this kind of access: the direction of the mapping is wrong",
        "compare the direction that the driver maps with (to the device, from it) with what the device does",
    ),
    Rule(
        ("not-set-up",),
        "no address space was made for this ID, and no listed device has it: a hidden device, or one that sends the ID "
        "of another function",
        "look for a function that the capture lacks, and for a device that needs a DMA alias quirk",
        known=("possible", "nobody"),
    ),
    Rule(
        ("not-set-up",),
        "{who} was already at work before the operating system set it up: firmware or a boot loader left it running",
        "if it comes at boot only, have firmware stop the device, or declare the memory it uses (RMRR); else see "
        "whether its driver is loaded",
        architectures=("vtd",),
    ),
    Rule(
        ("not-set-up",),
        "{who} is at work, and no address space was made for it",
        "see whether its driver is loaded, and whether something left the device running before",
    ),
    Rule(
        ("unknown-id",),
        "the operating system has not set up this ID, which the board's tables give to {who}: that is not in use, or "
        "was at work before it was set up",
        "see whether {who} is enabled and its driver loaded; stop it in firmware, or declare its memory (RMR)",
        known=("listed",),
    ),
    Rule(
        ("unknown-id",),
        "the operating system has not set up this ID, and no source lists {who}, which the board's tables give it to: "
        "a function that was not found, or a mapping that is wrong by an offset",
        "see whether there is such a function; if not, which device should have this ID?",
        known=("possible",),
    ),
    Rule(
        ("unknown-id",),
        "no table of the board leads to this ID: an ID mapping or iommu-map is missing, or is wrong by an offset or a "
        "count",
        "compare the ID with the output ranges of the IORT or device tree: which device should it be?",
        known=("nobody",),
    ),
    Rule(
        ("unknown-id",),
        "the operating system has not set up this ID",
        "lay it beside the board's tables, which say who sends it",
    ),
    Rule(
        ("lost",),
        "more faults came than the unit could record, so what is recorded is not all, and not the first",
        "stop the device that faults most, then look again at the others",
    ),
    Rule(
        ("id-conflict",),
        "two devices were set up with overlapping IDs or masks",
        "check the stream IDs and masks of the board's tables for overlaps",
    ),
    Rule(
        ("interrupt-source",),
        "an interrupt entry is set up for another source than {who}: it sends interrupts under a requester ID that is "
        "not the one the operating system expects",
        "if no such function exists, it is an alias: the device needs a quirk, or firmware set up its interrupts and "
        "they are still on",
    ),
    Rule(
        ("interrupt-compatibility",),
        "{who} sends an interrupt that was set up before interrupt remapping was switched on, by firmware or a driver "
        "that does not use it",
        "if it comes at boot only it is harmless; else see which driver sets up its interrupts, and update it",
    ),
    Rule(
        ("interrupt-missing",),
        "{who} still sends an interrupt that was taken away, or one that nobody set up",
        "see whether its driver was unloaded or the device reset just before; such an interrupt is lost, not harmful",
    ),
    Rule(
        ("interrupt-range",),
        "{who} accesses the window of interrupts with something that is no interrupt",
        "look at the addresses that it was given: none may lie in 0xfee00000-0xfeefffff",
    ),
    Rule(
        ("translated",),
        "{who} uses addresses that it had translated (ATS), which is not switched on for it",
        "switch ATS off in the device, or allow it in the operating system; after a reset the two may disagree",
    ),
    Rule(
        ("feature",),
        "{who} sends a kind of request that is not set up for it (PASID, process, privilege or page requests)",
        "see which of these the device has switched on, and whether the operating system did so",
    ),
    Rule(
        ("too-large",),
        "the address has more bits than this address space",
        "see which DMA mask the driver sets, and what width the unit and the tables have",
    ),
    Rule(
        ("tables",),
        "the unit's own tables are wrong or cannot be read: a fault of the software that writes them, or memory that "
        "was overwritten or given back",
        "dump the entry of this ID; look for software that changed it without telling the unit",
    ),
    Rule(
        ("memory",),
        "the address was translated, and there is nothing there that answers",
        "look at what physical address the mapping leads to",
    ),
    Rule(
        ("all-blocked",),
        "the unit lets nothing through: it is switched off (ddtp Off), so {who} was at work before the operating "
        "system, or after it",
        "if it comes at boot only, have firmware stop the device",
    ),
    Rule(
        ("invalidation",),
        "{who} does not answer when its translation cache is to be emptied: it hangs, sleeps or is gone",
        "look at the power state and the link of the device; switch ATS off for it if it stays so",
    ),
    Rule(
        ("queue",),
        "software gave the unit a command that is wrong",
        "dump the command at the queue's head; the unit does nothing more until it is cleared",
    ),
    Rule(
        ("page-request",),
        "{who} asks for a page; that is no fault unless it is never answered",
        "see whether the operating system answers page requests of this device",
    ),
)
"""The first rule that holds is the one that is told."""


def find_cause(
    fault: Fault,
    tags: frozenset[str] = frozenset(),
    *,
    words: Mapping[str, str] | None = None,
    known: Known = "",
) -> Cause | None:
    """Return the likely cause of a fault; None when nothing can be said.

    Args:
        fault: the fault.
        tags: what its address is; see `Surroundings`.
        words: `who`, the device; `place`, what the address falls in; `near`, what it just misses.
        known: see `Known`.
    """
    sort = sort_of(fault)
    said = {"who": "the device", "place": "it", "near": "it", **(words or {})}
    for rule in RULES:
        if sort not in rule.sorts or (rule.known and known not in rule.known):
            continue
        if rule.architectures and fault.architecture not in rule.architectures:
            continue
        if rule.tags and not tags & set(rule.tags):
            continue
        return Cause(rule.cause.format_map(said), rule.advice.format_map(said))
    return None
