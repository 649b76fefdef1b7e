"""Rules for an IVRS: for each a table, or two tables, that break it, and the same barely not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from iommuman.parsers.acpi import Table, build_table, parse_table
from iommuman.topology.check import Board, check, ivrs

from .boards import Case, assert_complete, board, io_apic, madt, said
from .handmade import HIDS, RANGES
from .iorts import changed


def ranges(*places: tuple[int, int, int]) -> Callable[[], Board]:
    """Return a function that makes the board of a table of ranges with these numbers written over it."""
    return lambda: board(changed(RANGES, *places))


def hids(*places: tuple[int, int, int], numbers: tuple[int, ...] = ()) -> Callable[[], Board]:
    """Return a function that makes the board of a table of ACPI devices, changed, beside a MADT with I/O APICs."""
    apics = [madt(*map(io_apic, numbers))] if numbers else []
    return lambda: board(changed(HIDS, *places), *apics)


def first_only(whole: Table, length: int) -> Table:
    """Return a table cut off after so many bytes."""
    data = build_table(whole)[:length]
    return changed(parse_table(data, whole.source), (4, 4, length))


def advice(made: Board) -> list[str]:
    """Return what is advised about I/O APICs that the table does not name."""
    return [finding.advice for finding in check(made, "IVRS-IOAPIC".__eq__)]


CASES = (
    Case(
        "IVRS-REVISION",
        ranges((8, 1, 3)),
        (("warning", 8, "the table has a revision that is not documented"),),
        ranges((8, 1, 1)),
    ),
    Case(
        "IVRS-REVISION",
        hids((8, 1, 1)),
        (("warning", 8, "the table has blocks of type 40h, which its revision does not define"),),
        hids((8, 1, 2)),
    ),
    Case(
        "IVRS-RESERVED",
        ranges((36, 4, 0x800004), (47, 1, 1), (67, 1, 0x20), (103, 1, 0x10), (169, 1, 0x17), (183, 1, 1)),
        tuple(("note", offset, "reserved bits are set") for offset in (36, 40, 66, 100, 169, 178)),
        ranges((36, 4, 0x7FFFE3), (66, 2, 0x1F1F), (100, 4, 0xFFFFFFF), (169, 1, 0xF)),
    ),
    Case(
        "IVRS-UNIT-ALIGN",
        ranges((88, 8, 0xFD202000)),
        (("error", 88, "the registers of a unit do not begin at a multiple of 16 KiB"),),
        ranges((88, 8, 0xFD204000)),
    ),
    Case(
        "IVRS-BLOCKS-DIFFER",
        ranges((86, 2, 0x44)),
        (("warning", 86, "the IVHD 11h block of 0000:00:00.2 differs from the one at 0x30"),),
        ranges((86, 2, 0x44), (84, 2, 3)),
    ),
    Case(
        "IVRS-BLOCKS-DIFFER",
        hids((184, 8, 0x29D2)),
        (("warning", 184, "the IVHD 40h block of 0000:00:00.2 differs from the one at 0x60"),),
        hids((184, 8, 0x29D2), (36, 1, 0)),
    ),
    Case(
        "IVRS-HID-UID",
        hids((366, 1, 3)),
        (("warning", 366, "the unique ID of an ACPI HID entry does not fit its format"),),
        hids((366, 1, 0)),
    ),
    Case(
        "IVRS-HID-UID",
        hids((252, 1, 0), (366, 1, 1)),
        tuple(("warning", at, "the unique ID of an ACPI HID entry does not fit its format") for at in (253, 367)),
        hids((252, 1, 1)),
    ),
    Case(
        "IVRS-MEMORY-ALIGN",
        ranges((184, 1, 1), (224, 8, 0xFFF)),
        tuple(("note", offset, "a memory block is not made of whole pages") for offset in (184, 224)),
        ranges((184, 8, 0x1000), (224, 8, 0x1000)),
    ),
    Case(
        "IVRS-IOAPIC",
        hids(numbers=(32, 33, 34)),
        (("error", 68, "the IVRS does not name I/O APIC 34"),),
        hids(numbers=(32, 33)),
    ),
    # of the blocks of one unit those of the highest type count, whatever the others name
    Case(
        "IVRS-IOAPIC",
        hids((220, 1, 31), numbers=(32,)),
        (("error", 44, "the IVRS does not name I/O APIC 32"),),
        hids((92, 1, 31), (156, 1, 31), numbers=(32,)),
    ),
    Case(
        "IVRS-SOUTHBRIDGE",
        hids((221, 2, 0xA1), numbers=(32, 33)),
        (("warning", 221, "no I/O APIC sends as 00:14.0, as that of the southbridge does"),),
        hids((221, 2, 0xA1), (229, 2, 0xA0), numbers=(32, 33)),
    ),
    # of two entries for one I/O APIC the first counts
    Case(
        "IVRS-SOUTHBRIDGE",
        hids((221, 2, 0xA1), (228, 1, 32), (229, 2, 0xA0), numbers=(32,)),
        (("warning", 221, "no I/O APIC sends as 00:14.0, as that of the southbridge does"),),
        hids((228, 1, 32), (229, 2, 0xA1), numbers=(32,)),
    ),
)


def test_every_rule_has_a_case_and_words() -> None:
    """No rule is without a table that breaks it; each says what it means, what systems do, and a remedy."""
    assert_complete(ivrs.RULES, CASES, "AMD 48882 §5.2")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_breaks_a_rule_is_found_and_what_barely_does_not_is_not(case: Case) -> None:
    """Findings are where the fault is, and none is left once the fault is mended."""
    assert said(ivrs.RULES, case.rule, case.breaks()) == list(case.says)
    assert said(ivrs.RULES, case.rule, case.keeps()) == []


def test_what_linux_is_to_be_told_of_an_io_apic() -> None:
    """For those that Linux knows to be missing on laptops, its own address is advised; of others nobody knows it."""
    assert advice(hids(numbers=(4, 5, 6))()) == [
        "until the table is mended, boot Linux with ivrs_ioapic[4]=00:14.0 (right on some Dell and Acer laptops)",
        "until the table is mended, boot Linux with ivrs_ioapic[5]=00:00.2 (right on Dell Inspiron 7375)",
        "until the table is mended, boot Linux with ivrs_ioapic[6]=<bus>:<device>.<function>",
    ]


@pytest.mark.parametrize("rule", ["IVRS-IOAPIC", "IVRS-SOUTHBRIDGE"])
def test_io_apics_are_nothing_to_a_table_without_units(rule: str) -> None:
    """Where no block describes a unit, there is nothing to remap interrupts, and nothing is missing."""
    without = replace(first_only(RANGES, 48), source="IVRS.bin")
    assert said(ivrs.RULES, rule, board(without, madt(io_apic(4)))) == []
