"""The text of acpidump, in all its variants, against a writer of the tests' own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi.acpidump import DumpedTable, is_acpidump, parse_acpidump


def write_new(name: str, data: bytes, address: int = 0) -> str:
    """Write a table as acpidump of ACPICA does."""
    lines = [f"{name} @ 0x{address:016X}"]
    for place in range(0, len(data), 16):
        part = data[place : place + 16]
        digits = "".join(f"{byte:02X} " for byte in part) + "   " * (16 - len(part))
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{place:04X}".rjust(8) + f": {digits} {text}")
    return "\n".join(lines) + "\n\n"


def write_old(name: str, data: bytes, header: str = "{name} @ 0x7fe3a0") -> str:
    """Write a table as acpidump of pmtools does."""
    lines = [header.format(name=name, size=len(data))]
    for place in range(0, len(data), 16):
        part = data[place : place + 16]
        digits = " ".join(f"{byte:02x}" for byte in part).ljust(47)
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"  {place:04x}: {digits}  {text}")
    return "\n".join(lines) + "\n\n"


DATA = bytes(range(256)) + b" @ : text"
NAMES = st.sampled_from(["DSDT", "SSDT", "DMAR", "IORT", "ASF!", "OEM1"])
TABLES = st.lists(st.tuples(NAMES, st.binary(min_size=1, max_size=100)), max_size=5)


def names_and_data(text: str) -> list[tuple[str, bytes]]:
    """Return the tables of a dump in which nothing is wrong."""
    tables, findings = parse_acpidump(text.encode("latin-1"), "acpi.txt")
    assert findings == []
    return [(table.name, table.data) for table in tables]


@given(TABLES, st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read(tables: list[tuple[str, bytes]], end: str) -> None:
    """Any tables, several of one name included, come back from both kinds of dump, with both kinds of line end."""
    for write in (write_new, write_old):
        text = "".join(write(name, data) for name, data in tables).replace("\n", end)
        assert names_and_data(text) == tables
        assert is_acpidump(text.encode("latin-1")) == bool(tables)


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(text: bytes) -> None:
    """Bytes that are no dump, headers in front or not, are read without an exception."""
    for data in (text, b"DSDT @ 0x0\n" + text, b"DSDT @ 0x0\n    0000: 00 \n" + text):
        tables, findings = parse_acpidump(data)
        assert all(table.data for table in tables)
        assert len(findings) <= data.count(b"\n") + 1


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("DSDT @ 0xdfffd0c0", "DSDT"),
        ("DSDT @ 0x00000000DFFFD0C0", "DSDT"),
        ("DSDT @ 0xdfffd0c0 (10999 bytes)", "DSDT"),
        ("SSDT @ (nil)", "SSDT"),
        ("RSD PTR @ 0xf6cd0", "RSDP"),
        ("RSDP @ 0x00000000000F6CD0", "RSDP"),
        ("ASF! @ 0x0", "ASF!"),
        ("DSDT\0 @ 0x0\0\0", "DSDT"),
        ("FACP @ 0x0\r", "FACP"),
    ],
)
def test_headers_of_all_kinds_begin_a_table(header: str, name: str) -> None:
    """Long and short addresses, sizes, `(nil)`, the root pointer under either name, NULs and carriage returns do."""
    assert names_and_data(write_new("XXXX", DATA).replace("XXXX @ 0x0000000000000000", header)) == [(name, DATA)]


@pytest.mark.parametrize(
    "line",
    [
        " DSDT @ 0x0",
        "DSD @ 0x0",
        "DSDT@0x0",
        "DSDT @0x0",
        "DSDT @ 0x0" + " " * 39,
        "",
        "# a remark",
    ],
)
def test_other_lines_begin_no_table(line: str) -> None:
    """A leading space, a short name, no space beside the sign, and 49 characters or more make it no header."""
    assert parse_acpidump(f"{line}\n    0000: 00\n".encode()) == ([], [])
    assert not is_acpidump(f"{line}\n    0000: 00\n".encode())


def test_a_header_of_48_characters_is_one() -> None:
    """The longest header line is one character shorter than the shortest data line with text."""
    assert names_and_data("DSDT @ 0x0" + " " * 38 + "\n    0000: 00\n") == [("DSDT", b"\0")]


def test_text_columns_are_not_taken_for_headers_or_bytes() -> None:
    """A text column that looks like a header, or like hexadecimal digits, changes nothing."""
    data = b"DSDT @ 0x000000 AA BB CC DD" + b"41 42 43"
    assert names_and_data(write_new("SSDT", data)) == [("SSDT", data)]
    assert names_and_data(write_old("SSDT", data)) == [("SSDT", data)]


def test_offsets_grow_to_the_digits_they_need() -> None:
    """Tables over 64 KiB have offsets of five digits and more, which stand further left."""
    data = bytes(0x10020)
    assert "\n   10000: " in write_new("DSDT", data)
    assert names_and_data(write_new("DSDT", data) + write_new("SSDT", b"x")) == [("DSDT", data), ("SSDT", b"x")]


def test_lines_in_between_are_passed_by() -> None:
    """Remarks, blank lines and shell prompts before, between and in tables do not matter."""
    first, *rest = write_new("DSDT", DATA).splitlines()
    text = "\n".join(["$ sudo acpidump", "", first, "", "[    0.0] noise", " noise: of words", *rest, "", "$ "])
    assert names_and_data(text) == [("DSDT", DATA)]
    assert is_acpidump(text.encode("latin-1"))


def test_tables_know_the_line_that_they_begin_on() -> None:
    """Lines are counted from 1, and several tables of a name are several tables."""
    text = "# from a board\n" + write_new("SSDT", b"one") + write_new("SSDT", b"two")
    assert parse_acpidump(text.encode())[0] == [DumpedTable("SSDT", b"one", 2), DumpedTable("SSDT", b"two", 5)]


@pytest.mark.parametrize("header", ["DSDT @ 0x0\n", "DSDT @ 0x0\n\n\nnothing: here\n"])
def test_a_header_without_bytes_is_no_table(header: str) -> None:
    """A name that no bytes follow is passed by, and the next table is read."""
    assert names_and_data(header + write_new("SSDT", b"x")) == [("SSDT", b"x")]


@pytest.mark.parametrize(
    ("missing", "found", "expected", "left"),
    [(1, 0x10, 0x0, []), (2, 0x20, 0x10, [DATA[:16]]), (3, 0x30, 0x20, [DATA[:32]])],
)
def test_missing_lines_end_a_table(missing: int, found: int, expected: int, left: list[bytes]) -> None:
    """Where a line is missing the table ends, with one finding; the next table is not touched."""
    lines = write_new("DSDT", DATA).splitlines()
    del lines[missing]
    text = "\n".join(lines) + "\n" + write_new("SSDT", b"x")
    tables, findings = parse_acpidump(text.encode("latin-1"), "acpi.txt")
    assert [table.data for table in tables] == [*left, b"x"]
    assert [str(finding) for finding in findings] == [
        (
            f"acpi.txt:{missing + 1}: DSDT: lines of the dump are missing or out of order: offset is "
            f"0x{found:x}, expected "
            f"0x{expected:x}; the table is read up to here; dump it again"
        )
    ]
    assert [(finding.rule, finding.severity) for finding in findings] == [("ACPIDUMP-OFFSET", "error")]


def test_the_last_line_may_be_missing_unseen() -> None:
    """A dump that just ends is not told from a shorter table here: the table's own length tells."""
    lines = write_new("DSDT", DATA).splitlines()[:-2]
    assert names_and_data("\n".join(lines)) == [("DSDT", DATA[:256])]


@pytest.mark.parametrize(
    ("line", "data"),
    [
        ("    0000: 41 42 43", b"ABC"),
        ("    0000: 41 42 4", b"AB"),
        ("    0000: 41 42 XY 43", b"AB"),
        ("    0000: 41 42 +3 43", b"AB"),
        ("    0000:", b""),
        ("    000: 41", b""),
        ("    000000000: 41", b""),
        ("    00000000: 41", b"A"),
        ("0000: 41", b""),
        ("    00x0: 41", b""),
        ("    0000 41", b""),
        ("    0000: " + "41 " * 20, b"A" * 16),
    ],
)
def test_data_lines_are_taken_as_acpixtract_takes_them(line: str, data: bytes) -> None:
    """Up to 16 two-digit numbers after an offset of four to eight digits, up to the first that is none."""
    tables, findings = parse_acpidump(f"DSDT @ 0x0\n{line}\n".encode())
    assert findings == []
    assert [table.data for table in tables] == ([data] if data else [])


def test_a_dump_is_told_by_its_beginning() -> None:
    """A header and a line of bytes after it must stand in the first 4 KiB."""
    assert not is_acpidump(b"")
    assert not is_acpidump(b"DSDT @ 0x0\nno bytes\n")
    assert not is_acpidump(b"    0000: 41\nDSDT @ 0x0\n")
    dump = write_new("DSDT", b"x").encode()
    assert is_acpidump(b"\n" * 4000 + dump)
    assert not is_acpidump(b"\n" * 4096 + dump)
