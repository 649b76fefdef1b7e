"""PCI addresses: text to numbers and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import format_pci_address, format_rid, parse_pci_address

SEGMENTS = st.integers(0, 0xFFFFFFFF)
RIDS = st.integers(0, 0xFFFF)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:00:00.0", (0, 0)),
        ("0000:02:01.0", (0, 0x0208)),
        ("02:01.0", (0, 0x0208)),
        ("2:1.0", (0, 0x0208)),
        ("0001:ff:1f.7", (1, 0xFFFF)),
        ("10000:e1:00.0", (0x10000, 0xE100)),
        ("FFFFFFFF:AB:1F.5", (0xFFFFFFFF, 0xABFD)),
    ],
)
def test_an_address_is_segment_and_requester_id(text: str, address: tuple[int, int]) -> None:
    """The bus is in bits 15:8 of the requester ID, the device in 7:3, the function in 2:0; no segment means 0."""
    assert parse_pci_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "02", "02:01", "02:01.", "02:01.8", "02:20.0", "100:00.0", "0000:100:00.0", "02:001.0", "02:01.00",
        " 02:01.0", "02:01.0 ", "02:01.0\n", "0x2:01.0", "123456789:02:01.0", "-1:02:01.0", "0000::00.0", "a:b:c:d.0",
        "٠٢:٠١.٠", "02:01,0", "pci0000:00", "virtio0",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told_apart(text: str) -> None:
    """Text that is not exactly an address, numbers out of range and digits of other scripts included, gives None."""
    assert parse_pci_address(text) is None


@pytest.mark.parametrize(
    ("segment", "rid", "text"),
    [(0, 0, "0000:00:00.0"), (0, 0x0208, "0000:02:01.0"), (1, 0xFFFF, "0001:ff:1f.7"), (0x10000, 9, "10000:00:01.1")],
)
def test_an_address_is_written_as_linux_writes_it(segment: int, rid: int, text: str) -> None:
    """Four digits of segment, two of bus and device, one of function, in lower case; a requester ID without segment."""
    assert format_pci_address(segment, rid) == text
    assert format_rid(rid) == text.partition(":")[2]


@given(SEGMENTS, RIDS)
def test_every_address_comes_back_from_its_text(segment: int, rid: int) -> None:
    """Reading what was written gives the same segment and requester ID, in either case and without segment."""
    text = format_pci_address(segment, rid)
    assert parse_pci_address(text) == parse_pci_address(text.upper()) == (segment, rid)
    assert parse_pci_address(format_rid(rid)) == (0, rid)


@given(st.text(max_size=20))
def test_any_text_is_answered(text: str) -> None:
    """Any text gives None or numbers that can be written and read again."""
    address = parse_pci_address(text)
    assert address is None or parse_pci_address(format_pci_address(*address)) == address
