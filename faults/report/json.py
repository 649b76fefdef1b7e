"""A report as JSON, and back: `docs/report.schema.json` describes it; `VERSION` counts incompatible changes.

The keys are the attributes of the records. Addresses and sizes of memory are strings in hexadecimal (JSON numbers lose
bits above 2**53); counts, IDs and times in nanoseconds are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ...base import Finding, Origin
from ..errors import FaultError
from . import baseline, records

FORMAT = "iommuman-fault-report"
VERSION = 1
MAX_HEX = 34
"""Characters of an address as text: 128 bits."""


def draw_json(summary: records.Summary, news: baseline.News | None = None) -> str:
    """Return a report as a JSON document, with what is new in it when it was held against a baseline."""
    plain = {"format": FORMAT, "version": VERSION, **_plain(summary), "new": None if news is None else _plain(news)}
    return json.dumps(plain, indent=1) + "\n"


def _plain(record: Any) -> dict[str, Any]:
    """Return a record as a dictionary."""
    return {one.name: _value(getattr(record, one.name), str(one.type)) for one in fields(record)}


def _value(value: Any, kind: str) -> Any:
    """Return a value of a record as JSON has it."""
    if isinstance(value, records.Table):
        return {"total": value.total, "others": value.others, "rows": [_plain(row) for row in value.rows]}
    if isinstance(value, tuple):
        return [_value(one, "") for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return _plain(value)
    return f"0x{value:x}" if value is not None and kind.startswith("Address") else value


def read_json(text: str, source: str = "") -> records.Summary:
    """Return the report that `draw_json` wrote; keys that are not known are passed by.

    Args:
        text: the document.
        source: name of the file, for the message.

    Raises:
        FaultError: it is not such a report, or of another version, or a key is missing or not of its kind.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refused(source, "", f"the text is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _refused(source, "format", f"this is no report of faults, whose format is {FORMAT!r}")
    if document.get("version") != VERSION:
        raise _refused(source, "version", f"the version of the report is not {VERSION}")
    try:
        summary: records.Summary = _record(records.Summary, document, "")
    except _WrongError as wrong:
        path, expected = wrong.args
        raise _refused(source, path, f"this is not {expected}") from None
    return summary


def _refused(source: str, path: str, message: str) -> FaultError:
    advice = "write the baseline with `--format json`"
    return FaultError(Finding("REPORT-JSON", "error", Origin(source, path), message, advice=advice))


class _WrongError(Exception):
    """A value is not what it must be: its path, and what it must be."""


def _record(kind: type, value: Any, path: str) -> Any:
    """Return a record of a class from a dictionary, each attribute by what its declaration says."""
    if not isinstance(value, dict):
        raise _WrongError(path, "an object")
    made = {}
    for one in fields(kind):
        inner = f"{path}.{one.name}".lstrip(".")
        made[one.name] = _READERS[str(one.type)](value.get(one.name), inner)
    return kind(**made)


def _whole(value: Any, path: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _WrongError(path, "a whole number")
    return value


def _number(value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _WrongError(path, "a number")
    return value


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _WrongError(path, "text")
    return value


def _flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(path, "true or false")
    return value


def _address(value: Any, path: str) -> int:
    try:
        if isinstance(value, str) and value.startswith("0x") and len(value) <= MAX_HEX:
            return int(value, 16)
    except ValueError:
        pass
    raise _WrongError(path, "a hexadecimal number as text")


def _or_none(reader: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    return lambda value, path: None if value is None else reader(value, path)


def _list(reader: Callable[[Any, str], Any]) -> Callable[[Any, str], tuple[Any, ...]]:
    """Return a reader of lists."""

    def read(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise _WrongError(path, "a list")
        return tuple(reader(one, f"{path}[{index}]") for index, one in enumerate(value))

    return read


def _pair(value: Any, path: str) -> tuple[str, int]:
    if not isinstance(value, list) or len(value) != len(("name", "count")):
        raise _WrongError(path, "a pair")
    return _text(value[0], path), _whole(value[1], path)


def _of(kind: type) -> Callable[[Any, str], Any]:
    """Return a reader of records of a class."""
    return lambda value, path: _record(kind, value, path)


def _table(kind: type) -> Callable[[Any, str], Any]:
    """Return a reader of tables of records of a class."""

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _WrongError(path, "an object")
        rows = _list(_of(kind))(value.get("rows"), f"{path}.rows")
        return records.Table(rows, _whole(value.get("total"), f"{path}.total"))

    return read


_ROWS = (records.SourceRow, records.PageRow, records.ReasonRow, records.UnitRow, records.LossRow)
_LISTED = (records.Seen, records.Storm, records.Together, records.PlaceRow, records.TimeLine)

_READERS: dict[str, Callable[[Any, str], Any]] = {
    "int": _whole,
    "float": _number,
    "str": _text,
    "bool": _flag,
    "Address": _address,
    "int | None": _or_none(_whole),
    "Address | None": _or_none(_address),
    "Limits": _of(records.Limits),
    "tuple[int, ...]": _list(_whole),
    "tuple[tuple[str, int], ...]": _list(_pair),
    **{f"tuple[{kind.__name__}, ...]": _list(_of(kind)) for kind in _LISTED},
    **{f"Table[{kind.__name__}]": _table(kind) for kind in _ROWS},
}
"""How an attribute is read, by the type that it is declared with in `records`."""
