"""One stage of translation as configured by a CD or an STE, decoded to plain integers for the walk.

Level L of a table with granule 2^g resolves g - 3 address bits from bit g + (g - 3)(3 - L) up; the first level may
resolve fewer, or at stage 2 up to four more by concatenation (DDI 0487 D8.2).
"""

from __future__ import annotations

from functools import cache

from ..layout import CD, STE
from .values import OAS_BITS, Capabilities

GRANULES_TG0 = (12, 16, 14, 0)
"""log2 of the granule by CD.TG0 and STE.S2TG; 0 is reserved."""
GRANULES_TG1 = (0, 14, 12, 16)
"""log2 of the granule by CD.TG1."""
STAGE2_START = {
    12: {0: 2, 1: 1, 2: 0, 3: 3, 4: -1},
    14: {0: 3, 1: 2, 2: 1, 3: 0},
    16: {0: 3, 1: 2, 2: 1},
}
"""Start level by granule and S2SL0 (with S2SL0_2 as bit 2)."""

SINGLE, WXN, PAN, EPAN = 1, 2, 4, 8
"""Flags of `stage1_permissions`: one privilege level; CD.WXN; CD.PAN; CD.EPAN."""
BIG, AFFD, HA, HD, PTW = 1, 2, 4, 8, 16
"""Flags of a stage: big-endian tables, no access flag faults, hardware update of the flag, of dirty state, S2PTW."""

R, W, X, PR, PW, PX = 1, 2, 4, 8, 16, 32
"""Permission bits: unprivileged read, write, execute, and the same privileged."""
WIDE_64K, WIDE_DS = 1, 2


class Stage:
    """Geometry and rules of one translation table.

    Attributes:
        number: 1 or 2.
        base: address of the first table.
        granule: log2 of the granule.
        input_bits: bits of the input address that are translated.
        output_bits: bits that an output address may have.
        levels: for each level from the first: shift, index mask, mask of a leaf's address (0 where no leaf may be).
        table_mask: mask of the address in a table descriptor.
        wide: how address bits from 48 up are kept.
        flags: see `BIG` and so on.
        table_attributes: mask of the hierarchical attributes that count, as bits 62:59 shifted to 3:0.
        permission_flags: of `stage1_permissions`; for stage 2, whether XN has two bits.
        key: bits above the input range that addresses of this table have set (TTB1).
        unprivileged: unprivileged accesses are let in (E0PD).
    """

    __slots__ = (
        "base",
        "flags",
        "granule",
        "input_bits",
        "key",
        "levels",
        "number",
        "output_bits",
        "permission_flags",
        "table_attributes",
        "table_mask",
        "unprivileged",
        "wide",
    )

    def __init__(
        self,
        number: int,
        granule: int,
        input_bits: int,
        start: int,
        base: int,
        output_bits: int,
        *,
        ds: bool,
        wide64: bool,
    ) -> None:
        """Lay the levels out. `ds` allows 52-bit addresses with 4 and 16 KiB, `wide64` with 64 KiB."""
        self.number = number
        self.granule = granule
        self.input_bits = input_bits
        stride = granule - 3
        self.wide = WIDE_DS if ds and granule != 16 else WIDE_64K if wide64 and granule == 16 else 0
        self.output_bits = min(output_bits, 52 if self.wide else 48)
        top = 50 if self.wide == WIDE_DS else 48
        first_leaf = {12: 0 if self.wide else 1, 14: 1 if self.wide else 2, 16: 1 if self.wide else 2}[granule]
        levels = []
        for level in range(start, 4):
            shift = granule + stride * (3 - level)
            width = input_bits - shift if level == start else stride
            leaf = (1 << top) - (1 << shift) if level >= first_leaf else 0
            levels.append((shift, (1 << width) - 1, leaf))
        self.levels = tuple(levels)
        self.table_mask = (1 << top) - (1 << granule)
        # The first table is aligned to its size, at least to 64 bytes where its address can have 52 bits.
        size = 8 << input_bits - levels[0][0]
        self.base = base & -max(size, 64 if self.wide else 8)
        self.flags = 0
        self.table_attributes = 0
        self.permission_flags = 0
        self.key = 0
        self.unprivileged = True


def stage1(cd: CD, caps: Capabilities, *, upper: bool, single: bool) -> Stage | None:
    """Return the stage for TTB0, or with `upper` TTB1, or None when EPD disables it. The CD must be legal."""
    raw = cd.value
    if single and upper:
        return None
    if not single and (cd.EPD1 if upper else cd.EPD0):
        return None
    granule = GRANULES_TG1[cd.TG1] if upper else GRANULES_TG0[cd.TG0]
    bits = 64 - (cd.T1SZ if upper else cd.T0SZ)
    stride = granule - 3
    start = 4 - -(-(bits - granule) // stride)
    base = (CD.TTB1 if upper else CD.TTB0).get(raw)
    ips = min(OAS_BITS[cd.IPS], caps.oas)
    ds = bool(cd.DS and caps.idr5.DS)
    stage = Stage(1, granule, bits, start, base, ips, ds=ds, wide64=caps.oas == 52)
    httu = caps.idr0.HTTU
    had = caps.idr3.HAD and (cd.HAD1 if upper else cd.HAD0)
    stage.flags = (BIG if cd.ENDI else 0) | (AFFD if cd.AFFD else 0) | (HA if cd.HA and httu else 0)
    stage.flags |= HD if cd.HA and cd.HD and httu > 1 else 0
    stage.table_attributes = 0 if had else 0xF
    stage.permission_flags = (SINGLE if single else 0) | (WXN if cd.WXN else 0)
    if not single and cd.PAN:
        stage.permission_flags |= PAN | (EPAN if cd.EPAN and caps.idr3.EPAN else 0)
    stage.key = (1 << 64) - (1 << bits) if upper else 0
    stage.unprivileged = not (caps.idr3.E0PD and (cd.E0PD1 if upper else cd.E0PD0)) or single
    return stage


def stage2_start(ste: STE) -> int | None:
    """Return the start level that S2SL0 (and S2SL0_2 with S2DS) selects, None when it is reserved."""
    granule = GRANULES_TG0[ste.S2TG]
    return STAGE2_START[granule].get(ste.S2SL0 | (ste.S2SL0_2 << 2 if ste.S2DS and granule == 12 else 0))


def stage2(ste: STE, caps: Capabilities) -> Stage:
    """Return stage 2 of a legal STE."""
    granule = GRANULES_TG0[ste.S2TG]
    start = stage2_start(ste)
    ps = min(OAS_BITS[ste.S2PS], caps.oas)
    ds = bool(ste.S2DS and caps.idr5.DS)
    stage = Stage(2, granule, 64 - ste.S2T0SZ, start or 0, ste.S2TTB, ps, ds=ds, wide64=caps.oas == 52)
    httu = caps.idr0.HTTU
    stage.flags = (BIG if ste.S2ENDI else 0) | (AFFD if ste.S2AFFD else 0) | (HA if ste.S2HA and httu else 0)
    stage.flags |= (HD if ste.S2HA and ste.S2HD and httu > 1 else 0) | (PTW if ste.S2PTW else 0)
    stage.permission_flags = caps.idr3.XNX
    return stage


@cache
def stage1_permissions(bits: int, flags: int) -> int:
    """Return the permission bits of a stage 1 leaf.

    `bits` holds AP[2:1] in 1:0, PXN in 2, UXN in 3, and from the tables PXNTable in 4, UXNTable in 5, APTable in 7:6.
    """
    read_only = bits & 0x82
    user = bits & 1 and not bits & 0x40
    pxn, uxn = bits & 0x14, bits & 0x28
    if flags & SINGLE:
        granted = R | (0 if read_only else W) | (0 if uxn else X)
        if flags & WXN and granted & W:
            granted &= ~X
        return granted | granted << 3
    granted = PR | (0 if read_only else PW) | (R if user else 0) | (W if user and not read_only else 0)
    granted |= (0 if uxn else X) | (0 if pxn or granted & W else PX)
    if flags & WXN:
        granted &= ~((X if granted & W else 0) | (PX if granted & PW else 0))
    if flags & PAN and (user or (flags & EPAN and granted & X)):
        granted &= ~(PR | PW)
    return granted


@cache
def stage2_permissions(bits: int, xnx: int) -> int:
    """Return the permission bits of a stage 2 leaf: `bits` holds S2AP in 1:0 and descriptor bits 54:53 in 3:2."""
    granted = (R | PR if bits & 1 else 0) | (W | PW if bits & 2 else 0)
    xn = bits >> 2
    if not xnx:
        return granted | (0 if xn & 2 else X | PX)
    return granted | (X | PX, X, 0, PX)[xn]
