"""The difference of two topologies as text: unified, or side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest

from ...base import Origin, printable
from ..view import short_origin
from .hunks import Hunk, Step
from .meaning import Meaning
from .words import Line

BOLD, RED, GREEN, CYAN, RESET = "\033[1m", "\033[31m", "\033[32m", "\033[36m", "\033[0m"

MOST_ORIGINS = 3
"""Places of one line that are named."""

NARROWEST = 60
"""Width of the two sides together below which nothing could be read."""


def draw_unified(hunks: list[Hunk], names: tuple[str, str], *, colour: bool = False) -> str:
    """Return the difference as `diff -u` would arrange it: a hunk for each thing; empty when there is none.

    Args:
        hunks: what differs.
        names: what A and B are called.
        colour: use ANSI colours; without them the text is the same.
    """
    if not hunks:
        return ""
    paint = _Paint(colour)
    out = [paint(f"--- {printable(names[0])}", BOLD), paint(f"+++ {printable(names[1])}", BOLD)]
    for hunk in hunks:
        out.append(paint(f"@@ {printable(hunk.title)} @@", CYAN))
        for step in hunk.steps:
            if step.moved:
                out.append(f"~ {printable(_moved(step))}")
            else:
                out += [paint(f"- {_said(line)}", RED) for line in step.was]
                out += [paint(f"+ {_said(line)}", GREEN) for line in step.now]
            out += [paint.meaning(one) for one in step.meanings]
    return "\n".join((*out, _summary(hunks))) + "\n"


def draw_side_by_side(hunks: list[Hunk], names: tuple[str, str], width: int, *, colour: bool = False) -> str:
    """Return the difference with A on the left and B on the right, as `diff -y` marks it; empty when there is none.

    Args:
        hunks: what differs.
        names: what A and B are called.
        width: of the whole, in characters; longer lines go on below.
        colour: use ANSI colours; without them the text is the same.
    """
    if not hunks:
        return ""
    paint = _Paint(colour)
    half = (max(width, NARROWEST) - 3) // 2
    out = [paint(row, BOLD) for row in _rows(printable(names[0]), " ", printable(names[1]), half)]
    for hunk in hunks:
        out.append(paint(f"@@ {printable(hunk.title)} @@", CYAN))
        for step in hunk.steps:
            for old, new in zip_longest(step.was, step.now):
                mark = "<" if new is None else ">" if old is None else "~" if step.moved else "|"
                out += _rows("" if old is None else _said(old), mark, "" if new is None else _said(new), half)
            out += [paint.meaning(one) for one in step.meanings]
    return "\n".join((*out, _summary(hunks))) + "\n"


class _Paint:
    """Colours text, or leaves it as it is."""

    def __init__(self, colour: bool) -> None:  # noqa: FBT001
        self.colour = colour

    def __call__(self, text: str, colour: str) -> str:
        """Return the text in a colour."""
        return f"{colour}{text}{RESET}" if self.colour and colour else text

    def meaning(self, meaning: Meaning) -> str:
        """Return the line of a meaning."""
        effect = "" if meaning.effect == "neutral" else f"{meaning.effect}: "
        colour = {"opens": BOLD + RED, "closes": BOLD + GREEN}.get(meaning.effect, "")
        return self(f"  = {effect}{printable(meaning.text)}", colour)


def _rows(left: str, mark: str, right: str, half: int) -> Iterator[str]:
    """Yield the rows of one pair of lines; both are divided where words end, as far as that goes."""
    sides = (textwrap.wrap(text, half, subsequent_indent="  ", break_on_hyphens=False) for text in (left, right))
    for index, (old, new) in enumerate(zip_longest(*sides, fillvalue="")):
        yield f"{old:{half}} {mark if not index else ' '} {new}".rstrip()


def _said(line: Line) -> str:
    """Return what one side says, and where."""
    where = places(line.origins)
    return printable(line.text + (f"  [{where}]" if where else ""))


def _moved(step: Step) -> str:
    """Return both sides of what has gone elsewhere in one line."""
    old, new = step.was[0], step.now[0]
    return f"{old.text} → {new.text}  [{places(old.origins)} → {places(new.origins)}]"


def places(origins: tuple[Origin, ...]) -> str:
    """Return the first few places in short, and how many more there are."""
    shown = list(dict.fromkeys(short_origin(one) for one in origins))
    more = f" and {len(shown) - MOST_ORIGINS} more" if len(shown) > MOST_ORIGINS else ""
    return "; ".join(shown[:MOST_ORIGINS]) + more


def _summary(hunks: list[Hunk]) -> str:
    """Say in one line how much differs, and to what effect."""
    effects = [one.effect for hunk in hunks for step in hunk.steps for one in step.meanings]
    things = f"{len(hunks)} things differ" if len(hunks) > 1 else "1 thing differs"
    counts = ((effects.count(what), what) for what in ("opens", "closes"))
    found = [f"{count} {what if count == 1 else what.removesuffix('s')}" for count, what in counts if count]
    return f"{things}; {' and '.join(found) or 'nothing opens or closes'}"
