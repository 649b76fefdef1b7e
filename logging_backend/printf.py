"""printf formats with stored arguments, made into text by the reader (`slog2fa`).

The format comes from a log file, so it is hostile until proved otherwise: widths, precisions and the whole text are
bounded, nothing is looked up by name, and no pair of format and arguments raises. C's rules are followed where Python's
differ: a negative number under `%u` or `%x` is shown as the unsigned number of its length modifier.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache

MAX_WIDTH = 1024
"""Width and precision are taken as at most this many columns."""
MAX_TEXT = 1 << 20
"""Characters of a formatted text; the rest is left out."""

_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]{0,8})(?P<width>\*|[0-9]{1,9})?(?:\.(?P<precision>\*|[0-9]{0,9}))?"
    r"(?P<length>hh|h|ll|l|j|z|t|L|q)?(?P<type>[diouxXcspeEfFgGaA%])"
)
_BITS = {"hh": 8, "h": 16, "l": 64, "ll": 64, "j": 64, "z": 64, "t": 64, "q": 64, "L": 64}
_UNSIGNED = "ouxX"
_FLOATS = "eEfFgGaA"


@lru_cache(maxsize=256)
def _plain(form: str) -> str | None:
    """Return the format for Python's own `%` when it means the same there for non-negative numbers, else None."""
    if any(_differs(match) for match in _CONVERSION.finditer(form)):
        return None
    if "%" in _CONVERSION.sub("", form):
        return None
    return _CONVERSION.sub(_without_length, form)


def _differs(match: re.Match[str]) -> bool:
    """Tell whether Python's `%` would do something else than C's, or something unbounded."""
    kind, flags = match["type"], match["flags"]
    if kind == "%" or "*" in match[0]:
        return match[0] != "%%"
    if kind in "cpaA" or (kind in _UNSIGNED and ("+" in flags or " " in flags)) or (kind == "o" and "#" in flags):
        return True
    return match["precision"] is not None or int(match["width"] or 0) > MAX_WIDTH


def _without_length(match: re.Match[str]) -> str:
    if match["type"] == "%":
        return "%%"
    text = match[0][:-1].removesuffix(match["length"] or "")
    return text + ("d" if match["type"] in "iu" else match["type"])


def render(form: str, arguments: Sequence[object]) -> str:
    """Return the text of a printf format with its arguments; what is missing shows as `<missing>`, surplus is left out.

    Never raises. At most `MAX_TEXT` characters.
    """
    plain = _plain(form) if len(form) < MAX_WIDTH else None
    if plain is not None and _all_plain(arguments, 1 if "#" in plain else 0):
        try:
            return plain % tuple(arguments)
        except (TypeError, ValueError, OverflowError):
            pass
    pieces: list[str] = []
    room = MAX_TEXT
    for piece in _pieces(form, iter(arguments)):
        pieces.append(piece[:room])
        room -= len(piece)
        if room <= 0:
            break
    return "".join(pieces)


def _all_plain(arguments: Sequence[object], low: int) -> bool:
    """Tell whether every argument is text or an integer not below `low`; C prints no prefix before a zero."""
    return all(type(item) is str or (type(item) is int and item >= low) for item in arguments)


def _pieces(form: str, arguments: Iterator[object]) -> Iterator[str]:
    at = 0
    for match in _CONVERSION.finditer(form):
        yield form[at : match.start()]
        yield "%" if match["type"] == "%" else _convert(match, arguments)
        at = match.end()
    yield form[at:]


def _convert(match: re.Match[str], arguments: Iterator[object]) -> str:
    flags, kind = match["flags"], match["type"]
    width = _measure(match["width"], arguments) or 0
    precision = None if match["precision"] is None else _measure(match["precision"] or "0", arguments)
    value = next(arguments, _MISSING)
    if width < 0:  # C: a negative width from `*` is the flag `-` and the width
        flags, width = flags + "-", -width
    if precision is not None and precision < 0:
        precision = None
    text = _one(match, flags, precision, value)
    if "-" in flags:
        return text.ljust(width)
    # The zero flag fills between sign or prefix and digits; integers with a precision, inf and nan know no zero fill.
    if "0" in flags and kind not in "csp" and (precision is None or kind in _FLOATS) and "n" not in text.lower():
        head = re.match(r"[-+ ]?(?:0[xX])?", text)
        cut = head.end() if head else 0
        return text[:cut] + text[cut:].rjust(width - cut, "0")
    return text.rjust(width)


class _Missing:
    def __str__(self) -> str:
        return "<missing>"


_MISSING = _Missing()


def _measure(text: str | None, arguments: Iterator[object]) -> int | None:
    if text is None:
        return None
    if text != "*":
        return min(int(text), MAX_WIDTH)
    value = next(arguments, 0)
    return max(-MAX_WIDTH, min(value, MAX_WIDTH)) if isinstance(value, int) else 0


def _one(match: re.Match[str], flags: str, precision: int | None, value: object) -> str:
    kind = match["type"]
    if isinstance(value, (int, float)) and kind in _FLOATS:
        return _float("".join(sign for sign in "+ #" if sign in flags), precision, kind, value)
    if isinstance(value, int) and kind in "diuoxXcp":
        return _integer(match, flags, precision, value)
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else _text(value)
    return text if precision is None or kind != "s" else text[:precision]


def _integer(match: re.Match[str], flags: str, precision: int | None, value: int) -> str:
    kind = match["type"]
    if kind == "c":
        return chr(value) if 0 <= value <= sys.maxunicode else "\ufffd"
    if kind == "p":
        return f"0x{value & (1 << 64) - 1:x}"
    if value.bit_length() > MAX_WIDTH * 8:
        return hex(value)
    if kind in _UNSIGNED and value < 0:
        value &= (1 << _BITS.get(match["length"] or "", 32)) - 1
    digits = format(abs(value), "d" if kind in "diu" else kind)
    if precision is not None:
        digits = "" if precision == 0 == value else digits.rjust(precision, "0")
    if kind == "o" and "#" in flags and not digits.startswith("0"):
        digits = "0" + digits
    if kind in "xX" and "#" in flags and value:
        digits = "0" + kind + digits
    if kind in _UNSIGNED:
        return digits
    return ("-" if value < 0 else "+" if "+" in flags else " " if " " in flags else "") + digits


def _text(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python prints
        return hex(value) if isinstance(value, int) else "<number>"


def _float(signs: str, precision: int | None, kind: str, value: float) -> str:
    try:
        number = float(value)
    except OverflowError:
        return _text(value)
    if kind in "aA":
        text = number.hex()
        return text.upper() if kind == "A" else text
    dot = "" if precision is None else f".{precision}"
    return f"%{signs}{dot}{kind}" % number
