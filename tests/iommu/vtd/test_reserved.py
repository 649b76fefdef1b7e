"""Every bit of every structure that hardware reads is flipped, one at a time: it is reserved, or it is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from iommuman.iommu.bits import Bits
from iommuman.iommu.vtd import layout
from iommuman.iommu.vtd.layout import FirstStagePage, SecondStagePage, SecondStageTable
from iommuman.iommu.vtd.model import Blocked
from iommuman.iommu.vtd.names import IQEI, Reason

from .machine import (
    ADDRESS,
    CONTEXT,
    DIRECTORY,
    FIRST,
    IRTES,
    LEGACY_CAP,
    LEGACY_ECAP,
    PAGE,
    PASIDS,
    QUEUE,
    ROOT,
    SCALABLE_CAP,
    SCALABLE_ECAP,
    SECOND,
    SOURCE,
    Machine,
    entry_at,
    legacy,
    scalable,
)

HAW = 46
FIVE = 1 << 11 | 56 << 16
"""SAGAW bit 3 and MGAW 57, to be or-ed with a CAP whose MGAW is cleared."""
LEGACY_FIVE = LEGACY_CAP & ~(0x3F << 16) | FIVE
SCALABLE_FIVE = SCALABLE_CAP & ~(0x3F << 16) | FIVE | 1 << 60
POSTING = LEGACY_CAP | 1 << 59
# DT 2, SC 7, MTS 25, PRS 29 and RPRIVS 53: with these no bit is reserved for want of a feature.
EVERYTHING = SCALABLE_ECAP | 1 << 2 | 1 << 7 | 1 << 25 | 1 << 29 | 1 << 53
FS, SS, NESTED, PASS = 1, 2, 3, 4
TOP = 0x35000
"""The first-stage table of level 5."""
TABLES = 0x7000
"""Address bits that tell the tables of one stage apart: flipped, they find the entry of another level."""
MESSAGE = 0x60000
"""Where the sweep keeps an interrupt message: address, then data."""
DESCRIPTOR = 0x3_0000_0140


def bits(*ranges: int | tuple[int, int]) -> int:
    """Return a mask of bits and of (most, least significant) pairs."""
    pairs = ((item, item) if isinstance(item, int) else item for item in ranges)
    return sum((1 << most + 1) - (1 << least) for most, least in pairs)


# What the specification calls reserved in each structure, whatever the unit can do and the field around holds.
RESERVED: dict[type[Bits], int] = {
    layout.RootEntry: bits((11, 1), (127, 64)),
    layout.ScalableRootEntry: bits((11, 1), (75, 65)),
    layout.ContextEntry: bits((11, 4), 71, (127, 88)),
    layout.ScalableContextEntry: bits((8, 5), (255, 85)),
    layout.PasidDirectoryEntry: bits((11, 2)),
    layout.PasidEntry: bits((11, 10), (86, 80), (139, 136), (511, 192)),
    layout.FirstStageTable: 0,
    layout.FirstStagePage: 0,
    layout.SecondStageTable: bits(11, 62),
    layout.SecondStagePage: 0,
    layout.Irte: bits((14, 12), (31, 24), (127, 84)),
    layout.PostedIrte: bits((7, 2), (13, 12), (37, 24), (95, 84)),
    layout.PostedDescriptor: bits((271, 258), (287, 280)),
    layout.ContextInvalidate: bits((8, 6), (15, 12), (127, 50)),
    layout.IotlbInvalidate: bits(8, (15, 12), (63, 32), (75, 71)),
    layout.DeviceTlbInvalidate: bits((8, 4), (31, 21), (51, 48), (75, 65)),
    layout.InterruptEntryInvalidate: bits((8, 5), (26, 12), (127, 48)),
    layout.Wait: bits(8, (31, 12), (65, 64)),
    layout.PasidIotlbInvalidate: bits((8, 6), (15, 12), (63, 52), (75, 71)),
    layout.PasidCacheInvalidate: bits((8, 6), (15, 12), (127, 52)),
    layout.PasidDeviceTlbInvalidate: bits((74, 65)),
    layout.MsiAddress: bits((63, 32)),
    layout.MsiData: bits((31, 16)),
}
WRITTEN_ONLY = {layout.PageRequest}
"""Structures that hardware writes and never reads."""


@dataclass(frozen=True)
class Place:
    """A structure in memory where hardware reads it.

    Attributes:
        name: what is special about it.
        kind: its layout.
        make: makes the machine.
        at: where the structure is.
        ask: makes the hardware read it, and returns the fault if there is one.
        fault: what a reserved bit gives.
        region: the bits that are read here.
        extra: bits that are reserved here beside those that no field names.
        skip: bits that make it another structure, or a value that does not exist.
    """

    name: str
    kind: type[Bits]
    make: Callable[[], Machine]
    at: int
    ask: Callable[[Machine], object]
    fault: object
    region: int
    extra: int = 0
    skip: int = 0


def place(
    name: str,
    kind: type[Bits],
    make: Callable[[], Machine],
    at: int,
    ask: Callable[[Machine], object],
    fault: object,
    *,
    extra: int = 0,
    skip: int = 0,
    region: int = 0,
) -> Place:
    """Return a place; all of the structure is read there unless `region` says what."""
    return Place(name, kind, make, at, ask, fault, region or (1 << kind.width) - 1, extra, skip)


def dma(source: int = SOURCE, pasid: int | None = None) -> Callable[[Machine], object]:
    """Return a question: what becomes of a read of memory."""

    def ask(machine: Machine) -> object:
        result = machine.unit.translate(source, ADDRESS, 1, pasid)
        return result.reason if isinstance(result, Blocked) else None

    return ask


def message(machine: Machine) -> object:
    """Return what becomes of the interrupt message that lies in memory."""
    result = machine.unit.interrupt(
        SOURCE, machine.memory.read_u64(MESSAGE), machine.memory.read_u64(MESSAGE + 8) & 0xFFFFFFFF
    )
    return result.reason if isinstance(result, Blocked) else None


def queue(machine: Machine) -> object:
    """Return what stops the queue at the descriptor that is first in it."""
    size = 32 if machine.read(0x90, 8) >> 11 & 1 else 16
    enabled = machine.read(0x1C) & 1 << 31
    machine.write(0x18, enabled)
    machine.write(0x34, 1 << 4)
    machine.write(0x88, 0, 8)
    machine.write(0x18, enabled | 1 << 26)
    machine.write(0x88, size, 8)
    return machine.read(0xB0, 8) & 0xF if machine.read(0x34) & 1 << 4 else None


ABOVE = bits((63, HAW))
ABOVE_IN_ENTRY = bits((51, HAW))


def root_and_context_places() -> Iterator[Place]:
    """Root, context, PASID directory and PASID entries, each in every role."""
    at = CONTEXT + SOURCE * 16
    yield place("legacy", layout.RootEntry, legacy, ROOT, dma(), Reason.LRT_3, extra=ABOVE)
    for tt, name in enumerate(("untranslated", "all", "pass-through")):

        def with_type(tt: int = tt) -> Machine:
            return legacy(tt=tt, ecap=LEGACY_ECAP | 1 << 2)

        extra = ABOVE if tt < 2 else 0
        yield place(name, layout.ContextEntry, with_type, at, dma(), Reason.LCT_3, extra=extra)

    def both_halves() -> Machine:
        machine = scalable(ecap=EVERYTHING)
        machine.put(ROOT + 8, CONTEXT | 1)
        return machine

    low = (1 << 64) - 1
    for name, source, region in (("lower", SOURCE, low), ("upper", SOURCE | 0x80, low << 64)):
        yield place(
            name,
            layout.ScalableRootEntry,
            both_halves,
            ROOT,
            dma(source),
            Reason.SRT_3,
            region=region,
            extra=(ABOVE | ABOVE << 64) & region,
        )

    def everything(pgtt: int = SS, pasid: int = 5) -> Callable[[], Machine]:
        return lambda: scalable(pgtt, ecap=EVERYTHING, cap=SCALABLE_FIVE, pasid=pasid)

    at = CONTEXT + SOURCE * 32
    kind: type[Bits] = layout.ScalableContextEntry
    yield place("without PASID", kind, everything(pasid=0), at, dma(), Reason.SCT_3, extra=ABOVE)
    yield place("with PASID", kind, everything(), at, dma(pasid=5), Reason.SCT_3, extra=ABOVE)
    kind = layout.PasidDirectoryEntry
    yield place("without PASID", kind, everything(pasid=0), DIRECTORY, dma(), Reason.SPD_3, extra=ABOVE)
    yield place("with PASID", kind, everything(), DIRECTORY, dma(pasid=5), Reason.SPD_3, extra=ABOVE)
    for pgtt, name in ((FS, "first stage"), (SS, "second stage"), (NESTED, "nested"), (PASS, "pass-through")):
        extra = ABOVE | (0 if pgtt == NESTED else ABOVE << 128)
        yield place(name, layout.PasidEntry, everything(pgtt), PASIDS + 5 * 64, dma(pasid=5), Reason.SPT_3, extra=extra)


def second_stage_places() -> Iterator[Place]:
    """Entries of the second stage at every level of tables of every depth, with and without SC and DT."""
    for scalable_mode, levels, features in itertools.product((False, True), (3, 4, 5), (False, True)):
        reason = Reason.SSL_3 if scalable_mode else Reason.LSL_2
        more = (1 << 2 | 1 << 7) * features
        for leaf in (1, 2, 3):

            def make(
                scalable_mode: bool = scalable_mode, levels: int = levels, leaf: int = leaf, more: int = more
            ) -> Machine:
                if scalable_mode:
                    return scalable(SS, leaf=leaf, levels=levels, cap=SCALABLE_FIVE, ecap=SCALABLE_ECAP | more)
                return legacy(leaf, levels, cap=LEGACY_FIVE, ecap=LEGACY_ECAP | more)

            name = f"{'scalable' if scalable_mode else 'legacy'} {levels} levels, leaf {leaf}, {features=}, level "
            low = bits((11 + 9 * (leaf - 1), 12)) if leaf > 1 else 0
            yield place(
                f"{name}{leaf}",
                SecondStagePage,
                make,
                entry_at(SECOND, leaf),
                dma(),
                reason,
                extra=ABOVE_IN_ENTRY | low | (0 if features else SecondStagePage.SNP.mask | SecondStagePage.TM.mask),
                skip=SecondStagePage.PS.mask if leaf > 1 else 0,
            )
            for level in range(leaf + 1, levels + 1):
                high = SecondStageTable.PS.mask
                yield place(
                    f"{name}{level}",
                    SecondStageTable,
                    make,
                    entry_at(SECOND, level),
                    dma(),
                    reason,
                    extra=ABOVE_IN_ENTRY | (high if level > 3 else 0),
                    skip=TABLES | (high if level < 4 else 0),
                )


def nested_places() -> Iterator[Place]:
    """Entries of the second stage that a nested walk uses for a first-stage table, and for the page."""

    def make() -> Machine:
        return scalable(NESTED)

    page = SecondStagePage.SNP.mask | SecondStagePage.TM.mask | ABOVE_IN_ENTRY
    large = page | bits((29, 12))
    yield place(
        "nested, page of a table", SecondStagePage, make, entry_at(SECOND, 1, FIRST[2]), dma(), Reason.SSL_3, extra=page
    )
    yield place(
        "nested, page", SecondStagePage, make, entry_at(SECOND, 3, PAGE), dma(), Reason.SSL_3, extra=large, skip=1 << 7
    )
    for level in (2, 3):
        at = entry_at(SECOND, level, FIRST[2])
        yield place(
            f"nested, level {level}",
            SecondStageTable,
            make,
            at,
            dma(),
            Reason.SSL_3,
            extra=ABOVE_IN_ENTRY,
            skip=TABLES | 1 << 7,
        )


def first_stage_places() -> Iterator[Place]:
    """Entries of the first stage at every level, with and without execute-disable."""
    for levels, leaf, nxe in itertools.product((4, 5), (1, 2, 3), (0, 1)):

        def make(levels: int = levels, leaf: int = leaf, nxe: int = nxe) -> Machine:
            machine = scalable(FS, leaf=leaf, cap=SCALABLE_FIVE, q2=nxe << 5)
            if levels == 5:
                machine.put(PASIDS + 16, TOP | 1 << 2 | nxe << 5)
                machine.put(TOP, FIRST[4] | 0x27)
            return machine

        tables = {**FIRST, 5: TOP}
        disable = 0 if nxe else 1 << 63
        low = bits((11 + 9 * (leaf - 1), 13)) if leaf > 1 else 0
        name = f"{levels} levels, leaf {leaf}, {nxe=}, level "
        yield place(
            f"{name}{leaf}",
            FirstStagePage,
            make,
            entry_at(FIRST, leaf),
            dma(),
            Reason.SFL_3,
            extra=ABOVE_IN_ENTRY | low | disable,
            skip=1 << 7 if leaf > 1 else 0,
        )
        for level in range(leaf + 1, levels + 1):
            yield place(
                f"{name}{level}",
                layout.FirstStageTable,
                make,
                entry_at(tables, level),
                dma(),
                Reason.SFL_3,
                extra=ABOVE_IN_ENTRY | disable | (1 << 7 if level > 3 else 0),
                skip=TABLES | (1 << 7 if level < 4 else 0),
            )


def interrupt_places() -> Iterator[Place]:
    """The message, both kinds of entry, and the posted interrupt descriptor."""

    def make(*, posted: bool = False, extended: bool = False) -> Machine:
        machine = Machine(POSTING, LEGACY_ECAP)
        low, high = 0x300 << 32 | 0x31 << 16 | 1, 1 << 18 | SOURCE
        if posted:
            low = DESCRIPTOR >> 6 << 38 & (1 << 64) - 1 | 0x41 << 16 | 1 << 15 | 1
            high |= DESCRIPTOR >> 32 << 32
        machine.put(IRTES + 5 * 16, low, high)
        machine.put(MESSAGE, 0xFEE00000 | 5 << 5 | 1 << 4 | 1 << 3, 0)
        machine.write(0xB8, IRTES | extended << 11 | 7, 8)
        machine.write(0x18, 1 << 24)
        machine.write(0x18, 1 << 25)
        return machine

    def posted() -> Machine:
        return make(posted=True)

    def extended() -> Machine:
        return make(extended=True)

    at = IRTES + 5 * 16
    not_asked = layout.Irte.IM.mask | layout.Irte.SVT.mask | layout.Irte.DLM.mask
    request = Reason.IR_REQUEST_RSVD
    yield place("", layout.MsiAddress, make, MESSAGE, message, request)
    yield place("", layout.MsiData, make, MESSAGE + 8, message, request)
    narrow = bits((39, 32), (63, 48))
    yield place("xAPIC", layout.Irte, make, at, message, Reason.IR_RSVD, extra=narrow, skip=not_asked)
    yield place("x2APIC", layout.Irte, extended, at, message, Reason.IR_RSVD, skip=not_asked)
    not_asked = layout.PostedIrte.IM.mask | layout.PostedIrte.SVT.mask
    above = bits((127, 96 + HAW - 32))
    yield place("", layout.PostedIrte, posted, at, message, Reason.IR_RSVD, extra=above, skip=not_asked)
    yield place("", layout.PostedDescriptor, posted, DESCRIPTOR, message, Reason.IR_POSTED_RSVD)


# Type, granularity and other fields that make a descriptor valid; then the fields that are not flipped.
DESCRIPTORS: dict[type[Bits], tuple[int, int]] = {
    layout.ContextInvalidate: (1 | 1 << 4, bits((5, 4))),
    layout.IotlbInvalidate: (2 | 1 << 4, bits((5, 4))),
    layout.DeviceTlbInvalidate: (3, 0),
    layout.InterruptEntryInvalidate: (4, 0),
    layout.Wait: (5, 0),
    layout.PasidIotlbInvalidate: (6 | 2 << 4, bits((5, 4))),
    layout.PasidCacheInvalidate: (7 | 3 << 4, bits((5, 4))),
    layout.PasidDeviceTlbInvalidate: (8, 0),
}


def descriptor_places() -> Iterator[Place]:
    """Every invalidation descriptor in every mode and width that takes it."""
    for kind, (value, skip) in DESCRIPTORS.items():
        for name in ("legacy", "scalable", "wide"):
            if name != "wide" and value & 0xF > 5:
                continue  # the PASID types are always wide

            def make(name: str = name, value: int = value) -> Machine:
                machine = legacy() if name == "legacy" else scalable(SS)
                machine.write(0x90, QUEUE | (name == "wide") << 11, 8)
                machine.put(QUEUE, value, 0, 0, 0)
                return machine

            wide = name == "wide"
            yield place(
                name,
                kind,
                make,
                QUEUE,
                queue,
                IQEI.RESERVED,
                skip=skip | bits((11, 9), (3, 0)),
                region=(1 << 256) - 1 if wide else 0,
                extra=bits((255, 128)) if wide else 0,
            )


PLACES = [
    *root_and_context_places(),
    *second_stage_places(),
    *nested_places(),
    *first_stage_places(),
    *interrupt_places(),
    *descriptor_places(),
]


@pytest.mark.parametrize("where", PLACES, ids=[f"{item.kind.__name__} {item.name}" for item in PLACES])
def test_exactly_the_reserved_bits_of_a_structure_fault(where: Place) -> None:
    """Each bit alone: reserved ones give the fault of reserved bits, others never, and without any there is none."""
    machine = where.make()
    assert where.ask(machine) is None
    size = (where.region.bit_length() + 7) // 8
    good = int.from_bytes(machine.memory.read(where.at, size), "little")
    reserved = (where.kind.reserved_mask | where.extra) & where.region
    assert not good & reserved
    asked = where.region & ~where.skip
    for bit in (number for number in range(asked.bit_length()) if asked >> number & 1):
        machine.memory.write(where.at, (good ^ 1 << bit).to_bytes(size, "little"))
        machine.forget()
        answer = where.ask(machine)
        assert (answer == where.fault) == bool(reserved >> bit & 1), (bit, answer)
    machine.memory.write(where.at, good.to_bytes(size, "little"))
    machine.forget()
    assert where.ask(machine) is None


def test_every_structure_that_hardware_reads_is_swept_whole() -> None:
    """No class of the layout goes without a place, and no reserved bit of one without a place that reads it."""
    structures = {
        item
        for item in vars(layout).values()
        if isinstance(item, type)
        and issubclass(item, Bits)
        and item.__module__ == layout.__name__
        and "register" not in (item.__doc__ or "")
    }
    assert structures - WRITTEN_ONLY == {item.kind for item in PLACES} == set(RESERVED)
    for kind in RESERVED:
        seen = 0
        for item in PLACES:
            if item.kind is kind:
                seen |= item.region & ~item.skip
        assert not kind.reserved_mask & ~seen, kind.__name__


@pytest.mark.parametrize("kind", RESERVED, ids=lambda kind: kind.__name__)
def test_the_bits_that_no_field_names_are_those_the_specification_reserves(kind: type[Bits]) -> None:
    """The layout leaves out neither more nor less."""
    assert kind.reserved_mask == RESERVED[kind]
