"""The header page of a set: what the set is called, whose it is, and where its rings lie in the file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..base import Finding, Origin
from . import layout
from .errors import refuse
from .layout import PAGE_SIZE
from .values import decode_text, encode_text


@dataclass(frozen=True, slots=True)
class BufferConfig:
    """One buffer of a set (`slog2_buffer_config_t`).

    Attributes:
        buffer_name: at most 63 bytes of UTF-8; may be empty.
        num_pages: 4 KiB pages; from 2 to 16384.
    """

    buffer_name: str
    num_pages: int = 16


@dataclass(frozen=True, slots=True)
class Ring:
    """Where one ring lies: number of the buffer in its set, byte offset in the set's file, number of pages."""

    which: int
    buffer_name: str
    offset: int
    pages: int


@dataclass(frozen=True, slots=True)
class SetHeader:
    """What a set says about itself (`slog2_log_info_t` and more).

    Attributes:
        set_name: name given by the program, usually the program's own.
        owner_pid: process that writes the set.
        owner_start: start of that process in clock ticks since boot, 0 if not known: tells a reused pid.
        instance: 0, or the number after `..` when the process has more sets of this name.
        register_flags: see `RegisterFlag`.
        monotonic: packets carry the monotonic clock, not the time of day.
        created: when the set was made, nanoseconds since the epoch.
        created_monotonic: the same instant on the monotonic clock.
        total_bytes: size of the set in its file.
        rings: one a buffer.
        verbosity_level: highest severity number stored.
        closed: when the owner closed the set, nanoseconds since the epoch; 0 while it has not.
        cleared: for each buffer, packets with a smaller number were cleared.
    """

    set_name: str
    owner_pid: int
    owner_start: int
    instance: int
    register_flags: int
    monotonic: bool
    created: int
    created_monotonic: int
    total_bytes: int
    rings: tuple[Ring, ...]
    verbosity_level: int = 5
    closed: int = 0
    cleared: tuple[int, ...] = (0, 0, 0, 0)

    @property
    def file_name(self) -> str:
        """Name of the set's file: `<set>.<pid>`, and `..<n>` for a further instance."""
        return set_file_name(self.set_name, self.owner_pid, self.instance)


def set_file_name(set_name: str, pid: int, instance: int) -> str:
    """Return `<set>.<pid>`, with `..<instance>` when that is not 0."""
    return f"{set_name}.{pid}" + (f"..{instance}" if instance else "")


def check_names(set_name: str, buffers: tuple[BufferConfig, ...]) -> None:
    """Refuse what cannot be a set: raises Slog2Error that names the field.

    The set's name becomes part of a file name, so it holds no slash, no control character, and does not begin with a
    dot (hidden files are ours).
    """
    size = len(encode_text(set_name))
    if not 0 < size <= layout.MAX_NAME or "/" in set_name or set_name.startswith(".") or not set_name.isprintable():
        expected = "1 to 63 bytes, printable, no '/', no '.' in front"
        raise refuse("SLOG2-NAME", "", "a set cannot have this name", found=repr(set_name[:80]), expected=expected)
    if not 0 < len(buffers) <= layout.MAX_BUFFERS:
        raise refuse("SLOG2-BUFFERS", set_name, "wrong number of buffers", found=str(len(buffers)), expected="1 to 4")
    for buffer in buffers:
        if len(encode_text(buffer.buffer_name)) > layout.MAX_NAME or not f"{buffer.buffer_name}_".isprintable():
            found, expected = repr(buffer.buffer_name[:80]), "at most 63 bytes, printable"
            raise refuse("SLOG2-NAME", set_name, "a buffer cannot have this name", found=found, expected=expected)
        if not layout.MIN_PAGES <= buffer.num_pages <= layout.MAX_PAGES:
            found, expected = str(buffer.num_pages), f"{layout.MIN_PAGES} to {layout.MAX_PAGES}"
            raise refuse("SLOG2-PAGES", set_name, "wrong number of pages", found=found, expected=expected)


def place_rings(buffers: tuple[BufferConfig, ...]) -> tuple[Ring, ...]:
    """Return the rings of these buffers, one behind the other after the header page."""
    rings = []
    offset = PAGE_SIZE
    for which, buffer in enumerate(buffers):
        rings.append(Ring(which, buffer.buffer_name, offset, buffer.num_pages))
        offset += buffer.num_pages * PAGE_SIZE
    return tuple(rings)


def build_header(header: SetHeader) -> bytes:
    """Return the header page; the magic in its first eight bytes says that the rest is there, so store it last."""
    page = bytearray(PAGE_SIZE)
    clock = int(header.monotonic)
    fixed = (layout.MAGIC, layout.VERSION, PAGE_SIZE, len(header.rings), 0, header.owner_start, header.owner_pid)
    rest = (header.instance, header.register_flags, clock, header.created, header.created_monotonic, header.total_bytes)
    layout.HEADER.pack_into(page, 0, *fixed, *rest)
    layout.SET_NAME.pack_into(page, layout.SET_NAME_AT, encode_text(header.set_name))
    for ring in header.rings:
        at = layout.BUFFERS_AT + ring.which * layout.BUFFER.size
        name = encode_text(ring.buffer_name)
        layout.BUFFER.pack_into(page, at, name, ring.offset // PAGE_SIZE, ring.pages, 0)
    check = zlib.crc32(page[8 : layout.HEADER_CHECK_AT])
    page[layout.HEADER_CHECK_AT : layout.HEADER_SIZE] = check.to_bytes(4, "little")
    layout.STATE.pack_into(page, layout.STATE_AT, header.verbosity_level, bool(header.closed), 0, 0, header.closed)
    layout.CLEARED.pack_into(page, layout.CLEARED_AT, *header.cleared)
    return bytes(page)


def parse_header(page: bytes, available: int, source: str, findings: list[Finding]) -> SetHeader:
    """Return the header of a set whose image has `available` bytes from here on.

    A ring that does not lie inside the image is left out with a finding, as is a check that does not match. Raises
    Slog2Error when this is no set at all or one of another version.
    """
    if len(page) < PAGE_SIZE or page[:8] != layout.MAGIC:
        found = page[:8].hex(" ") if page.strip(b"\0") else "nothing" if not page else "zeros"
        expected, advice = layout.MAGIC.hex(" "), "name what 'slog2info --save' wrote, or text of slog2info"
        raise refuse("SLOG2-MAGIC", source, "not a buffer set", found=found, expected=expected, advice=advice)
    fields = layout.HEADER.unpack_from(page)
    _, version, page_size, buffers, _, start, pid, instance, flags, clock, created, created_mono, total = fields
    if version != layout.VERSION or page_size != PAGE_SIZE:
        found, expected = f"version {version}, pages of {page_size}", f"version {layout.VERSION}, pages of {PAGE_SIZE}"
        raise refuse("SLOG2-VERSION", source, "a layout not known here", found=found, expected=expected)
    if int.from_bytes(page[layout.HEADER_CHECK_AT : layout.HEADER_SIZE], "little") != zlib.crc32(
        page[8 : layout.HEADER_CHECK_AT]
    ):
        where = Origin(source, "header", layout.HEADER_CHECK_AT, 4)
        advice = "what it says is used where it can be"
        findings.append(Finding("SLOG2-HEADER-CHECK", "error", where, "the header is damaged", advice=advice))
    verbosity, closed, _, _, closed_at = layout.STATE.unpack_from(page, layout.STATE_AT)
    return SetHeader(
        set_name=_name(page, layout.SET_NAME_AT),
        owner_pid=pid,
        owner_start=start,
        instance=instance,
        register_flags=flags,
        monotonic=clock == 1,
        created=created,
        created_monotonic=created_mono,
        total_bytes=min(total, available),
        rings=tuple(_rings(page, min(buffers, layout.MAX_BUFFERS), available, source, findings)),
        verbosity_level=verbosity,
        closed=closed_at or 1 if closed else 0,
        cleared=layout.CLEARED.unpack_from(page, layout.CLEARED_AT),
    )


def _rings(page: bytes, buffers: int, available: int, source: str, findings: list[Finding]) -> Iterator[Ring]:
    taken = 1
    for which in range(buffers):
        at = layout.BUFFERS_AT + which * layout.BUFFER.size
        _, first, pages, _ = layout.BUFFER.unpack_from(page, at)
        # Rings lie one behind the other, so no page is read twice however the header lies.
        whole = min(pages, layout.MAX_PAGES, max(0, available // PAGE_SIZE - first))
        if first >= taken and pages >= layout.MIN_PAGES and whole == pages:
            taken = first + pages
            yield Ring(which, _name(page, at), first * PAGE_SIZE, pages)
            continue
        where = Origin(source, f"buffer {which}", at, layout.BUFFER.size)
        found = f"pages {first} to {first + pages}"
        expected = f"2 to {layout.MAX_PAGES} pages between {taken} and {available // PAGE_SIZE}"
        message = "a ring does not lie where it could"
        if first >= taken and whole and pages <= layout.MAX_PAGES:
            taken = first + whole
            advice = f"its first {whole} pages are read"
            yield Ring(which, _name(page, at), first * PAGE_SIZE, pages)
        else:
            advice = "it is not read"
        findings.append(Finding("SLOG2-RING", "error", where, message, found=found, expected=expected, advice=advice))


def _name(page: bytes, at: int) -> str:
    return decode_text(page[at : at + layout.MAX_NAME].split(b"\0")[0])
