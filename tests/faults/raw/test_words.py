"""Words that a person pasted."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import from_words

from . import told


@pytest.mark.parametrize(
    ("text", "title", "expected"),
    [
        # Linux's arm-smmu-v3 on a fixture board.
        ("0x0000002000000010\n\t0x0000020800000000\n\t0x0000000012220000\n\t0x0000000000000000", "SMMUv3 event",
         {"name": "F_TRANSLATION", "identifier": 0x20, "address": 0x12220000}),
        ("11110000, c000000600000018", "VT-d fault record", {"name": "LGN.3", "identifier": 0x18}),
        ("0x11110000 0x00000000 0x00000018 0xc0000006", "VT-d fault record", {"name": "LGN.3", "address": 0x11110000}),
        ("0x00000a00 0x2000001d 0x0637c000 0x00000000", "AMD-Vi event", {"name": "IO_PAGE_FAULT", "identifier": 0xA00}),
        ("000100080000000d 0 80001000 0", "RISC-V IOMMU fault record", {"code": 13, "identifier": 0x100}),
        ("0000010100000002 0000000000000100 0000000011110000", "virtio-iommu fault report", {"identifier": 0x100}),
        ("2 101 100 0 11110000 0", "virtio-iommu fault report", {"access": "read", "address": 0x11110000}),
    ],
)  # fmt: skip
def test_words_that_only_one_record_fits(text: str, title: str, expected: dict[str, object]) -> None:
    """64-bit words, and 32-bit words from the lowest, with and without 0x: the one that they can be."""
    (one,) = from_words(text)
    assert (one.title, one.likely) == (title, True)
    told(one.fault, **expected)


def test_why_it_fits() -> None:
    """The reason is said, and where the fault comes from."""
    (one,) = from_words("11110000 c000000600000018", source="-", iommu="dmar0")
    assert one.why == (
        "no permission to read (LGN.3); every field has a value that is defined, and no reserved bit is set"
    )
    assert (str(one.fault.origin), one.fault.iommu) == ("-: 2 words of 64 bits", "dmar0")


def test_words_that_fit_several_are_all_told() -> None:
    """A small page request may be of several architectures; the unlikely ones say what speaks against them."""
    found = from_words("0x0000000000000100 0x1000000000005001")
    assert {one.title: one.why for one in found if not one.likely} == {
        "VT-d fault record": "there is no record in it",
        "AMD-Vi event": "there is no event code 0x0",
        "AMD-Vi page request": "its type is 0, not 1",
        "SMMUv3 page request": "it asks for no access",
        "RISC-V IOMMU page request": "reserved bits are set",
    }
    both = from_words("0x1020000000000100 0x0000000000005000")
    assert [one.title for one in both if one.likely] == ["AMD-Vi event", "AMD-Vi page request"]


@pytest.mark.parametrize(
    ("text", "architecture", "why"),
    [
        ("0 0", "vtd", "there is no record in it"),
        ("0 800000ee00000018", "vtd", "there is no fault reason 0xee"),
        ("1 8000000600000018", "vtd", "reserved bits are set"),
        ("2 0 0 1", "vtd", "its type is 2, not 1"),
        ("101 0 0 0", "vtd", ""),
        ("1000001 fff000 0 0", "vtd", ""),
        ("10000000000001 2000 0 0", "vtd", ""),
        ("99 0 0 0", "smmuv3", "there is no event 0x99"),
        ("102 0 0 0", "smmuv3", "reserved bits are set"),
        ("e1 0 0 0", "smmuv3", ""),
        ("0010000000000100 1000", "smmuv3", "reserved bits are set"),
        ("1000000000000100 1000", "smmuv3", ""),
        ("1000000100000100 1000", "smmuv3", "it has a substream ID, and SSV is clear"),
        ("0 200 0 0", "smmuv2", "GFSR has no fault flag"),
        ("0 200000000 0 0", "smmuv2", "there is no record in it"),
        ("0 80000000 0 0", "smmuv2", "GFSR has no fault flag"),
        ("0 202 0 0", "smmuv2", "reserved bits are set"),
        ("0 2 4300000000 0", "smmuv2", ""),
        ("1 2 3 4 5 6 7 8 9", "smmuv2", "FSR has no fault flag"),
        ("2 0 0 0 0 0 0 0 0", "smmuv2", ""),
        ("3 0 0 0 0 0 0 0 0", "smmuv2", "reserved bits are set"),
        ("f000000000000000 0", "amdvi", "there is no event code 0xf"),
        ("2800000000000a00 0", "amdvi", "reserved bits are set"),
        ("b000000080000000 1", "amdvi", ""),
        ("1000000000000100 1000", "amdvi", ""),
        ("1004000000000100 1001", "amdvi", "reserved bits are set"),
        ("1004000000000100 1000", "amdvi", ""),
        ("e 0 0 0", "riscv-iommu", "there is no cause 14"),
        ("000100280000000d 0 0 0", "riscv-iommu", "there is no transaction type 10"),
        ("000100080000100d 0 0 0", "riscv-iommu", "it has a process ID, and PV is clear"),
        ("000100000000000d 0 0 0", "riscv-iommu", "it has a device ID and no transaction type"),
        ("000100080000000d 1 0 0", "riscv-iommu", "reserved bits are set"),
        ("0001000000001000 1003", "riscv-iommu", "it has a process ID, and PV is clear"),
        ("0001000000000000 1000", "riscv-iommu", "it asks for no access"),
        ("0001000000000000 1001", "riscv-iommu", ""),
        ("3 0 1", "virtio-iommu", "there is no reason 3"),
        ("102 0 1", "virtio-iommu", "reserved bits are set"),
        ("2 0 1", "virtio-iommu", "it has an address, and the flag that says so is clear"),
    ],
)
def test_what_speaks_against_a_record(text: str, architecture: str, why: str) -> None:
    """Each doubt of each architecture; an empty one means that some record is likely."""
    found = from_words(text, architecture=architecture)
    assert why in [one.why for one in found] if why else any(one.likely for one in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "these are no hexadecimal words"),
        ("hello world", "these are no hexadecimal words: found hello"),
        (
            "0x1 0x2 0x3 0x4 0x5",
            r"no record has that many words: found 5 words, expected records of 16, 24, 32, 36 bytes",
        ),
        ("0x11111111111111111 0", "a word has more than 64 bits"),
        ("_ 0", "these are no hexadecimal words: found _"),
    ],
)
def test_what_is_no_record_is_one_error(text: str, message: str) -> None:
    """Text, too many words, too large words."""
    with pytest.raises(FaultError, match=message):
        from_words(text)


@given(st.text(max_size=80) | st.from_regex(r"([0-9a-fx]{1,18}[ ,]){1,10}", fullmatch=True))
def test_any_text_gives_candidates_or_the_one_error(text: str) -> None:
    """Nothing else leaves the function."""
    with suppress(FaultError):
        assert from_words(text)
