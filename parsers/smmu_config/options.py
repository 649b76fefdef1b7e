"""The option words, and where one option ends and the next begins."""

from __future__ import annotations

from collections.abc import Sequence

from .files import INCLUDE
from .lexer import Word

FEWEST_WORDS = {
    "allow": 2,
    "debug": 1,
    "device": 1,
    "foreground": 0,
    "reserved": 1,
    "smmu": 1,
    "unit": 2,
    "use": 1,
}
"""Each option word, and how many words must follow it at least."""

USAGE = {
    "allow": "allow NAME START,LENGTH[,PERMISSIONS]",
    "debug": "debug 1|2",
    "device": "device SPEC [NAME]",
    "foreground": "foreground",
    "reserved": "reserved START,LENGTH",
    "smmu": "smmu TYPE [PARAMETER]",
    "unit": "unit NAME PARAMETER",
    "use": "use NAME [PARAMETER]",
}
"""Each option word, and how it is written."""

OF_A_DEVICE = ("use", "reserved")
"""Options that belong to the `device` before them."""


def is_complete(statement: Sequence[Word]) -> bool:
    """Tell whether an option (its word and those behind it) has all words that it needs, or is none."""
    return not statement or len(statement) > FEWEST_WORDS.get(statement[0].text, 0)


def begins_option(word: Word, statement: Sequence[Word]) -> bool:
    """Tell whether a word begins an option, or stands between options, and is no part of the one before it."""
    return word.text in FEWEST_WORDS or (word.text.startswith(INCLUDE) and is_complete(statement))
