"""The layout as docs/slog2-format.md tells it: a reader written from the document alone agrees with ours."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from .helpers import make, read


def texts_by_the_document(data: bytes) -> dict[str, list[tuple[int, int, int, int, str]]]:
    """Return number, time, code, severity and text of all TEXT packets of a set, by buffer."""
    assert data[:8] == b"IOSLOG2\0"
    assert struct.unpack_from("<HH", data, 8) == (1, 4096)
    assert struct.unpack_from("<I", data, 508)[0] == zlib.crc32(data[8:508])
    found: dict[str, list[tuple[int, int, int, int, str]]] = {}
    for which in range(struct.unpack_from("<H", data, 12)[0]):
        name, first, pages = struct.unpack_from("<64sII", data, 128 + 80 * which)
        heads = []
        for slot in range(pages):
            at = (first + slot) * 4096
            index, number, _, check = struct.unpack_from("<QQQI", data, at)
            if index and (index - 1) % pages == slot and check == zlib.crc32(data[at : at + 24], which):
                heads.append((index, number, check, at))
        packets = found.setdefault(name.rstrip(b"\0").decode(), [])
        for _, first_number, seed, page in sorted(heads):
            at, number = page + 32, first_number
            while at + 24 <= page + 4096:
                check, word, time, _, code, _ = struct.unpack_from("<IIQIHH", data, at)
                size, kind, severity = word & 0xFFFF, word >> 16 & 0xFF, word >> 24
                if not size:
                    break
                assert check == zlib.crc32(data[at + 8 : at + size], seed ^ word)
                assert kind == 1
                packets.append((number, time, code, severity, data[at + 24 : at + size].decode()))
                number += 1
                at += size + 7 & ~7
    return found


def test_a_reader_from_the_document_agrees(tmp_path: Path) -> None:
    """Over several laps of two rings, both readers see the same packets."""
    with make(tmp_path, 5, 3) as writer:
        for i in range(2000):
            writer.log(i % 3 // 2, i, i % 8, f"packet {i} " + "é" * (i % 90))
    assert writer.path is not None
    ours: dict[str, list[tuple[int, int, int, int, str]]] = {"b0": [], "b1": []}
    for packet in read(tmp_path):
        row = (packet.number, packet.timestamp, packet.code, packet.severity, packet.text)
        ours[packet.stream.buffer_name].append(row)
    assert texts_by_the_document(writer.path.read_bytes()) == ours
