"""Bytes of a DMAR table to records: bounds first, and every structure that can be read is."""

from __future__ import annotations

from ..layout import Layout
from ..record import Raw, Report, shown
from . import layout, names
from .records import (
    Andd,
    Atsr,
    DeviceScope,
    Dmar,
    Drhd,
    Rhsa,
    Rmrr,
    Satc,
    ScopedStructure,
    Sidp,
    Structure,
)

CLAUSE = "VT-d specification 4.1 §8.2"
SCOPE_CLAUSE = "VT-d specification 4.1 §8.3.1"

_HEADER = Layout(layout.STRUCTURE_HEADER)
_SCOPED: dict[int, type[ScopedStructure]] = {0: Drhd, 1: Rmrr, 2: Atsr, 5: Satc, 6: Sidp}


def read_dmar(data: bytes, offset: int, report: Report) -> Dmar:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    structures: list[Structure | Raw] = []
    place = offset + Dmar.LAYOUT.size
    while place < len(data):
        end = _structure_end(data, place, report)
        if end is None:
            structures.append(Raw(place, data[place:]))
            break
        structures.append(_read_structure(data, place, end, report))
        place = end
    return Dmar.read(data, offset, structures=tuple(structures))


def _structure_end(data: bytes, place: int, report: Report) -> int | None:
    """Return where the structure at `place` ends, or None when nothing after `place` can be told apart."""
    left = len(data) - place
    if left < _HEADER.size:
        report(
            "DMAR-STRUCTURE-END", "error", place, left, "too few bytes are left for a remapping structure",
            found=str(left), expected=f"at least {_HEADER.size}", clause=CLAUSE, advice="they are kept as raw data",
        )  # fmt: skip
        return None
    kind, length = _HEADER.read(data, place)
    if length < _HEADER.size:
        report(
            "DMAR-STRUCTURE-LENGTH", "error", place + 2, 2,
            f"the {_name(kind)} structure does not even hold its own header", field="Length", found=str(length),
            expected=f"at least {_HEADER.size}", clause=CLAUSE,
            advice="the rest of the table is kept as raw data (Linux: 'Invalid 0-length structure')",
        )  # fmt: skip
        return None
    if length > left:
        report(
            "DMAR-STRUCTURE-END", "error", place + 2, 2, f"the {_name(kind)} structure runs past the end of the table",
            field="Length", found=str(length), expected=f"at most {left}", clause=CLAUSE,
            advice="what is there is read (Linux: 'Record passes table end', and uses no IOMMU)",
        )  # fmt: skip
        return len(data)
    return int(place + length)


def _name(kind: int) -> str:
    return names.STRUCTURES.get(kind, f"type {kind}")


def _read_structure(data: bytes, place: int, end: int, report: Report) -> Structure | Raw:
    """Read the structure from `place` to `end`."""
    kind = _HEADER.read(data, place)[0]
    readable: type[Structure] | None = _SCOPED.get(kind) or {3: Rhsa, 4: Andd}.get(kind)
    if readable is None:
        report(
            "DMAR-STRUCTURE-TYPE", "warning", place, 2, "a remapping structure of a reserved type", field="Type",
            found=str(kind), expected=f"0 to {max(names.STRUCTURES)}", clause=CLAUSE,
            advice="it is kept as raw data (Linux skips it)",
        )  # fmt: skip
        return Raw(place, data[place:end], kind, f"structure of type {kind}")
    if end - place < readable.LAYOUT.size:
        report(
            "DMAR-STRUCTURE-LENGTH", "error", place, end - place, f"the {_name(kind)} structure is too short",
            found=f"{end - place} bytes", expected=f"at least {readable.LAYOUT.size}", clause=CLAUSE,
            advice="it is kept as raw data",
        )  # fmt: skip
        return Raw(place, data[place:end], kind, _name(kind))
    after = place + readable.LAYOUT.size
    if readable is Andd:
        return _read_andd(data, place, end, report)
    if scoped := _SCOPED.get(kind):
        scopes, rest = _read_scopes(data, after, end, report)
        return scoped.read(data, place, scopes=scopes, rest=rest)
    return readable.read(data, place, rest=Raw(after, data[after:end]) if after < end else None)


def _read_andd(data: bytes, place: int, end: int, report: Report) -> Andd:
    """Read an ANDD, whose name ends with the first zero byte."""
    name, zero, after = data[place + Andd.LAYOUT.size : end].partition(b"\0")
    if not zero:
        report(
            "DMAR-ANDD-NAME", "error", place + Andd.LAYOUT.size, len(name), "the ACPI object name has no end",
            field="ACPI Object Name", found=shown(name.decode("latin-1")), expected="a zero byte inside the structure",
            clause="VT-d specification 4.1 §8.7", advice="the name is taken up to the end (Linux rejects the table)",
        )  # fmt: skip
    return Andd.read(data, place, object_name=name.decode("latin-1"), terminator=zero + after)


def _read_scopes(data: bytes, place: int, end: int, report: Report) -> tuple[tuple[DeviceScope, ...], Raw | None]:
    """Read device scopes from `place` to `end`; return them and what could not be read."""
    scopes: list[DeviceScope] = []
    size = DeviceScope.LAYOUT.size
    while place < end:
        left = end - place
        length = data[place + 1] if left > 1 else 0
        if left < size or not size <= length <= left:
            text = "a device scope does not fit its structure"
            what = {"field": "Length", "found": str(length), "expected": f"{size + 2} to {left}"}
            if left < size + 2:
                text = "too few bytes are left for a device scope"
                what = {"found": str(left), "expected": f"none, or at least {size + 2}"}
            report(
                "DMAR-SCOPE-LENGTH", "error", place, left, text, **what,
                clause=SCOPE_CLAUSE, advice="the rest of the structure is kept as raw data",
            )  # fmt: skip
            return tuple(scopes), Raw(place, data[place:end])
        pairs, odd = divmod(length - size, 2)
        if not pairs or odd:
            report(
                "DMAR-SCOPE-LENGTH", "error", place + 1, 1, "a device scope holds no whole path", field="Length",
                found=str(length), expected=f"{size} plus 2 for each path element, of which there is at least one",
                clause=SCOPE_CLAUSE, advice="whole elements are read",
            )  # fmt: skip
        first = place + size
        path = tuple((data[at], data[at + 1]) for at in range(first, first + 2 * pairs, 2))
        place += length
        scopes.append(DeviceScope.read(data, place - length, path=path, rest=data[place - odd : place]))
    return tuple(scopes), None
