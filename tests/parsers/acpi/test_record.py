"""What all records have in common: the listing of their fields, and the report that findings go to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
from construct import Bytes, Int8ul, Int16ul, Struct
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import FieldValue, Raw, Record
from iommuman.parsers.acpi.iort import IdMapping
from iommuman.parsers.acpi.layout import Layout, MisfitError
from iommuman.parsers.acpi.record import Bits, Report, shown


@dataclass(frozen=True, slots=True)
class Sample(Record):
    """A record of four bytes."""

    NAME: ClassVar[str] = "sample"
    LAYOUT: ClassVar[Layout] = Layout(Struct("kind" / Int8ul, "flags" / Int16ul, "pad" / Bytes(1)))
    BITS: ClassVar[Mapping[str, Bits]] = {"flags": {"low": (0, 1), "middle": (4, 8), "high": (15, 1)}}

    kind: int
    flags: int
    pad: bytes


def test_a_record_is_read_at_its_offset_and_lists_its_fields() -> None:
    """Values come from the bytes at the offset, little-endian; parts of flags are cut out by lowest bit and width."""
    sample = Sample.read(b"\xff\xff\x01\xa1\x8f\x02\xff", 2)
    assert sample == Sample(2, 1, 0x8FA1, b"\x02")
    assert sample.fixed() == b"\x01\xa1\x8f\x02"
    assert list(sample.fields()) == [
        FieldValue(2, 1, "sample", "kind", 1),
        FieldValue(3, 2, "sample", "flags", 0x8FA1, (("low", 1), ("middle", 0xFA), ("high", 1))),
        FieldValue(5, 1, "sample", "pad", b"\x02"),
    ]


def test_records_are_compared_hashed_and_shown_by_their_attributes() -> None:
    """Records of one class with equal attributes are equal and hash alike; every attribute counts and is shown."""
    mapping = IdMapping(48, 0, 0xFF, 0x100, 72, 1)
    assert mapping == IdMapping(48, 0, 0xFF, 0x100, 72, 1)
    assert hash(mapping) == hash(IdMapping(48, 0, 0xFF, 0x100, 72, 1))
    assert mapping != IdMapping(49, 0, 0xFF, 0x100, 72, 1)
    assert mapping != IdMapping(48, 0, 0xFF, 0x100, 72, 0)
    assert mapping != Sample(48, 0, 0xFF, b"\0")
    assert mapping != (48, 0, 0xFF, 0x100, 72, 1)
    assert repr(mapping) == (
        "IdMapping(offset=48, input_base=0, id_count=255, output_base=256, output_reference=72, flags=1)"
    )


@given(st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=1), st.integers(0, 20))
def test_a_record_comes_back_from_its_bytes(kind: int, flags: int, pad: bytes, offset: int) -> None:
    """Reading what a record wrote, wherever it stands, gives an equal record."""
    sample = Sample(offset, kind, flags, pad)
    assert Sample.read(bytes(offset) + sample.fixed(), offset) == sample


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample(8, 256, 0, b"\0"), "kind is 256, expected a number from 0 to 0xff"),
        (Sample(8, 0, 0x10000, b"\0"), "flags is 65536, expected a number from 0 to 0xffff"),
        (Sample(8, 0, 0, b""), "pad is b'', expected 1 bytes"),
        (Sample(8, 0, 0, b"ab"), "pad is b'ab', expected 1 bytes"),
        (Sample(8, 0, 0, 7), "pad is 7, expected 1 bytes"),  # type: ignore[arg-type]
        (Sample(8, "1", 0, b"\0"), "kind is '1', expected a number from 0 to 0xff"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_is_told_with_its_field_and_place(sample: Sample, message: str) -> None:
    """Nothing is cut short, filled up or wrapped round to make it fit."""
    with pytest.raises(MisfitError) as caught:
        sample.fixed()
    assert str(caught.value) == message
    assert caught.value.place == 8


def test_raw_bytes_list_themselves_when_there_are_any() -> None:
    """Bytes that no layout describes are one field; no bytes are none."""
    assert list(Raw(7, b"abc").fields()) == [FieldValue(7, 3, "raw data", "data", b"abc")]
    assert list(Raw(7, b"", 9, "structure").fields()) == []


def test_a_report_collects_findings_with_their_place() -> None:
    """A finding has source, signature, offset and length, and the details that were given."""
    report = Report("DMAR.bin", "DMAR")
    report("RULE", "warning", 48, 4, "it is odd", field="Type", found="9")
    assert report.findings == [
        Finding("RULE", "warning", Origin("DMAR.bin", "DMAR", 48, 4), "it is odd", field="Type", found="9")
    ]


def test_a_report_counts_what_is_over_its_limit() -> None:
    """The first thousand findings are kept, the rest is counted."""
    report = Report("T", "DMAR")
    for place in range(1003):
        report("RULE", "error", place, 1, "wrong")
    assert [finding.origin.offset for finding in report.findings] == list(range(1000))
    assert report.suppressed == 3


def test_long_text_is_cut() -> None:
    """Text of the input is quoted and escaped, and cut where a sentence would grow too long."""
    assert shown("\\_SB\x1b") == "'\\_SB\\x1b'"
    assert shown("A" * 64) == f"'{'A' * 64}'"
    assert shown("A" * 65) == f"'{'A' * 64}' and 1 characters more"
