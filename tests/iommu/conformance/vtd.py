"""VT-d: legacy mode, and scalable mode with either stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from iommuman.iommu import Memory
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Qemu
from iommuman.iommu.vtd.layout import (
    CAP,
    CCMD,
    ECAP,
    FRCD,
    FSTS,
    GCMD,
    IOTLB,
    RTADDR,
    ContextEntry,
    FirstStagePage,
    PasidDirectoryEntry,
    PasidEntry,
    RootEntry,
    ScalableContextEntry,
    ScalableRootEntry,
    SecondStagePage,
)  # fmt: skip
from iommuman.iommu.vtd.model import READ, WRITE, Blocked, Hardware, RemappingUnit
from iommuman.iommu.vtd.names import PGTT, TT

from .harness import PAGE, SOURCE, Configuration, Image, Known, Write
from .vtd_known import HOST_WIDTH, KNOWN

FAR = 1 << 44
"""Where no machine has memory, within the host's width."""
_GLOBAL_CONTEXT = Write(CCMD.offset, CCMD(ICC=1, CIRG=1).value, 8)


class Vtd:
    """VT-d in one of its modes."""

    def __init__(self, machine: str) -> None:
        """Take one of the machines."""
        self.name = machine
        self.machine = machine
        self.watched: Sequence[tuple[int, int]] = ()
        self.after: Sequence[Write] = ()
        self.stop: Sequence[Write] = (Write(GCMD.offset, 0, 4),)
        self.quiet: tuple[int, ...] = (0, 0, 0)
        self.known: Sequence[Known] = KNOWN
        self._hardware = Hardware(CAP(), ECAP())

    def prepare(self, machine: Qemu) -> None:
        """Read what the unit can do."""
        at = machine.registers
        cap, ecap = CAP(machine.read_mmio(at + CAP.offset, 8)), ECAP(machine.read_mmio(at + ECAP.offset, 8))
        if ecap.SMTS:
            ecap = ecap.replace(SMPWCS=1)  # QEMU's walks are coherent, which it does not say
        self._hardware = Hardware(cap, ecap, haw=HOST_WIDTH)
        record = cap.FRO * 16
        self.watched = ((FSTS.offset, 4), (record, 8), (record + 8, 8))
        self.after = (Write(record + 12, 1 << 31, 4), Write(FSTS.offset, 0xFF, 4))
        self._flush = Write(ecap.IRO * 16 + IOTLB.offset, IOTLB(IVT=1, IIRG=1).value, 8)

    def records(self, seen: list[tuple[int, ...]], _: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Take out what is no record, and the PASID of those that have none (11.4, FRCD: PV goes with PP)."""
        return [self._record(*one) for one in seen]

    def _record(self, status: int, low: int, high: int) -> tuple[int, ...]:
        if not high >> 63:
            return status, 0, 0
        return status, low, high if high >> 31 & 1 else high & ~(FRCD.PV.mask >> 64)

    def model(self, memory: Memory) -> RemappingUnit:
        """Return a unit like QEMU's."""
        return RemappingUnit(memory, self._hardware)

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Send a request."""
        assert isinstance(model, RemappingUnit)
        found = model.translate(SOURCE, address, WRITE if write else READ)
        return None if isinstance(found, Blocked) else found

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Forget translations, mostly."""
        return (self._flush,) if random.random() < 0.9 else ()

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write root table, contexts and page tables."""
        writer = _Writer(random, image, self._hardware)
        scalable = bool(self._hardware.ecap.SMTS) and random.random() < 0.9
        root, text = writer.scalable() if scalable else writer.legacy()
        mode = int(scalable) if random.random() < 0.98 else random.choice((2, 3))
        before = [
            Write(RTADDR.offset, RTADDR(RTA=root, TTM=mode).value, 8),
            Write(GCMD.offset, GCMD(SRTP=1).value, 4),
            _GLOBAL_CONTEXT,
            self._flush,
            Write(GCMD.offset, GCMD(TE=1).value, 4),
        ]
        text = f"{'scalable' if scalable else 'legacy'} mode {mode}, {text}"
        return Configuration(before, writer.addresses, text, notes={**writer.notes, "mode": mode})


class _Writer:
    """Lays tables out, mostly right."""

    def __init__(self, random: Random, image: Image, hardware: Hardware) -> None:
        self._random = random
        self._image = image
        self._hardware = hardware
        self.addresses: list[int] = []
        self.notes: dict[str, int] = {}

    def chance(self, part: float) -> bool:
        return self._random.random() < part

    def spoiled(self, value: int, bits: int, part: float = 0.04) -> int:
        """Set a random bit of a structure now and then, whatever it means."""
        return value ^ 1 << self._random.randrange(bits) if self.chance(part) else value

    def pointer(self) -> int:
        """Return the address of a new table; now and then one where there is no memory."""
        return self._image.page() if self.chance(0.98) else FAR + self._random.randrange(1 << 8) * PAGE

    def put(self, address: int, value: int, size: int = 8) -> None:
        if address < FAR:
            self._image.put(address, value, size)

    def legacy(self) -> tuple[int, str]:
        random = self._random
        root, contexts, table = self.pointer(), self.pointer(), self.pointer()
        present = int(self.chance(0.97))
        self.put(root + (SOURCE >> 8) * 16, self.spoiled(RootEntry(P=present, CTP=contexts).value, 128), 16)
        aw = random.choice((1, 2, 1, 2, 1, 2, 0, 3, 5)) if self.chance(0.5) else random.choice((1, 2))
        entry = ContextEntry(
            P=int(self.chance(0.96)), FPD=int(self.chance(0.1)), TT=random.choice((0, 0, 0, 0, 0, 0, 0, 1, 2, 3)),
            SSPTPTR=table, AW=aw, DID=random.choice((1, 7, 0xFFFF)),
        )  # fmt: skip
        entry = ContextEntry(self.spoiled(entry.value, 128))
        self.put(contexts + (SOURCE & 0xFF) * 16, entry.value, 16)
        self.notes["pass"] = int(entry.TT == TT.PASS_THROUGH)
        self.second_stage(table, min(aw + 2, 5))
        return root, f"{entry!r}"

    def scalable(self) -> tuple[int, str]:
        random = self._random
        root, contexts, directory, pasids, table, first = (self.pointer() for _ in range(6))
        image = self._image
        if contexts < FAR:
            image.page()  # a context table of scalable mode has 4 KiB for 16 functions of 8: two pages a half
        entry = ScalableRootEntry(LP=int(self.chance(0.97)), LCTP=contexts, UP=int(self.chance(0.5)), UCTP=contexts)
        entry = ScalableRootEntry(self.spoiled(entry.value, 128))
        self.put(root + (SOURCE >> 8) * 16, entry.value, 16)
        self.notes["upper"] = entry.value >> 64 & (0xFFE | self._hardware.beyond)
        ecap, more = self._hardware.ecap, self.chance(0.05)
        rid_pasid = random.choice((0, 1, 70)) if ecap.RPS or more else 0
        context = ScalableContextEntry(
            P=int(self.chance(0.96)), FPD=int(self.chance(0.1)), DTE=int(more and self.chance(0.3)),
            PASIDE=int(more and self.chance(0.3)), PRE=int(more and self.chance(0.3)),
            PDTS=random.randrange(8) if more else 0, PASIDDIRPTR=directory, RID_PASID=rid_pasid,
            RID_PRIV=int(more and self.chance(0.3)),
        )  # fmt: skip
        context = ScalableContextEntry(self.spoiled(context.value, 256))
        self.put(contexts + (SOURCE & 0x7F) * 32, context.value, 32)
        features = (context.DTE, context.PASIDE, context.PRE, context.PDTS, context.RID_PASID, context.RID_PRIV)
        self.notes["more"] = int(any(features))
        used = rid_pasid if self._hardware.ecap.RPS else 0
        step = PasidDirectoryEntry(P=int(self.chance(0.97)), FPD=int(self.chance(0.05)), SMPTBLPTR=pasids)
        step = PasidDirectoryEntry(self.spoiled(step.value, 64))
        self.put(directory + (used >> 6) * 8, step.value)
        pgtt = 1 if self._hardware.ecap.FSTS else 2
        aw = random.randrange(8) if self.chance(0.05) else 2 if ecap.FSTS else random.choice((1, 2))
        entry_of = PasidEntry(
            P=int(self.chance(0.97)), FPD=int(self.chance(0.1)), AW=aw,
            PGTT=pgtt if self.chance(0.85) else random.randrange(8), SSPTPTR=table,
            DID=random.choice((1, 7, 0xFFFF)), FSPTPTR=first, FSPM=int(self.chance(0.05)),
            WPE=int(self.chance(0.3)), PWSNP=int(self.chance(0.97)),
        )  # fmt: skip
        entry_of = PasidEntry(self.spoiled(entry_of.value, 512, 0.06))
        self.put(pasids + (used & 0x3F) * 64, entry_of.value, 64)
        self.notes["pass"] = int(entry_of.PGTT == PGTT.PASS_THROUGH)
        self.notes["fpd"] = entry_of.FPD | step.FPD
        self.notes["first"] = int(entry_of.PGTT == PGTT.FIRST_STAGE)
        self.notes["aw"] = entry_of.AW
        self.notes["no snoop"] = 1 - entry_of.PWSNP
        self.second_stage(table, min(aw + 2, 5))
        self.first_stage(first)
        return root, f"{context!r} {entry_of!r}"

    def second_stage(self, root: int, levels: int) -> None:
        """Map a few pages of each size."""
        random = self._random
        for _ in range(8):
            address = random.getrandbits(min(12 + 9 * levels, 57)) & -PAGE
            if self.chance(0.4) and self.addresses:  # a neighbour shares tables
                address = random.choice(self.addresses) ^ random.randrange(8) << random.choice((12, 12, 21, 30))
            leaf = random.choice((1, 1, 1, 2, 2, 3))
            self.addresses.append(self._arena(address, leaf))
            table = root
            for level in range(levels, 0, -1):
                at = table + (address >> 3 + 9 * level & 0x1FF) * 8
                known = self._image.get(at)
                if level <= leaf:
                    if not known:
                        entry = self.spoiled(self._page(level), 64, 0.08)
                        self.notes["snp"] = self.notes.get("snp", 0) | entry & SecondStagePage.SNP.mask
                        self.put(at, entry)
                    break
                if not known:
                    known = self.pointer() | (3 if self.chance(0.93) else random.randrange(8))
                    if self.chance(0.05):
                        known |= 1 << random.choice((2, 6, 8, 9, 11, 52, 61, 62, 63))
                    self.put(at, self.spoiled(known, 64, 0.03))
                table = known & 0xFFFFFFFFFF000
                if table >= FAR or not table or self._is_page(known, level):
                    break

    def first_stage(self, root: int) -> None:
        """Map a few pages of each size in a first-stage table of four levels."""
        random = self._random
        for _ in range(8):
            address = random.getrandbits(48) & -PAGE
            if address >> 47 and self.chance(0.8):
                address |= 0xFFFF << 48
            if self.chance(0.4) and self.addresses:
                address = random.choice(self.addresses) ^ random.randrange(8) << random.choice((12, 12, 21, 30))
            leaf = random.choice((1, 1, 1, 2, 2, 3))
            self.addresses.append(self._arena(address, leaf))
            table = root
            for level in range(4, 0, -1):
                at = table + (address >> 3 + 9 * level & 0x1FF) * 8
                known = self._image.get(at)
                if level <= leaf:
                    if not known:
                        low = self._page(level) & ~0xF7F | (7 if self.chance(0.8) else random.randrange(8))
                        low |= (0x20 if self.chance(0.9) else 0) | (0x40 if self.chance(0.9) else 0)
                        low = self.spoiled(low, 64, 0.08)
                        self.notes["xd"] = self.notes.get("xd", 0) | low & FirstStagePage.XD.mask
                        self.put(at, low)
                    break
                if not known:
                    known = self.pointer() | (7 if self.chance(0.9) else random.randrange(8))
                    known = self.spoiled(known | (0x20 if self.chance(0.97) else 0), 64, 0.03)
                    self.notes["xd"] = self.notes.get("xd", 0) | known & FirstStagePage.XD.mask
                    self.put(at, known)
                table = known & 0xFFFFFFFFFF000
                if table >= FAR or not table or self._is_page(known, level):
                    break

    @staticmethod
    def _is_page(entry: int, level: int) -> bool:
        return bool(entry & 0x80 and level <= 3)

    def _page(self, level: int) -> int:
        """Return an entry that maps a page, mostly one that reaches into the arena."""
        random = self._random
        entry = 3 if self.chance(0.6) else random.randrange(8)
        if self.chance(0.1):
            entry |= random.choice((0x8, 0x40, 0x100, 0x200, 0x400, 1 << 52, 1 << 63))
        frame = self._image.frame(random)
        if self.chance(0.03):
            frame = FAR + random.randrange(1 << 12) * PAGE
        span = 1 << 3 + 9 * level
        low = frame % span if self.chance(0.03) else 0
        return entry | (0x80 if level > 1 else 0) | frame // span * span | low & -PAGE

    def _arena(self, address: int, leaf: int) -> int:
        """Return an address of the same page whose output is in the arena, whatever the size of the page."""
        span = 1 << 3 + 9 * leaf
        return address // span * span | self._image.frame(self._random) % span
