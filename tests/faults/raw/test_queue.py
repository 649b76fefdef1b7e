"""Dumps of queues: every record with its offset, the fast way equal to the plain one, nothing lost unsaid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults import Fault, FaultError
from iommuman.faults.raw import ARCHITECTURES, Format, decode_many, format_of, formats, from_queue, queue

from . import quads, told

ALL = formats()
READ = 0xC000_0006_0000_0018


def plain(data: bytes, form: Format) -> list[Fault]:
    """Return the faults as the decoder gives them, one by one."""
    starts = range(0, len(data) - len(data) % form.size, form.size)
    pieces = [(at, data[at : at + form.size]) for at in starts]
    return [
        form.decode(raw, Origin("dump", form.kind, at, form.size), "u") for at, raw in pieces if not form.vacant(raw)
    ]


def test_the_kinds_of_records() -> None:
    """Every architecture has its records, of the sizes that its specification gives."""
    assert [(one.architecture, one.kind, one.size) for one in ALL] == [
        ("vtd", "fault", 16),
        ("vtd", "page request", 32),
        ("smmuv3", "fault", 32),
        ("smmuv3", "page request", 16),
        ("smmuv2", "context", 36),
        ("smmuv2", "global", 32),
        ("amdvi", "fault", 16),
        ("amdvi", "page request", 16),
        ("riscv-iommu", "fault", 32),
        ("riscv-iommu", "page request", 16),
        ("virtio-iommu", "fault", 24),
    ]
    assert len(ARCHITECTURES) == 6


def test_records_have_their_offsets_and_empty_places_are_counted() -> None:
    """Two of four fault recording registers have F set."""
    data = quads(0x1000, READ, 0x2000, 0x18, 0, 0, 0x3000, READ)
    reading = from_queue(data, "vtd", source="frcd.bin", iommu="dmar0")
    assert [(str(one.origin), one.address) for one in reading.faults] == [
        ("frcd.bin: fault+0x0 (16 bytes)", 0x1000),
        ("frcd.bin: fault+0x30 (16 bytes)", 0x3000),
    ]
    assert (reading.vacant, reading.findings) == (2, ())


def test_bytes_that_are_left_over_are_named() -> None:
    """A dump that is cut short gives the whole records, and says what it does not read."""
    reading = from_queue(quads(0x1000, READ) + b"\x01\x02\x03", "vtd", source="frcd.bin")
    assert len(reading.faults) == 1
    (finding,) = reading.findings
    assert str(finding) == (
        "frcd.bin: fault+0x10 (3 bytes): bytes are left over after the last whole VT-d fault record: "
        "found 3 bytes: 010203, expected a multiple of 16 bytes; "
        "they are not read; is the dump cut short, or of another kind of record?"
    )


def test_the_kind_is_asked_for_by_name() -> None:
    """A PRI queue has records of its own."""
    data = quads(0xE000_0007_0000_0100, 0x0000_0000_1234_51FF)
    told(from_queue(data, "smmuv3", kind="page request").faults[0], name="page request", identifier=0x100)


def test_what_is_not_known_is_one_error() -> None:
    """An architecture or a kind that does not exist is refused, with those that do."""
    with pytest.raises(
        FaultError, match="found dart, expected one of vtd, smmuv3, smmuv2, amdvi, riscv-iommu, virtio-iommu"
    ):
        from_queue(b"", "dart")
    with pytest.raises(
        FaultError, match="amdvi has no records of this kind: found command, expected one of fault, page r"
    ):
        format_of("amdvi", "command")


@pytest.mark.parametrize("form", ALL, ids=lambda form: form.title)
@given(data=st.data())
def test_many_at_once_are_the_same_as_one_by_one(form: Format, data: st.DataObject) -> None:
    """Whatever the records and however alike: the fast way gives what the decoder gives, field for field."""
    word = st.sampled_from([0, 1, 0x1000, 0xFFF, 0x1111_0000, READ, 2**64 - 1]) | st.integers(0, 2**64 - 1)
    starts = data.draw(st.lists(st.binary(min_size=form.size, max_size=form.size), min_size=1, max_size=3))
    whole = b""
    for _ in range(data.draw(st.integers(0, 8))):
        raw = bytearray(data.draw(st.sampled_from(starts)))
        raw[form.address_at : form.address_at + 8] = data.draw(word).to_bytes(8, "little")
        if form.second_mask:
            raw[form.second_at : form.second_at + 8] = data.draw(word).to_bytes(8, "little")
        whole += raw
    assert decode_many(whole, form.architecture, kind=form.kind, source="dump", iommu="u") == plain(whole, form)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_a_storm_is_the_same_as_one_by_one(addresses: list[int]) -> None:
    """Stage 2 faults of one stream at many addresses, each with its intermediate address."""
    data = b"".join(quads(0x0000_0018_0000_0010, 0x0000_0280_0000_0000, one, one >> 12 << 12) for one in addresses)
    assert decode_many(data, "smmuv3", source="dump", iommu="u") == plain(data, format_of("smmuv3"))


def test_more_kinds_of_records_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded: what is forgotten is learnt anew."""
    monkeypatch.setattr(queue, "MOST_TEMPLATES", 2)
    data = b"".join(quads(0x1000 * i, READ + (i % 5 << 3)) for i in range(20))
    assert decode_many(data, "vtd", source="dump", iommu="u") == plain(data, format_of("vtd"))


@given(st.binary(max_size=200), st.sampled_from(ARCHITECTURES))
def test_noise_is_read_to_its_end(data: bytes, architecture: str) -> None:
    """Every byte of a dump is in a fault, in a vacant place, or in a finding."""
    reading = from_queue(data, architecture)
    size = format_of(architecture).size
    assert len(reading.faults) + reading.vacant == len(data) // size
    assert len(reading.findings) == (1 if len(data) % size else 0)
