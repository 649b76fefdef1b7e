"""Handmade IVRS, VIOT and RIMT with numbers written over them: what breaks each rule of their readers."""

from __future__ import annotations

from iommuman.parsers.acpi import Table, build_table, parse_table

from tests.conftest import HANDMADE

from .boards import table
from .iorts import changed


def handmade(folder: str, signature: str) -> Table:
    """Return the table of a handmade board."""
    return parse_table((HANDMADE / folder / f"{signature}.bin").read_bytes(), f"{signature}.bin")


RANGES = handmade("ivrs-ranges", "IVRS")
"""Blocks at 48 (10h) and 80 (11h, entries from 120 on) for one unit, at 168 (memory of a range) and 200 (of one)."""

HIDS = handmade("ivrs-hid", "IVRS")
"""Blocks at 48 (10h), 96 (11h) and 160 (40h): special devices from 208 on, ACPI devices up to 346."""

VIOT = handmade("viot-segments", "VIOT")
"""Units at 48 and 64, PCI ranges at 80, 104 and 128, MMIO endpoints at 152 and 176."""

RIMT = handmade("rimt-mappings", "RIMT")
"""Units at 48 and 104, root complexes at 144 and 184, platform devices at 264 and 308."""

Places = tuple[tuple[int, int, int], ...]
"""Numbers to write over a table, each with its offset and size."""


def memory_blocks(count: int) -> Table:
    """Return an IVRS with this many memory blocks for ranges of devices."""
    whole = build_table(RANGES)
    return table("IVRS", whole[36:168] + whole[168:200] * count, revision=2)


def cases(whole: Table, places: dict[str, tuple[Places, Places]]) -> dict[str, tuple[Table, Table]]:
    """Return the table changed so that it breaks each rule, and so that it barely does not."""
    return {rule: (changed(whole, *breaks), changed(whole, *keeps)) for rule, (breaks, keeps) in places.items()}


_RANGES: dict[str, tuple[Places, Places]] = {
    "IVRS-BLOCK-LENGTH": (((202, 2, 31),), ((202, 2, 32),)),
    "IVRS-BLOCK-END": (((202, 2, 33),), ((202, 2, 32),)),
    "IVRS-BLOCK-TYPE": (((200, 1, 0x23),), ((200, 1, 0x22),)),
    "IVRS-ENTRY-TYPE": (((120, 1, 5),), ((120, 1, 2),)),
    "IVRS-ENTRY-END": (((164, 1, 66),), ((164, 1, 2),)),
    "IVRS-UNIT-BASE": (((88, 8, 0),), ((88, 8, 0x4000),)),
    "IVRS-UNIT-TYPE": (((52, 2, 3),), ((52, 2, 2),)),
    "IVRS-RANGE-OPEN": (((156, 1, 0),), ((156, 1, 4),)),
    "IVRS-RANGE-END": (((152, 1, 0),), ((152, 1, 3),)),
    "IVRS-RANGE-ORDER": (((157, 2, 1015),), ((157, 2, 1016),)),
    # what stands between start and end is padding that a range may have
    "IVRS-RANGE-SPLIT": (((156, 1, 2), (160, 3, 0x40704)), ((156, 1, 0), (160, 3, 0x40704))),
    "IVRS-MEMORY-FLAGS": (((201, 1, 6),), ((201, 1, 7),)),
    "IVRS-MEMORY-RANGE": (((224, 8, 0),), ((224, 8, 0x1000),)),
}
_HIDS: dict[str, tuple[Places, Places]] = {
    "IVRS-UNIT-TWICE": (((160, 1, 0x11),), ((160, 1, 0x11), (164, 2, 3))),
    "IVRS-DEVICE-TWICE": (((228, 1, 32),), ((228, 1, 33),)),
    "IVRS-SPECIAL-TYPE": (((231, 1, 3),), ((231, 1, 2),)),
    "IVRS-HID-TYPE": (((160, 1, 0x11), (164, 2, 3)), ((160, 1, 0x40), (164, 2, 3))),
    "IVRS-HID-EMPTY": (((350, 8, 0),), ((350, 8, 0x41),)),
}
_VIOT: dict[str, tuple[Places, Places]] = {
    "VIOT-NODE-OFFSET": (((38, 2, 47),), ((38, 2, 48),)),
    "VIOT-NODE-END": (((36, 2, 8),), ((36, 2, 7),)),
    "VIOT-NODE-LENGTH": (((178, 2, 23),), ((178, 2, 24),)),
    "VIOT-NODE-TYPE": (((176, 1, 5),), ((176, 1, 2),)),
    "VIOT-TRAILING": (((36, 2, 6),), ((36, 2, 7),)),
    "VIOT-REFERENCE": (((192, 2, 80),), ((192, 2, 48),)),
    "VIOT-RANGE": (((116, 2, 0x110),), ((116, 2, 0x10F),)),
    "VIOT-SEGMENTS": (((90, 2, 257),), ((90, 2, 256),)),
    "VIOT-ENDPOINT-TWICE": (((184, 8, 0xA000000),), ((184, 8, 0xA000001),)),
}
_RIMT: dict[str, tuple[Places, Places]] = {
    "RIMT-NODE-OFFSET": (((40, 4, 47),), ((40, 4, 48),)),
    "RIMT-NODE-END": (((36, 4, 7),), ((36, 4, 6),)),
    "RIMT-NODE-LENGTH": (((310, 2, 11),), ((310, 2, 12),)),
    "RIMT-NODE-TYPE": (((308, 1, 3),), ((308, 1, 2),)),
    "RIMT-TRAILING": (((36, 4, 5),), ((36, 4, 6),)),
    "RIMT-NAME": (((285, 3, 0x414141),), ((285, 3, 0x4141),)),
    "RIMT-ARRAY-END": (((202, 2, 4),), ((202, 2, 3),)),
    "RIMT-REFERENCE": (((300, 4, 49),), ((300, 4, 48),)),
    "RIMT-SEGMENT-TWICE": (((198, 2, 0),), ((198, 2, 2),)),
    "RIMT-SELF": (((208, 4, 9),), ((208, 4, 8),)),
    "RIMT-COUNT-SELF": (((208, 4, 8),), ((208, 4, 7),)),
    "RIMT-COUNT-ZERO": (((292, 4, 0),), ((292, 4, 1),)),
    "RIMT-COUNT-LINUX": (((168, 4, 0xFFFF), (202, 2, 0)), ((168, 4, 0x10000), (202, 2, 0))),
    "RIMT-COUNT-QEMU": (((168, 4, 0xFFFF),), ((168, 4, 0xFFFE),)),
    "RIMT-COUNT-OVERLAP": (((252, 4, 0x101),), ((252, 4, 0x100),)),
}

CASES: dict[str, tuple[Table, Table]] = {
    **cases(RANGES, _RANGES),
    **cases(HIDS, _HIDS),
    **cases(VIOT, _VIOT),
    **cases(RIMT, _RIMT),
    "IVRS-MEMORY-MANY": (memory_blocks(1025), memory_blocks(1024)),
}
"""For each rule a table that breaks it, and one that barely does not."""

BESIDE_PCI: dict[str, tuple[Table, Table]] = {
    "IVRS-DEVICE-ABSENT": (
        changed(RANGES, (132, 1, 64), (164, 1, 0), (204, 2, 9)),
        changed(RANGES, (132, 1, 64), (164, 1, 0), (204, 2, 8)),
    ),
    "VIOT-UNIT-ABSENT": (changed(VIOT, (54, 2, 9)), changed(VIOT, (54, 2, 8))),
}
"""The same for rules that need a PCI topology; it has the one function 00:01.0, which is ID 8."""
