"""Bytes of an IVRS to records: bounds first, and every block and entry that can be read is."""

from __future__ import annotations

from ..layout import Layout
from ..record import Raw, Report
from . import layout, names
from .records import (
    AliasEntry,
    Block,
    DeviceEntry,
    Entry,
    ExtendedEntry,
    HidEntry,
    Ivhd,
    IvhdExtended,
    IvhdFixed,
    Ivmd,
    Ivrs,
    SpecialEntry,
)

CLAUSE = "AMD 48882 §5.2.1"
ENTRY_CLAUSE = "AMD 48882 §5.2.2"

_HEADER = Layout(layout.BLOCK_HEADER)
_LEAST = 4
"""Bytes that hold a block's type and length."""

_IVHDS: dict[int, type[Ivhd]] = {
    names.IVHD_FIXED: IvhdFixed,
    names.IVHD_EFR: IvhdExtended,
    names.IVHD_HID: IvhdExtended,
}
_IVMDS = (names.IVMD_ALL, names.IVMD_ONE, names.IVMD_RANGE)
_ENTRIES: dict[int, type[Entry]] = {
    **dict.fromkeys((names.PADDING, names.ALL, names.SELECT, names.RANGE_START, names.RANGE_END), DeviceEntry),
    names.ALIAS: AliasEntry,
    names.ALIAS_START: AliasEntry,
    names.EXTENDED: ExtendedEntry,
    names.EXTENDED_START: ExtendedEntry,
    names.SPECIAL: SpecialEntry,
    names.HID: HidEntry,
}
_FIRST_VARIABLE = 0x80
"""Entry types from here on say their length themselves, each in its own way."""


def read_ivrs(data: bytes, offset: int, report: Report) -> Ivrs:
    """Read the table's body at `offset`, of which the caller has checked that the fixed part is there.

    `data` ends where the table ends.
    """
    blocks: list[Block | Raw] = []
    place = offset + Ivrs.LAYOUT.size
    while place < len(data):
        end = _block_end(data, place, report)
        if end is None:
            blocks.append(Raw(place, data[place:]))
            break
        blocks.append(_read_block(data, place, end, report))
        place = end
    return Ivrs.read(data, offset, blocks=tuple(blocks))


def _name(kind: int) -> str:
    return names.BLOCKS.get(kind, f"type {kind:02x}h")


def _block_end(data: bytes, place: int, report: Report) -> int | None:
    """Return where the block at `place` ends, or None when nothing after `place` can be told apart."""
    left = len(data) - place
    if left < _LEAST:
        report(
            "IVRS-BLOCK-END", "error", place, left, "too few bytes are left for a block",
            found=str(left), expected=f"at least {_HEADER.size}", clause=CLAUSE, advice="they are kept as raw data",
        )  # fmt: skip
        return None
    kind, length = data[place], int.from_bytes(data[place + 2 : place + 4], "little")
    if length < _LEAST:
        report(
            "IVRS-BLOCK-LENGTH", "error", place + 2, 2, f"the {_name(kind)} block does not even hold its own header",
            field="Length", found=str(length), expected=f"at least {_HEADER.size}", clause=CLAUSE,
            advice="the rest of the table is kept as raw data (Linux does not come past a block of length 0)",
        )  # fmt: skip
        return None
    if length > left:
        report(
            "IVRS-BLOCK-END", "error", place + 2, 2, f"the {_name(kind)} block runs past the end of the table",
            field="Length", found=str(length), expected=f"at most {left}", clause=CLAUSE,
            advice="what is there is read (Linux reads on past the table)",
        )  # fmt: skip
        return len(data)
    return place + length


def _read_block(data: bytes, place: int, end: int, report: Report) -> Block | Raw:
    """Read the block from `place` to `end`."""
    kind = data[place]
    readable: type[Block] | None = _IVHDS.get(kind) or (Ivmd if kind in _IVMDS else None)
    if readable is None:
        report(
            "IVRS-BLOCK-TYPE", "warning", place, 1, f"a block of a type that is not documented, {kind:02x}h",
            field="Type", found=f"0x{kind:02x}", expected="0x10, 0x11, 0x40, or 0x20 to 0x22", clause=CLAUSE,
            advice="it is kept as raw data (Linux skips it)",
        )  # fmt: skip
        return Raw(place, data[place:end], kind, f"block of type {kind:02x}h")
    if end - place < readable.LAYOUT.size:
        report(
            "IVRS-BLOCK-LENGTH", "error", place, end - place, f"the {_name(kind)} block is too short",
            found=f"{end - place} bytes", expected=f"at least {readable.LAYOUT.size}", clause=CLAUSE,
            advice="it is kept as raw data",
        )  # fmt: skip
        return Raw(place, data[place:end], kind, _name(kind))
    after = place + readable.LAYOUT.size
    if readable is Ivmd:
        rest = Raw(after, data[after:end]) if after < end else None
        if rest:
            report(
                "IVRS-BLOCK-LENGTH", "warning", place + 2, 2, f"the {_name(kind)} block is too long", field="Length",
                found=str(end - place), expected=str(Ivmd.LAYOUT.size), clause=CLAUSE,
                advice="what follows its fields is kept as raw data",
            )  # fmt: skip
        return Ivmd.read(data, place, rest=rest)
    entries, rest = _read_entries(data, after, end, report)
    return readable.read(data, place, entries=entries, rest=rest)


def _read_entries(data: bytes, place: int, end: int, report: Report) -> tuple[tuple[Entry | Raw, ...], Raw | None]:
    """Read device entries from `place` to `end`; return them and what could not be read."""
    entries: list[Entry | Raw] = []
    while place < end:
        kind = data[place]
        size = _entry_size(data, place, end, report)
        if size is None:
            return tuple(entries), Raw(place, data[place:end])
        readable = _ENTRIES.get(kind)
        if readable is None:
            if kind != names.PADDING_8:
                report(
                    "IVRS-ENTRY-TYPE", "warning", place, 1, "a device entry of a reserved type", field="Type",
                    found=str(kind), expected="a type of the specification", clause=ENTRY_CLAUSE,
                    advice="it is kept as raw data (Linux skips it)",
                )  # fmt: skip
            name = names.ENTRIES.get(kind, f"device entry of type {kind}")
            entries.append(Raw(place, data[place : place + size], kind, name))
        elif readable is HidEntry:
            unique = data[place + HidEntry.LAYOUT.size : place + size]
            entries.append(HidEntry.read(data, place, unique_id=unique))
        else:
            entries.append(readable.read(data, place))
        place += size
    return tuple(entries), None


def _entry_size(data: bytes, place: int, end: int, report: Report) -> int | None:
    """Return the bytes of the entry at `place`, or None when nothing after `place` can be told apart."""
    kind, left = data[place], end - place
    if kind < _FIRST_VARIABLE:
        size = 4 << (kind >> 6)
    elif kind == names.HID:
        size = HidEntry.LAYOUT.size
        if size <= left:
            size += data[place + size - 1]
    else:
        report(
            "IVRS-ENTRY-TYPE", "error", place, 1, "a device entry of a type whose length nobody knows", field="Type",
            found=str(kind), expected=f"less than {_FIRST_VARIABLE}, or {names.HID}", clause=ENTRY_CLAUSE,
            advice="the rest of the block is kept as raw data (Linux does not come past it)",
        )  # fmt: skip
        return None
    if size > left:
        report(
            "IVRS-ENTRY-END", "error", place, left,
            f"the {names.ENTRIES.get(kind, f'type {kind}')} entry runs past the end of its block",
            found=f"{left} bytes", expected=f"at least {size}", clause=ENTRY_CLAUSE,
            advice="the rest of the block is kept as raw data",
        )  # fmt: skip
        return None
    return size
