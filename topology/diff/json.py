"""The difference of two topologies as JSON. `docs/diff.schema.json` describes it; `VERSION` counts breaking changes.

As in the topology's own JSON, addresses and sizes of memory are strings in hexadecimal; IDs, buses and counts are
numbers. Sets of either are lists of `[first, how many]`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from typing import Any

from ..draw.json import hexadecimal, origin_object
from ..model import Source
from ..spaces import Segment
from .hunks import Hunk, Step
from .picture import Item, Subject
from .values import Access, Many, Ranges, Reserve, Spread, Value
from .words import Line

FORMAT = "iommuman-diff"
VERSION = 1


def draw_json(hunks: Sequence[Hunk], names: tuple[str, str], sources: tuple[Sequence[Source], Sequence[Source]]) -> str:
    """Return the difference as a JSON document: every change with what says it and what it means."""
    return json.dumps(difference_object(hunks, names, sources), indent=1) + "\n"


def difference_object(
    hunks: Sequence[Hunk], names: tuple[str, str], sources: tuple[Sequence[Source], Sequence[Source]]
) -> dict[str, Any]:
    """Return the difference as plain dictionaries and lists."""
    sides = {
        side: {"name": name, "sources": [{"name": one.name, "kind": one.kind, "size": one.size} for one in read]}
        for side, name, read in zip("ab", names, sources, strict=True)
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        **sides,
        "same": not hunks,
        "changes": [_change(step) for hunk in hunks for step in hunk.steps],
    }


def _change(step: Step) -> dict[str, Any]:
    change = step.change
    return {
        "kind": change.kind,
        "thing": change.subject.kind,
        "before": _side(change.before, change.field, change.was, step.was),
        "after": _side(change.after, change.field, change.now, step.now),
        "field": change.field,
        "meanings": [{"effect": one.effect, "text": one.text} for one in step.meanings],
    }


def _side(
    subject: Subject | None, field: str, value: Value | Item | None, lines: Sequence[Line]
) -> dict[str, Any] | None:
    """Return what one side says; None when it has not the thing."""
    if subject is None:
        return None
    fields = value.fields if isinstance(value, Item) else {} if value is None else {field: value}
    return {
        "name": subject.name,
        "says": {name: _value(one) for name, one in fields.items()},
        "lines": [{"text": one.text, "origins": [origin_object(origin) for origin in one.origins]} for one in lines],
    }


def _value(value: Value) -> list[Any]:
    if isinstance(value, Many):
        return list(value.said)
    if isinstance(value, Spread):
        return [_labelled(label, numbers) for label, numbers in value.parts.items()]
    return [_segment(one) for one in value.segments]


def _segment(one: Segment) -> dict[str, Any]:
    """Return a range of requester IDs; its IDs at the target are `(ID & mask) + shift`."""
    return {
        "first": one.first,
        "count": one.length,
        "verdict": one.way.verdict,
        "target": one.way.target,
        "mask": one.way.mask,
        "shift": one.way.shift,
        "ignored_bits": one.way.ignored,
    }


def _labelled(label: Hashable, numbers: Ranges) -> dict[str, Any]:
    """Return a set of IDs or addresses, and what is said of them."""
    if isinstance(label, Access):
        known = {"numbers": label.numbers, "ignored_bits": label.ignored, "ids": _ids(numbers)}
        return {"verdict": label.verdict, "target": label.target, **known}
    if isinstance(label, Reserve):
        shift = None if label.shift is None else f"{label.shift:#x}"
        found = {"meaning": label.meaning, "physical_shift": shift, "facts": list(label.facts)}
        if label.region is None:
            return {**found, "memory": _memory(numbers)}
        return {**found, "memory": _memory((label.region,)), "ids": _ids(numbers)}
    if label in ("read", "write"):
        return {"permission": label, "memory": _memory(numbers)}
    return {"what": label, "ids": _ids(numbers)}


def _ids(numbers: Ranges) -> list[list[int]]:
    return [[start, length] for start, length in numbers]


def _memory(numbers: Ranges) -> list[list[str | None]]:
    return [[hexadecimal(start), hexadecimal(length)] for start, length in numbers]
