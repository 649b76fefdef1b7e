"""Joining the lines of one record."""

from __future__ import annotations

from iommuman.parsers.kernel_log import BootGroup, Smmuv3Event, UnitError, VtdFault, VtdStatus
from iommuman.parsers.kernel_log.joiner import MAX_DISTANCE, MAX_OPEN

from .helpers import flat, read

EVENT = "arm-smmu-v3 {}: event 0x10 received:\n"
WORD = "arm-smmu-v3 {}: \t0x0000000000000010\n"
OTHER = "usb 1-1: new device\n"


def test_lines_far_apart_are_not_joined() -> None:
    """Behind many lines of other matters a record is closed, and what would have gone on with it is listed."""
    near = EVENT.format("a") + OTHER * (MAX_DISTANCE - 1) + WORD.format("a")
    (record,), log = read(near)
    assert isinstance(record, Smmuv3Event)
    assert (record.words, log.counts.unparsed) == ((16,), 0)
    (record,), log = read(EVENT.format("a") + OTHER * MAX_DISTANCE + WORD.format("a"))
    assert isinstance(record, Smmuv3Event)
    assert (record.words, log.counts.unparsed) == ((), 1)


def test_a_record_leaves_before_a_long_log_ends() -> None:
    """Records do not wait for the end of a log whose other lines go on for long."""
    records, log = read(EVENT.format("a") + OTHER * 40_000 + "DMAR: DRHD: handling fault status reg 2\n")
    assert [type(record) for record in records] == [Smmuv3Event, VtdStatus]
    assert log.counts.lines == 40_002


def test_no_more_records_are_open_than_allowed() -> None:
    """With more units than records may be open, the oldest is closed, and its further lines are listed."""
    units = [f"unit{number}" for number in range(MAX_OPEN + 1)]
    records, log = read("".join(EVENT.format(unit) for unit in units) + "".join(WORD.format(unit) for unit in units))
    assert [(record.unit, len(record.words)) for record in records if isinstance(record, Smmuv3Event)] == [
        ("unit0", 0),
        *((unit, 1) for unit in units[1:]),
    ]
    assert log.counts.unparsed == 1


def test_records_of_one_unit_keep_their_order() -> None:
    """A line that nothing follows leaves behind the record of its unit that was open before."""
    records, _ = read(EVENT.format("a") + "arm-smmu-v3 a: CMDQ timeout\n" + "arm-smmu-v3 a: CMDQ timeout\n")
    assert [type(record) for record in records] == [Smmuv3Event, UnitError, UnitError]
    assert [record.line.number for record in records] == [1, 2, 3]


def test_a_message_of_two_lines_has_its_text_once() -> None:
    """Where one line of the log holds both lines of a message, the text of the record is that line."""
    line = "3,1,5,-;DMAR:[DMA Read] Request device [02:00.0] fault addr 1000 \\x0aDMAR:[fault reason 02] x"
    (record,), log = read(line + "\n")
    assert isinstance(record, VtdFault)
    assert (record.reason, record.text) == (2, line)
    assert (log.counts.recognised, log.counts.lines) == (1, 1)


def test_page_requests_and_dumps_without_their_end() -> None:
    """A first line without its second is still something to tell."""
    records, _ = read(
        "arm-smmu-v3 a: unexpected PRI request received:\nDMAR: Dump dmar0 table entries for IOVA 0x1000\n"
    )
    assert [flat(record)[0] for record in records] == ["UnitError", "VtdTables"]


def test_lines_that_look_like_faults_are_kept_up_to_a_limit() -> None:
    """All are counted, the first hundred are kept, with their places."""
    _, log = read("DMAR: some fault\n" * 150)
    assert (log.counts.unparsed, len(log.unparsed)) == (150, 100)
    assert log.unparsed[99].origin.line == 100


def test_lines_of_a_driver_that_are_no_faults_pass_by() -> None:
    """What a driver says beside, groups that are none, and traces of other events are other matters."""
    text = (
        "DMAR: something new\nx IOMMU: y\nmmu: x group y\nevent: IOMMU: iova=0\nmap: IOMMU: x\n"
        f"{'arm-smmu-v3 ' + 'u' * 100}: x\nDMAR x: y\n(XEN) iommu: z\n(XEN) DMAR: nothing\n[VT-D] z\n"
    )
    records, log = read(text)
    assert (records, log.counts.unparsed) == ([], 0)
    assert log.counts.unrelated == text.count("\n")


def test_a_trace_without_a_time_is_read() -> None:
    """Some programs print only the event and its text."""
    (record,), _ = read("add_device_to_group: IOMMU: groupID=3 device=0000:01:00.0\n")
    assert isinstance(record, BootGroup)
    assert (record.device, record.group, record.line.time) == ("0000:01:00.0", 3, None)
