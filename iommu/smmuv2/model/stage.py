"""One stage of translation as a context bank configures it, and the walk of its tables (DDI 0487 D8.2, D8.3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from ...errors import IommuError
from ..layout.registers import ID2, SCTLR, TCR, TCR2, TTBR0, VTCR
from ..names import SIZES
from .values import FETCH, PRIVILEGED, WRITE, Capabilities, Fault

TABLE = 3
AF = 1 << 10
NOT_GLOBAL = 1 << 11
R, W, X, PR, PW, PX = 1, 2, 4, 8, 16, 32
"""Permission bits: unprivileged read, write, execute, and the same privileged."""
NEEDS = tuple(
    {0: R, WRITE: W, FETCH: X}.get(code & 3, 0) << (3 if code & PRIVILEGED else 0) for code in range(2 * PRIVILEGED)
)
"""The permission bit that an access needs, by access code."""

_GRANULES_TG0 = (12, 16, 14, 0)
_GRANULES_TG1 = (0, 14, 12, 16)
_STARTS = {12: (2, 1, 0), 14: (3, 2, 1), 16: (3, 2, 1)}
"""Start level by granule and SL0; the code 3 is reserved."""
_FIRST_LEAF = {12: 1, 14: 2, 16: 2}
_AARCH32_BITS = 40
Tables = dict[tuple[int, int], tuple[int, int]]


class Stage(NamedTuple):
    """Geometry and rules of one translation table.

    Attributes:
        number: 1 or 2.
        first: level of the first table.
        levels: for each level from there: shift, index mask, mask of a leaf's address (0 where no leaf may be).
        table_mask: mask of the address in a table descriptor.
        base: address of the first table.
        input_bits: bits of an input address.
        output_bits: bits that an output address may have.
        big_endian: SCTLR.E.
        needs_flag: an access needs the access flag.
        execute_never: SCTLR.WXN.
        key: bits above the input range that addresses of this table have set (TTBR1).
    """

    number: int
    first: int
    levels: tuple[tuple[int, int, int], ...]
    table_mask: int
    base: int
    input_bits: int
    output_bits: int
    big_endian: bool
    needs_flag: bool
    execute_never: bool
    key: int = 0


def _lay(
    number: int, granule: int, bits: int, start: int, base: int, output: int, sctlr: SCTLR, key: int = 0
) -> Stage | None:
    """Return a stage, or None when its first level does not fit its input."""
    stride = granule - 3
    top = granule + stride * (3 - start)
    widest = stride + (4 if number == 2 else 0)
    if not 0 < bits - top <= widest:
        return None
    levels = []
    for level in range(start, 4):
        shift = granule + stride * (3 - level)
        width = bits - shift if level == start else stride
        levels.append((shift, (1 << width) - 1, (1 << 48) - (1 << shift) if level >= _FIRST_LEAF[granule] else 0))
    return Stage(
        number, start, tuple(levels), (1 << 48) - (1 << granule), base & -(8 << bits - top), bits, output,
        bool(sctlr.E), not sctlr.AFFD, bool(sctlr.WXN), key,
    )  # fmt: skip


def _granule(code: int, codes: tuple[int, ...], id2: ID2) -> int:
    """Return log2 of a granule, 0 when the code is reserved or the unit has not got it."""
    granule = codes[code]
    return granule if {12: id2.PTFS_4K, 14: id2.PTFS_16K, 16: id2.PTFS_64K}.get(granule) else 0


def stage2(control: int, base: int, sctlr: SCTLR, caps: Capabilities, *, aarch64: bool) -> Stage | None:
    """Return stage 2 of a bank whose TCR and TTBR0 are given, or None when nothing is translated by them."""
    vtcr = VTCR(control)
    if aarch64:
        granule, bits = _granule(vtcr.TG0, _GRANULES_TG0, caps.id2), 64 - vtcr.T0SZ
        output = min(SIZES[min(vtcr.PS, len(SIZES) - 1)], caps.oas)
        most = SIZES[min(caps.id2.IAS, len(SIZES) - 1)]
    else:
        size = vtcr.T0SZ & 0x1F
        granule, bits = 12, 32 - (size - 32 if size & 0x10 else size)
        output, most = min(_AARCH32_BITS, caps.oas), _AARCH32_BITS
    if not granule or bits > most or vtcr.SL0 == 3 or (not aarch64 and vtcr.SL0 > 1):
        return None
    return _lay(2, granule, bits, _STARTS[granule][vtcr.SL0], TTBR0(base).BADDR, output, sctlr)


def stage1(control: int, more: int, base: int, sctlr: SCTLR, caps: Capabilities, *, upper: bool) -> Stage | None:
    """Return stage 1 of TTBR0, or with `upper` TTBR1, or None when nothing is translated by it."""
    tcr, tcr2 = TCR(control), TCR2(more)
    disabled, size = (tcr.EPD1, tcr.T1SZ) if upper else (tcr.EPD0, tcr.T0SZ)
    granule = _granule(tcr.TG1 if upper else tcr.TG0, _GRANULES_TG1 if upper else _GRANULES_TG0, caps.id2)
    if disabled or not granule or not 16 <= size <= 39:
        return None
    bits = 64 - size
    start = 4 - -(-(bits - granule) // (granule - 3))
    output = min(SIZES[min(tcr2.PASIZE, len(SIZES) - 1)], caps.oas)
    return _lay(1, granule, bits, start, TTBR0(base).BADDR, output, sctlr, (1 << 64) - (1 << bits) if upper else 0)


def walk(  # noqa: PLR0912  # the hot loop: no calls but the read
    stage: Stage, address: int, read: Callable[[int], int], tables: Tables | None
) -> tuple[int, int, int, int]:
    """Find the leaf for an address; return it with its shift, output address and hierarchical attributes.

    `tables` is what is remembered of table descriptors, None to do without. Raises Fault.
    """
    levels = stage.levels
    last = len(levels) - 1
    base, attributes, index = stage.base, 0, 0
    if address - stage.key >> stage.input_bits:
        raise Fault("TF", 0)
    if base >> stage.output_bits:
        raise Fault("ASF", 0)
    if tables:
        for index in range(last, 0, -1):  # the level to begin at, if one is known
            above = levels[index - 1][0]
            known = tables.get((above, address >> above))
            if known is not None:
                base, attributes = known
                break
        else:
            index = 0
    while True:
        shift, mask, leaf_mask = levels[index]
        level = stage.first + index
        try:
            descriptor = read(base + ((address >> shift & mask) << 3))
        except IommuError:
            raise Fault("EF", level, walk=True) from None
        if stage.big_endian:
            descriptor = int.from_bytes(descriptor.to_bytes(8, "little"), "big")
        is_table = descriptor & 3 == TABLE and index < last
        if not is_table and not (descriptor & 1 and leaf_mask and (index < last or descriptor & 2)):
            raise Fault("TF", level)
        output = descriptor & (stage.table_mask if is_table else leaf_mask)
        if output >> stage.output_bits:
            raise Fault("ASF", level)
        if not is_table:
            if stage.needs_flag and not descriptor & AF:
                raise Fault("AFF", level)
            return descriptor, shift, output, attributes
        base = output
        if stage.number == 1:
            attributes |= descriptor >> 59 & 0xF
        if tables is not None:
            tables[shift, address >> shift] = base, attributes
        index += 1


@cache
def permissions(bits: int, number: int, *, execute_never: bool) -> int:
    """Return the permission bits of a leaf.

    `bits` holds descriptor bits 7:6 in 1:0 and 54:53 in 3:2, and of stage 1 bits 62:59 of the tables above in 7:4.
    """
    if number == 2:
        return (R | PR) * (bits & 1) | (W | PW) * (bits >> 1 & 1) | (0 if bits & 8 else X | PX)
    read_only = bits & 0x82  # AP[2], APTable[1]
    user = bits & 1 and not bits & 0x40  # AP[1], APTable[0]
    granted = PR | (0 if read_only else PW) | (R if user else 0) | (W if user and not read_only else 0)
    granted |= (0 if bits & 0x28 else X) | (0 if bits & 0x14 or granted & W else PX)  # UXN, PXN and those of tables
    if execute_never:
        granted &= ~((X if granted & W else 0) | (PX if granted & PW else 0))
    return granted
