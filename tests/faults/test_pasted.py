"""What people paste that is no whole line: each form that was met, and that nothing is made of other words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults.pasted import dumped, half_event, half_line, joined

WORDS = "0x00000010 0x00000018 0x00000000 0x0000020a 0x9b0cc000 0x00000000 0x00000000 0x00000000"


@pytest.mark.parametrize(
    ("text", "identifier", "address", "access", "code"),
    [
        ("addr 0xffd0a000 [fault reason 06] PTE Read access is not set", None, 0xFFD0A000, "read", 6),
        ("device [02:01.0] fault addr 0xe81759000 [fault reason 05]", 0x208, 0xE81759000, "", 5),
        ("[DMA Write NO_PASlD] device [02:O1.0] addr 0xe8l759000 [fault reason OxO5]", 0x208, 0xE81759000,
         "write", 5),
        ("dmar: [dma write] device [02:01.0] addr e81759123\ndmar:[fault reason 05]", 0x208, 0xE81759000, "write", 5),
        ("Request device [02:01.0] fault reason 2", 0x208, None, "", 2),
        ("device 0001:02:01.0 reason: 0x01", 0x208, None, "", 1),
    ],
)  # fmt: skip
def test_half_lines(text: str, identifier: int | None, address: int | None, access: str, code: int) -> None:
    """What is left of a VT-d line is a fault in which the rest is not known; letters that look like digits are some."""
    fault = half_line(text, Origin("x"))
    assert fault is not None
    assert (fault.identifier, fault.address, fault.access, fault.code) == (identifier, address, access, code)
    assert fault.segment == (1 if "0001:" in text else None)
    assert (fault.raw, fault.text) == (b"", text)


@pytest.mark.parametrize(
    "text",
    ["", "fault reason 0x05", "device [02:01.0] fault addr 0x1000", "the reason 5 for a slow device",
     "device [02:01.0] fault index 0x26 [fault reason 0x26]", "reason 5 device [02:3f.9]"],
)  # fmt: skip
def test_words_that_are_no_half_line(text: str) -> None:
    """Without a reason, or with nothing but one, and of interrupts, nothing is made up."""
    assert half_line(text, Origin("x")) is None


def test_a_device_that_cannot_be_is_not_known() -> None:
    """A number that is no device's is left out, and the rest is used."""
    fault = half_line("device [02:3f.1] addr 1000 reason 5", Origin("x"))
    assert fault is not None
    assert (fault.identifier, fault.address) == (None, 0x1000)


def test_half_events_of_amd() -> None:
    """An event without the driver's words before it, even over two lines, is one again."""
    whole = "AMD-Vi: Event logged [IO_PAGE_FAULT device=04:00.0 domain=0x0012 address=0x1000 flags=0x0020]"
    assert half_event(whole[len("AMD-Vi: Event logged [") :]) == whole
    assert half_event("IO_PAGE_FAULT device=04:00.0 domain=0x0012\n address=0x1000 flags=0x0020") == whole
    assert half_event("IO_PAGE_FAULT of a device") is None


def test_wrapped_lines_are_joined() -> None:
    """A line that breaks within brackets goes on in the next; others stay as they are."""
    assert joined("a [b\n> c] d\ne\n[f]") == "a [b c] d\ne\n[f]"
    assert joined("") == ""
    assert joined("[\n[\n]") == "[\n[ ]"


@pytest.mark.parametrize(
    "lines",
    [
        ("00000000: 10 00 00 00 18 00 00 00  00 00 00 00 0a 02 00 00",
         "00000010: 00 c0 0c 9b 00 00 00 00  00 00 00 00 00 00 00 00"),
        ("0000  10 00 00 00 18 00 00 00 00 00 00 00 0a 02 00 00  |..|",
         "0010  00 c0 0c 9b 00 00 00 00 00 00 00 00 00 00 00 00"),
        ("00000000: 1000 0000 1800 0000 0000 0000 0a02 0000  ......",
         "00000010: 00c0 0c9b 0000 0000 0000 0000 0000 0000  ..."),
        ("0000000 0010 0000 0018 0000 0000 0000 020a 0000",
         "0000010 c000 9b0c 0000 0000 0000 0000 0000 0000",
         "0000020"),
        ("90000020: 00000010 00000018 00000000 0000020A    ........",
         "",
         "90000030: 9b0cc000 00000000 00000000 00000000    ...."),
        ("90000020: 0000001800000010 0000020a00000000",
         "90000030: 000000009b0cc000 0000000000000000"),
    ],
)  # fmt: skip
def test_memory_dumps(lines: tuple[str, ...]) -> None:
    """One event of an SMMUv3, as hexdump, xxd, od and U-Boot show it, is the same words."""
    assert dumped("\n".join(lines)) == WORDS


@pytest.mark.parametrize(
    "text", ["", "hello", "0000: 00 11 22", "0000: 00 0011", "0000: 00000000\n0010: 00000000", "0000: 00000000\nword"]
)
def test_what_is_no_dump(text: str) -> None:
    """Groups of several sizes, gaps between lines, pieces of words and other text are no dump."""
    assert dumped(text) is None


@given(st.text(alphabet="0123456789abcdefOl xIDMAreasondevicefaultaddr[]:.=_\n", max_size=300))
def test_nothing_breaks_on_noise(text: str) -> None:
    """Whatever is pasted, an answer or none comes back, and joining lines loses no word."""
    half_line(text, Origin("x"))
    half_event(text)
    dumped(text)
    assert joined(text).replace("\n", " ").replace(">", "").split() == text.replace("\n", " ").split()
