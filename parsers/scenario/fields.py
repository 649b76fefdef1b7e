"""Values of a TOML document by their keys: each is checked; what is wrong is said with its place and a near match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ...base import Finding, Origin, printable

_SIZE = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20}) ?([kKmMgG]?)(?:iB|B)?")
_SCALE = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
NUMBER = 'a number from 0, or text such as "16M" or "0x1000"'


class Fields:
    """One table of a document.

    Attributes:
        path: where it stands, such as `vm[0].memory[1]`.
        findings: takes what is wrong, for the whole document.
    """

    def __init__(self, source: str, path: str, values: dict[str, Any], findings: list[Finding]) -> None:
        """Read a table; `known` names its keys."""
        self.path = path
        self.findings = findings
        self._source = source
        self._values = values

    @property
    def origin(self) -> Origin:
        """Where the table stands."""
        return Origin(self._source, self.path)

    def known(self, *keys: str) -> None:
        """Name the keys that are none of these, each with the one it is like."""
        for key in self._values:
            if key not in keys:
                self.wrong(key, "there is no such key", "", "one of " + ", ".join(keys), _near(key, keys))

    def has(self, key: str) -> bool:
        """Tell whether a key is there."""
        return key in self._values

    def text(self, key: str, among: Iterable[str] = (), *, required: bool = False) -> str:
        """Return a text, which is one of `among` when any are given; empty when it is not there or wrong."""
        value = self._values.get(key)
        choices = tuple(among)
        if value is None:
            if required:
                self.wrong(key, "this is missing", "", ", ".join(choices) or "a text")
        elif not isinstance(value, str) or (not value and required):
            self.wrong(key, "this is no text", _shown(value), "a text")
        elif choices and value not in choices:
            self.wrong(key, "this is none of the words", _shown(value), ", ".join(choices), _near(value, choices))
        else:
            return printable(value)
        return ""

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._values.get(key, default)
        if isinstance(value, bool):
            return value
        self.wrong(key, "this is neither true nor false", _shown(value), "true or false")
        return default

    def number(self, key: str, default: int | None = None) -> int | None:
        """Return a number of 64 bits, which may be text with K, M or G; without `default` it has to be there."""
        value = self._values.get(key)
        if value is None:
            if default is None:
                self.wrong(key, "this is missing", "", NUMBER)
            return default
        if isinstance(value, str):
            match = _SIZE.fullmatch(value)
            if match is not None:
                value = int(match[1], 0 if match[1][:2] in ("0x", "0X") else 10) * _SCALE[match[2].lower()]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
            self.wrong(key, "this is no address or size", _shown(value), NUMBER)
            return default
        return value

    def access(self, key: str = "access") -> str:
        """Return letters of r, w, x; `rw` when nothing is said."""
        value = self._values.get(key, "rw")
        if isinstance(value, str) and value and set(value) <= set("rwx"):
            return value
        self.wrong(key, "these are no permissions", _shown(value), "letters of r, w, x")
        return ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; what is none is named and left out."""
        found = []
        for place, value in self._items(key):
            if isinstance(value, str) and value:
                found.append(printable(value))
            else:
                self.wrong(place, "this is no text", _shown(value), "a text")
        return tuple(found)

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return a list of numbers, as `number` reads them; what is none is named and left out."""
        found = []
        for place, value in self._items(key):
            number = Fields(self._source, self.path, {place: value}, self.findings).number(place)
            if number is not None:
                found.append(number)
        return tuple(found)

    def table(self, key: str) -> Fields | None:
        """Return the table at a key; None when there is none."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return Fields(self._source, self._at(key), value, self.findings)
        self.wrong(key, "this is no table", _shown(value), f"[{self._at(key)}]")
        return None

    def tables(self, key: str) -> Iterator[Fields]:
        """Return the tables of a list; what is none is named and left out."""
        for place, value in self._items(key):
            if isinstance(value, dict):
                yield Fields(self._source, self._at(place), value, self.findings)
            else:
                self.wrong(place, "this is no table", _shown(value), "a table")

    def wrong(self, key: str, message: str, found: str, expected: str, near: str = "") -> None:
        """Name what is wrong at a key."""
        self.findings.append(
            Finding(
                "SCENARIO",
                "error",
                Origin(self._source, self._at(printable(key[:80]))),
                message,
                found=found,
                expected=expected,
                advice=f"did you mean {near}?" if near else "",
            )
        )

    def _items(self, key: str) -> list[tuple[str, Any]]:
        value = self._values.get(key, [])
        if isinstance(value, list):
            return [(f"{key}[{number}]", one) for number, one in enumerate(value)]
        self.wrong(key, "this is no list", _shown(value), "a list")
        return []

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _near(word: str, choices: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word[:80], tuple(choices), 1, 0.7)), "")


def _shown(value: object) -> str:
    """Return a value as a message shows it, cut when it is long."""
    text = printable(value if isinstance(value, str) else "a table" if isinstance(value, dict) else _plain(value))
    return text if len(text) <= 80 else text[:77] + "…"  # noqa: PLR2004 - a line


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool):
        return hex(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
