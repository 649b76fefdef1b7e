"""From the bytes of a ring's pages to packets, in the order they were written.

A page is believed when its head's check holds and its index belongs in its slot; a packet when its own check holds,
which is begun with its page's, so that neither a leftover of an earlier lap nor half a store can pass for a packet.
The number of the first packet in each page says exactly how many packets are missing before it, whatever the reason:
overwritten while reading, damaged, or cut off.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from ..base import Finding, Origin
from . import layout
from .layout import CONTINUED, CUT, KIND_MASK, MORE, PAGE_SIZE, Kind
from .packet import Form, Packet, Stream, unsync
from .schema import Schema, parse_schema

Report = Callable[[Finding], None]
"""Takes what is found wrong with a log, one finding at a time."""

_LAST = PAGE_SIZE - layout.PACKET_HEAD_SIZE
_HEAD = layout.PACKET_HEAD_SIZE
_unpack = layout.PACKET.unpack_from
_crc32 = zlib.crc32
_SCHEMAS_KEPT = 64
_FORMS: dict[int, int] = {Kind.RICH: Form.RICH, Kind.DEFERRED: Form.DEFERRED}


def page_head(data: bytes, at: int, which: int, slot: int, pages: int) -> tuple[int, int, int, int] | None:
    """Return (index, first number, time, check) of the page head at `at`; None when no page is to be found there.

    A page is in slot `(index - 1) % pages`, and its check begins with `which`, the number of the buffer.
    """
    if len(data) < at + layout.PAGE_HEAD_SIZE:
        return None
    index, first, time, check, _ = layout.PAGE_HEAD.unpack_from(data, at)
    if not index or (index - 1) % pages != slot:
        return None
    return (index, first, time, check) if check == _crc32(data[at : at + layout.PAGE_HEAD_CHECKED], which) else None


class Decoder:
    """Decodes the pages of one ring, given in order; keeps the count of packets and the pieces of a long one."""

    __slots__ = ("_parts", "_schemas", "_size", "number", "report", "source", "stream", "which")

    def __init__(self, stream: Stream, which: int, source: str, report: Report) -> None:
        """Begin at an unknown place of the ring: the first page given says where."""
        self.stream = stream
        self.which = which
        self.source = source
        self.report = report
        self.number: int | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._schemas: dict[bytes, Schema | None] = {}

    def begin_page(self, head: tuple[int, int, int, int]) -> list[Packet]:
        """Take up a page; returns an UNSYNC packet when packets are missing before it, else nothing."""
        _, first, time, _ = head
        expected, self.number = self.number, first
        if expected is None or expected == first:
            return []
        self._parts.clear()
        if first < expected:
            advice = "packets may come twice"
            found, wanted = str(first), f"{expected} or more"
            self._find(
                "SLOG2-NUMBER", "packet numbers go back", head[0], 8, found=found, expected=wanted, advice=advice
            )
            return []
        return [unsync(self.stream, time, expected, first - expected)]

    def decode(self, page: bytes, at: int, seed: int) -> tuple[list[Packet], int, bool]:
        """Return the packets from byte `at` of a page, the place after the last of them, and whether that is an end.

        It is no end when bytes follow that are no packet: a store under way, or damage.
        """
        packets: list[Packet] = []
        number, stream, append = self.number or 0, self.stream, packets.append
        new, packet_class, unpack, crc32 = tuple.__new__, Packet, _unpack, _crc32  # names of this function are faster
        page = page.ljust(PAGE_SIZE, b"\0")  # the last of a file that was cut
        while at <= _LAST:
            check, word, time, thread, code, sequence = unpack(page, at)
            if not word:
                self.number = number
                return packets, at, not check
            end = at + (word & 0xFFFF)
            body = page[at + 8 : end]
            if crc32(body, seed ^ word) != check or not at + _HEAD <= end <= PAGE_SIZE:
                self.number = number
                return packets, at, False
            kind = word >> 16 & 0xFF
            if kind == 1:
                fields = (time, stream, number, word >> 24, code, thread, sequence, 1, body[16:], False)
                append(new(packet_class, fields))
                number += 1
            else:
                plain = Packet(time, stream, number, word >> 24, code, thread, sequence, Form.TEXT, b"")
                more = self._uncommon(kind, body[16:], plain)
                packets += more
                number += len(more)
            at = end + 7 & -8
        self.number = number
        return packets, at, True

    def damaged(self, index: int, at: int) -> None:
        """Report bytes in a finished page that are no packet."""
        self._parts.clear()
        advice = "the rest of the page is left out; the next page tells how many packets that is"
        self._find("SLOG2-PACKET", "bytes that are no packet", index, at, advice=advice)

    def _find(
        self, rule: str, message: str, index: int, at: int, *, found: str = "", expected: str = "", advice: str = ""
    ) -> None:
        where = Origin(self.source, f"buffer {self.stream.buffer_name!r} page {index}", at)
        self.report(Finding(rule, "error", where, message, found=found, expected=expected, advice=advice))

    def _uncommon(self, kind: int, payload: bytes, packet: Packet) -> list[Packet]:
        """Return the packets of a payload that is a piece of a long one, or not plain text."""
        if not kind & CONTINUED:
            self._parts.clear()
            self._size = 0
        elif not self._parts:
            # Its beginning was overwritten: it counts as one packet, and that one is lost.
            return [] if kind & MORE else [unsync(self.stream, packet.timestamp, packet.number, 1)]
        self._size += len(payload)
        if kind & MORE:
            if self._size <= layout.MAX_MESSAGE:
                self._parts.append(payload)
            return []
        payload = b"".join((*self._parts, payload))
        self._parts.clear()
        if kind & KIND_MASK == Kind.BLOCK:
            return self._block(payload, packet)
        return [packet._replace(form=_FORMS.get(kind & KIND_MASK, Form.TEXT), payload=payload, cut=bool(kind & CUT))]

    def _block(self, payload: bytes, packet: Packet) -> list[Packet]:
        """Return the records of a block, each as a packet."""
        schema, size = self._schema(payload)
        records = payload[2 + size :]
        if schema is None or len(records) % schema.record.size:
            return [packet._replace(payload=b"a block of records that cannot be read")]
        _, stream, number, severity, code, thread, sequence, *_ = packet
        new, form, packets = tuple.__new__, Form.RECORD, []
        for time, *values in schema.record.iter_unpack(records):
            payload_now = (schema, tuple(values))
            fields = (time, stream, number, severity, code, thread, sequence & 0xFFFF, form, payload_now, False)
            packets.append(new(Packet, fields))
            number += 1
            sequence += 1
        return packets

    def _schema(self, payload: bytes) -> tuple[Schema | None, int]:
        """Return the schema of a block and its length; the same bytes are parsed once."""
        size = int.from_bytes(payload[:2], "little")
        prefix = payload[2 : 2 + size]
        if prefix not in self._schemas:
            if len(self._schemas) >= _SCHEMAS_KEPT:
                self._schemas.clear()
            self._schemas[prefix] = parse_schema(prefix)
        return self._schemas[prefix], size
