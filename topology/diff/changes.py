"""What has to be said to turn one picture into another; the other way round; and doing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from typing import Literal

from ...base import Origin
from .pairing import pair
from .picture import KINDS, Item, Picture, Subject
from .values import Access, Spread, Value, count, difference, patched


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two pictures, A and B.

    Attributes:
        kind: `added`: B has a thing that A has not. `removed`: the other way round. `moved`: a thing has another name
            in B (no field is given then), or what a field says has gone elsewhere whole. `changed`: a field differs.
        before: the thing in A; None when it is added.
        after: the thing in B; None when it is removed.
        field: what differs of it; empty when it is the thing as a whole.
        was: what only A says, in A's names; for a thing that is removed, all of it.
        now: what only B says, in B's names; for a thing that is added, all of it.
        origins_before: what says so in A; not compared, as nothing that tells where something was read.
        origins_after: what says so in B.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    before: Subject | None
    after: Subject | None
    field: str = ""
    was: Value | Item | None = None
    now: Value | Item | None = None
    origins_before: tuple[Origin, ...] = attribute(default=(), compare=False)
    origins_after: tuple[Origin, ...] = attribute(default=(), compare=False)

    @property
    def subject(self) -> Subject:
        """The thing, as A calls it, or B when A has it not."""
        return self.before or self.after or Subject("machine", "")

    @property
    def renames(self) -> bool:
        """Whether a thing has another name in B."""
        return self.kind == "moved" and not self.field


def diff(a: Picture, b: Picture) -> tuple[Change, ...]:
    """Return what differs: things by kind, those of A in its order and then those that only B has in its order."""
    names = pair(a, b)
    back = {new: old for old, new in names.items()}
    subjects = {subject: Subject(subject.kind, names.get(subject.name, subject.name)) for subject in a.items}
    arrived = set(subjects.values())
    found: dict[str, list[Change]] = {kind: [] for kind in KINDS}
    for before, after in subjects.items():
        changes = found[before.kind]
        if after not in b.items:
            item = a.items[before]
            changes.append(Change("removed", before, None, was=item, origins_before=item.origins))
            continue
        if before != after and before.kind in ("unit", "msi", "device", "space"):
            origins = a.items[before].origins, b.items[after].origins
            changes.append(Change("moved", before, after, origins_before=origins[0], origins_after=origins[1]))
        mine, theirs = a.items[before].fields, b.items[after].fields
        for name in dict.fromkeys((*mine, *theirs)):
            own = mine.get(name)
            was, now = difference(own and own.renamed(names), theirs.get(name))
            if was is None and now is None:
                continue
            kind: Literal["changed", "moved"] = "moved" if _went(was, now) else "changed"
            origins = _places(was), _places(now)
            changes.append(Change(kind, before, after, name, was and was.renamed(back), now, *origins))
    for after, item in b.items.items():
        if after not in arrived:
            found[after.kind].append(Change("added", None, after, now=item, origins_after=item.origins))
    return tuple(change for kind in KINDS for change in found[kind])


def _places(value: Value | None) -> tuple[Origin, ...]:
    return () if value is None else value.places()


def _went(was: Value | None, now: Value | None) -> bool:
    """Tell whether one range of addresses or IDs has gone elsewhere whole: to another unit, or to another place."""
    if not isinstance(was, Spread) or not isinstance(now, Spread) or len(was.parts) != 1 or len(now.parts) != 1:
        return False
    ((label, mine),), ((other, theirs),) = was.parts.items(), now.parts.items()
    if isinstance(label, Access) and isinstance(other, Access):
        elsewhere = label.target is not None and replace(label, target=other.target) == other
    else:
        elsewhere = label == other
    return elsewhere and len(mine) == len(theirs) == 1 and count(mine) == count(theirs)


def mirror(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return what turns B into A."""
    other: dict[str, Literal["added", "removed", "changed", "moved"]] = {"added": "removed", "removed": "added"}
    return tuple(
        Change(
            other.get(one.kind, one.kind),
            one.after,
            one.before,
            one.field,
            one.now,
            one.was,
            one.origins_after,
            one.origins_before,
        )
        for one in changes
    )


def apply(picture: Picture, changes: Iterable[Change]) -> Picture:
    """Return the picture that the changes lead to, given the one that they start from."""
    changes = tuple(changes)
    names = dict(names_of(changes))
    items = {subject: Item(dict(item.fields), item.origins) for subject, item in picture.renamed(names).items.items()}
    for one in changes:
        if one.after is None:
            items.pop(Subject(one.subject.kind, names.get(one.subject.name, one.subject.name)), None)
        elif isinstance(one.now, Item):
            items[one.after] = one.now
        elif one.field:
            was = None if isinstance(one.was, Item) or one.was is None else one.was.renamed(names)
            fields = items[one.after].fields
            value = patched(fields.get(one.field), was, one.now)
            if value is None:
                del fields[one.field]
            else:
                fields[one.field] = value
    return Picture(items)


def names_of(changes: Iterable[Change]) -> Iterator[tuple[str, str]]:
    """Iterate over the names that things have in A, and in B, where these differ."""
    return ((one.before.name, one.after.name) for one in changes if one.renames and one.before and one.after)
