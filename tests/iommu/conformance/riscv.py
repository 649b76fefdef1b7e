"""RISC-V IOMMU: directories of every depth, first stage, second stage, both, and the default process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from iommuman.iommu import Memory
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Qemu
from iommuman.iommu.riscv.layout import DC, PC, DirectoryEntry, PageTableEntry
from iommuman.iommu.riscv.layout.queues import Command, IoDir, IotInval
from iommuman.iommu.riscv.layout.registers import CAPABILITIES, CQB, CQCSR, CQT, DDTP, FQB, FQCSR, FQH, FQT
from iommuman.iommu.riscv.model import READ, WRITE, Capabilities, Model
from iommuman.iommu.riscv.names import DirectoryMode, Func

from .harness import MOST_TABLES, PAGE, SOURCE, TABLES, Configuration, Image, Known, Write
from .riscv_known import KNOWN, LEVELS, Laid

FAR = 1 << 44
"""Where no machine has memory, within capabilities.PAS."""
GSCID, PSCID = 7, 5
_FORGET: tuple[Command, ...] = (
    IotInval(func=Func.IOTINVAL_VMA),
    IotInval(func=Func.IOTINVAL_VMA, GV=1, GSCID=GSCID),
    IotInval(func=Func.IOTINVAL_GVMA),
    IoDir(func=Func.IODIR_INVAL_DDT),
)
"""What lies in the command queue: the first three forget translations, and the last one directories as well."""
QUEUES, _FAULTS = 0x0080_0000, 0x1000
"""Where the queues lie, from the beginning of memory: commands, and a page further 128 records of faults."""
_COMMANDS_ON = (Write(CQCSR.offset, 0, 4), Write(CQT.offset, 0, 4), Write(CQCSR.offset, 1, 4))
_PAGE_NUMBERS = {
    64: range(19, 54),
    128: range(64 + 9, 64 + 44),
    512: (*range(64 + 9, 64 + 44), *range(192 + 9, 192 + 44), *range(256 + 9, 256 + 44)),
}
"""Bits of page numbers beyond the memory for tables, in entries, process contexts and device contexts."""
_V, _R, _W, _X, _U, _A, _D = 1, 2, 4, 8, 16, 64, 128
_GOOD = _V | _R | _W | _X | _U | _A | _D


def _commands() -> bytes:
    return b"".join(bytes(command) for command in _FORGET)


class Riscv:
    """The RISC-V IOMMU."""

    def __init__(self, machine: str = "virt-riscv") -> None:
        """Take the machine."""
        self.name = machine
        self.machine = machine
        self.watched: Sequence[tuple[int, int]] = ((FQT.offset, 4), (FQCSR.offset, 4))
        self.after: Sequence[Write] = ()
        self.stop: Sequence[Write] = (Write(DDTP.offset, 0, 8), Write(CQCSR.offset, 0, 4), Write(FQCSR.offset, 0, 4))
        self.quiet: tuple[int, ...] = (0, FQCSR(fqen=1, fqon=1).value, 0, 0, 0, 0)
        self.known: Sequence[Known] = KNOWN
        self._caps = Capabilities()

    def prepare(self, machine: Qemu) -> None:
        """Read what the unit can do; counters of events are not modelled."""
        have = CAPABILITIES(machine.read_mmio(machine.registers, 8))
        self._caps = Capabilities(register=have.replace(HPM=0))
        self._base = machine.ram[0]
        machine.write(self._base + QUEUES, _commands())

    def records(self, seen: list[tuple[int, ...]], read: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Return number of records, flags of the queue, and the first record of each access."""
        found, before = [], 0
        for tail, flags in seen:
            raw = bytes(32) if tail == before else read(self._base + QUEUES + _FAULTS + 32 * before, 32)
            words = (int.from_bytes(raw[at : at + 8], "little") for at in range(0, 32, 8))
            found.append((tail - before, flags, *words))
            before = tail
        return found

    def model(self, memory: Memory) -> Model:
        """Return a unit like QEMU's."""
        memory.write(self._base + QUEUES, _commands())
        return Model(memory, self._caps)

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Send a request."""
        assert isinstance(model, Model)
        found = model.translate(SOURCE, address, WRITE if write else READ)
        return None if found < 0 else found

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Forget translations, mostly."""
        return (*_COMMANDS_ON, Write(CQT.offset, 3, 4)) if random.random() < 0.9 else ()

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write queues, directories and page tables."""
        commands, faults = image.base + QUEUES, image.base + QUEUES + _FAULTS
        writer = _Writer(random, image)
        root, mode, text = writer.device()
        before = [
            Write(DDTP.offset, 0, 8), Write(CQCSR.offset, 0, 4), Write(FQCSR.offset, 0, 4),
            Write(CQB.offset, CQB(LOG2SZ=2, PPN=commands).value, 8),
            Write(FQB.offset, FQB(LOG2SZ=6, PPN=faults).value, 8),
            *_COMMANDS_ON, Write(CQT.offset, len(_FORGET), 4), Write(FQH.offset, 0, 4), Write(FQCSR.offset, 1, 4),
            Write(DDTP.offset, DDTP(iommu_mode=mode, PPN=root).value, 8),
        ]  # fmt: skip
        return Laid(
            before, writer.addresses, text, words=image.words, dc=writer.dc, pc=writer.pc, mode=mode,
            caps=self._caps,
        )  # fmt: skip


class _Writer:
    """Lays structures out, mostly right."""

    def __init__(self, random: Random, image: Image) -> None:
        self._random = random
        self._image = image
        self.addresses: list[int] = []
        self.dc, self.pc = DC(), PC()
        self.plain = False
        """Nothing wrong in page tables but what is not mapped: of what DTF silences, no record would tell."""

    def chance(self, part: float) -> bool:
        return self._random.random() < part

    def spoiled(self, value: int, bits: int, part: float = 0.04) -> int:
        """Change a random bit of a structure now and then, whatever it means.

        Bits of page numbers change so that they stay within memory for tables: elsewhere a machine has other things.
        """
        if self.plain or not self.chance(part):
            return value
        bit = self._random.randrange(bits)
        while bit in _PAGE_NUMBERS[bits]:
            bit = self._random.randrange(bits)
        return value ^ 1 << bit

    def pointer(self) -> int:
        """Return the address of a new table; now and then one where there is no memory."""
        return self._image.page() if self.chance(0.98) else FAR + self._random.randrange(1 << 8) * PAGE

    def put(self, address: int, value: int, size: int = 8) -> None:
        """Write where there is memory for tables, and nowhere else."""
        if self.within(address):
            self._image.put(address, value, size)

    def within(self, address: int) -> bool:
        """Tell whether an address is that of memory for tables."""
        start = self._image.base + TABLES
        return start <= address < start + MOST_TABLES * PAGE

    def device(self) -> tuple[int, int, str]:
        """Lay a device directory out, and all below it; return its root and mode."""
        random = self._random
        mode = random.choice((DirectoryMode.LVL1, DirectoryMode.LVL2, DirectoryMode.LVL3))
        root = table = self.pointer()
        for _ in range(mode - DirectoryMode.LVL1):
            below = self.pointer()
            entry = DirectoryEntry(V=int(self.chance(0.97)), PPN=below)
            self.put(table, self.spoiled(entry.value, 64))
            table = below
        kind = random.choice(("first", "first", "second", "second", "nested", "nested", "process", "bare"))
        dc = DC(V=int(self.chance(0.97)), DTF=int(self.chance(0.08)), PSCID=PSCID)
        second = first = 0
        if kind in ("second", "nested"):
            second = self._image.page(4, 4 * PAGE)
            dc = dc.replace(iohgatp_PPN=second, iohgatp_MODE=self.mode(), GSCID=GSCID)
        if kind in ("first", "nested"):
            first = self.pointer()
            dc = dc.replace(fsc_PPN=first, fsc_MODE=self.mode())
        pc = PC()
        if kind == "process":
            first, pdt = self.pointer(), self.pointer()
            dc = dc.replace(PDTV=1, DPE=int(self.chance(0.9)), fsc_PPN=pdt, fsc_MODE=1)
            pc = PC(V=int(self.chance(0.96)), PSCID=PSCID, fsc_PPN=first, fsc_MODE=self.mode())
            pc = PC(self.spoiled(pc.value, 128, 0.06))
            self.put(pdt, pc.value, 16)
        dc = DC(self.spoiled(dc.value, 512, 0.06))
        self.plain = bool(dc.DTF)
        self.put(table + SOURCE * DC.size, dc.value, DC.size)
        if self.chance(0.02):
            mode = random.choice((DirectoryMode.OFF, DirectoryMode.BARE))
        window = None
        if kind == "nested":
            window = self.window(second, dc.iohgatp_MODE)
            self.stage(second, dc.iohgatp_MODE, 2)
            self.guests(first, dc.fsc_MODE, window)
        elif kind == "second":
            self.stage(second, dc.iohgatp_MODE, 2)
        elif kind != "bare":
            self.stage(first, pc.fsc_MODE if kind == "process" else dc.fsc_MODE, 1)
        else:
            self.addresses += [self._image.frame(random) for _ in range(8)]
        self.dc, self.pc = dc, pc
        return root, mode, f"{kind}, mode {mode:d}, {dc!r} {pc!r}"

    def mode(self) -> int:
        """Return a mode of translation, mostly one that there is."""
        return self._random.choice((8, 9, 10)) if self.chance(0.97) else self._random.randrange(16)

    def window(self, root: int, mode: int) -> int:
        """Map all memory for tables at the second stage, one to one, where guests find their tables."""
        base = self._image.base + TABLES & -(1 << 21)
        for at in range(base, base + (1 << 22), 1 << 21):
            flags = _GOOD if self.plain or self.chance(0.97) else _V | self._random.getrandbits(8)
            self.map(root, LEVELS.get(mode, 3), at, at, 1, flags)
        return base

    def stage(self, root: int, mode: int, number: int) -> None:
        """Map a few pages of each size."""
        levels = LEVELS.get(mode, 3)
        bits = 12 + 9 * levels + (2 if number == 2 else 0)
        for _ in range(8):
            address = self.near(bits, signed=number == 1)
            leaf = self._random.choice((0, 0, 0, 1, 1, 2))
            address = self.arena(address, leaf)
            self.addresses.append(address)
            self.map(root, levels, address, self.output(leaf), leaf, self.flags(), spoil=0.08)

    def guests(self, root: int, mode: int, window: int) -> None:
        """Map a few pages of a guest to addresses that its second stage maps, or to others."""
        levels = LEVELS.get(mode, 3)
        known = [*self.addresses]
        for _ in range(8):
            address = self.near(12 + 9 * levels, signed=True)
            output = self._random.choice(known) if self.chance(0.95) else window
            self.addresses.append(address)
            self.map(root, levels, address, output & (1 << 56) - PAGE, 0, self.flags(), spoil=0.08)

    def near(self, bits: int, *, signed: bool) -> int:
        """Return an address of so many bits, at times a neighbour of one that there is."""
        address = self._random.getrandbits(bits) & -PAGE
        if self.chance(0.4) and self.addresses:
            address = self._random.choice(self.addresses) ^ self._random.randrange(8) << self._random.choice(
                (12, 12, 21)
            )
        if signed and address >> bits - 1 & 1 and self.chance(0.9):
            address |= (1 << 64) - (1 << bits)
        return address

    def arena(self, address: int, leaf: int) -> int:
        """Return an address of the same page whose output is in the arena, whatever the size of the page."""
        span = 1 << 12 + 9 * leaf
        return address // span * span | self._image.frame(self._random) % span

    def output(self, leaf: int) -> int:
        """Return the output of a page, mostly one that reaches into the arena."""
        if self.chance(0.03):
            return FAR + self._random.randrange(1 << 12) * PAGE
        frame = self._image.frame(self._random)
        return frame if self.chance(0.03) else frame >> 12 + 9 * leaf << 12 + 9 * leaf

    def flags(self) -> int:
        """Return flags of a leaf, mostly of one that lets accesses through."""
        flags = _GOOD if self.chance(0.6) else _V | _U | _A | _D | self._random.choice((_R, _R | _W, _X, _R | _X))
        if self.plain:
            return _GOOD
        if self.chance(0.1):
            flags &= ~self._random.choice((_V, _A, _D, _A | _D, _U))
        return flags

    def map(self, root: int, levels: int, address: int, output: int, leaf: int, flags: int, spoil: float = 0.0) -> None:
        """Write a leaf, and pointers on the way to it."""
        table = root
        for level in range(levels - 1, -1, -1):
            wide = 0x7FF if level == levels - 1 and root % (4 * PAGE) == 0 else 0x1FF
            at = table + (address >> 12 + 9 * level & wide) * 8
            known = self._image.get(at)
            if level <= leaf:
                if not known:
                    entry = self.spoiled(output >> 12 << 10 | flags, 64, spoil)
                    self.put(at, entry)
                return
            if not known:
                known = self.spoiled(self.pointer() >> 2 | _V, 64, 0.02 if spoil else 0)
                self.put(at, known)
            table = PageTableEntry(known).PPN
            if not self.within(table) or known & (_R | _W | _X):
                return
