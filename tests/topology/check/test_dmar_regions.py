"""Rules of the reserved regions of a DMAR: for each a table that breaks it, and one that barely does not."""

from __future__ import annotations

from iommuman.topology.check import Board

from .boards import (
    ENDPOINT,
    GRAPHICS,
    NAMED,
    NET,
    PORT,
    REST,
    USB,
    Case,
    board,
    dmar,
    function,
    rmrr,
    scope,
)


def one_region(base: int, limit: int, width: int = 38) -> Board:
    """Return a board with one reserved region, for 00:02.0; its structure begins at byte 72."""
    return board(dmar(REST, rmrr(base, limit, NET), width=width))


CASES = (
    Case(
        "DMAR-RMRR-ALIGN",
        lambda: one_region(0x7B800001, 0x7B800FFF),
        (("error", 80, "the region 0x7b800001-0x7b800fff (4095 bytes) is not made of whole pages"),),
        lambda: one_region(0x7B800000, 0x7B800FFF),
    ),
    Case(
        "DMAR-RMRR-ALIGN",
        lambda: one_region(0x7B800000, 0x7B801000),
        (("error", 88, "the region 0x7b800000-0x7b801000 (4097 bytes) is not made of whole pages"),),
        lambda: one_region(0x7B800000, 0x7B7FFFFF),
    ),
    Case(
        "DMAR-RMRR-WIDE",
        lambda: one_region(0xFFFFFF000, 0x1000000FFF, width=35),
        (("error", 88, "a reserved region lies beyond the host address width"),),
        lambda: one_region(0xFFFFFF000, 0xFFFFFFFFF, width=35),
    ),
    Case(
        "DMAR-RMRR-OVERLAP",
        lambda: board(
            dmar(REST, rmrr(0x2000, 0x2FFF, NET), rmrr(0x1000, 0x5FFF, NET), rmrr(0x5000, 0x6FFF, NET, segment=1))
        ),
        (
            ("warning", 80, "the regions 0x1000-0x5fff (20 KiB) and 0x2000-0x2fff (4 KiB) overlap"),
            ("warning", 144, "the regions 0x1000-0x5fff (20 KiB) and 0x5000-0x6fff (8 KiB) overlap"),
        ),
        lambda: board(dmar(REST, rmrr(0x2000, 0x2FFF, NET), rmrr(0x1000, 0x1FFF, NET))),
    ),
    Case(
        "DMAR-RMRR-REGISTERS",
        lambda: board(
            dmar(
                REST, rmrr(0xFED90000, 0xFED91FFF, NET), rmrr(0xFEDFF000, 0xFEE00FFF, NET), rmrr(0xFEEFF000, 0xFEF00FFF)
            )
        ),
        (
            (
                "error",
                72,
                "the region 0xfed90000-0xfed91fff (8 KiB) holds registers of a remapping unit, at 0xfed91000",
            ),
            ("error", 104, "the region 0xfedff000-0xfee00fff (8 KiB) reaches into the interrupt window at 0xfee00000"),
            ("error", 136, "the region 0xfeeff000-0xfef00fff (8 KiB) reaches into the interrupt window at 0xfee00000"),
        ),
        lambda: board(
            dmar(
                REST, rmrr(0xFED90000, 0xFED90FFF, NET), rmrr(0xFED92000, 0xFEDFFFFF, NET), rmrr(0xFEF00000, 0xFEF00FFF)
            )
        ),
    ),
    Case(
        "DMAR-RMRR-ABSENT",
        lambda: board(dmar(REST, rmrr(0x1000, 0x1FFF, NET, scope(ENDPOINT, (3, 0)))), functions=[PORT]),
        (("note", 72, "no device of the region 0x1000-0x1fff (4 KiB) is there"),),
        lambda: board(
            dmar(
                REST,
                rmrr(0x1000, 0x1FFF, NET, scope(ENDPOINT, (3, 0))),
                rmrr(0x2000, 0x2FFF, scope(NAMED, (3, 0))),
                rmrr(0x3000, 0x3FFF, scope(ENDPOINT, (1, 0), (1, 0), (1, 0))),
                rmrr(0x4000, 0x4FFF, NET, segment=1),
            ),
            functions=[PORT, function("00:03.0")],
        ),
    ),
    Case(
        "DMAR-RMRR-RELAXABLE",
        lambda: board(
            dmar(REST, rmrr(0x1000, 0x1FFF, NET, scope(ENDPOINT, (3, 0)))),
            functions=[function("00:02.0", USB), function("00:03.0", GRAPHICS)],
        ),
        (
            ("note", 72, "the region 0x1000-0x1fff (4 KiB) is for a USB controller, 0000:00:02.0"),
            ("note", 72, "the region 0x1000-0x1fff (4 KiB) is for graphics, 0000:00:03.0"),
        ),
        lambda: board(dmar(REST, rmrr(0x1000, 0x1FFF, NET)), functions=[function("00:02.0", 0x0C0500)]),
    ),
    Case(
        "DMAR-RMRR-LOCKED",
        lambda: board(dmar(REST, rmrr(0x1000, 0x1FFF, NET)), functions=[function("00:02.0", 0x0C0500)]),
        (("note", 72, "the region 0x1000-0x1fff (4 KiB) ties 0000:00:02.0 to the host"),),
        lambda: board(dmar(REST, rmrr(0x1000, 0x1FFF, NET)), functions=[function("00:02.0", USB)]),
    ),
)
