"""Registers and in-memory structures as classes: one attribute a field, in the manual's spelling and bit order.

A layout is read beside the manual, line for line:

    class STE(Bits512):
        V = Field(0)
        Config = Field(3, 1)
        S1ContextPtr = Address(55, 6)

Numbers are bit positions, most significant first. `Field(63, 52, 15, 12)` is a field in two pieces, high piece first.
An `Address` reads as a byte address, its low bits zero. `Ignored` bits are the software's; every bit that no line names
is reserved. On the class a field gives its declaration (`STE.Config.mask`, for code that works on plain integers), on
an instance its value. A register also knows its offset: `class CAP(Bits64, offset=0x08)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import ClassVar, Self, overload


class Field:
    """A field of a structure.

    Attributes:
        name: as in the class.
        mask: the bits of the structure that belong to it.
        shift: position of its lowest bit.
        width: number of bits.
        low: how far a value is shifted left when it is read (0 but for addresses).
        names: enumeration that names the values in a repr.
    """

    def __init__(self, *positions: int, names: type[IntEnum] | None = None, low: int = 0) -> None:
        """Declare a field from one bit position, or from (most, least significant) pairs, the highest piece first."""
        pairs = positions * 2 if len(positions) == 1 else positions
        pieces = list(zip(pairs[::2], pairs[1::2], strict=True))
        if not pieces or any(least < 0 or most < least for most, least in pieces):
            raise TypeError(f"a field takes one bit, or pairs of most and least significant bit, not {positions}")
        self.name = ""
        self.names = names
        self.low = low
        self.shift = pieces[-1][1]
        self.width = sum(most - least + 1 for most, least in pieces)
        self.mask = sum((1 << most + 1) - (1 << least) for most, least in pieces)
        self.limit = (1 << self.width) - 1
        self._split = [(least, (1 << most - least + 1) - 1, most - least + 1) for most, least in reversed(pieces)]

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name from the class body."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Bits, owner: type) -> int: ...
    def __get__(self, instance: Bits | None, owner: type) -> Self | int:
        """Return the declaration on the class, the value on an instance."""
        return self if instance is None else self.get(instance.value)

    def __set__(self, instance: Bits, value: int) -> None:
        """Set the field of an instance. Raises ValueError when the value does not fit."""
        instance.value = self.put(instance.value, value)

    def get(self, raw: int) -> int:
        """Return the field's value in a structure given as an integer."""
        if len(self._split) == 1:
            return ((raw & self.mask) >> self.shift) << self.low
        value, position = 0, 0
        for least, mask, width in self._split:
            value |= (raw >> least & mask) << position
            position += width
        return value << self.low

    def put(self, raw: int, value: int) -> int:
        """Return the structure `raw` with the field set. Raises ValueError when the value does not fit."""
        number = value >> self.low
        if not 0 <= number <= self.limit or number << self.low != value:
            raise ValueError(f"{self.name} has {self.width} bits from bit {self.low}: 0x{value:x} does not fit")
        raw &= ~self.mask
        for least, mask, width in self._split:
            raw |= (number & mask) << least
            number >>= width
        return raw

    def show(self, value: int) -> str:
        """Return a value in words: its name, hexadecimal if wider than three bits, else decimal."""
        if self.names is not None and value in self.names.__members__.values():
            return self.names(value).name
        return f"0x{value:x}" if self.width > 3 else str(value)


class Address(Field):
    """A field that holds the upper bits of a byte address; read and written as the whole address."""

    def __init__(self, *positions: int, low: int | None = None) -> None:
        """Declare it as `Field`; `low` is the address bit of its lowest bit, by default its place in the doubleword."""
        super().__init__(*positions, low=positions[-1] % 64 if low is None else low)


class Ignored(Field):
    """Bits that hardware ignores and software may use."""


class Bits:
    """A structure of `width` bits, kept as one integer in `value`; its first byte in memory is bits 7:0.

    Two are equal when class and bits are equal. A field is set by assignment, or for a copy by `replace`.
    """

    __slots__ = ("value",)
    width: ClassVar[int] = 0
    size: ClassVar[int] = 0
    offset: ClassVar[int] = 0
    fields: ClassVar[tuple[Field, ...]] = ()
    reserved_mask: ClassVar[int] = 0

    def __init_subclass__(cls, width: int = 0, offset: int = 0) -> None:
        """Collect the fields of a layout. Raises TypeError when two overlap or one lies outside the structure."""
        cls.width = width or cls.width
        cls.size = cls.width // 8
        cls.offset = offset
        cls.fields = (*cls.fields, *(item for item in vars(cls).values() if isinstance(item, Field)))
        covered = 0
        for field in cls.fields:
            if covered & field.mask or field.mask >> cls.width:
                raise TypeError(f"{cls.__name__}.{field.name} overlaps another field or exceeds {cls.width} bits")
            covered |= field.mask
        cls.reserved_mask = (1 << cls.width) - 1 & ~covered

    def __init__(self, value: int = 0, /, **fields: int) -> None:
        """Make one from an integer, then set fields by name. Raises ValueError or AttributeError for what cannot be."""
        if not 0 <= value < 1 << self.width:
            raise ValueError(f"{type(self).__name__} has {self.width} bits: 0x{value:x} does not fit")
        self.value = value
        for name, number in fields.items():
            setattr(self, name, number)

    def __setattr__(self, name: str, value: int) -> None:
        """Set a field. Raises AttributeError for a name that is none, which would otherwise go unseen."""
        if name != "value" and not isinstance(getattr(type(self), name, None), Field):
            raise AttributeError(f"{type(self).__name__} has no field {name}")
        object.__setattr__(self, name, value)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Make one from its bytes in memory (little-endian, exactly `size`; else ValueError)."""
        if len(data) != cls.size:
            raise ValueError(f"{cls.__name__} has {cls.size} bytes, not {len(data)}")
        return cls(int.from_bytes(data, "little"))

    @property
    def reserved(self) -> int:
        """The reserved bits that are set, in place; 0 in a well-formed structure."""
        return self.value & self.reserved_mask

    @property
    def words(self) -> tuple[int, ...]:
        """The structure as 64-bit words (a 32-bit register as one), the lowest first."""
        return tuple(self.value >> at & 0xFFFFFFFFFFFFFFFF for at in range(0, self.width, 64))

    def replace(self, **fields: int) -> Self:
        """Return a copy with fields set."""
        return type(self)(self.value, **fields)

    def copy(self) -> Self:
        """Return a copy."""
        return type(self)(self.value)

    def items(self) -> Iterator[tuple[str, int]]:
        """Iterate over (name, value) of every field, in the order of the manual."""
        return ((field.name, field.get(self.value)) for field in self.fields)

    def __int__(self) -> int:
        """Return the structure as one integer."""
        return self.value

    def __bytes__(self) -> bytes:
        """Return the structure as it lies in memory."""
        return self.value.to_bytes(self.size, "little")

    def __eq__(self, other: object) -> bool:
        """Compare class and bits."""
        return isinstance(other, Bits) and type(self) is type(other) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        """Show the fields that are not zero, and reserved bits that are set."""
        shown = [f"{field.name}={field.show(value)}" for field in self.fields if (value := field.get(self.value))]
        if self.reserved:
            shown.append(f"reserved=0x{self.reserved:x}")
        return f"{type(self).__name__}({', '.join(shown)})"


class Bits32(Bits, width=32):
    """A 32-bit register."""

    __slots__ = ()


class Bits64(Bits, width=64):
    """A 64-bit register or structure."""

    __slots__ = ()


class Bits128(Bits, width=128):
    """A 16-byte structure."""

    __slots__ = ()


class Bits256(Bits, width=256):
    """A 32-byte structure."""

    __slots__ = ()


class Bits512(Bits, width=512):
    """A 64-byte structure."""

    __slots__ = ()
