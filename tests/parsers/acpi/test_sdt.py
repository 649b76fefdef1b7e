"""The header of tables, and what the tests of all tables share: bytes written out by hand, a field a line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi import Table, build_table, parse_table
from iommuman.parsers.acpi.sdt import checksum

HEADER = r"""
    44 4D 41 52                # signature = b"DMAR"
    30 00 00 00                # length = 48
    02                         # revision = 2
    4F                         # checksum = 0x4f
    48 41 4E 44 4D 44          # oem_id = b"HANDMD"
    47 4F 4C 44 45 4E 20 00    # oem_table_id = b"GOLDEN \0"
    04 03 02 01                # oem_revision = 0x01020304
    49 4E 54 4C                # creator_id = b"INTL"
    25 09 20 20                # creator_revision = 0x20200925
    26                         # host_address_width
    01                         # flags
    00 00 00 00 00 00 00 00 00 00  # reserved
"""


@dataclass(frozen=True)
class Golden:
    """One field of a golden table: the record it is in (`nodes.0 mappings.1`), its name, place, bytes and value."""

    record: str
    name: str
    offset: int
    data: bytes
    value: Any


def golden(text: str, start: int = 36) -> tuple[bytes, list[Golden]]:
    """Return bytes that are written out by hand, and their fields.

    `[nodes.0]` begins a record; `30 00  # length = 48 (in bytes)` is a field of it, which goes on in lines without a
    remark. The first byte has the offset `start`.
    """
    data = bytearray()
    fields: list[Golden] = []
    record = ""
    for line in text.strip().splitlines():
        if section := re.fullmatch(r"\s*\[(.*)\]\s*", line):
            record = section[1]
            continue
        digits, _, remark = line.partition("#")
        part = bytes.fromhex(digits)
        if told := re.fullmatch(r" (\w+) = (.+?)(  \(.*\))?", remark):
            fields.append(Golden(record, told[1], start + len(data), part, ast.literal_eval(told[2])))
        elif fields and not remark:
            fields[-1] = replace(fields[-1], data=fields[-1].data + part)
        data += part
    return bytes(data), fields


def sealed(signature: bytes, body: bytes, revision: int = 1) -> bytes:
    """Return a table with this body; length and checksum are right."""
    head = signature + (36 + len(body)).to_bytes(4, "little") + bytes([revision, 0])
    table = bytearray(head + b"HANDMDGOLDEN  \x01\0\0\0HAND\x01\0\0\0" + body)
    table[9] = -sum(table) % 256
    return bytes(table)


def at(table: Table, record: str) -> Any:
    """Return the record that a golden field is in."""
    found: Any = table.header if record == "header" else table.body
    for step in record.split() if record != "header" else ():
        attribute, _, index = step.partition(".")
        found = getattr(found, attribute)
        found = found[int(index)] if index else found
    return found


def changed(record: Any, steps: list[str], name: str, value: object) -> Any:
    """Return a record with one field of one record inside it changed."""
    if not steps:
        return replace(record, **{name: value})
    attribute, _, index = steps[0].partition(".")
    inner = getattr(record, attribute)
    if not index:
        return replace(record, **{attribute: changed(inner, steps[1:], name, value)})
    items = list(inner)
    items[int(index)] = changed(items[int(index)], steps[1:], name, value)
    return replace(record, **{attribute: tuple(items)})


def other(value: Any, size: int) -> tuple[Any, bytes]:
    """Return another value for a field, and its bytes, all of which differ from those of the first."""
    if isinstance(value, int):
        inverted = value ^ (1 << 8 * size) - 1
        return inverted, inverted.to_bytes(size, "little")
    if isinstance(value, str):
        return "~" * size, b"~" * size
    if isinstance(value, bytes):
        flipped = bytes(byte ^ 0xFF for byte in value)
        return flipped, flipped
    pairs = tuple((device ^ 0xFF, function ^ 0xFF) for device, function in value)
    return pairs, bytes(number for pair in pairs for number in pair)


def check_golden(signature: bytes, body: bytes, fields: list[Golden], count: int) -> Table:
    """Hold the reading of a golden table against what is written beside its bytes, and what is built against them."""
    data = sealed(signature, body)
    table = parse_table(data, "golden")
    assert len(fields) == count
    assert build_table(table) == data
    listed = {(one.offset, one.size, one.name) for one in table.fields()}
    for field in fields:
        record = at(table, field.record)
        assert getattr(record, field.name) == field.value, field
        if isinstance(field.value, bool):  # the zero byte of a name
            continue
        value, written = other(field.value, len(field.data))
        fresh = (
            replace(table, header=replace(table.header, **{field.name: value}))
            if field.record == "header"
            else replace(table, body=changed(table.body, field.record.split(), field.name, value))
        )
        wanted = data[: field.offset] + written + data[field.offset + len(written) :]
        assert build_table(fresh) == wanted, field
        if not isinstance(field.value, str | tuple) and field.name != "terminator":  # listed in other pieces
            assert (field.offset, len(field.data), field.name) in listed, field
    return table


def findings(data: bytes) -> list[str]:
    """Return the sentences about a table."""
    return [str(finding) for finding in parse_table(data, "T").findings]


def test_every_field_of_the_header_has_its_value_and_place() -> None:
    """The header is read field by field, and changing a field changes exactly its bytes."""
    data, fields = golden("[header]" + HEADER, 0)
    assert len(data) == 48
    assert sum(data) % 256 == 0
    table = parse_table(data, "golden")
    assert table.findings == ()
    assert len(fields) == 9
    for field in fields:
        assert getattr(table.header, field.name) == field.value
        value, written = other(field.value, len(field.data))
        fresh = build_table(replace(table, header=replace(table.header, **{field.name: value})))
        assert fresh == data[: field.offset] + written + data[field.offset + len(written) :]


def test_the_header_lists_its_fields_in_order() -> None:
    """The listing has offset, size, record, name and value of the nine fields, and no bits."""
    table = parse_table(golden(HEADER, 0)[0], "golden")
    assert [tuple(field) for field in table.header.fields()] == [
        (0, 4, "header", "signature", b"DMAR", ()),
        (4, 4, "header", "length", 48, ()),
        (8, 1, "header", "revision", 2, ()),
        (9, 1, "header", "checksum", 0x4F, ()),
        (10, 6, "header", "oem_id", b"HANDMD", ()),
        (16, 8, "header", "oem_table_id", b"GOLDEN \0", ()),
        (24, 4, "header", "oem_revision", 0x01020304, ()),
        (28, 4, "header", "creator_id", b"INTL", ()),
        (32, 4, "header", "creator_revision", 0x20200925, ()),
    ]


@given(st.binary(min_size=36, max_size=100))
def test_the_checksum_makes_the_bytes_add_up_to_zero(data: bytes) -> None:
    """With the checksum at offset 9 the sum is 0 modulo 256, and no other byte there would do."""
    table = bytearray(data)
    table[9] = checksum(data)
    assert sum(table) % 256 == 0
    assert checksum(bytes(table)) == table[9]


def wrong_by_one() -> Iterator[bytes]:
    """Yield the golden header with each byte changed by one."""
    data = golden(HEADER, 0)[0]
    for place in range(10, 48):
        mutant = bytearray(data)
        mutant[place] = (mutant[place] + 1) % 256
        yield bytes(mutant)


def test_every_changed_byte_shows_in_the_checksum() -> None:
    """Any byte that is changed by one makes the checksum wrong by one, and the finding says what it should be."""
    for mutant in wrong_by_one():
        assert (
            "T: DMAR+0x9 (1 byte): the bytes of the table do not add up to 0: Checksum is 0x4f, expected 0x4e"
            in (findings(mutant)[0])
        )


@pytest.mark.parametrize("signature", [b"DMAR", b"IORT", b"MCFG", b"SSDT"])
def test_the_independent_writer_and_the_reader_agree(signature: bytes) -> None:
    """A table that the tests' own writer sealed has no finding about its length or checksum."""
    assert findings(sealed(signature, bytes(12) if signature != b"MCFG" else bytes(8))) == []
