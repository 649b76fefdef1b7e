"""The types of unit, and what the options `smmu`, `unit` and `use` say of each.

`armsmmu`, `rcar3` and `vtd` are QNX's, with the parameters of its pages on ARM, R-Car and x86; `smmuv3`, `amdvi` and
`riscv` are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ...base import Origin
from .lexer import Word
from .numbers import HIGHEST_32, NUMBER, address, format_id, number
from .records import Firmware, MainUnit, SocRevision, Unit
from .report import Report

FIRMWARE: tuple[Firmware, ...] = ("require", "ignore")
"""What `smmu` may say of the firmware's tables."""

_REGISTER_BITS = 31
_HIGHEST_16 = 0xFFFF
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a type of unit takes.

    Attributes:
        unit: the parameter of `unit`, for messages.
        fewest: fields of it that must be there.
        most: fields that it may have.
        read_unit: makes the unit of its name, where it stands, and these fields.
        main: the parameter of `smmu`, for messages, when it must be there.
        firmware: whether `smmu` takes `require` or `ignore`.
        id: what `use` takes, for messages; empty: nothing.
        highest: highest such ID.
        ranges: whether `use` takes a range of them.
    """

    unit: str
    fewest: int
    most: int
    read_unit: Callable[[str, Origin, list[Word], Report], Unit]
    main: str = ""
    firmware: bool = False
    id: str = ""
    highest: int = 0
    ranges: bool = False


def split_fields(words: list[Word]) -> list[Word]:
    """Take the words of one parameter off the front of a list, and return its fields.

    Fields are separated by commas; people put spaces beside them.
    """
    fields = words[0].split(",")
    used = 1
    while used < len(words) and (not fields[-1].text or words[used].text.startswith(",")):
        more = words[used].split(",")
        used += 1
        if not fields[-1].text:
            fields.pop()
        else:
            more.pop(0)
        fields += more
    del words[:used]
    return fields


def count_fields(fields: list[Word], fewest: int, most: int, expected: str, report: Report) -> bool:
    """Tell whether there are as many fields as there may be; if not, report it."""
    if len(fields) < fewest:
        report.error(fields[-1].end, "CONFIG-MISSING", "a field is missing", expected=expected)
    elif len(fields) > most:
        report.error(fields[most], "CONFIG-EXTRA", "there is a field too many", expected=expected)
    return fewest <= len(fields) <= most


def read_main(fields: list[Word], report: Report) -> MainUnit | None:
    """Return the main-memory IPMMU of an R-Car; None when the number of fields is wrong."""
    if not count_fields(fields, 3, len(fields), TYPES["rcar3"].main, report):
        return None
    return MainUnit(
        address(fields[0], "paddr", report),
        number(fields[1], "fault_vector", report),
        number(fields[2], "mm_fault_bit", report, _REGISTER_BITS),
        tuple(_revision(field, report) for field in fields[3:]),
    )


def _revision(field: Word, report: Report) -> SocRevision:
    parts = field.split(".")
    if len(parts) != 2:  # noqa: PLR2004 - SoC and revision
        report.error(field, "CONFIG-VALUE", "this is no SoC with revision", expected="socid.revid, such as 0x4f.0x20")
        return SocRevision(0, 0)
    return SocRevision(number(parts[0], "socid", report, _HIGHEST_16), number(parts[1], "revid", report, _HIGHEST_16))


def read_firmware(word: Word, kind: str, report: Report) -> Firmware:
    """Return what becomes of the firmware's tables."""
    for known in FIRMWARE:
        if word.text == known:
            return known
    report.error(
        word,
        "CONFIG-VALUE",
        f"'{kind}' does not take this",
        expected="require, ignore, or nothing",
        advice=report.meant(word.text, FIRMWARE),
    )
    return ""


def _plain(kind: str) -> Callable[[str, Origin, list[Word], Report], Unit]:
    """Return what reads a unit of which only the registers are told."""

    def read(name: str, origin: Origin, fields: list[Word], report: Report) -> Unit:
        return Unit(name, kind, address(fields[0], "paddr", report), origin)

    return read


def _rcar3(name: str, origin: Origin, fields: list[Word], report: Report) -> Unit:
    """Return an IPMMU."""
    bit = number(fields[1], "intr_status_bit", report, _REGISTER_BITS)
    return Unit(name, "rcar3", address(fields[0], "paddr", report), origin, status_bit=bit)


def _armsmmu(name: str, origin: Origin, fields: list[Word], report: Report) -> Unit:
    """Return an Arm SMMU of version 1 or 2."""
    more = fields[4:]
    return Unit(
        name,
        "armsmmu",
        address(fields[0], "paddr", report),
        origin,
        context_interrupt=number(fields[1], "NScIrpt", report),
        global_interrupt=number(fields[2], "NSgIrpt", report),
        bypass=_bypass(fields[3], report),
        reserved_ids=_reserved_ids(more[0], report) if more and more[0].text else (),
        board_module=_module(more[1], report) if len(more) > 1 else "",
    )


def _smmuv3(name: str, origin: Origin, fields: list[Word], report: Report) -> Unit:
    """Return an Arm SMMUv3."""
    if len(fields) == 2:  # noqa: PLR2004 - the interrupts come as a pair
        report.error(fields[1].end, "CONFIG-MISSING", "a field is missing", expected=TYPES["smmuv3"].unit)
    return Unit(
        name,
        "smmuv3",
        address(fields[0], "paddr", report),
        origin,
        context_interrupt=number(fields[1], "evt_irq", report) if len(fields) > 1 else None,
        global_interrupt=number(fields[2], "gerr_irq", report) if len(fields) > 2 else None,  # noqa: PLR2004 - its place
        bypass=_bypass(fields[3], report) if len(fields) > 3 else None,  # noqa: PLR2004 - its place
    )


def _bypass(field: Word, report: Report) -> bool:
    if field.text not in ("0", "1"):
        expected = "1 (unidentified streams pass) or 0 (they do not)"
        report.error(field, "CONFIG-VALUE", "there is no such setting", field="bypass", expected=expected)
    return field.text == "1"


def _reserved_ids(field: Word, report: Report) -> tuple[int, ...]:
    """Return the StreamIDs that are kept for the system."""
    found: dict[int, None] = {}
    for part in field.split(":"):
        before = report.count
        stream = number(part, "res_sid", report, _HIGHEST_16)
        if report.count == before and stream in found:
            report.error(part, "CONFIG-TWICE", "the StreamID is there twice", field="res_sid", advice="name it once")
        found[stream] = None
    return tuple(found)


def _module(field: Word, report: Report) -> str:
    if _MODULE.fullmatch(field.text) is None:
        expected = "the NAME of smmu-cfg-NAME.so: letters, digits, '_', '.', '-'"
        report.error(field, "CONFIG-NAME", "this is no name of a board module", field="cfg_dll", expected=expected)
    return field.text


ELSEWHERE = Hardware("", 1, 1, _plain(""), id="ID", highest=HIGHEST_32, ranges=True)
"""A unit of which something else tells the type: whether `use` takes an ID, and which, is found out with that."""

TYPES = {
    "armsmmu": Hardware(
        "paddr,NScIrpt,NSgIrpt,bypass[,res_sid[,cfg_dll]]", 4, 6, _armsmmu, id="sid", highest=_HIGHEST_16, ranges=True
    ),
    "rcar3": Hardware(
        "paddr,intr_status_bit", 2, 2, _rcar3, "paddr,fault_vector,mm_fault_bit{,socid.revid}", id="utlb", highest=63
    ),
    "vtd": Hardware("vtd_paddr", 1, 1, _plain("vtd"), firmware=True),
    "smmuv3": Hardware(
        "paddr[,evt_irq,gerr_irq[,bypass]]", 1, 4, _smmuv3, firmware=True, id="sid", highest=HIGHEST_32, ranges=True
    ),
    "amdvi": Hardware("paddr", 1, 1, _plain("amdvi"), firmware=True),
    "riscv": Hardware("paddr", 1, 1, _plain("riscv"), firmware=True, id="device_id", highest=0xFFFFFF, ranges=True),
}
"""The types of unit by name. An Arm SMMU before version 3 has StreamIDs of up to 16 bits, an IPMMU up to 64 micro-TLBs,
a RISC-V IOMMU device IDs of up to 24 bits."""


def read_ids(word: Word, hardware: Hardware, report: Report) -> tuple[int, int]:
    """Return the first ID that `use` names, and how many there are in a row."""
    ends = word.split("-")
    if len(ends) > 1 and not hardware.ranges:
        report.error(word, "CONFIG-VALUE", f"one {hardware.id} is used, not a range", expected=NUMBER)
        return 0, 1
    if len(ends) > 2:  # noqa: PLR2004 - first and last
        report.error(ends[2], "CONFIG-VALUE", "a range has two ends", expected=f"{hardware.id}-{hardware.id}")
    before = report.count
    first = number(ends[0], hardware.id, report, hardware.highest)
    last = number(ends[1], hardware.id, report, hardware.highest) if len(ends) > 1 else first
    if report.count == before and last < first:
        report.error(ends[1], "CONFIG-RANGE", "the range ends before it begins", expected=f"{format_id(first)} or more")
    return first, max(1, last - first + 1)
