"""What a field of a message may be: checks that turn what JSON gives into a value, or refuse it.

A record of the protocol is a dataclass whose annotations carry a check each (`Annotated[int, integer(0, 7)]`); `build`
makes one from what JSON gives, and `plain` is the way back. Nothing from a message is used before its check has run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, get_type_hints

from .errors import ManagerError

Check = Callable[[object, str], Any]
"""Takes a value and the name of its field; returns the value that it stands for. Raises ManagerError (`EPROTO`)."""

_Record = TypeVar("_Record", bound=object)


def integer(low: int, high: int) -> Check:
    """Take a whole number from `low` to `high`, both included; true and false are none."""

    def check(value: object, name: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise malformed(name, value, f"a whole number from {low} to {high}")
        return value

    return check


def text(longest: int) -> Check:
    """Take a text of at most `longest` characters, of which none is half of a surrogate pair."""

    def check(value: object, name: str) -> str:
        if not isinstance(value, str) or len(value) > longest or not _is_whole(value):
            raise malformed(name, value, f"a text of at most {longest} characters")
        return value

    return check


def choice(*words: str) -> Check:
    """Take one of these words."""

    def check(value: object, name: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise malformed(name, value, " or ".join(repr(word) for word in words))
        return value

    return check


def flag(value: object, name: str) -> bool:
    """Take true or false."""
    if not isinstance(value, bool):
        raise malformed(name, value, "true or false")
    return value


def octets(longest: int) -> Check:
    """Take at most `longest` bytes, written in hexadecimal."""

    def check(value: object, name: str) -> bytes:
        try:
            found = bytes.fromhex(text(2 * longest)(value, name))
        except ValueError:
            raise malformed(name, value, f"at most {longest} bytes in hexadecimal") from None
        return found

    return check


def optional(inner: Check) -> Check:
    """Take null for None, or what `inner` takes."""

    def check(value: object, name: str) -> Any:
        return None if value is None else inner(value, name)

    return check


def several(inner: Check, fewest: int, most: int) -> Check:
    """Take a list with `fewest` to `most` items that `inner` takes, as a tuple."""

    def check(value: object, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or not fewest <= len(value) <= most:
            raise malformed(name, value, f"a list of {fewest} to {most} items")
        return tuple(inner(item, f"{name}[{index}]") for index, item in enumerate(value))

    return check


def record(cls: type[_Record]) -> Check:
    """Take an object with the fields of a record."""

    def check(value: object, name: str) -> _Record:
        return build(cls, _object(value, name), name)

    return check


def tagged(**classes: type) -> Check:
    """Take an object whose field `kind` says which of these records it is."""
    kinds = choice(*classes)

    def check(value: object, name: str) -> Any:
        fields = dict(_object(value, name))
        kind = kinds(fields.pop("kind", None), f"{name}.kind")
        return build(classes[kind], fields, name)

    return check


def build(cls: type[_Record], fields: Mapping[str, object], name: str = "") -> _Record:
    """Make a record from its fields. Raises ManagerError (`EPROTO`): one is missing, unknown or out of bounds."""
    checks = _checks(cls)  # type: ignore[arg-type]  # classes can be hashed
    prefix = f"{name}." if name else ""
    for field in fields:
        if field not in checks:
            raise malformed(prefix + field, fields[field], "no such field")
    values = {}
    for field, (check, required) in checks.items():
        if field in fields:
            values[field] = check(fields[field], prefix + field)
        elif required:
            raise malformed(prefix + field, None, "a value")
    return cls(**values)


def plain(value: object) -> Any:
    """Return what JSON is to write for a value: records become objects, bytes hexadecimal text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        kind = getattr(value, "kind", None)
        return fields if kind is None else {"kind": kind} | fields
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value


def malformed(name: str, found: object, expected: str) -> ManagerError:
    """Return the error for a field that is not what it has to be."""
    return ManagerError(
        "EPROTO", "PROTOCOL-FIELD", "a message is not one of the protocol", field=name, found=_short(found),
        expected=expected,
    )  # fmt: skip


def _object(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise malformed(name, value, "an object")
    return value


def _short(value: object) -> str:
    """Return a value as text that is never long, however long the value is."""
    if isinstance(value, int) and value.bit_length() > 64:  # noqa: PLR2004 - the widest number of the protocol
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'object'} with {len(value)} items"
    shown = ascii(value[:40] if isinstance(value, str) else value)
    return shown[:60]


def _is_whole(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


@cache
def _checks(cls: type) -> dict[str, tuple[Check, bool]]:
    """Return the check of each field, and whether it has to be there."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        field.name: (hints[field.name].__metadata__[0], field.default is dataclasses.MISSING)
        for field in dataclasses.fields(cls)
    }
