"""The numbers of a configuration: addresses are hexadecimal, all others decimal, unless a prefix says otherwise.

`0x` makes a number hexadecimal and `0d` decimal. Addresses and lengths may end in K, M or G (or k, m, g), which are
multiples of 1024. Source: the page on options of QNX's smmuman, notation.
"""

from __future__ import annotations

import re

from .lexer import Word
from .report import Report, shown

MAX_ADDRESS = (1 << 64) - 1
"""Addresses have 64 bits."""
HIGHEST_32 = (1 << 32) - 1

_HEX = re.compile(r"[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[0-9]+")
_MOST_DIGITS = 20
"""Digits of the longest 64-bit number: one with more is out of range without being worked out."""
_MULTIPLIERS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

ADDRESS = "hexadecimal digits (or 0x…, 0d…), K, M or G behind them"
SIZE = "decimal digits (or 0x…, 0d…), K, M or G behind them"
NUMBER = "decimal digits (or 0x…)"


def address(word: Word, field: str, report: Report) -> int:
    """Return an address; 0 when it is none, which is reported."""
    return _number(word, field, report, 16, MAX_ADDRESS, ADDRESS)


def size(word: Word, field: str, report: Report) -> int:
    """Return a length in bytes; 1 when it is none or zero, which is reported."""
    before = report.count
    length = _number(word, field, report, 10, MAX_ADDRESS + 1, SIZE)
    if report.count == before and not length:
        report.error(word, "CONFIG-RANGE", "the region is empty", field=field, expected="1 byte or more")
    return length or 1


def number(word: Word, field: str, report: Report, highest: int = HIGHEST_32) -> int:
    """Return a number from 0 to `highest`; 0 when it is none, which is reported."""
    return _number(word, field, report, 10, highest, NUMBER)


def _number(word: Word, field: str, report: Report, base: int, highest: int, expected: str) -> int:
    text = word.text
    multiplier = 1
    if highest >= MAX_ADDRESS and text[-1:].lower() in _MULTIPLIERS:
        multiplier = _MULTIPLIERS[text[-1].lower()]
        text = text[:-1]
    prefix = text[:2].lower()
    if prefix in ("0x", "0d"):
        base = 16 if prefix == "0x" else 10
        text = text[2:]
    digits = _HEX if base == 16 else _DECIMAL  # noqa: PLR2004 - the base
    if digits.fullmatch(text) is None:
        hexadecimal = base != 16 and _HEX.fullmatch(text) is not None  # noqa: PLR2004
        advice = f"write 0x{shown(text)} if it is hexadecimal" if hexadecimal else ""
        report.error(word, "CONFIG-NUMBER", "this is no number", field=field, expected=expected, advice=advice)
        return 0
    text = text.lstrip("0")
    value = int(text or "0", base) * multiplier if len(text) <= _MOST_DIGITS else highest + 1
    if value > highest:
        limit = f"0 to {highest:#x}" if highest > HIGHEST_32 else f"0 to {highest}"
        report.error(word, "CONFIG-RANGE", "the number is out of range", field=field, expected=limit)
        return 0
    return value


def region(start: Word, length: Word, report: Report) -> tuple[int, int]:
    """Return start and length of a region; one that goes past the last address is reported."""
    before = report.count
    first, count = address(start, "start", report), size(length, "length", report)
    if report.count == before and first + count > MAX_ADDRESS + 1:
        report.error(
            length,
            "CONFIG-RANGE",
            "the region goes past the last 64-bit address",
            found=f"{first:#x} + {count:#x}",
            expected=f"a length of at most {MAX_ADDRESS + 1 - first:#x}",
        )
    return first, count


def format_size(length: int) -> str:
    """Return a length as people write it: `4K`, `16M`, `100`."""
    for letter, multiplier in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if length and not length % multiplier:
            return f"{length // multiplier}{letter}"
    return str(length)


def format_id(number: int) -> str:
    """Return an ID: in hexadecimal, unless it reads the same in decimal."""
    return f"{number:#x}" if number > 9 else str(number)  # noqa: PLR2004 - the last decimal digit
