"""Tells a configuration from other files by its first word."""

from __future__ import annotations

from .files import INCLUDE
from .lexer import Text, tokens
from .options import FEWEST_WORDS

_LOOKED_AT = 64 << 10
"""Bytes that are looked at: comments before the first word are shorter."""


def is_configuration(data: bytes) -> bool:
    """Tell whether the bytes begin like a configuration: text whose first word is an option word or an @file.

    Bytes that are no UTF-8 do not matter here: reading names the place of the first.
    """
    start = data[:_LOOKED_AT]
    if b"\0" in start:
        return False
    text = start.decode("utf-8-sig", "replace")
    for word in tokens(Text("", text)):
        if not word.is_comment:
            return word.text in FEWEST_WORDS or (word.text.startswith(INCLUDE) and word.text != INCLUDE)
    return False
