"""Reads of a qvm configuration what bears on DMA: `ram`, `rom` and `pass` lines. All else is named and passed over.

`loc` and `intr` belong to the `pass` before them, until the next `pass`, `vdev` or `reserve`. Numbers are decimal, or
hexadecimal with `0x`; K, M and G are multiples of 1024. Memory without a start lies behind the highest so far.

Source: QNX Hypervisor 8.0 user's guide, VM configuration reference, `ram` and `pass`; of `pass` 7.0 and 8.0 write the
letters and the host's location in different order, and both are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ..base import Finding, Origin, printable

Dma = Literal["d", "n", ""]
"""What a `pass` says of a device: it does DMA (`d`), it does none (`n`), or nothing."""

LETTERS = "rwxcemdnst"
"""Letters of a `loc`: read, write, execute, cachable, exception, system memory, DMA, no DMA, source, target."""

MEMORY = "rwxcstn"
"""What the letter `m` stands for."""

_OPENING = ("vdev", "reserve", "cpu")
"""Options whose `loc` and `intr` are not those of a `pass`."""

_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})([kKmMgG]?)")
_SCALE = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_FLAGS = re.compile(rf"[-+{LETTERS}]*")


@dataclass(frozen=True, slots=True)
class QvmMemory:
    """A `ram` or `rom` line: `length` bytes at guest-physical `start`."""

    start: int
    length: int
    rom: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Location:
    """A `loc` of a `pass`.

    Attributes:
        kind: `mem`, `io` or `pci`.
        guest: where the guest sees it, as it is written behind the kind.
        host: the host's location with its kind; the same as the guest's when nothing else is said.
        length: in bytes; None when nothing is said.
        letters: those that hold in the end, in the order of `LETTERS`.
    """

    kind: str
    guest: str
    host: str
    length: int | None
    letters: str


@dataclass(frozen=True, slots=True)
class Pass:
    """A `pass` with what belongs to it.

    Attributes:
        origin: where it stands.
        locations: its `loc` lines.
        interrupts: its `intr` lines, as they are written.
    """

    origin: Origin
    locations: tuple[Location, ...] = ()
    interrupts: tuple[str, ...] = ()

    @property
    def dma(self) -> Dma:
        """What is said of DMA: `d` or `n`; empty when it is neither, or both."""
        said = {letter for one in self.locations for letter in one.letters if letter in "dn"}
        return ("d" if "d" in said else "n") if len(said) == 1 else ""


@dataclass(frozen=True, slots=True)
class Qvm:
    """What was read.

    Attributes:
        system: name that the configuration gives its VM.
        memory: `ram` and `rom` lines, in order.
        passes: `pass` lines, in order.
        findings: what was passed over (notes), and what is wrong.
    """

    system: str
    memory: tuple[QvmMemory, ...]
    passes: tuple[Pass, ...]
    findings: tuple[Finding, ...]


def read_qvm(text: str, source: str) -> Qvm:
    """Read a configuration; nothing in it makes this fail."""
    reader = _Reader(source)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            reader.line(Origin(source, line=number), words)
    return Qvm(reader.system, tuple(reader.memory), tuple(reader.passes), tuple(reader.findings))


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source
        self.system = ""
        self.memory: list[QvmMemory] = []
        self.passes: list[Pass] = []
        self.findings: list[Finding] = []
        self._in_pass = False

    def line(self, origin: Origin, words: list[str]) -> None:
        """Take the options of one line."""
        if len(words) > 1 and words[1] == "pass":
            # A blob type before it says what the guest is told of the device, which has nothing to do with DMA.
            words = words[1:]
        rest = iter(words)
        for word in rest:
            if not self._option(origin, word, rest):
                self._in_pass = self._in_pass and word not in _OPENING
                self._note(origin, word)
                return

    def _option(self, origin: Origin, word: str, rest: Iterator[str]) -> bool:
        """Take one option and its argument; false when it is none that bears on DMA."""
        if word == "pass":
            self.passes.append(Pass(origin))
            self._in_pass = True
        elif word in ("ram", "rom"):
            self._take_memory(origin, word, next(rest, ""))
        elif word == "system":
            self.system = printable(next(rest, ""))
        elif word == "loc" and self._in_pass:
            found = self._location(origin, next(rest, ""))
            if found is not None:
                last = self.passes[-1]
                self.passes[-1] = replace(last, locations=(*last.locations, found))
        elif word == "intr" and self._in_pass:
            last = self.passes[-1]
            self.passes[-1] = replace(last, interrupts=(*last.interrupts, printable(next(rest, ""))))
        else:
            return False
        return True

    def _take_memory(self, origin: Origin, word: str, argument: str) -> None:
        numbers = [_number(part) for part in argument.split(",")]
        if len(numbers) not in (1, 2) or any(number is None for number in numbers) or not numbers[-1]:
            self._wrong(origin, word, argument, "[start,]length")
            return
        length = numbers[-1] or 0
        behind = max((one.start + one.length for one in self.memory), default=0)
        start = (numbers[0] or 0) if len(numbers) > 1 else behind
        if start + length > 1 << 64:
            self._wrong(origin, word, argument, "memory that ends within 64 bits")
            return
        self.memory.append(QvmMemory(start, length, word == "rom", origin))

    def _location(self, origin: Origin, argument: str) -> Location | None:
        left, _, right = argument.partition("=")
        where, *details = left.split(",")
        kind, colon, guest = where.partition(":")
        if not colon:
            kind, guest = "mem", where
        host, *more = right.split(",")
        length, flags = None, ""
        for detail in (*details, *more):
            number = _number(detail)
            if number is not None and length is None:
                length = number
            elif _FLAGS.fullmatch(detail):
                flags += detail
            else:
                self._wrong(origin, "loc", argument, f"a length, letters of {LETTERS}, or =host")
                return None
        if kind not in ("mem", "io", "pci") or not guest or (kind != "pci" and _number(guest) is None):
            self._wrong(origin, "loc", argument, "mem:address, io:port, pci:bus:device.function or pci:vendor/device")
            return None
        if not host:
            host = f"{kind}:{guest}"
        elif host.partition(":")[0] not in ("mem", "io", "pci"):
            host = f"{kind}:{host}"
        letters = _letters(flags)
        if "d" in letters and "n" in letters:
            self._wrong(origin, "loc", argument, "d or n (m stands for n as well)")
        return Location(kind, printable(guest), printable(host), length, letters)

    def _wrong(self, origin: Origin, word: str, argument: str, expected: str) -> None:
        self.findings.append(
            Finding(
                "QVM-ARGUMENT",
                "error",
                origin,
                "the argument cannot be read, and is passed over",
                field=word,
                found=printable(argument[:80]) or "nothing",
                expected=expected,
            )
        )

    def _note(self, origin: Origin, word: str) -> None:
        self.findings.append(
            Finding(
                "QVM-OPTION",
                "note",
                origin,
                "the option has no bearing on DMA that is known here; it is passed over",
                field="option",
                found=printable(word[:80]),
            )
        )


def _number(text: str) -> int | None:
    """Return the number that a word is, 64 bits at most; None when it is none."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    value = int(match[1], 0 if match[1][:2] in ("0x", "0X") else 10) * _SCALE[match[2].lower()]
    return value if value <= 1 << 64 else None


def _letters(flags: str) -> str:
    """Return the letters that hold in the end."""
    held: set[str] = set()
    adding = True
    for letter in flags:
        if letter in "+-":
            adding = letter == "+"
            continue
        meant = set(MEMORY if letter == "m" else letter)
        held = held | meant if adding else held - meant
    return "".join(letter for letter in LETTERS if letter in held)
