"""Random configurations, written as the same bytes for a model of ours and for QEMU, and accesses compared.

For each configuration an architecture lays out its tables, says which registers are written and which addresses are of
interest. Then a device makes accesses, and after each one the registers that show faults are read; model and QEMU must
agree on every value. When all are made, memory must be the same on both sides: what was written and where, accessed and
dirty bits, event queues. A difference is accepted only if the architecture knows it by name (`Known`).

Everything follows from a seed and the number of the configuration, so that any run can be repeated.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from iommuman.iommu import IommuError, Memory
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import MACHINES, Function, Probe, Qemu, start

PAGE = 4096
TABLES = 0x0100_0000
"""Where tables lie, from the beginning of memory."""
MOST_TABLES = 512
"""Pages of tables of one configuration."""
ARENA = 0x0200_0000
"""Where the pages lie that devices are given, from the beginning of memory: 2 MiB."""
ARENA_SIZE = 0x20_0000
RAM = 0x0400_0000
SOURCE = 4 << 3
"""Requester ID of the device."""
FUNCTIONS = (Function("intel-hda", 4),)
ACCESSES = 60
"""Accesses of a configuration."""


@dataclass(frozen=True, slots=True)
class Write:
    """A register that is written."""

    offset: int
    value: int
    size: int


@dataclass(slots=True)
class Configuration:
    """What an architecture has laid out.

    Attributes:
        before: registers that are written, once memory is.
        addresses: device addresses that something is known of; accesses are made there and nearby.
        text: what it is, for a person.
        notes: what the architecture wants to remember of it, to know differences by.
    """

    before: list[Write]
    addresses: list[int]
    text: str
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """An access of the device.

    Attributes:
        address: where, a multiple of 4.
        data: 16 bits that it writes; None: it reads.
        before: registers written just before, such as an invalidation.
    """

    address: int
    data: int | None
    before: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of an access: the mark that a read brought (0: none), and what the watched registers say."""

    mark: int
    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One access (or, without one, memory at the end) on which the two disagree.

    Attributes:
        configuration, index: in which, and its number.
        access: which; None: memory.
        ours, theirs: what became of it, on the model and on QEMU.
        earlier: accesses of the configuration before it, with the physical addresses that they reached on the model.
        address: of the doubleword of memory.
        written: the write whose bytes are there on one side alone.
    """

    configuration: Configuration
    index: int
    access: Access | None
    ours: Seen
    theirs: Seen
    earlier: tuple[tuple[Access, int | None], ...] = ()
    address: int = 0
    written: Access | None = None

    def __str__(self) -> str:
        """Show it."""
        what = f"memory at 0x{self.address:x}"
        if self.access is not None:
            what = f"{'read' if self.access.data is None else 'write'} of 0x{self.access.address:x}"
        ours, theirs = (
            f"mark {one.mark:#x}, {[hex(value) for value in one.registers]}" for one in (self.ours, self.theirs)
        )
        notes = ", ".join(f"{name} {value}" for name, value in self.configuration.notes.items() if value)
        return f"configuration {self.index} ({self.configuration.text}; {notes}), {what}: model {ours}; QEMU {theirs}"


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that is known: QEMU does not do what the specification says, or may choose to do otherwise.

    Attributes:
        name: what it is called in reports.
        clause: of the specification.
        source: file and function of QEMU.
        applies: tells whether a difference is this one.
    """

    name: str
    clause: str
    source: str
    applies: Callable[[Difference], bool]


class Unit(RegisterBlock, Protocol):
    """A model, as far as the harness uses it."""


class Architecture(Protocol):
    """What the harness needs of an architecture.

    Attributes:
        name: what it is called.
        machine: name of the machine of QEMU.
        watched: `(offset, size)` of registers that are read after each access.
        after: registers that are written after each access, once they were read.
        quiet: what the watched registers hold when there is no record.
        known: differences that are accepted.
        stop: registers that are written to leave QEMU ready for the next configuration.
    """

    name: str
    machine: str
    watched: Sequence[tuple[int, int]]
    after: Sequence[Write]
    quiet: tuple[int, ...]
    known: Sequence[Known]
    stop: Sequence[Write]

    def prepare(self, machine: Qemu) -> None:
        """Look at the registers of a machine that was just started."""
        ...

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write tables of a random configuration."""
        ...

    def records(self, seen: list[tuple[int, ...]], read: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Turn the watched registers after each access into what was recorded, without what is left undefined.

        Args:
            seen: the registers, access by access.
            read: reads memory, as it is at the end.
        """
        ...

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Return registers to write before an access, usually to forget translations."""
        ...

    def model(self, memory: Memory) -> Unit:
        """Return a model, reset, on a memory."""
        ...

    def access(self, model: Unit, address: int, *, write: bool) -> int | None:
        """Make an access; returns the physical address, or None when it is refused."""
        ...


class Image:
    """Memory of a configuration: pages for tables, and words in them.

    Attributes:
        base: physical address of memory.
        words: doublewords that were written, by address.
    """

    def __init__(self, base: int) -> None:
        """Begin with nothing."""
        self.base = base
        self.words: dict[int, int] = {}
        self._next = base + TABLES

    def page(self, pages: int = 1, align: int = PAGE) -> int:
        """Return the address of zeroed pages for a table."""
        self._next = address = -(-self._next // align) * align
        self._next += pages * PAGE
        if self._next > self.base + TABLES + MOST_TABLES * PAGE:
            raise ValueError("a configuration has more tables than there is room for")
        return address

    def put(self, address: int, value: int, size: int = 8) -> None:
        """Write a little-endian number of a multiple of 8 bytes; what lies outside the pages for tables is lost."""
        start = self.base + TABLES
        for offset in range(0, size, 8):
            if start <= address + offset < start + MOST_TABLES * PAGE:
                self.words[address + offset] = value >> 8 * offset & 0xFFFFFFFFFFFFFFFF

    def get(self, address: int) -> int:
        """Return the doubleword at an address."""
        return self.words.get(address, 0)

    def frame(self, random: Random) -> int:
        """Return the address of a page that devices may be given."""
        return self.base + ARENA + random.randrange(ARENA_SIZE // PAGE) * PAGE

    def content(self) -> bytes:
        """Return the bytes of all pages for tables."""
        words = array("Q", bytes(MOST_TABLES * PAGE))
        first = (self.base + TABLES) // 8
        for address, value in self.words.items():
            words[address // 8 - first] = value
        return words.tobytes()


@dataclass(slots=True)
class Report:
    """What a run found.

    Attributes:
        architecture: what was run.
        qemu: version of QEMU.
        seed: of the run.
        configurations, accesses: how many.
        allowed: accesses that reached memory.
        records: accesses that left a record.
        known: differences that are known, by name.
        unexplained: the others.
    """

    architecture: str
    qemu: str
    seed: int
    configurations: int = 0
    accesses: int = 0
    allowed: int = 0
    records: int = 0
    known: Counter[str] = field(default_factory=Counter)
    unexplained: list[Difference] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in a few lines."""
        text = (
            f"{self.architecture}: {self.accesses} accesses over {self.configurations} configurations, "
            f"{self.allowed} allowed, "
            f"{self.records} recorded, {len(self.unexplained)} unexplained differences; seed {self.seed}, {self.qemu}"
        )
        return "\n".join([text, *(f"  known difference {name}: {count}" for name, count in sorted(self.known.items()))])


def arena(base: int) -> bytes:
    """Return what lies in the arena at the beginning: a mark in each word, which tells pages and words apart."""
    words = range((base + ARENA) // 4, (base + ARENA + ARENA_SIZE) // 4)
    return b"".join(Probe.planted((word // 1024 * 37 + word * 11) % 255 + 1) for word in words)


class Bench:
    """A running QEMU and what one architecture does with it."""

    def __init__(self, architecture: Architecture) -> None:
        """Start the machine. Raises IommuError when it is not there."""
        self.architecture = architecture
        self.machine = start(architecture.machine, FUNCTIONS, RAM)
        try:
            (self._probe,) = self.machine.probes()
            architecture.prepare(self.machine)
        except BaseException:
            self.machine.close()
            raise
        self._base = MACHINES[architecture.machine].ram
        self._arena = arena(self._base)

    def close(self) -> None:
        """End the machine."""
        self.machine.close()

    def run(
        self, seed: int, indices: Iterator[int] | range, report: Report, until: float | None = None
    ) -> Iterator[int]:
        """Run configurations by number, and yield each number when it is done; stop at a time of `time.monotonic`."""
        for index in indices:
            if until is not None and time.monotonic() >= until:
                return
            self._configuration(Random(f"{self.architecture.name} {seed} {index}"), index, report)
            yield index

    def _configuration(self, random: Random, index: int, report: Report) -> None:
        architecture = self.architecture
        image = Image(self._base)
        configuration = architecture.lay_out(random, image)
        accesses = [self._choose(random, configuration) for _ in range(ACCESSES)]
        # 1. The same memory on both sides.
        tables = image.content()
        memory = Memory([(self._base, RAM)])
        for side in (memory, self.machine):
            side.write(self._base + TABLES, tables)
            side.write(self._base + ARENA, self._arena)
        # 2. The same registers, the same accesses.
        theirs = self._theirs(configuration, accesses)
        ours, reached = self._ours(memory, configuration, accesses)
        report.configurations += 1
        report.accesses += len(accesses)
        report.allowed += sum(one is not None for one in reached)
        quiet = architecture.quiet
        report.records += sum(one.registers != quiet for one in ours)
        # 3. What differs.
        earlier = tuple(zip(accesses, reached, strict=True))
        excused: dict[int, str] = {}
        parted = ""
        for number, (access, our, their) in enumerate(zip(accesses, ours, theirs, strict=True)):
            if our != their:
                name = self._judge(Difference(configuration, index, access, our, their, earlier[:number]), report)
                if name and access.data is not None:
                    excused[access.data] = name
                if name and (our.registers == quiet) != (their.registers == quiet):
                    parted = name
        for address in self._changed(memory):
            values = [int.from_bytes(side.read(address, 8), "little") for side in (memory, self.machine)]
            halves = {value >> shift & 0xFFFFFFFF for value in values for shift in (0, 32)}
            reason = next((excused[half] for half in halves if half in excused), "")
            if reason:  # a write whose verdict differs for a known reason leaves other bytes, too
                report.known[reason] += 1
                continue
            written = next((one for one in accesses if one.data in halves), None)
            if parted and address < self._base + ARENA:  # one of the two marked the entries that it went through
                report.known[parted] += 1
                continue
            seen = [Seen(0, (value,)) for value in values]
            self._judge(Difference(configuration, index, None, seen[0], seen[1], earlier, address, written), report)

    def _judge(self, difference: Difference, report: Report) -> str:
        """Count a difference; returns its name if it is known."""
        for known in self.architecture.known:
            if known.applies(difference):
                report.known[known.name] += 1
                return known.name
        report.unexplained.append(difference)
        return ""

    def _choose(self, random: Random, configuration: Configuration) -> Access:
        kind = random.random()
        if kind < 0.75 and configuration.addresses:
            address = random.choice(configuration.addresses) | random.randrange(0, PAGE, 4)
        elif kind < 0.9 and configuration.addresses:
            address = random.choice(configuration.addresses) ^ 1 << random.randrange(12, 64)
        else:
            address = random.getrandbits(random.choice((16, 24, 32, 39, 48, 57, 64))) & -4
        if address >> 20 == 0xFEE:  # interrupts are no accesses
            address ^= 1 << 33
        data = random.randrange(1, 1 << 16) if random.random() < 0.4 else None
        return Access(address, data, self.architecture.flush(random))

    def _theirs(self, configuration: Configuration, accesses: list[Access]) -> list[Seen]:
        """Let QEMU do it: all in one go."""
        architecture, at = self.architecture, self.machine.registers
        texts = [_text(at, one) for one in configuration.before]
        places: list[tuple[int | None, int]] = []
        for access in accesses:
            texts += [_text(at, one) for one in access.before]
            if access.data is None:
                texts += self._probe.reading(access.address)
            else:
                texts += self._probe.writing(access.address, access.data)
            mark = len(texts) - 1 if access.data is None else None
            places.append((mark, len(texts)))
            texts += [f"read{'l' if size == 4 else 'q'} 0x{at + offset:x}" for offset, size in architecture.watched]
            texts += [_text(at, one) for one in architecture.after]
        texts += [_text(at, one) for one in architecture.stop]
        answers = self.machine.link.batch(texts)
        count = len(architecture.watched)
        marks = [0 if mark is None else Probe.mark(answers[mark]) for mark, _ in places]
        seen = [tuple(int(answer, 16) for answer in answers[first : first + count]) for _, first in places]
        return [Seen(*one) for one in zip(marks, architecture.records(seen, self.machine.read), strict=True)]

    def _ours(
        self, memory: Memory, configuration: Configuration, accesses: list[Access]
    ) -> tuple[list[Seen], list[int | None]]:
        """Let the model do it; also returns the physical addresses that were reached."""
        architecture = self.architecture
        model = architecture.model(memory)
        for one in configuration.before:
            model.write_register(one.offset, one.value, one.size)
        marks: list[int] = []
        seen: list[tuple[int, ...]] = []
        reached: list[int | None] = []
        for access in accesses:
            for one in access.before:
                model.write_register(one.offset, one.value, one.size)
            physical = architecture.access(model, access.address, write=access.data is not None)
            reached.append(physical)
            marks.append(0 if physical is None else _move(memory, physical, access.data))
            seen.append(tuple(model.read_register(*one) for one in architecture.watched))
            for one in architecture.after:
                model.write_register(one.offset, one.value, one.size)
        return [Seen(*one) for one in zip(marks, architecture.records(seen, memory.read), strict=True)], reached

    def _changed(self, memory: Memory) -> Iterator[int]:
        """Yield the doublewords that differ at the end."""
        for first, length in ((self._base + TABLES, MOST_TABLES * PAGE), (self._base + ARENA, ARENA_SIZE)):
            ours, theirs = memory.read(first, length), self.machine.read(first, length)
            if ours == theirs:
                continue
            for page in range(0, length, PAGE):
                if ours[page : page + PAGE] == theirs[page : page + PAGE]:
                    continue
                for at in range(page, page + PAGE, 8):
                    if ours[at : at + 8] != theirs[at : at + 8]:
                        yield first + at


def _move(memory: Memory, physical: int, data: int | None) -> int:
    """Read or write four bytes of memory, as the device does; returns the mark that a read brings."""
    try:
        if data is not None:
            memory.write(physical, data.to_bytes(4, "little"))
            return 0
        word = memory.read(physical, 4)
    except IommuError:  # nobody answers there
        return 0
    return word[0] if word[1:] == Probe.planted(0)[1:] else 0


def _text(at: int, write: Write) -> str:
    return f"write{'l' if write.size == 4 else 'q'} 0x{at + write.offset:x} 0x{write.value:x}"
