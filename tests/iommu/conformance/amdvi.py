"""AMD-Vi: device table and host page tables. QEMU 10.0 records no event, so verdicts and bytes are compared.

QEMU's differences go together in one walk more often than not, and none of them shows in a record. So they are known by
what QEMU does: `_Theirs` walks as QEMU does, notes where that is not what the specification says, and a difference is
known when QEMU did exactly that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from iommuman.iommu import Memory
from iommuman.iommu.amdvi.layout import DTE, PTE, TableEntry
from iommuman.iommu.amdvi.layout.queues import InvalidateIommuAll
from iommuman.iommu.amdvi.layout.registers import (
    EFR,
    CmdBufBase,
    CmdBufTail,
    Control,
    DevTabBase,
    EventLogBase,
    ExclusionBase,
    ExclusionLimit,
)
from iommuman.iommu.amdvi.model import READ, WRITE, Blocked, Hardware, Unit
from iommuman.iommu.amdvi.names import Opcode
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Probe, Qemu

from .harness import ARENA, ARENA_SIZE, PAGE, RAM, SOURCE, Access, Configuration, Difference, Image, Known, Write, arena

FAR = 1 << 39
"""Where no machine has memory, within the width of physical addresses."""
EVENTS = 0x0080_0000
"""The event log: where nothing is compared, since QEMU 10.0 records nothing."""
_ON = Control(IommuEn=1, HtTunEn=1, EventLogEn=1, CmdBufEn=1)
"""QEMU translates with HtTunEn only, which its IVRS asks for."""
_ADDRESS = PTE.Address.mask
_SIZED = 7


class Amdvi:
    """The unit of QEMU's machine."""

    def __init__(self) -> None:
        """Take the one machine that there is."""
        self.name = "amdvi"
        self.machine = "q35-amd"
        self.watched: Sequence[tuple[int, int]] = ()
        self.after: Sequence[Write] = ()
        self.stop: Sequence[Write] = (Write(Control.offset, 0, 8),)
        self.quiet: tuple[int, ...] = ()
        self.known: Sequence[Known] = [
            Known(name, clause, f"hw/i386/amd_iommu.c, {source}", self._is(name))
            for name, (clause, source) in QUIRKS.items()
        ]
        self._hardware = Hardware()
        self._image = Image(0)
        self._done = 0
        self._pristine = arena(0)
        self._asked: Difference | None = None
        self._answer = ""
        self._range = {"start": 0, "end": 0, "everybody": 0}

    def prepare(self, machine: Qemu) -> None:
        """Read what the unit can do; of that, what is modelled."""
        efr = EFR(machine.read_mmio(machine.registers + EFR.offset, 8))
        modelled = EFR(PreFSup=efr.PreFSup, IASup=efr.IASup, GASup=efr.GASup, HATS=efr.HATS)
        self._hardware = Hardware(modelled, physical_bits=40)

    def model(self, memory: Memory) -> Unit:
        """Return a unit like QEMU's."""
        return Unit(memory, self._hardware)

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Send a request."""
        assert isinstance(model, Unit)
        found = model.translate(SOURCE, address, WRITE if write else READ)
        return None if isinstance(found, Blocked) else found

    def records(self, seen: list[tuple[int, ...]], read: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:  # noqa: ARG002 - see above
        """Return that nothing was recorded: amdvi_log_event takes the log for overflowed, whatever it is."""
        return [() for _ in seen]

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Forget everything, mostly: one command more of a buffer that is full of them."""
        if random.random() > 0.9:
            return ()
        self._done += 1
        return (Write(CmdBufTail.offset, self._done * InvalidateIommuAll.size, 8),)

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write command buffer, device table and page tables."""
        self._image = image
        self._done = 1
        commands = image.page()
        for at in range(commands, commands + PAGE, InvalidateIommuAll.size):
            image.put(at, InvalidateIommuAll(Opcode=Opcode.INVALIDATE_IOMMU_ALL).value, InvalidateIommuAll.size)
        writer = _Writer(random, image)
        table, entry = writer.device_table()
        before = [
            Write(Control.offset, 0, 8),
            Write(DevTabBase.offset, DevTabBase(Base=table).value, 8),
            Write(CmdBufBase.offset, CmdBufBase(ComBase=commands, ComLen=8).value, 8),
            Write(EventLogBase.offset, EventLogBase(EventBase=EVENTS, EventLen=8).value, 8),
            *self._exclusion(random, writer.addresses),
            Write(Control.offset, _ON.value, 8),
            Write(CmdBufTail.offset, InvalidateIommuAll.size, 8),
        ]
        return Configuration(before, writer.addresses, f"{entry!r}", notes={"table": table, **self._range})

    def _exclusion(self, random: Random, addresses: list[int]) -> list[Write]:
        """Set the exclusion range, now and then to something."""
        self._range = {"start": 0, "end": 0, "everybody": 0}
        if random.random() > 0.03:
            return [Write(ExclusionBase.offset, 0, 8)]
        start = random.choice(addresses) & -PAGE & (1 << 52) - 1
        limit = min(start + random.randrange(3) * PAGE, (1 << 52) - PAGE)
        everybody = random.randrange(2)
        self._range = {"start": start, "end": limit + PAGE, "everybody": everybody}
        base = ExclusionBase(Base=start, ExEn=1, Allow=everybody)
        return [Write(ExclusionBase.offset, base.value, 8), Write(ExclusionLimit.offset, limit, 8)]

    def _is(self, name: str) -> Callable[[Difference], bool]:
        def applies(difference: Difference) -> bool:
            if self._asked is not difference:
                self._asked = difference
                self._answer = _explained(difference, self._image, self._pristine)
            return self._answer == name

        return applies


class _Writer:
    """Lays tables out, mostly right."""

    def __init__(self, random: Random, image: Image) -> None:
        self._random = random
        self._image = image
        self.addresses: list[int] = []

    def chance(self, part: float) -> bool:
        return self._random.random() < part

    def pointer(self) -> int:
        """Return the address of a new table; now and then one where there is no memory."""
        return self._image.page() if self.chance(0.985) else FAR + self._random.randrange(1 << 8) * PAGE

    def put(self, address: int, value: int, size: int = 8) -> None:
        if address < FAR:
            self._image.put(address, value, size)

    def device_table(self) -> tuple[int, DTE]:
        """Write the device table, its one entry of interest, and page tables; returns table and entry."""
        random = self._random
        table, root = self.pointer(), self.pointer()
        mode = random.choice((1, 2, 3, 3, 3, 4, 4, 4, 5, 6)) if self.chance(0.93) else random.choice((0, 0, 7))
        granted = 3 if self.chance(0.9) else random.randrange(4)
        entry = DTE(
            V=int(self.chance(0.97)), TV=int(self.chance(0.96)), Mode=mode, Root=root, IR=granted & 1, IW=granted >> 1,
            DomainID=random.choice((1, 7, 0x55, 0xFEFF)), SA=int(self.chance(0.1)), SE=int(self.chance(0.1)),
            EX=int(self.chance(0.1)), SysMgt=random.randrange(4), IoCtl=random.randrange(4), I=int(self.chance(0.2)),
            IV=int(self.chance(0.2)), IntCtl=random.randrange(3), GLX=random.randrange(4),
        )  # fmt: skip
        if self.chance(0.12):
            bits = [bit for bit in range(256) if not 12 <= bit < 52]
            entry = DTE(entry.value ^ 1 << random.choice(bits))
        self.put(table + SOURCE * DTE.size, entry.value, DTE.size)
        for _ in range(10):
            self.map(root, mode if 1 <= mode <= 6 else 3)
        if not 1 <= mode <= 6 or not entry.V or not entry.TV:
            self.addresses = [self._image.frame(random) for _ in range(4)]
        return table, entry

    def map(self, root: int, levels: int) -> None:
        """Map a page, of some size."""
        random = self._random
        address = random.getrandbits(min(12 + 9 * levels, 64)) & -PAGE
        if self.chance(0.5) and self.addresses:  # a neighbour shares tables
            address = random.choice(self.addresses) & -PAGE ^ random.randrange(8) << random.choice((12, 12, 15, 21, 30))
        leaf = min(random.choice((1, 1, 1, 1, 2, 2, 3)), levels)
        table, level = root, levels
        while table < FAR:
            shift = 3 + 9 * level
            at = table + (address >> shift & 0x1FF) * 8
            known = self._image.get(at)
            if level <= leaf or (level < levels and self.chance(0.03)):
                if not known:
                    entry, size = self.page(level)
                    self.put(at, entry)
                    if size > shift and self.chance(0.6):  # neighbours of a page that encodes its size
                        for other in range(1, min(8, 1 << size - shift)):
                            self.put(table + ((address >> shift ^ other) & 0x1FF) * 8, entry)
                    shift = size
                address = address >> shift << shift | self._image.frame(random) % (1 << shift)
                break
            if not known:
                following = level - 1 if self.chance(0.93) else random.randrange(1, level)
                if following < level - 1 and self.chance(0.8):
                    address &= ~((1 << shift) - (1 << 12 + 9 * following))
                known = self.pointer() | TableEntry(PR=1, NextLevel=following, IR=1, IW=1).value
                known = self.spoiled_table(known)
                self.put(at, known)
            following = known >> 9 & 7
            if following in (0, _SIZED) or following >= level:
                break
            table, level = known & _ADDRESS, following
        self.addresses.append(address & (1 << 64) - 1)

    def spoiled_table(self, entry: int) -> int:
        """Take permission away now and then, or change a bit; none of the address, so that tables have no circle."""
        random = self._random
        if self.chance(0.05):
            entry &= ~(random.randrange(4) << 61)
        if self.chance(0.05):
            entry ^= 1 << random.choice((0, 1, 4, 5, 6, 7, 8, 9, 10, 11, *range(52, 64)))
        return entry

    def page(self, level: int) -> tuple[int, int]:
        """Return an entry that maps a page, mostly one that reaches into the arena, and log2 of its size."""
        random = self._random
        granted = 3 if self.chance(0.7) else random.randrange(4)
        entry = PTE(PR=1, IR=granted & 1, IW=granted >> 1, A=random.randrange(2), FC=random.randrange(2)).value
        shift = 3 + 9 * level
        frame = self._image.frame(random) if self.chance(0.97) else random.getrandbits(40) & -PAGE
        if self.chance(0.25):
            size = random.randrange(shift + 1, shift + 9) if self.chance(0.9) else random.randrange(13, 30)
            entry |= frame >> size << size | (1 << size - 1) - PAGE | _SIZED << 9
            shift = size
        else:
            entry |= frame >> shift << shift
        if self.chance(0.05):
            entry ^= 1 << random.choice((0, 1, 5, 6, 8, *range(12, 20), *range(52, 64)))
        return entry, shift


# --- QEMU's way

_SPEC = "AMD 48882 clause"
_WALK = "amdvi_page_walk"
QUIRKS = {
    "an entry without TV lets the device pass": (
        f"{_SPEC} 2.2.2.1: with TV 0 a request that needs translation is aborted", f"{_WALK}: to no_remap"),
    "bits of features that the unit lacks are accepted": (
        f"{_SPEC} 2.2.2.1: reserved unless HASup, GIoSup, GTSup",
        "amdvi_validate_dte: AMDVI_DTE_LOWER_QUAD_RESERVED"),
    "a domain ID with bit 8, interrupt fields and attributes are reserved": (
        f"{_SPEC} 2.2.2.1: DTE[79:64] is the domain ID; DTE[255:128] do not bear on memory requests",
        "amdvi_validate_dte: AMDVI_DTE_MIDDLE_QUAD_RESERVED, AMDVI_DTE_UPPER_QUAD_RESERVED, dte[3]"),
    "reserved bits refuse where V is 0": (
        f"{_SPEC} 2.2.2.1: with V 0 all other bits are ignored", "amdvi_validate_dte"),
    "the exclusion range is not looked at": (
        f"{_SPEC} 3.4, exclusion range registers", "amdvi_do_translate; amd_iommu.h: unused"),
    "address bits above the root table are ignored": (
        f"{_SPEC} 2.2.3: they must be zero", f"{_WALK}: 9 bits of each level are taken"),
    "address bits of levels that are left out are ignored": (f"{_SPEC} 2.2.3: they must be zero", _WALK),
    "NextLevel may lead to the same level or up": (f"{_SPEC} 2.2.3: it must be lower", _WALK),
    "reserved bits of page-table entries are accepted": (f"{_SPEC} 2.2.3", _WALK),
    "the present bit of the last entry is not looked at": (
        f"{_SPEC} 2.2.3: PR 0 ends the walk", f"{_WALK}: the loop ends before it is"),
    "sizes that are none of the level are accepted": (
        f"{_SPEC} 2.2.3, table of page sizes", "pte_override_page_mask"),
    "what is remembered has the permissions of the last entry alone": (
        f"{_SPEC} 2.2.3: permissions of all levels hold", "amdvi_do_translate: an IOTLB hit"),
    "a page whose entries disagree is remembered by 4 KiB": (
        f"{_SPEC} 2.2.3: all entries of a page that encodes its size are the same; the model remembers it whole",
        "amdvi_update_iotlb: keyed by 4 KiB",
    ),
}  # fmt: skip
"""What QEMU does otherwise: by name, the clause and the function."""
(
    _NO_TV, _FEATURES, _WRONG_BITS, _NOT_VALID, _EXCLUSION, _HIGH, _LEFT_OUT, _UPWARDS, _RESERVED, _ABSENT, _SIZES,
    _REMEMBERED,
    _WHOLE,
) = QUIRKS  # fmt: skip
_LOW_RESERVED, _MIDDLE_RESERVED, _UPPER_RESERVED = 0x80300000000000FC, 0x100, 0x08F0000000000000


class _Theirs:
    """QEMU's walk, step by step, on memory as it is at the time.

    Attributes:
        quirk: the first thing of the last walk that was not what the specification says.
        read: the addresses of the doublewords that the last walk read.
    """

    def __init__(self, image: Image, pristine: bytes, notes: dict[str, int]) -> None:
        """Begin with a configuration as it was laid out, and what lies in the arena then."""
        self._words = image.words
        self._notes = notes
        self._arena = pristine
        self._stored: dict[int, int] = {}
        self._remembered: dict[int, tuple[int, int, int]] = {}
        self._whole: list[tuple[int, int, int]] = []
        self.quirk = ""
        self.read: list[int] = []

    def word(self, address: int) -> int:
        """Return four bytes."""
        if address & -4 in self._stored:
            return self._stored[address & -4]
        at = address - ARENA & -4
        if 0 <= at < ARENA_SIZE:
            return int.from_bytes(self._arena[at : at + 4], "little")
        return self._words.get(address & -8, 0) >> 8 * (address & 4) & 0xFFFFFFFF

    def store(self, address: int, data: int) -> None:
        """Write four bytes."""
        self._stored[address & -4] = data

    def _read(self, address: int) -> int | None:
        self.read.append(address)
        return self.word(address) | self.word(address + 4) << 32 if address + 8 <= RAM else None

    def make(self, access: Access) -> int | None:
        """Make an access; returns the physical address."""
        if access.before:
            self._remembered.clear()
            self._whole.clear()
        self.quirk = ""
        self.read.clear()
        need = 1 if access.data is None else 2
        self._exclude(access.address)
        key = access.address >> 12 | SOURCE << 36
        found = self._remembered.get(key)
        if found is None:
            found = self._walk(access.address, need)
            if found is not None and found[2] and found[0] >= 0:
                self._remembered[key] = found
        elif found != self._walk(access.address, need):
            self.quirk = _REMEMBERED
        physical = None
        if found is not None and found[2] & need:
            base, mask, _ = found
            physical = abs(base) & ~mask | access.address & mask
        self._differs(access.address, physical)
        return physical

    def reason(self, physical: int | None, blamed: dict[int, str]) -> str:
        """Return why the last access, which went to `physical`, went otherwise on the other side.

        An entry, or the data, may be what a write left that was let pass, or led elsewhere, on one side alone: `blamed`
        has these places with their reasons.
        """
        places = [half for at in self.read for half in (at, at + 4)] + ([] if physical is None else [physical & -4])
        return self.quirk or next((blamed[place] for place in places if place in blamed), "")

    def _exclude(self, address: int) -> None:
        notes, entry = self._notes, self._read(self._notes["table"] + SOURCE * DTE.size + 8) or 0
        if notes["start"] <= address < notes["end"] and (notes["everybody"] or entry >> 39 & 1):
            self._note(_EXCLUSION)

    def _differs(self, address: int, physical: int | None) -> None:
        """Note it where a page that encodes its size was used, and does not say the same of another address of it."""
        for start, base, mask in self._whole:
            if address & ~mask == start and physical != base | address & mask:
                self._note(_WHOLE)

    def _note(self, quirk: str) -> None:
        self.quirk = self.quirk or quirk

    def _walk(self, address: int, need: int) -> tuple[int, int, int] | None:
        """Return (output, mask, permissions) of an address; the output negative when it is not remembered."""
        entry = self._notes["table"] + SOURCE * DTE.size
        words = [self._read(entry + 8 * index) for index in range(4)]
        if None in words:
            return None
        low, second, third, fourth = (word or 0 for word in words)
        if low & _LOW_RESERVED or second & _MIDDLE_RESERVED or third & _UPPER_RESERVED or fourth:
            if not low & 1:
                self._note(_NOT_VALID)
            elif second & _MIDDLE_RESERVED or third & _UPPER_RESERVED or fourth:
                self._note(_WRONG_BITS)
            return None
        if not low & 1:
            return -(address & -PAGE), PAGE - 1, 3
        if low & (1 << 8 | 3 << 54) or second & 1 << 42:
            self._note(_FEATURES)
        level = low >> 9 & 7
        if not low & 2:
            self._note(_NO_TV)
        if not low & 2 or not level:
            return address & -PAGE, PAGE - 1, low >> 61 & 3
        if level == _SIZED:
            return None
        if address >> 12 + 9 * level:
            self._note(_HIGH)
        return self._descend(address, need, low, level)

    def _descend(self, address: int, need: int, entry: int, level: int) -> tuple[int, int, int] | None:
        while True:
            if not entry & 1 or need & ~(entry >> 61):
                return None
            found = self._read((entry & _ADDRESS) + ((address >> 3 + 9 * level & 0x1FF) << 3))
            if not found:
                return None
            above, entry, level = level, found, found >> 9 & 7
            self._notice(address, entry, above, level)
            if level in (0, _SIZED):
                break
        shift = 3 + 9 * above
        if level == _SIZED:
            ones = (entry & _ADDRESS) >> 12
            shift = 12 + (~ones & ones + 1).bit_length()
            if not 3 + 9 * above < shift < 12 + 9 * above:
                self._note(_SIZES)
        mask = (1 << shift) - 1
        if level == _SIZED:
            self._whole.append((address & ~mask, entry & _ADDRESS & ~mask, mask))
        return entry & _ADDRESS & ~mask, mask, entry >> 61 & 3

    def _notice(self, address: int, entry: int, above: int, level: int) -> None:
        """Note what the specification would not have let pass in an entry of level `above`."""
        leaf = level in (0, _SIZED)
        if not entry & 1:
            self._note(_ABSENT)
        if entry & (PTE.reserved_mask if leaf else TableEntry.reserved_mask):
            self._note(_RESERVED)
        if not leaf and level >= above:
            self._note(_UPWARDS)
        elif not leaf and address >> 12 + 9 * level & (1 << 9 * (above - 1 - level)) - 1:
            self._note(_LEFT_OUT)


def _explained(difference: Difference, image: Image, pristine: bytes) -> str:
    """Return why QEMU differs; empty when it did not do what QEMU is known to do."""
    theirs = _Theirs(image, pristine, difference.configuration.notes)
    blamed: dict[int, str] = {}  # places that were written on one side alone
    for access, ours in difference.earlier:
        physical = theirs.make(access)
        if access.data is None:
            continue
        if physical is not None and physical < RAM:
            theirs.store(physical, access.data)
        if physical != ours:
            reason = theirs.reason(physical, blamed)
            blamed.update({place & -4: reason for place in (physical, ours) if place is not None})
    if difference.access is None:
        halves = (difference.address, difference.address + 4)
        seen = theirs.word(halves[0]) | theirs.word(halves[1]) << 32
        found = [blamed[at] for at in halves if at in blamed]
        return found[-1] if found and difference.theirs.registers == (seen,) else ""
    physical = theirs.make(difference.access)
    mark = 0
    if physical is not None and physical < RAM:
        word = theirs.word(physical)
        mark = word & 0xFF if word >> 8 == int.from_bytes(Probe.planted(0), "little") >> 8 else 0
    if mark != difference.theirs.mark:
        return ""
    return theirs.reason(physical, blamed)
