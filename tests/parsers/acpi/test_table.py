"""The door to tables: what is one, what is wrong with one, and the way back to bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers import ParseError
from iommuman.parsers.acpi import Raw, Table, build_table, is_table, parse_table, read_body, seal_table, table
from iommuman.parsers.acpi.dmar import Andd, Dmar, Drhd
from iommuman.parsers.acpi.iort import Iort, RootComplex
from iommuman.parsers.acpi.madt import IoApic, Madt
from iommuman.parsers.acpi.mcfg import Mcfg

from .test_sdt import findings, sealed

DRHD = bytes.fromhex("00 00 18 00 00 00 00 00 00 00 D9 FE 00 00 00 00 01 08 00 00 00 00 02 00")
ANDD = bytes.fromhex("04 00 0A 00 00 00 00 01 41 00")
DMAR = sealed(b"DMAR", bytes([38]) + bytes(11) + DRHD + ANDD)
PLAIN = sealed(b"SSDT", b"body")
CLAUSE = "(ACPI 6.5 §5.2.6)"


def resized(data: bytes, length: int) -> bytes:
    """Return a table whose header has this length, with the checksum that the bytes it covers need."""
    fresh = bytearray(data)
    fresh[4:8] = length.to_bytes(4, "little")
    fresh[9] = 0
    fresh[9] = -sum(fresh[:length] if 36 <= length <= len(fresh) else fresh) % 256
    return bytes(fresh)


CASES = {
    "right": (PLAIN, []),
    "header only": (sealed(b"SSDT", b""), []),
    "length 35": (
        resized(PLAIN, 35),
        [
            (
                f"T: SSDT+0x4 (4 bytes): the table's length cannot be: Length is 35, expected 36 to 40 "
                f"{CLAUSE}; the 40 "
                "bytes that are there are read; dump the table again if it was cut short"
            )
        ],
    ),
    "length 36": (
        resized(PLAIN, 36),
        [
            (
                f"T: SSDT+0x24 (4 bytes): bytes follow the end of the table: Length is 36, expected 40 "
                f"{CLAUSE}; they are "
                "not part of the table"
            )
        ],
    ),
    "length 41": (
        resized(PLAIN, 41),
        [
            (
                f"T: SSDT+0x4 (4 bytes): the table's length cannot be: Length is 41, expected 36 to 40 "
                f"{CLAUSE}; the 40 "
                "bytes that are there are read; dump the table again if it was cut short"
            )
        ],
    ),
    "checksum": (
        PLAIN[:9] + bytes([PLAIN[9] ^ 1]) + PLAIN[10:],
        [
            (
                f"T: SSDT+0x9 (1 byte): the bytes of the table do not add up to 0: Checksum is 0x{PLAIN[9] ^ 1:02x}, "
                f"expected 0x{PLAIN[9]:02x} {CLAUSE}; the table is read as it is; firmware and operating systems may "
                "refuse it"
            )
        ],
    ),
    "too short for a DMAR": (
        sealed(b"DMAR", bytes(11)),
        [
            (
                f"T: DMAR+0x4 (4 bytes): the table is too short to be a DMAR: Length is 47, expected at least "
                f"48 {CLAUSE}; "
                "what follows the header is kept as raw data"
            )
        ],
    ),
    "just a DMAR": (sealed(b"DMAR", bytes(12)), []),
    "too short for an IORT": (
        sealed(b"IORT", bytes(11)),
        [
            (
                f"T: IORT+0x4 (4 bytes): the table is too short to be a IORT: Length is 47, expected at least "
                f"48 {CLAUSE}; "
                "what follows the header is kept as raw data"
            )
        ],
    ),
    "just an IORT": (sealed(b"IORT", bytes(12)), []),
    "too short for an MCFG": (
        sealed(b"MCFG", bytes(7)),
        [
            (
                f"T: MCFG+0x4 (4 bytes): the table is too short to be a MCFG: Length is 43, expected at least "
                f"44 {CLAUSE}; "
                "what follows the header is kept as raw data"
            )
        ],
    ),
    "just an MCFG": (sealed(b"MCFG", bytes(8)), []),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_told_in_one_sentence(case: str) -> None:
    """What the specification does not allow gives exactly its finding; what it just allows gives none."""
    data, sentences = CASES[case]
    assert findings(data) == sentences
    assert build_table(parse_table(data)) == data


def test_the_body_is_of_the_kind_that_the_signature_names() -> None:
    """DMAR, IORT and MCFG have records; any other table is kept as raw bytes."""
    kinds = {
        signature: type(parse_table(sealed(signature, bytes(12))).body) for signature in (b"DMAR", b"IORT", b"WAET")
    }
    assert kinds == {b"DMAR": Dmar, b"IORT": Iort, b"WAET": Raw}
    assert isinstance(parse_table(sealed(b"MCFG", bytes(8))).body, Mcfg)
    assert parse_table(PLAIN).body == Raw(36, b"body")
    assert [(field.offset, field.size, field.value) for field in parse_table(PLAIN).fields()][-1] == (36, 4, b"body")
    assert len(list(parse_table(sealed(b"WAET", b"")).fields())) == 9


def test_bytes_after_the_end_are_kept_and_are_no_part_of_the_table() -> None:
    """They do not count for the checksum or the body, and come back when the table is built."""
    read = parse_table(PLAIN + b"\xff\xff")
    assert (read.size, read.trailing, read.body) == (40, b"\xff\xff", Raw(36, b"body"))
    assert [finding.rule for finding in read.findings] == ["ACPI-TRAILING"]
    assert build_table(read) == PLAIN + b"\xff\xff"


def test_less_than_a_header_is_refused() -> None:
    """35 bytes are no table, and the error says what was expected and what to do; 36 bytes are one."""
    with pytest.raises(ParseError) as caught:
        parse_table(PLAIN[:35], "SSDT.bin")
    assert str(caught.value) == (
        "SSDT.bin: this is no ACPI table: found 35 bytes, expected 36 to 16777216 (ACPI 6.5 §5.2.6); dump the table "
        "again, for instance from /sys/firmware/acpi/tables"
    )
    assert caught.value.finding.rule == "ACPI-SIZE"
    assert parse_table(PLAIN[:36]).size == 36


def test_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of the largest size is read, one byte more is not."""
    monkeypatch.setattr(table, "MAX_SIZE", 40)
    assert parse_table(PLAIN).findings == ()
    with pytest.raises(ParseError, match="this is no ACPI table: found 41 bytes, expected 36 to 40"):
        parse_table(PLAIN + b"\0")


@pytest.mark.parametrize(("windows", "listed", "more"), [(1000, 1000, 0), (1001, 1001, 1), (3000, 1001, 2000)])
def test_the_number_of_findings_is_bounded(windows: int, listed: int, more: int) -> None:
    """After a thousand findings the rest is only counted, in one finding more."""
    data = sealed(b"MCFG", bytes(8) + (bytes(10) + b"\x01\0" + bytes(4)) * windows)
    found = findings(data)
    assert len(found) == listed
    assert (f"T: MCFG: {more} more findings are not listed; mend those that are listed first" in found) == bool(more)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (PLAIN, True),
        (PLAIN[:36], True),
        (PLAIN[:35], False),
        (b"", False),
        (sealed(b"ASF!", b""), True),
        (sealed(b"iBFT", b""), True),
        (sealed(b"_HI_", b""), True),
        (sealed(b"OEM1", b""), True),
        (sealed(b"A B ", b""), False),
        (sealed(b"\xef\xbf\xbdA", b""), False),
        (sealed(b"FACS", b""), False),
        (sealed(b"S3PT", b""), False),
        (sealed(b"CDAT", b""), False),
        (sealed(b"SSDT", b"", revision=31), True),
        (sealed(b"SSDT", b"", revision=32), False),
        (resized(PLAIN, 35), False),
        (resized(PLAIN, 36), True),
        (resized(PLAIN, 16 << 20), True),
        (resized(PLAIN, (16 << 20) + 1), False),
        (b"../../devices/pci0000:00/firmware_node/path", False),
        (b"README for these tables: they are from a board.", False),
        (b"RSD PTR \x00BOCHS \x00" + bytes(30), False),
    ],
)
def test_a_table_is_told_by_signature_length_and_revision(data: bytes, answer: bool) -> None:
    """Tables with a header are told from structures without one, from text, and from what is too short."""
    assert is_table(data) is answer


def test_the_signature_is_text_and_origins_name_the_place() -> None:
    """Any four bytes are a signature; an origin has file and signature of the table, place and length of the record."""
    assert parse_table(sealed(b"\x00\xff\x1bA", b"")).signature == "\x00\xff\x1bA"
    read = parse_table(DMAR, "DMAR.bin")
    assert isinstance(read.body, Dmar)
    unit = read.body.structures[0]
    assert isinstance(unit, Drhd)
    assert read.origin(unit) == Origin("DMAR.bin", "DMAR", 48, 16)
    assert read.origin(unit, unit.length) == Origin("DMAR.bin", "DMAR", 48, 24)
    assert read.origin(Raw(90, b"abc")) == Origin("DMAR.bin", "DMAR", 90, 3)


def with_unit(read: Table, unit: Drhd) -> Table:
    """Return the table with another record in place of its first structure."""
    assert isinstance(read.body, Dmar)
    return replace(read, body=replace(read.body, structures=(unit, *read.body.structures[1:])))


def test_what_does_not_fit_is_refused_by_name() -> None:
    """A number too large, negative or missing, and a byte string of another length, are told with place and field."""
    read = parse_table(DMAR, "DMAR.bin")
    assert isinstance(read.body, Dmar)
    unit = read.body.structures[0]
    assert isinstance(unit, Drhd)
    build_table(with_unit(read, replace(unit, segment=0xFFFF)))
    advice = "give the field a value that it can hold"
    cases = {
        f"+0x36 (2 bytes): a value does not fit its field: segment is 65536, expected a number from 0 to "
        f"0xffff; {advice}": (with_unit(read, replace(unit, segment=0x10000))),
        f"+0x38 (8 bytes): a value does not fit its field: register_base is -1, expected a number from 0 to "
        f"0xffffffffffffffff; {advice}": with_unit(read, replace(unit, register_base=-1)),
        f"+0xa (6 bytes): a value does not fit its field: oem_id is b'TOOLONG', expected 6 bytes; {advice}": (
            replace(read, header=replace(read.header, oem_id=b"TOOLONG"))
        ),
        f"+0xa (6 bytes): a value does not fit its field: oem_id is b'SHORT', expected 6 bytes; {advice}": (
            replace(read, header=replace(read.header, oem_id=b"SHORT"))
        ),
    }
    for sentence, table_ in cases.items():
        with pytest.raises(ParseError) as caught:
            build_table(table_)
        assert str(caught.value) == f"DMAR.bin: DMAR{sentence}"
        assert caught.value.finding.rule == "ACPI-BUILD"


def test_names_and_paths_that_do_not_fit_are_refused() -> None:
    """A path element over 255 and a name that is no Latin-1 are refused by the one error class."""
    read = parse_table(DMAR, "DMAR.bin")
    assert isinstance(read.body, Dmar)
    unit, device = read.body.structures
    assert isinstance(unit, Drhd)
    assert isinstance(device, Andd)
    scope = replace(unit.scopes[0], path=((256, 0),))
    with pytest.raises(
        ParseError, match=r"^DMAR.bin: DMAR: a value does not fit its field: found bytes must be in range"
    ):
        build_table(with_unit(read, replace(unit, scopes=(scope,))))
    with pytest.raises(ParseError, match="a value does not fit its field: found 'latin-1' codec can't encode"):
        build_table(replace(read, body=replace(read.body, structures=(unit, replace(device, object_name="Ł")))))


def test_a_node_without_a_field_that_every_revision_has_is_refused() -> None:
    """None is only for the fields that came with later revisions."""
    node = bytes([2, 32, 0, 0]) + bytes(28)
    read = parse_table(sealed(b"IORT", bytes([1, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0]) + node))
    assert isinstance(read.body, Iort)
    (bridge,) = read.body.nodes
    assert isinstance(bridge, RootComplex)
    broken = replace(read, body=replace(read.body, nodes=(replace(bridge, segment=None),)))  # type: ignore[arg-type]
    with pytest.raises(ParseError, match=r"^IORT\+0x4c \(4 bytes\): a value does not fit its field: segment is None"):
        build_table(broken)


def test_sealing_makes_length_and_checksum_right_and_nothing_else() -> None:
    """Sealing a changed table rights length and checksum and drops what followed the table; all else stays."""
    read = parse_table(DMAR + b"junk")
    assert isinstance(read.body, Dmar)
    unit = read.body.structures[0]
    assert isinstance(unit, Drhd)
    fresh = seal_table(replace(read, body=replace(read.body, structures=(replace(unit, segment=7),))))
    data = build_table(fresh)
    assert (len(data), fresh.size, fresh.header.length, fresh.trailing) == (72, 72, 72, b"")
    assert sum(data) % 256 == 0
    expected = bytearray(DMAR[:72])
    expected[4], expected[9], expected[54] = 72, data[9], 7
    assert data == expected
    assert parse_table(data).findings == ()


@given(st.binary(max_size=200), st.sampled_from([b"DMAR", b"IORT", b"MCFG", b"SSDT"]), st.integers(0, 0xFFFFFFFF))
def test_a_sealed_table_is_sealed(body: bytes, signature: bytes, length: int) -> None:
    """Whatever was wrong with length and checksum is right after sealing, and sealing again changes nothing."""
    broken = signature + length.to_bytes(4, "little") + bytes(28) + body
    once = seal_table(parse_table(broken))
    data = build_table(once)
    assert build_table(seal_table(once)) == data
    rules = {finding.rule for finding in parse_table(data).findings}
    assert not rules & {"ACPI-CHECKSUM", "ACPI-TRAILING"}
    assert int.from_bytes(data[4:8], "little") == len(data)


def test_a_neighbour_is_read_when_it_is_asked_for() -> None:
    """Read later, the body of a MADT is what it is when read at once, and its findings follow those of the header."""
    data = bytearray(sealed(b"APIC", bytes(8) + bytes.fromhex("01 0C 02 00 00 00 C0 FE 00 00 00 00 00")))
    data[9] ^= 1
    later = parse_table(bytes(data), "T", neighbours=False)
    assert isinstance(later.body, Raw)
    assert [finding.rule for finding in later.findings] == ["ACPI-CHECKSUM"]
    assert build_table(later) == data
    now = read_body(later)
    assert now == parse_table(bytes(data), "T")
    assert isinstance(now.body, Madt)
    assert isinstance(now.body.entries[0], IoApic)
    assert [finding.rule for finding in now.findings] == ["ACPI-CHECKSUM", "MADT-ENTRY-END"]
    assert read_body(now) is now


def test_reading_a_body_again_adds_nothing() -> None:
    """A neighbour too short for its kind stays raw with one finding; other tables are given back as they are."""
    short = parse_table(sealed(b"SRAT", bytes(11)), "T")
    assert read_body(short) == short
    other = parse_table(sealed(b"SSDT", bytes(11)), "T", neighbours=False)
    assert read_body(other) is other
    assert isinstance(parse_table(sealed(b"MCFG", bytes(8)), "T", neighbours=False).body, Mcfg)


def test_the_findings_of_a_body_that_is_read_later_are_bounded() -> None:
    """Of 2000 entries that are too short a thousand are told, and how many more there are."""
    table = parse_table(sealed(b"APIC", bytes(8) + b"\x01\x02" * 2000), neighbours=False)
    found = read_body(table).findings
    assert len(found) == 1001
    assert str(found[-1]) == "APIC: 1000 more findings are not listed; mend those that are listed first"
