"""What a remapping unit is built to do: its capability registers, and the masks that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..layout import CAP, ECAP, FirstStageTable, SecondStagePage, SecondStageTable


@dataclass(slots=True)
class Hardware:
    """The fixed properties of a unit; everything after `haw` follows from the first three.

    Attributes:
        cap: capability register.
        ecap: extended capability register.
        haw: host address width in bits.
        mgaw: guest address width in bits.
        levels: numbers of levels that second-stage tables may have (CAP.SAGAW).
        beyond: address bits that no host address has, within a 64-bit field.
        second_table: reserved bits of a second-stage entry that points to a table, by level (index 0 is not used).
        second_page: reserved bits of a second-stage entry that maps a page, by level.
        first_table: reserved bits of a first-stage table entry, by level, NXE set.
        first_page: reserved bits of a first-stage page entry, by level, NXE set.
    """

    cap: CAP
    ecap: ECAP
    haw: int = 46
    mgaw: int = field(init=False)
    levels: frozenset[int] = field(init=False)
    beyond: int = field(init=False)
    second_table: tuple[int, ...] = field(init=False)
    second_page: tuple[int, ...] = field(init=False)
    first_table: tuple[int, ...] = field(init=False)
    first_page: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Work out the masks once: walks only look at integers."""
        self.mgaw = self.cap.MGAW + 1
        self.levels = frozenset(levels for levels in range(2, 6) if self.cap.SAGAW >> levels - 2 & 1)
        self.beyond = (1 << 64) - (1 << self.haw)
        wide = self.beyond & (1 << 52) - 1
        tm = 0 if self.ecap.DT else SecondStagePage.TM.mask
        snoop = 0 if self.ecap.SC else SecondStagePage.SNP.mask
        table = SecondStageTable.reserved_mask | wide
        high = SecondStageTable.PS.mask
        self.second_table = (0, 0, table, table, table | high, table | high)
        page = wide | tm | snoop
        self.second_page = (
            0,
            page,
            page | _low_bits(21) | (0 if self.cap.SSLPS & 1 else high),
            page | _low_bits(30) | (0 if self.cap.SSLPS & 2 else high),
            0,
            0,
        )
        self.first_table = (0, 0, wide, wide, wide | FirstStageTable.PS.mask, wide | FirstStageTable.PS.mask)
        pat = 1 << 12
        one_gib = 0 if self.cap.FS1GP else FirstStageTable.PS.mask
        self.first_page = (0, wide, wide | _low_bits(21) & ~pat, wide | _low_bits(30) & ~pat | one_gib, 0, 0)


def _low_bits(shift: int) -> int:
    """Address bits of a large page that must be zero."""
    return (1 << shift) - (1 << 12)
