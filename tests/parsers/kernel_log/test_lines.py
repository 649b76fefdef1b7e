"""Every line that the drivers print, in a file for each family.

A case is some lines of a log, then what they give: `=>` before each record (class, driver, unit, values), `??` before
each line that looks like a fault and is not understood, `--` before the number of lines of other matters.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.parsers.kernel_log import Smmuv3Event, VtdFault

from .helpers import flat, read

FOLDER = Path(__file__).parent / "lines"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case[:70]}")
    for path in sorted(FOLDER.glob("*.txt"))
    for case in path.read_text().rstrip("\n").split("\n\n")
]
MARKS = ("=> ", "?? ", "-- ")


@pytest.mark.parametrize("case", CASES)
def test_lines_give_what_is_written_below_them(case: str) -> None:
    """Each variant of each line gives the values that stand in it, and every line is counted."""
    lines = case.split("\n")
    shown = [line for line in lines if not line.startswith(MARKS)]
    records, log = read("\n".join(shown) + "\n")
    expected = [ast.literal_eval(line[3:]) for line in lines if line.startswith("=> ")]
    assert [flat(record) for record in records] == expected
    assert [line.message for line in log.unparsed] == [line[3:] for line in lines if line.startswith("?? ")]
    assert log.counts.unrelated == sum(int(line[3:]) for line in lines if line.startswith("-- "))
    assert log.counts.lines == len(shown)


@pytest.mark.parametrize("case", CASES)
def test_lines_are_known_with_a_time_and_a_host_before_them(case: str) -> None:
    """The same lines as `journalctl` and `dmesg -r` show them give the same records."""
    lines = case.split("\n")
    shown = [line for line in lines if not line.startswith(MARKS)]
    if any("[fault reason" in line and "Request" not in line for line in shown) or shown[0].startswith(
        (" ", "[", "0x")
    ):
        pytest.skip("one message of two lines, a trace, or a prefix is there")
    plain = [flat(record) for record in read("\n".join(shown) + "\n")[0]]
    for prefix in ("Aug 20 12:04:38 host kernel: [    1.500000] ", "<3>[    1.500000] ", "[    1.500000][  T123] "):
        records, _ = read("".join(f"{prefix}{line}\n" for line in shown))
        assert [flat(record) for record in records] == plain
        assert all(record.line.time == 1_500_000_000 and record.line.clock == "boot" for record in records)


def test_reasons_are_decimal_without_0x_and_hexadecimal_with_it() -> None:
    """Reason 25 of Linux 5.13 and reason 0x25 of 5.14 are not the same."""
    lines = (
        "DMAR: [DMA Read] Request device [00:02.0] PASID ffffffff fault addr 1000 [fault reason 25] x",
        "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason 0x25] x",
        "DMAR: [DMA Read NO_PASID] Request device [00:02.0] fault addr 0x1000 [fault reason a5] x",
    )
    reasons = [record.reason for record in read("\n".join(lines))[0] if isinstance(record, VtdFault)]
    assert reasons == [25, 0x25, None]


def test_a_record_has_all_its_lines() -> None:
    """The text of a record is its lines as they stand in the log, and its place is the first of them."""
    text = (
        "x\nDMAR: [DMA Read] Request device [02:00.0] fault addr 1000\n[fault reason 06] PTE Read access is not set\n"
    )
    (record,), log = read(text)
    assert record.text == text[2:-1]
    assert record.origin == Origin("log", line=2)
    assert (log.counts.lines, log.counts.recognised, log.counts.unrelated) == (3, 2, 1)


def test_the_line_behind_an_old_fault_may_be_of_another_matter() -> None:
    """When the reason is not on the next line, the fault has none, and the line keeps its meaning."""
    (record,), log = read("DMAR: [DMA Read] Request device [02:00.0] fault addr 1000\nusb 1-1: new device\n")
    assert isinstance(record, VtdFault)
    assert record.reason is None
    assert log.counts.unrelated == 1
    records, _ = read(
        "DMAR: [DMA Read] Request device [02:00.0] fault addr 1000\nDMAR: DRHD: handling fault status reg 2\n"
    )
    assert [type(one).__name__ for one in records] == ["VtdFault", "VtdStatus"]


def test_events_of_two_units_may_interleave() -> None:
    """Lines of two SMMUs, mixed line by line and with other matters between them, are joined unit by unit."""
    words = ("0x0000001100000010", "0x0000020a00000000", "0x000000009b0cc000", "0x0000000000000000")
    other = ("0x0000002200000010", "0x0000020a00000000", "0x0000000000001000", "0x0000000000000000")
    lines = ["arm-smmu-v3 a.iommu: event 0x10 received:", "arm-smmu-v3 b.iommu: event 0x10 received:"]
    for one, two in zip(words, other, strict=True):
        lines += [f"arm-smmu-v3 a.iommu: \t{one}", "usb 1-1: new device", f"arm-smmu-v3 b.iommu: \t{two}"]
    records, _ = read("\n".join(lines))
    assert [(one.unit, one.words[0]) for one in records if isinstance(one, Smmuv3Event)] == [
        ("a.iommu", 0x1100000010),
        ("b.iommu", 0x2200000010),
    ]


def test_a_fifth_word_belongs_to_no_event() -> None:
    """An event has four words; one more is listed, not joined."""
    event = "arm-smmu-v3 a.iommu: event 0x10 received:\n" + "arm-smmu-v3 a.iommu: \t0x0000000000000010\n" * 5
    (record,), log = read(event)
    assert isinstance(record, Smmuv3Event)
    assert len(record.words) == 4
    assert log.counts.unparsed == 1


def test_a_fault_in_brackets_of_another_program_is_none() -> None:
    """What other programs write into the system's log under their own name is not taken for the kernel's word."""
    fault = "AMD-Vi: Event logged [IO_PAGE_FAULT device=0a:00.0 domain=0x001d address=0x1000 flags=0x0000]"
    for prefix in ("Aug 20 12:04:38 host logger[12]: ", "2024-08-20T12:04:38.5+02:00 host prog: ", "host prog[1]: "):
        records, log = read(prefix + fault)
        assert records == []
        assert log.counts.recognised == 0


def test_something_unknown_may_stand_before_a_driver() -> None:
    """A prefix that is none of the known ones does not hide the driver."""
    for fault in (
        "DMAR: DRHD: handling fault status reg 2",
        "virtio_iommu virtio0: page fault from EP 24 at 0x1000 []",
        "ahci 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0043 address=0x1000 flags=0x0070]",
    ):
        assert [flat(one) for one in read(f"console-7|{fault}")[0]] == [flat(one) for one in read(fault)[0]]
        assert [flat(one) for one in read(f"what: ever: {fault}")[0]] == [flat(one) for one in read(fault)[0]]
