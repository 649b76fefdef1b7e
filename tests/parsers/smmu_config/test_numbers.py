"""Numbers: every form of the notation, in every place."""

from __future__ import annotations

import pytest
from iommuman.parsers.smmu_config import MmioSpec, PciSpec

from tests.parsers.smmu_config.helpers import messages, read

TOP = (1 << 64) - 1


@pytest.mark.parametrize(
    "words",
    [
        "0x4000,4096",
        "4000,4096",
        "0x4000,0x1000",
        "0x4000,0d4096",
        "0d16384,4096",
        "0d16384,0d4096",
        "0d16384,0x1000",
    ],
)
def test_the_examples_of_the_notation_are_one_region(words: str) -> None:
    """All forms that the page on options calls the same are the same."""
    (allow,) = read(f"allow a {words}").allows
    assert (allow.start, allow.length) == (0x4000, 4096)


def test_multipliers_count_in_1024() -> None:
    """`4K,1k` is `0x1000,0x400`: the page's own example."""
    assert read("allow a 4K,1k").allows == read("allow a 0x1000,0x400").allows


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0", 0),
        ("10", 0x10),
        ("0x10", 0x10),
        ("0X10", 0x10),
        ("0d10", 10),
        ("0D10", 10),
        ("e6ef0000", 0xE6EF0000),
        ("E6EF0000", 0xE6EF0000),
        ("0xE6eF0000", 0xE6EF0000),
        ("00000000000000000000000000000001", 1),
        ("4K", 0x1000),
        ("4k", 0x1000),
        ("64M", 0x64 << 20),
        ("0x64m", 0x64 << 20),
        ("0d64M", 64 << 20),
        ("4G", 4 << 30),
        ("dG", 13 << 30),
        ("0d4g", 4 << 30),
        ("ffffffffffffffff", TOP),
        ("0d18446744073709551615", TOP),
        ("3fffffffffffffK", TOP - 1023),
    ],
)
def test_addresses_are_hexadecimal(word: str, value: int) -> None:
    """An address is hexadecimal unless `0d` says otherwise, and may be multiplied."""
    (device,) = read(f"device mem:{word}").devices
    assert device.spec == MmioSpec(value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1", 1),
        ("10", 10),
        ("0d10", 10),
        ("0x10", 16),
        ("0010", 10),
        ("4K", 4096),
        ("0x4K", 4096),
        ("16M", 16 << 20),
        ("0x10m", 16 << 20),
        ("0d16M", 16 << 20),
        ("2g", 2 << 30),
        ("0x10000000000000000", TOP + 1),
        ("18446744073709551616", TOP + 1),
        ("17179869184G", TOP + 1),
    ],
)
def test_lengths_are_decimal(word: str, value: int) -> None:
    """A length is decimal unless `0x` says otherwise, may be multiplied, and may be all of memory."""
    (allow,) = read(f"allow all 0,{word}").allows
    assert allow.length == value


@pytest.mark.parametrize("word", ["0:18.0", "00:018.00", "0x0:0x12.0x0", "0d0:0d18.0d0", "0:0X12.0"])
def test_all_other_numbers_are_decimal(word: str) -> None:
    """Bus, device and function are decimal unless `0x` says otherwise."""
    (device,) = read(f"device pci:{word}").devices
    assert device.spec == PciSpec(0, 18 << 3, 18 << 3)


@pytest.mark.parametrize(
    "word", ["１0", "²", "1_0", "1e3", "0b1", "0o7", "+1", "1.", " ", "0x1x", "0xK", "1KK", "\u0661"]
)
def test_other_notations_are_no_numbers(word: str) -> None:
    """Digits are ASCII, and nothing that only Python takes for a number is one."""
    assert any("this is no number: length" in text for text in messages(f"allow a 0,{word}"))


def test_a_region_may_end_with_the_last_address() -> None:
    """Start and length may add up to 2 to the power of 64, and to no more."""
    (allow,) = read("allow a 0xfffffffffffff000,4096").allows
    assert allow.start + allow.length == TOP + 1
    (text,) = messages("allow a 0xfffffffffffff000,4097")
    assert text.startswith(
        "a.smmu:1:28: the region goes past the last 64-bit address: found 0xfffffffffffff000 + 0x1001"
    )


def test_digits_without_end_are_out_of_range() -> None:
    """A number of a hundred thousand digits is refused without being worked out."""
    (text,) = messages(f"allow a 0,{'9' * 100_000}")
    assert text.startswith("a.smmu:1:11: the number is out of range: length is 9999")
    assert len(text) < 200
