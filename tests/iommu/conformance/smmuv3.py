"""SMMUv3: stage 1, stage 2, nested, bypass and abort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from iommuman.iommu import Memory
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Qemu
from iommuman.iommu.smmuv3.layout import CD, L1STD, STE, queues, registers
from iommuman.iommu.smmuv3.model import PRIVILEGED, READ, WRITE, Capabilities, Model
from iommuman.iommu.smmuv3.model.stage import GRANULES_TG0, GRANULES_TG1, STAGE2_START
from iommuman.iommu.smmuv3.model.values import OAS_BITS

from .harness import ARENA, ARENA_SIZE, PAGE, SOURCE, TABLES, Configuration, Image, Known, Write
from .smmuv3_known import KNOWN

FAR = 1 << 43
"""Where no machine has memory, within the width of physical addresses."""
QUEUES = 0x0080_0000
"""Where the queues lie, from the beginning of memory: commands, and 64 KiB further events."""
_EVENTS = 0x10000
_LOG2 = 8
"""Of the number of entries of both queues: more than a configuration needs."""
_MB2 = 1 << 21
_NONE, _BLOCK, _TABLE_OR_PAGE = 0, 1, 3


class Smmu:
    """The SMMUv3 of one of the machines."""

    def __init__(self, machine: str, *, two_level: bool = True) -> None:
        """Take one of the machines, with stream tables of two levels or linear ones.

        QEMU 10.0 takes a table for one of two levels once there has been such a one (hw/arm/smmuv3.c, smmu_writel:
        the feature flag is set and never cleared), so that one machine sees one kind only.
        """
        self.name = f"{machine}, {'two-level' if two_level else 'linear'} stream table"
        self.machine = machine
        self._two_level = two_level
        self.watched: Sequence[tuple[int, int]] = ((registers.EVENTQ_PROD.offset, 4),)
        self.after: Sequence[Write] = ()
        self.stop: Sequence[Write] = (Write(registers.CR0.offset, 0, 4),)
        self.quiet: tuple[int, ...] = ()
        self.known: Sequence[Known] = KNOWN
        self._caps = Capabilities()
        self._base = 0
        self._done = 0

    def prepare(self, machine: Qemu) -> None:
        """Read what the unit can do, and write the commands that each configuration begins with."""
        at = machine.registers

        def value(offset: int) -> int:
            return machine.read_mmio(at + offset, 4)

        self._caps = Capabilities(
            registers.IDR0(value(registers.IDR0.offset)),
            registers.IDR1(value(registers.IDR1.offset)),
            registers.IDR3(value(registers.IDR3.offset)),
            registers.IDR5(value(registers.IDR5.offset)),
            registers.AIDR(value(registers.AIDR.offset)),
        )
        self._base = machine.ram[0]
        machine.write(self._base + QUEUES, _commands())

    def model(self, memory: Memory) -> Model:
        """Return a unit like QEMU's."""
        memory.write(self._base + QUEUES, _commands())
        return Model(memory, self._caps, merging=False)

    def records(self, seen: list[tuple[int, ...]], read: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Return the event that each access left, as four doublewords; empty for none.

        Taken out is what QEMU has otherwise in every record: it takes all accesses for privileged, and records them as
        unprivileged; bits 11:0 of the IPA, which are reserved (IHI 0070 clause 7.3), hold the page offset
        (hw/arm/smmuv3.c, smmuv3_translate).
        """
        queue = read(self._base + QUEUES + _EVENTS, len(seen) * 32)
        found: list[tuple[int, ...]] = []
        before = 0
        for (count,) in seen:
            words = [int.from_bytes(queue[at : at + 8], "little") for at in range(before * 32, count * 32, 8)]
            for at in range(0, len(words), 4):
                words[at + 1] &= ~(1 << 33)
                words[at + 3] &= ~0xFFF
            found.append(tuple(words))
            before = count
        return found

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Send a transaction."""
        assert isinstance(model, Model)
        found = model.translate(SOURCE, address, (WRITE if write else READ) | PRIVILEGED)
        return None if found < 0 else found

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Forget everything, mostly: the commands are done once more, from a queue that is full of them."""
        if random.random() > 0.9:
            return ()
        self._done += len(_FLUSH)
        return (Write(registers.CMDQ_PROD.offset, self._done, 4),)

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write stream table, context descriptor and translation tables."""
        writer = _Writer(random, image, self._caps)
        self._done = len(_FLUSH)
        base, shape, text = writer.streams(two_level=self._two_level)
        queue = self._base + QUEUES
        enabled = registers.CR0(CMDQEN=1, EVENTQEN=1)
        recinvsid = int(random.random() < 0.9)
        before = [
            Write(registers.CR0.offset, 0, 4),
            Write(registers.STRTAB_BASE.offset, base, 8),
            Write(registers.STRTAB_BASE_CFG.offset, shape, 4),
            Write(registers.CMDQ_BASE.offset, registers.CMDQ_BASE(ADDR=queue, LOG2SIZE=_LOG2).value, 8),
            Write(registers.CMDQ_PROD.offset, 0, 4),
            Write(registers.CMDQ_CONS.offset, 0, 4),
            Write(registers.EVENTQ_BASE.offset, registers.EVENTQ_BASE(ADDR=queue + _EVENTS, LOG2SIZE=_LOG2).value, 8),
            Write(registers.EVENTQ_PROD.offset, 0, 4),
            Write(registers.EVENTQ_CONS.offset, 0, 4),
            Write(registers.CR2.offset, registers.CR2(RECINVSID=recinvsid, PTM=1).value, 4),
            Write(registers.CR0.offset, enabled.value, 4),
            Write(registers.CMDQ_PROD.offset, len(_FLUSH), 4),
            Write(registers.CR0.offset, enabled.replace(SMMUEN=1).value, 4),
        ]
        writer.notes["RECINVSID"] = recinvsid
        return Configuration(before, writer.addresses, text, notes=writer.notes)


_FLUSH = (
    queues.CfgiSteRange(Opcode=0x04, Range=31),
    queues.TlbiAll(Opcode=0x30),
    queues.Sync(Opcode=0x46),
)


def _commands() -> bytes:
    return b"".join(bytes(one) for one in _FLUSH) * ((1 << _LOG2) // len(_FLUSH))


class _Writer:
    """Lays tables out, mostly right."""

    def __init__(self, random: Random, image: Image, caps: Capabilities) -> None:
        self._random = random
        self._image = image
        self._caps = caps
        self._base = image.base
        self.addresses: list[int] = []
        self.notes: dict[str, int] = {}

    def chance(self, part: float) -> bool:
        return self._random.random() < part

    def spoiled(self, value: int, what: str, bits: int = 64, part: float = 0.05) -> int:
        """Change a random bit of a structure now and then, whatever it means, and keep it in mind."""
        if not self.chance(part):
            return value
        bit = self._random.randrange(bits)
        if bit % 64 == 30:  # of an address it leads to the flash memory of the machine, which reads as zeros
            return value
        self.notes[f"{what} bit {bit}"] = 1
        return value ^ 1 << bit

    def pointer(self, size: int = PAGE) -> int:
        """Return the address of a new table; now and then one where there is no memory."""
        if self.chance(0.015):
            return FAR + self._random.randrange(1 << 8) * 0x10000
        return self._image.page(-(-size // PAGE), max(size, PAGE))

    def put(self, address: int, value: int, size: int = 8) -> None:
        if self._base <= address < FAR:
            self._image.put(address, value, size)

    # --- Stream table

    def streams(self, *, two_level: bool) -> tuple[int, int, str]:
        random = self._random
        ste, text = self.stream()
        if not two_level:
            bits = random.choice((6, 6, 7, 8)) if self.chance(0.95) else random.randrange(6)
            table = self.pointer(max(64 << bits, PAGE))
            self.put(table + SOURCE * 64, ste, 64)
            return table, registers.STRTAB_BASE_CFG(LOG2SIZE=bits).value, f"linear, {text}"
        split = random.choice((6, 8, 10))
        bits = random.choice((split, split + 1, 16)) if self.chance(0.95) else random.randrange(6)
        size = 8 << max(bits - split, 3)
        table, second = self.pointer(max(size, PAGE)), self.pointer(64 << min(split, 6))
        span = 7 if self.chance(0.97) else random.randrange(16)
        entry = L1STD(Span=span, L2Ptr=second)
        entry = L1STD(self.spoiled(entry.value, "L1STD"))
        self.put(table, entry.value)
        self.notes["span"] = entry.Span
        self.notes["far"] = entry.value >> 44
        self.notes["unaligned"] = entry.value & 0xFE0
        self.put(second + SOURCE * 64, ste, 64)
        return table, registers.STRTAB_BASE_CFG(FMT=1, SPLIT=split, LOG2SIZE=bits).value, f"2 levels, {text}"

    def stream(self) -> tuple[int, str]:
        random, idr0 = self._random, self._caps.idr0
        kinds = [4, 0] + [5] * 6 * idr0.S1P + [6] * 6 * idr0.S2P + [7] * 6 * (idr0.S1P & idr0.S2P)
        config = random.choice(kinds) if self.chance(0.97) else random.randrange(8)
        ste = STE(V=int(self.chance(0.97)), Config=config, S2VMID=random.choice((0, 1, 300)))
        ste.S1STALLD = int(self.chance(0.02))
        ste.EATS = random.randrange(4) if self.chance(0.05) else 0
        text = ""
        if config & 2:
            text += self.stage2(ste, nested=config == 7)
        if config & 1:
            ste.S1ContextPtr = self.pointer()
            ste.S1DSS = random.randrange(4)
            cd, more = self.context()
            self.put(ste.S1ContextPtr, cd, 64)
            text += more
        value = _no_end(STE(self.spoiled(ste.value, "STE", 512)), "S2PS")
        self.notes["S1STALLD"] = STE(value).S1STALLD
        self.notes["S1CDMax"] = STE(value).S1CDMax
        self.notes["far context"] = STE(value).S1ContextPtr >> 44
        if STE(value).Config & 2:
            ste = STE(value)
            size = 64 - ste.S2T0SZ
            self.notes["high"] = ste.S2TTB >> 48
            self.notes["input"] = int(size > OAS_BITS[ste.S2PS])
            start = STAGE2_START.get(GRANULES_TG0[ste.S2TG], {}).get(ste.S2SL0)
            granule = GRANULES_TG0[ste.S2TG]
            self.notes["concatenated"] = int(
                start is not None and size - (granule + (granule - 3) * (3 - start)) > granule - 3
            )
            self.notes["short"] = int(start is not None and size <= granule + (granule - 3) * (3 - start))
        self.notes["config"] = STE(value).Config
        return value, f"{STE(value)!r} {text}"

    # --- Stage 1

    def context(self) -> tuple[int, str]:
        random = self._random
        cd = CD(
            V=int(self.chance(0.98)), AA64=1, A=int(self.chance(0.98)), R=int(self.chance(0.9)), IPS=4,
            ASID=random.choice((1, 300)), AFFD=int(self.chance(0.1)), TBI0=int(self.chance(0.2)),
            TBI1=int(self.chance(0.2)), HAD0=int(self.chance(0.1)), HAD1=int(self.chance(0.1)),
            ENDI=int(self.chance(0.01)), WXN=int(self.chance(0.05)),
        )  # fmt: skip
        if self.chance(0.1):
            cd.IPS = random.randrange(6)
        for upper in (False, True):
            off = self.chance(0.7 if upper else 0.1)
            size = random.randrange(16, 40) if self.chance(0.97) else random.randrange(64)
            tg = random.choice((0, 1, 2) if not upper else (1, 2, 3)) if self.chance(0.98) else 3 * (not upper)
            granule = (GRANULES_TG1 if upper else GRANULES_TG0)[tg]
            table = 0
            if not off and granule and 12 <= size <= 48:
                bits = 64 - size
                start = 4 - -(-(bits - granule) // (granule - 3))
                table = self.tables(1, granule, bits, start, upper=upper)
            if upper:
                cd.EPD1, cd.T1SZ, cd.TG1, cd.TTB1 = int(off), size, tg, table
            else:
                cd.EPD0, cd.T0SZ, cd.TG0, cd.TTB0 = int(off), size, tg, table
        value = _no_end(CD(self.spoiled(cd.value, "CD", 512)), "IPS")
        self.notes["high"] = self.notes.get("high", 0) | CD(value).TTB0 >> 48 | CD(value).TTB1 >> 48
        self.notes["TTB"] = (CD(value).TTB0 ^ cd.TTB0) | (CD(value).TTB1 ^ cd.TTB1)
        self.notes["PAN"] = CD(value).PAN
        self.notes["TBI"] = CD(value).TBI0 ^ CD(value).TBI1
        return value, repr(CD(value))

    # --- Stage 2

    def stage2(self, ste: STE, *, nested: bool) -> str:
        random = self._random
        ste.S2AA64, ste.S2R, ste.S2PS = 1, int(self.chance(0.9)), 4
        ste.S2AFFD, ste.S2PTW = int(self.chance(0.1)), int(self.chance(0.05))
        ste.S2ENDI = int(self.chance(0.01))
        if self.chance(0.1):
            ste.S2PS = random.randrange(6)
        tg = random.choice((0, 1, 2)) if self.chance(0.98) else 3
        granule = GRANULES_TG0[tg] or 12
        ste.S2TG = tg
        bits = random.randrange(31 if nested else 25, 45)
        levels = [
            (code, start) for code, start in STAGE2_START[granule].items()
            if code < 3 and 0 <= bits - (granule + (granule - 3) * (3 - start)) - 1 <= granule - 3 + 3
        ]  # fmt: skip
        plain = [one for one in levels if bits - (granule + (granule - 3) * (3 - one[1])) <= granule - 3]
        if plain and self.chance(0.9):
            levels = plain
        code, start = random.choice(levels) if levels else (1, 1)
        if self.chance(0.04):
            code = random.randrange(4)
        if self.chance(0.04):
            bits = random.randrange(1, 64)
        ste.S2SL0, ste.S2T0SZ = code, 64 - bits
        if levels and 25 <= bits <= 48:
            ste.S2TTB = self.tables(2, granule, bits, start, identity=nested)
        return ""

    # --- Tables

    def tables(
        self, stage: int, granule: int, bits: int, start: int, *, upper: bool = False, identity: bool = False
    ) -> int:
        """Map a few pages of each size; with `identity`, tables and arena too, at their own addresses."""
        random = self._random
        shifts = [granule + (granule - 3) * (3 - level) for level in range(4)]
        width = bits - shifts[start]
        if not 0 < width <= granule - 3 + 4:
            return 0
        root = self._image.page(-(-(8 << width) // PAGE), max(8 << width, PAGE))
        place = _Place(stage, granule, start, shifts, root, (1 << width) - 1)
        if identity:
            for region in range(self._base + TABLES, self._base + TABLES + _MB2, max(_MB2, 1 << shifts[2])):
                self.map(place, region, region, 2, good=True)
            if self.chance(0.6):
                self.map(place, self._base + ARENA, self._base + ARENA, 2, good=self.chance(0.7))
            else:
                for page in range(0, ARENA_SIZE, max(1 << granule, 0x10000)):
                    self.map(place, self._base + ARENA + page, self._image.frame(random), 3, good=self.chance(0.7))
        for _ in range(7):
            address = random.getrandbits(bits) & -PAGE
            if self.chance(0.4) and self.addresses:
                address = (
                    random.choice(self.addresses) ^ random.randrange(8) << random.choice((granule, shifts[2]))
                ) % (1 << bits)
            leaf = random.choice((3, 3, 3, 2, 2, 1)) if granule == 12 or self.chance(0.03) else random.choice((3, 3, 2))
            self.notes["block"] = self.notes.get("block", 0) | int(granule != 12 and max(leaf, start) == 1)
            output = self._image.frame(random)
            if self.chance(0.03):
                output = random.choice((FAR, 1 << 44, 1 << 47)) + random.randrange(1 << 12) * PAGE
            self.map(place, address, output, max(leaf, start), good=False)
            span = 1 << shifts[max(leaf, start)]
            target = address // span * span | self._image.frame(random) % span
            if not identity:
                self.addresses.append(target | -1 << bits & 0xFFFFFFFFFFFFFFFF if upper else target)
        return root

    def map(self, place: _Place, address: int, output: int, leaf: int, *, good: bool) -> None:
        """Write the descriptors on the way to one page or block."""
        random = self._random
        table = place.root
        for level in range(place.start, 4):
            shift = place.shifts[level]
            mask = place.mask if level == place.start else (1 << place.granule - 3) - 1
            at = table + (address >> shift & mask) * 8
            known = self._image.get(at)
            if level in (leaf, 3):
                if not known:
                    self.put(at, self.leaf(place.stage, level, output, shift, good=good))
                return
            if not known:
                known = self.pointer(1 << place.granule) | _TABLE_OR_PAGE
                if not good:
                    if self.chance(0.04):
                        known &= ~(1 << random.randrange(2))
                    if self.chance(0.05) and place.stage == 1:
                        known |= 1 << random.choice((59, 60, 61, 62, 63))
                    known = self.spoiled(known, f"table of stage {place.stage}", part=0.03)
                    self.notes["block"] = self.notes.get("block", 0) | int(
                        known & 3 == _BLOCK and place.no_block(level)
                    )
                self.put(at, known)
            table = known & 0xFFFFFFFFF000 & -(1 << place.granule)
            if known & 3 != _TABLE_OR_PAGE or not self._base <= table < FAR:
                return

    def leaf(self, stage: int, level: int, output: int, shift: int, *, good: bool) -> int:
        random = self._random
        value = output >> shift << shift | (_TABLE_OR_PAGE if level == 3 else _BLOCK) | 1 << 10
        value |= random.randrange(8) << 2 if stage == 1 else 0xF << 2
        if good:
            return value | (0x3 << 6 if stage == 2 else 0x1 << 6)
        value |= (1 << 6 if self.chance(0.6) else random.randrange(4) << 6) if stage == 1 else (
            0xC0 if self.chance(0.6) else random.randrange(4) << 6
        )  # fmt: skip
        if self.chance(0.1):
            value &= ~(1 << 10)
        value |= random.randrange(4) << 8 | (1 << 11 if self.chance(0.5) else 0)
        if self.chance(0.1):
            value |= 1 << random.choice((51, 52, 53, 54, 55, 59, 63))
        if self.chance(0.03):
            value &= ~(1 << random.randrange(2))
        return self.spoiled(value, f"leaf of stage {stage}")


def _no_end(structure: CD | STE, size: str) -> int:
    """Take away what ends QEMU: address sizes of 6 and 7, and stage 2 tables of AArch32.

    Source: qemu/qemu, hw/arm/smmuv3-internal.h, oas2bits; hw/arm/smmuv3.c, decode_ste_s2_cfg (`g_assert_not_reached`).
    """
    if getattr(structure, size) > 5:
        setattr(structure, size, 5)
    if isinstance(structure, STE) and structure.Config & 2:
        structure.S2AA64 = 1
    return structure.value


class _Place:
    """A translation table to map pages in."""

    def __init__(self, stage: int, granule: int, start: int, shifts: list[int], root: int, mask: int) -> None:
        self.stage = stage
        self.granule = granule
        self.start = start
        self.shifts = shifts
        self.root = root
        self.mask = mask

    def no_block(self, level: int) -> bool:
        """Tell whether this granule has no blocks at a level (DDI 0487 D8.3.1)."""
        return level < (1 if self.granule == 12 else 2)
