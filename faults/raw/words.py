"""Hexadecimal words that a person pasted: which record can they be?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...base import Finding, Origin
from ..errors import FaultError
from ..fault import Fault
from .queue import formats

_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F][0-9a-fA-F_]*")
LONGEST = 4096
"""Characters that are looked at: no record is longer in words."""
SHORT, LONG = 4, 8
"""Bytes of a word."""
SHORT_DIGITS = 2 * SHORT


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read some words.

    Attributes:
        title: of the kind of record.
        fault: what it says.
        why: what speaks for it, or for an unlikely one against it.
        likely: nothing speaks against it.
    """

    title: str
    fault: Fault
    why: str
    likely: bool


def from_words(text: str, *, architecture: str = "", source: str = "", iommu: str = "") -> tuple[Candidate, ...]:
    """Return the one record that hexadecimal words are likely to be; else all that they can be, the likely ones first.

    Words are separated by spaces, commas or lines. All of 9 digits or more, or of 16 with `0x`: 64-bit words; all of 8
    at most: 32-bit words, the lowest first. Words of 32 and 64 bits look alike when all are small; then both are tried.

    Args:
        text: the words.
        architecture: the only one to try; empty: all.
        source: name of the text, for origins.
        iommu: name of the unit.

    Raises:
        FaultError: there are no such words, or no record has that many; or there is no such architecture.
    """
    words = [word for word in re.split(r"[\s,;|]+", text[:LONGEST].strip()) if word]
    bad = next((word for word in words if not _HEX.fullmatch(word)), None)
    if bad is not None or not words:
        raise _refused(source, "these are no hexadecimal words", (bad or text.strip())[:40])
    digits = [word[2:] if word[:2] in ("0x", "0X") else word for word in (word.replace("_", "") for word in words)]
    numbers = [int(word, 16) for word in digits]
    widest = max(len(word.lstrip("0")) for word in digits)
    if widest > 2 * LONG:
        raise _refused(source, "a word has more than 64 bits", words[0][:40])
    long = max(len(word) for word in digits) > SHORT_DIGITS
    widths = (LONG,) if long else (SHORT, LONG)
    found = []
    for form in formats(architecture):
        for width in widths:
            raw = b"".join(number.to_bytes(width, "little") for number in numbers)
            if len(raw) != form.size:
                continue
            fault = form.decode(raw, Origin(source, f"{len(words)} words of {8 * width} bits"), iommu)
            doubts = "there is no record in it" if form.vacant(raw) else form.doubts(raw)
            name = f" ({fault.name})" if fault.name else ""
            why = doubts or f"{fault.reason}{name}; every field has a value that is defined, and no reserved bit is set"
            found.append(Candidate(form.title, fault, why, not doubts))
    if not found:
        sizes = sorted({form.size for form in formats(architecture)})
        expected = f"records of {', '.join(str(size) for size in sizes)} bytes"
        raise _refused(source, "no record has that many words", f"{len(words)} words", expected)
    likely = [one for one in found if one.likely]
    return tuple(likely if len(likely) == 1 else sorted(found, key=lambda one: not one.likely))


def _refused(source: str, message: str, found: str, expected: str = "") -> FaultError:
    return FaultError(Finding("FAULT-WORDS", "error", Origin(source), message, found=found, expected=expected))
