"""Containers that break the rules about them, and such as barely do not."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile

from tests.parsers.acpi.test_sdt import sealed
from tests.parsers.devicetree.build import blob, node

SSDT = sealed(b"SSDT", b"body")


def image(*addresses: int, size: int = 1 << 20) -> bytes:
    """Return memory whose RSDT lists tables at these addresses; there is one at 0x2000 and all multiples of it."""
    memory = bytearray(size)
    pointer = bytearray(b"RSD PTR \0made  \0" + struct.pack("<I", 0x1000))
    pointer[8] = -sum(pointer) & 0xFF
    memory[0xF0000 : 0xF0000 + 20] = pointer
    for place in range(0x2000, 0xA000, 0x2000):
        memory[place : place + len(SSDT)] = SSDT
    root = sealed(b"RSDT", b"".join(address.to_bytes(4, "little") for address in addresses))
    memory[0x1000 : 0x1000 + len(root)] = root
    return bytes(memory)


def overlay(target: str) -> bytes:
    """Return an overlay for the node of that path."""
    return blob(node("fragment@0", {"target-path": target}, node("__overlay__", {"status": "okay"})))


def tree_of_folders(pipe: str) -> bytes:
    """Return a tar archive of a device tree's folders, in which a pipe stands where a file should."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        cells = tarfile.TarInfo("base/#address-cells")
        cells.size = 4
        archive.addfile(cells, io.BytesIO(bytes(4)))
        other = tarfile.TarInfo(f"base/{pipe}")
        other.type = tarfile.FIFOTYPE
        archive.addfile(other)
    return made.getvalue()


PACKED = gzip.compress(SSDT, mtime=0)
CUT = PACKED[:-1]
SOUND = image(0x2000, 0x4000)
BASE = blob(node("usb"))

FILES: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "ARCHIVE-DAMAGED": ((CUT,), (PACKED,)),
    "ARCHIVE-LARGE": (
        (gzip.compress(bytes((16 << 20) + 1), mtime=0), SSDT),
        (gzip.compress(bytes(16 << 20), mtime=0), SSDT),
    ),
    "MEMORY-IMAGE-TABLE": ((image(0x2000, 0x100000),), (SOUND,)),
    "DT-FOLDER": ((tree_of_folders("property"),), (tree_of_folders("name"),)),
    "DT-OVERLAY-LOST": ((BASE, overlay("/eth")), (BASE, overlay("/usb"))),
}
"""Rule to files that break it, and files that barely do not."""
