"""The bytes of a buffer-set file, version 1: declared here, explained byte by byte in `docs/slog2-format.md`.

A set is one file: a header page, then the pages of one to four rings. Every page of a ring is a small log of its own,
with its place in the ring's history, the number of its first packet and a check; packets never cross a page (a long
one is cut into pieces). So a ring loses whole pages of oldest packets, a damaged page harms no other, and the packets
lost between two pages can be counted. All numbers are little-endian.

    page     0 index  8 first number  16 time  24 check  28 zero   32 packets ...
    packet   0 check  4 size  6 kind  7 severity   8 time  16 thread  20 code  22 sequence   24 payload ...

The first eight bytes of a page and of a packet are stored last and in one piece: they commit the rest.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

PAGE_SIZE = 4096
MAGIC = b"IOSLOG2\0"
VERSION = 1

MAX_BUFFERS = 4
MAX_PAGES = 16384
"""Pages of one ring: 64 MiB."""
MIN_PAGES = 2
"""With one page a ring would lose all it holds each time it turns."""
MAX_NAME = 63
"""Bytes of the name of a set or a buffer, in UTF-8."""

HEADER = Struct("<8sHHHHQIIIIQQQ")
"""magic, version, page size, buffers, zero, owner start, owner pid, instance, register flags, clock, created (realtime
ns), created (monotonic ns), total bytes. 64 bytes."""
HEADER_SIZE = 512
SET_NAME_AT = 64
SET_NAME = Struct("<64s")
BUFFERS_AT = 128
BUFFER = Struct("<64sIIQ")
"""name, first page of the ring counted in the file, number of pages, zero. 80 bytes."""
HEADER_CHECK_AT = 508
"""CRC-32 of bytes 8 to 507."""

STATE_AT = 512
STATE = Struct("<BBHIQ")
"""verbosity, closed, zero, zero, time closed (realtime ns). The owner may rewrite this part, so no check covers it."""
CLEARED_AT = 528
CLEARED = Struct("<4Q")
"""For each buffer: packets with a smaller number were cleared by a reader. The writer never looks here."""

PAGE_HEAD = Struct("<QQQII")
"""index (from 1; 0 says the page is empty or being renewed), number of the first packet in it, time (ns), check, zero.
The check is the CRC-32 of the first 24 bytes, begun with the number of the buffer."""
PAGE_HEAD_SIZE = 32
PAGE_HEAD_CHECKED = 24

PACKET = Struct("<IIQIHH")
"""check; word of size (bits 15:0), kind (23:16) and severity (31:24); time (ns); thread; code; sequence. 24 bytes.
The check is the CRC-32 of bytes 8 to size - 1, begun with (page check XOR word)."""
PACKET_COMMIT = Struct("<II")
PACKET_BODY = Struct("<QIHH")
PACKET_COMMIT_SIZE = 8
PACKET_HEAD_SIZE = 24
MAX_PACKET = PAGE_SIZE - PAGE_HEAD_SIZE
MAX_PIECE = MAX_PACKET - PACKET_HEAD_SIZE
MAX_MESSAGE = 1 << 20
"""Bytes of one message with all its pieces; a ring further holds no message longer than its pages less one."""


class Kind(IntEnum):
    """What the payload of a packet is; bits 3:0 of the kind byte."""

    TEXT = 1
    RICH = 2
    """Text with key/value pairs."""
    DEFERRED = 3
    """A format and its arguments."""
    BLOCK = 4
    """Many records of one schema, each a packet of its own to the reader."""


KIND_MASK = 0x0F
MORE = 0x80
"""Kind bit: the payload goes on in the next packet, and this piece does not count as a packet."""
CONTINUED = 0x40
"""Kind bit: the payload began in an earlier piece."""
CUT = 0x20
"""Kind bit: the text was longer than the ring can take, and was cut."""
