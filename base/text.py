"""Text that came from input, made fit to be shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control characters escaped: names in hostile input must not drive a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)
