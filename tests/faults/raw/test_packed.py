"""Packed records: what is in them is what the decoder says, and nothing is asked twice."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.raw import format_of, packed
from iommuman.faults.raw.packed import ACCESSES, CODES, NAMES, NO_IDENTIFIER, TEXT, Packer
from iommuman.logging_backend import Schema

from tests.logging_backend.helpers import make, read

from . import quads

RECORD = struct.Struct("<Q" + CODES)
NOW = 1_700_000_000_000_000_000


def test_a_record_has_its_fields() -> None:
    """An SMMUv3 event: time, both address words, ID, who, code, unit, access."""
    packer = Packer("smmuv3", unit=3, who=lambda fault: f"device of stream {fault.identifier:#x}")
    data = quads(0x0000_0018_0000_0010, 0x0000_0280_0000_0000, 0x1111_0000, 0x4000_1000)
    assert RECORD.unpack(packer.pack(data, NOW)) == (NOW, 0x1111_0000, 0x4000_1000, 0x18, 1, 0x10, 3, 2)
    assert [(one.number, one.identifier, one.words) for one in packer.sources] == [(1, 0x18, "device of stream 0x18")]
    assert ACCESSES[2] == "write"


def test_the_names_fit_the_codes() -> None:
    """One name and one conversion a value."""
    assert len(CODES) == len(NAMES) == TEXT.count("%")


@pytest.mark.parametrize(
    ("architecture", "data", "expected"),
    [
        ("vtd", quads(0x1111_0000, 0xC000_0006_0000_0018), (0x1111_0000, 0, 0x18, 1, 6, 0, 1)),
        ("amdvi", quads(0x2000_001D_0000_0A00, 0x0637_C000), (0x0637_C000, 0, 0xA00, 1, 2, 0, 1)),
        ("virtio-iommu", quads(0x0000_0101_0000_0002, 0x100, 0x5000), (0x5000, 0, 0x100, 1, 2, 0, 1)),
        ("riscv-iommu", quads(0x0001_0008_0000_000D, 0, 0x8000, 0), (0x8000, 0, 0x100, 1, 13, 0, 1)),
        ("riscv-iommu", quads(0x111, 0, 0, 0), (0, 0, NO_IDENTIFIER, 1, 273, 0, 0)),
    ],
)
def test_every_queue(architecture: str, data: bytes, expected: tuple[int, ...]) -> None:
    """The same fields for records of every shape; bytes after the last whole record are not read."""
    assert RECORD.unpack(Packer(architecture).pack(data + b"\1", NOW)) == (NOW, *expected)


def test_each_id_is_asked_for_once() -> None:
    """A storm of many addresses asks who sends its ID one time."""
    asked: list[int | None] = []

    def who(fault: Fault) -> str:
        asked.append(fault.identifier)
        return "x"

    packer = Packer("vtd", who=who)
    data = b"".join(quads(0x1000 * i, 0xC000_0006_0000_0018 + (i % 2)) for i in range(100))
    packer.pack(data, NOW)
    packer.pack(data + quads(0, 0x8000_0005_0000_0018), NOW + 1)
    assert asked == [0x18, 0x19]


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More records unlike each other than are remembered are learnt anew; more IDs than numbers are nobody's."""
    monkeypatch.setattr(packed, "MOST_KEYS", 2)
    monkeypatch.setattr(packed, "MOST_SOURCES", 3)
    packer = Packer("vtd")
    data = b"".join(quads(0x1000, 0xC000_0006_0000_0018 + i) for i in range(5))
    numbers = [row[4] for row in RECORD.iter_unpack(packer.pack(data, NOW))]
    assert numbers == [1, 2, 3, 0, 0]


@given(st.binary(max_size=160), st.sampled_from(["vtd", "smmuv3", "amdvi", "riscv-iommu", "virtio-iommu", "smmuv2"]))
def test_noise_packs_as_it_decodes(data: bytes, architecture: str) -> None:
    """Code and ID of every packed record are those of the decoder."""
    form = format_of(architecture)
    rows = list(RECORD.iter_unpack(Packer(architecture).pack(data, NOW)))
    raws = [data[at : at + form.size] for at in range(0, len(data) - len(data) % form.size, form.size)]
    faults = [form.decode(raw, Origin(""), "") for raw in raws]
    assert [row[5] for row in rows] == [fault.code or 0 for fault in faults]
    assert [row[3] for row in rows] == [
        NO_IDENTIFIER if fault.identifier is None else fault.identifier for fault in faults
    ]


def test_packed_records_are_read_from_the_log_in_words(tmp_path: Path) -> None:
    """A burst of them comes back with its fields and a text, each record as a packet of its own."""
    schema = Schema(CODES, TEXT, NAMES)
    assert schema.record.format == RECORD.format
    data = b"".join(quads(0x1000 * i, 0xC000_0006_0000_0018) for i in range(1, 4))
    with make(tmp_path, 4) as writer:
        assert writer.burst(0, 9, 2, schema, Packer("vtd", unit=2).pack(data, NOW)) == 0
    packets = read(tmp_path)
    assert [one.timestamp for one in packets] == [NOW] * 3
    assert packets[2].text == "fault at 0x3000 (second word 0) ID 0x18 source 1 code 0x6 unit 2 access 1"
    assert packets[0].fields["address"] == 0x1000
