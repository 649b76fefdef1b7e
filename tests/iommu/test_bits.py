"""Structures and registers as classes of fields."""

from __future__ import annotations

from enum import IntEnum

import pytest
from iommuman.iommu.bits import Address, Bits32, Bits64, Bits128, Bits512, Field, Ignored


class Kind(IntEnum):
    """Names for a field of the example."""

    OFF = 0
    ON = 5


class Example(Bits128):
    """A structure with every sort of field."""

    V = Field(0)
    Config = Field(3, 1, names=Kind)
    Soft = Ignored(5, 4)
    Split = Field(63, 60, 9, 8)
    Pointer = Address(55, 12)
    Wide = Field(71, 64)
    High = Address(127, 96, 95, 90, low=6)


class Control(Bits32, offset=0x18):
    """A register with an offset."""

    Enable = Field(31)


def test_a_field_reads_and_writes_exactly_its_bits() -> None:
    """One-bit, ranged, split and address fields sit where the declaration says."""
    one = Example(V=1, Config=5, Split=0b101101, Pointer=0x1234000, Wide=0xAB, High=0xFEDCBA98_FC0 & ~0x3F)
    # V bit 0; Config 5 at 3:1; Split high piece 0b1011 at 63:60, low piece 0b01 at 9:8; Pointer in place.
    assert one.words[0] == 1 | 5 << 1 | 0b01 << 8 | 0b1011 << 60 | 0x1234000
    address = 0xFEDCBA98FC0
    assert one.words[1] == 0xAB | (address >> 6 & 0x3F) << 26 | (address >> 12) << 32
    assert (one.V, one.Config, one.Split, one.Pointer, one.Wide, one.High) == (1, 5, 0b101101, 0x1234000, 0xAB, address)
    one.Split = 0
    assert one.words[0] == 1 | 5 << 1 | 0x1234000


def test_the_class_gives_the_declaration_for_plain_integers() -> None:
    """Hot code takes masks and shifts from the class."""
    assert (Example.Config.mask, Example.Config.shift, Example.Config.width) == (0xE, 1, 3)
    assert Example.Pointer.low == 12
    assert Example.Split.mask == 0xF000000000000300
    assert Example.Config.get(0xA) == 5


def test_bytes_are_little_endian_and_come_back_equal() -> None:
    """A structure goes to memory lowest byte first."""
    assert bytes(Example(V=1, Wide=0xAB)) == b"\x01" + bytes(7) + b"\xab" + bytes(7)
    assert Example.from_bytes(bytes(Example(Config=3))) == Example(Config=3)
    assert int(Example(1 << 127)) == 1 << 127
    assert (Control.size, Control.offset, bytes(Control(Enable=1))) == (4, 0x18, b"\0\0\0\x80")


def test_bits_that_no_line_names_are_reserved_and_visible() -> None:
    """Reserved bits are told apart from fields and from bits left to software."""
    assert Example.reserved_mask == (1 << 128) - 1 & ~sum(field.mask for field in Example.fields)
    assert Example(1 << 6).reserved == 1 << 6
    assert Example(3 << 4).reserved == 0
    assert repr(Example(1 << 6 | 1)) == "Example(V=1, reserved=0x40)"


def test_repr_speaks_the_names_of_the_manual() -> None:
    """Fields that are zero are left out; wide ones are hexadecimal; named values are named."""
    assert repr(Example(Config=5, Wide=16)) == "Example(Config=ON, Wide=0x10)"
    assert repr(Example(Config=4)) == "Example(Config=4)"
    assert repr(Example()) == "Example()"


def test_copies_are_independent_and_comparison_is_by_class_and_bits() -> None:
    """A changed copy leaves its origin alone."""
    one = Example(V=1)
    two, three = one.copy(), one.replace(Config=5)
    two.V = 0
    assert (one.V, two.V, three.Config, one.Config) == (1, 0, 5, 0)
    assert one == Example(1)
    assert one != two
    assert Bits64(1) != Bits512(1)
    assert dict(one.items())["V"] == 1
    with pytest.raises(TypeError):
        hash(one)


@pytest.mark.parametrize("value", [-1, 8])
def test_a_value_that_does_not_fit_is_refused(value: int) -> None:
    """Nothing is ever cut off silently."""
    with pytest.raises(ValueError, match="Config"):
        Example(Config=value)


def test_an_address_must_be_aligned_as_its_field_is() -> None:
    """Low bits that the field does not hold would be lost."""
    with pytest.raises(ValueError, match="Pointer"):
        Example(Pointer=0x1001)


def test_unknown_names_and_wrong_sizes_are_refused() -> None:
    """A typing error in a field name is not taken for an attribute."""
    with pytest.raises(AttributeError, match="Confg"):
        Example(Confg=1)
    with pytest.raises(AttributeError, match="Wrong"):
        Example().Wrong = 1
    with pytest.raises(ValueError, match="16 bytes"):
        Example.from_bytes(bytes(15))
    with pytest.raises(ValueError, match="128 bits"):
        Example(1 << 128)


def test_a_layout_that_cannot_be_is_refused_when_it_is_declared() -> None:
    """Overlap, excess and odd numbers of positions are errors of the declaration."""
    with pytest.raises(TypeError, match=r"Bad\.B"):
        type("Bad", (Bits32,), {"A": Field(3, 0), "B": Field(3)})
    with pytest.raises(TypeError, match=r"Bad\.A"):
        type("Bad", (Bits32,), {"A": Field(32)})
    for positions in ((), (1, 2), (-1,)):
        with pytest.raises(TypeError, match="most and least"):
            Field(*positions)
    with pytest.raises(ValueError, match="zip"):
        Field(3, 2, 1)
