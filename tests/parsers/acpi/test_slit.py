"""SLIT: the table written out by hand (ACPI 6.5 §5.2.17)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi import Raw, build_table, parse_table
from iommuman.parsers.acpi.slit import Slit

from .test_sdt import check_golden, findings, golden, sealed

TABLE = r"""
[]
    03 00 00 00 00 00 00 00    # number_of_system_localities = 3
    0A 14 1E 15 0A 28 1F 29 0A # distances = b"\x0a\x14\x1e\x15\x0a\x28\x1f\x29\x0a"
"""


def test_every_field_has_its_value_and_place() -> None:
    """The number of localities is read as written by hand, and the matrix row by row."""
    body, fields = golden(TABLE)
    table = check_golden(b"SLIT", body, [one for one in fields if one.name != "distances"], count=1)
    assert isinstance(table.body, Slit)
    assert table.body.distances == body[8:]
    rows = [(one.offset, one.size, one.name, one.value) for one in table.body.fields()][1:]
    assert rows == [
        (44, 3, "distances_from_0", b"\x0a\x14\x1e"),
        (47, 3, "distances_from_1", b"\x15\x0a\x28"),
        (50, 3, "distances_from_2", b"\x1f\x29\x0a"),
    ]
    assert table.findings == ()


def test_a_distance_is_that_of_the_row_to_the_column() -> None:
    """Distances are looked up from, to; of domains that the table does not have none is known."""
    body = parse_table(sealed(b"SLIT", golden(TABLE)[0])).body
    assert isinstance(body, Slit)
    assert (body.distance(0, 1), body.distance(1, 0), body.distance(2, 1)) == (20, 21, 41)
    assert [body.distance(3, 0), body.distance(0, 3), body.distance(-1, 0), body.distance(0, -1)] == [None] * 4


def test_a_matrix_of_another_size_says_so() -> None:
    """A matrix that is cut short is read as far as it goes; what follows a whole one is kept."""
    body = golden(TABLE)[0]
    assert findings(sealed(b"SLIT", body[:-2])) == [
        (
            "T: SLIT+0x24 (8 bytes): the table does not hold one distance for each pair of localities: Number of "
            "System Localities is 3, with 7 bytes after it, expected 3 times 3 bytes (ACPI 6.5 §5.2.17); the distances "
            "that are there are read, the rest is kept as raw data"
        )
    ]
    cut = parse_table(sealed(b"SLIT", body[:-2])).body
    assert isinstance(cut, Slit)
    assert (cut.distance(2, 0), cut.distance(2, 1), cut.rest) == (31, None, None)
    longer = parse_table(sealed(b"SLIT", body + b"\x01\x02"))
    assert isinstance(longer.body, Slit)
    assert longer.body.rest == Raw(53, b"\x01\x02")
    assert len(longer.findings) == 1


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=50))
def test_any_number_of_localities_is_answered(count: int, matrix: bytes) -> None:
    """No count takes more memory than the table has, and the bytes come back unchanged."""
    data = sealed(b"SLIT", count.to_bytes(8, "little") + matrix)
    table = parse_table(data)
    assert build_table(table) == data
    assert sum(field.size for field in table.fields()) == len(data)
