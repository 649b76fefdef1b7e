"""Typed values and schemas: written = read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.logging_backend import Schema, Slog2Error
from iommuman.logging_backend.schema import CODES, parse_schema
from iommuman.logging_backend.values import (
    decode_deferred,
    decode_text,
    decode_value,
    encode_deferred,
    encode_rich,
    encode_text,
    encode_value,
    rich_fields,
    rich_text,
)

NESTED = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=8,
)
VALUES = st.one_of(NESTED, st.binary(), st.integers(-(1 << 200), 1 << 200), st.floats())
TEXT = st.text(st.characters(exclude_categories=()))


@settings(deadline=None, max_examples=300)
@given(TEXT, st.dictionaries(TEXT, VALUES, max_size=6))
def test_fields_come_back_with_their_types(text: str, fields: dict[str, object]) -> None:
    """Any fields of any values are read as they were written, in their order."""
    data = encode_rich(encode_text(text), fields)
    assert rich_text(data) == text
    found = rich_fields(data)
    assert list(found) == list(fields)
    for key, value in fields.items():
        assert type(found[key]) is type(value)
        assert found[key] == value or (isinstance(value, float) and math.isnan(value))


@settings(deadline=None)
@given(TEXT, st.lists(VALUES.filter(lambda value: value == value), max_size=6))  # noqa: PLR0124 - not-a-number
def test_arguments_come_back(form: str, arguments: list[object]) -> None:
    """A format and its arguments are read as they were written."""
    assert decode_deferred(encode_deferred(form, arguments)) == (form, tuple(arguments))


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_noise_is_read_without_raising(data: bytes) -> None:
    """Any bytes give some text, fields and arguments, and reading always advances."""
    rich_text(data)
    rich_fields(data)
    decode_deferred(data)
    decode_text(data)
    at = 0
    while at >= 0:
        _, following = decode_value(data, at)
        assert following == -1 or at < following <= len(data)
        at = following


def test_what_is_not_known_is_stored_as_text() -> None:
    """Objects of other classes, numbers too long to print and nests too deep become text; tuples become lists."""

    class Odd:
        def __str__(self) -> str:
            return "odd"

    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert decode_value(encode_value(Odd()), 0)[0] == "odd"
    assert decode_value(encode_value(1 << 60000), 0)[0] == hex(1 << 60000)
    assert decode_value(encode_value((1, [2])), 0)[0] == [1, [2]]
    assert decode_value(encode_value({"a": Odd()}), 0)[0] == {"a": "odd"}
    assert decode_value(encode_value({Odd: 1}), 0)[0] == str({Odd: 1})
    assert decode_value(encode_value(deep), 0)[0] == "<unprintable list object>"


def test_damaged_sized_values_are_text() -> None:
    """Numbers and JSON that cannot be parsed, or are absurdly long, are shown as they are."""
    assert decode_value(b"\x05\x03\x00\x00\x00abc", 0)[0] == "abc"
    assert decode_value(b"\x05" + (5000).to_bytes(4, "little") + b"1" * 5000, 0)[0] == "1" * 5000
    assert decode_value(b"\x09\x03\x00\x00\x00[1,", 0)[0] == "[1,"
    assert decode_value(b"\x09" + (50000).to_bytes(4, "little") + b"[" * 50000, 0)[0] == "[" * 50000
    assert rich_fields(encode_rich(b"", {"a": 1})[:-1]) == {}
    assert rich_fields(encode_rich(b"", {"a": 1, "b": 2})[:-1]) == {"a": 1}
    assert decode_text(b"\xff") == "\ufffd"


@settings(deadline=None)
@given(st.text(CODES, max_size=8), st.text(st.characters(codec="utf-8"), max_size=50), st.booleans())
def test_schemas_come_back(codes: str, text: str, named: bool) -> None:
    """A schema's packed form is read as the schema."""
    schema = Schema(codes, text, tuple(f"n{i}" for i in range(len(codes))) if named else ())
    assert parse_schema(schema.prefix) == schema


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_noise_is_no_schema_or_one(data: bytes) -> None:
    """Any bytes are a schema whose packed form they are, or none."""
    schema = parse_schema(data)
    assert schema is None or set(schema.codes) <= set(CODES)


def test_what_cannot_be_a_schema() -> None:
    """Unknown codes, names that do not fit, and schemas longer than a page can spare are refused."""
    with pytest.raises(Slog2Error, match="unknown code"):
        Schema("s", "x")
    with pytest.raises(Slog2Error, match="names do not fit"):
        Schema("II", "x", ("a",))
    with pytest.raises(Slog2Error, match="too long"):
        Schema("I", "x" * 2000)
    assert parse_schema(b"\x00" + (900).to_bytes(2, "little") + b"\0\0" + b"\xff" * 900) is None
    assert parse_schema(Schema("II", "x", ("a", "b\0c")).prefix) == Schema("II", "x")


def test_rows_that_do_not_fit() -> None:
    """A row with too few values, or one beyond its code's range, is refused; generators are taken."""
    schema = Schema("HH", "%u")
    assert len(schema.pack((i, 1, 2) for i in range(3))) == 36
    for rows in ([(1, 2)], [(1, 2, 70000)], [(1, 2, "x")]):
        with pytest.raises(Slog2Error, match="does not fit"):
            schema.pack(rows)  # type: ignore[arg-type]
