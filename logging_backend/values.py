"""Typed values inside a packet: arguments of a deferred format, and fields beside a text.

Each value is a tag byte and its bytes: integers of 64 bits, larger ones as decimal text, doubles, text, bytes, and
anything nested as JSON. Reading is bounded by the bytes at hand and never raises: what cannot be read ends the list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from struct import Struct

Value = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None
"""What a field or an argument can hold when it is read back."""

NONE, FALSE, TRUE, SIGNED, UNSIGNED, BIG, DOUBLE, TEXT, BYTES, JSON = range(10)

_I64 = Struct("<q")
_U64 = Struct("<Q")
_F64 = Struct("<d")
_LENGTH = Struct("<I")
_pack_sized = Struct("<BI").pack
_pack_signed = Struct("<Bq").pack
_CONSTANTS: dict[int, bool | None] = {NONE: None, FALSE: False, TRUE: True}
_TAGS = {value: bytes((tag,)) for tag, value in _CONSTANTS.items()}
_FIXED = {SIGNED: _I64, UNSIGNED: _U64, DOUBLE: _F64}
_MAX_BIG_DIGITS = 4000
_INT_PRINT_LIMIT = 13000  # bits: under 4000 decimal digits, where Python's own limit is 4300


def encode_text(text: str) -> bytes:
    """Return the text in UTF-8; a lone surrogate, which UTF-8 cannot say, is kept in its three-byte form."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Return the text of `encode_text`; bytes that are no text become U+FFFD."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def encode_value(value: object) -> bytes:
    """Return the tagged bytes of one value; an object of a class not known here is stored as its `str()`."""
    if isinstance(value, str):
        return _sized(TEXT, encode_text(value))
    if value is None or isinstance(value, bool):
        return _TAGS[value]
    if isinstance(value, int):
        return _encode_int(value)
    if isinstance(value, float):
        return bytes((DOUBLE,)) + _F64.pack(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _sized(BYTES, bytes(value))
    return _encode_other(value)


def _encode_other(value: object) -> bytes:
    if isinstance(value, (Mapping, list, tuple)):
        try:
            return _sized(JSON, json.dumps(value, default=_words).encode())
        except (TypeError, ValueError, RecursionError):
            pass
    return _sized(TEXT, encode_text(_words(value)))


def _words(value: object) -> str:
    """Return `str()` of an object of any class, and what can be said of one that fails at that."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - the class is anybody's
        return f"<unprintable {type(value).__name__} object>"


def _encode_int(value: int) -> bytes:
    value = int(value)  # an IntEnum prints as its name in some versions
    if -(1 << 63) <= value < 1 << 63:
        return _pack_signed(SIGNED, value)
    if 0 <= value < 1 << 64:
        return bytes((UNSIGNED,)) + _U64.pack(value)
    if value.bit_length() < _INT_PRINT_LIMIT:
        return _sized(BIG, str(value).encode())
    return _sized(TEXT, hex(value).encode())


def _sized(tag: int, data: bytes) -> bytes:
    return _pack_sized(tag, len(data)) + data


def decode_value(data: bytes, at: int) -> tuple[Value, int]:
    """Return the value at `at` and the place after it; the place is -1 when there is no whole value there."""
    if at >= len(data):
        return None, -1
    tag = data[at]
    at += 1
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at
    fixed = _FIXED.get(tag)
    if fixed is not None:
        return (fixed.unpack_from(data, at)[0], at + 8) if at + 8 <= len(data) else (None, -1)
    if tag > JSON or at + 4 > len(data):
        return None, -1
    end = at + 4 + _LENGTH.unpack_from(data, at)[0]
    if end > len(data):
        return None, -1
    return _decode_sized(tag, data[at + 4 : end]), end


def _decode_sized(tag: int, data: bytes) -> Value:
    if tag == BYTES:
        return data
    text = decode_text(data)
    try:
        if tag == BIG and len(text) <= _MAX_BIG_DIGITS:
            return int(text)
        if tag == JSON:
            value: Value = json.loads(text)
            return value
    except (ValueError, RecursionError):
        pass
    return text


def encode_deferred(form: str, arguments: Sequence[object]) -> bytes:
    """Return the payload of a deferred packet: the length of the format, the format, the arguments."""
    text = encode_text(form)
    return _LENGTH.pack(len(text)) + text + b"".join(map(encode_value, arguments))


def decode_deferred(data: bytes) -> tuple[str, tuple[Value, ...]]:
    """Return the format and the arguments of a deferred packet, as far as they can be read."""
    text, at = _leading_text(data)
    arguments: list[Value] = []
    while True:
        value, at = decode_value(data, at)
        if at < 0:
            return text, tuple(arguments)
        arguments.append(value)


def encode_rich(text: bytes, fields: Mapping[str, object]) -> bytes:
    """Return the payload of a text with fields: the length of the text, the text, then key and value in turn."""
    return _LENGTH.pack(len(text)) + text + encode_fields(fields)


def encode_fields(fields: Mapping[str, object]) -> bytes:
    """Return fields as they stand behind the text: key and value in turn."""
    parts: list[bytes] = []
    for key, value in fields.items():
        parts += (_sized(TEXT, encode_text(_words(key))), encode_value(value))
    return b"".join(parts)


def rich_text(data: bytes) -> str:
    """Return the text of a packet with fields."""
    return _leading_text(data)[0]


def rich_fields(data: bytes) -> dict[str, Value]:
    """Return the fields of a packet, in their order, as far as they can be read; a key comes once, the last wins."""
    at = _leading_text(data)[1]
    fields: dict[str, Value] = {}
    while True:
        key, at = decode_value(data, at)
        if at < 0:
            return fields
        value, at = decode_value(data, at)
        if at < 0:
            return fields
        fields[str(key)] = value


def _leading_text(data: bytes) -> tuple[str, int]:
    if len(data) < _LENGTH.size:
        return "", len(data)
    end = min(_LENGTH.size + _LENGTH.unpack_from(data)[0], len(data))
    return decode_text(data[_LENGTH.size : end]), end
