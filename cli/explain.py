"""`iommuman explain`: what a fault means, whose it was and what to do, from anything that a person can paste."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import output
from .fault_input import STDIN, FaultBoard, FaultSource, add_board, load_board

if TYPE_CHECKING:
    from ..faults import Fault

MOST_EXPLAINED = 32
"""Different faults that are explained; `iommuman faults` lists all, `iommuman report` sums them up."""

MOST_PASTED = 1 << 20
"""Bytes of text on the command line or on stdin that is no log."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
WHAT is a file (a kernel log, JSON Lines of faults, a log of slog2), or text: a line or several of a kernel's log,
registers (FSR=0x402 FAR=0x1000 ...), or the hexadecimal words of a record. Without WHAT, it is read from stdin.
What tells of no fault may tell what a unit can do: feature registers (IDR0=... IDR1=..., CAP=... ECAP=..., EFR=...), a
line in which the kernel prints them at boot, or /sys/class/iommu/UNIT.

Exit status: 0 explained, 1 explained but the sources have findings (on stderr), 2 wrong usage, 3 nothing to explain.
"""
    parser.add_argument("what", nargs="*", metavar="WHAT", help="a file, or text; default: stdin")
    add_board(parser)
    parser.add_argument("--architecture", default="", metavar="KIND", help="of hexadecimal words: vtd, smmuv3, ...")


def run(arguments: argparse.Namespace) -> int:
    """Explain what was pasted."""
    board = load_board(arguments)
    source = FaultSource()
    text, name = _pasted(arguments.what)
    faults = None if _is_sysfs(name) else source.read([name]) if text is None else source.read_text(text, name)
    groups = _distinct(faults or ()) or _distinct(_registers(text, name))
    units = [] if groups else _units(text, name)
    if not (groups or units):
        groups = _distinct(_words(text, name, arguments.architecture, source))
    explained = _explained(groups, board)
    output.write("\n\n".join([*(str(one) for one in explained[:MOST_EXPLAINED]), *units]) + "\n")
    if len(explained) > MOST_EXPLAINED:
        sys.stderr.write(f"{len(explained) - MOST_EXPLAINED} more faults that differ: 'iommuman faults' lists them\n")
    source.tell()
    return output.report([*(board.topology.findings if board else ()), *source.findings])


@dataclass(slots=True)
class _Explained:
    """Faults of which there is one thing to say, whatever their pages.

    Attributes:
        lines: what there is to say, of the first of them.
        count: how many there are.
        pages: their pages.
    """

    lines: list[str]
    count: int = 0
    pages: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        """Return the lines, and how many faults are alike."""
        alike = [f"times: {self.count} alike"] if self.count > 1 else []
        if len(self.pages) > 1:
            alike[-1] += f", at {len(self.pages)} pages from 0x{min(self.pages) << 12:x} to 0x{max(self.pages) << 12:x}"
        return "\n".join([*self.lines, *alike])


def _explained(groups: list[tuple[Fault, int]], board: FaultBoard | None) -> list[_Explained]:
    """Return what there is to say of the faults; those that differ in their pages alone are put together."""
    from ..faults.explain import explain

    found: dict[tuple[object, ...], _Explained] = {}
    for fault, count in groups:
        lines = explain(fault, board.attribute(fault) if board else None)
        key = (*_kind(fault), *lines[1:])
        one = found.setdefault(key, _Explained(lines))
        one.count += count
        if fault.address is not None and fault.access != "interrupt":
            one.pages.add(fault.address >> 12)
    return list(found.values())


def _kind(fault: Fault) -> tuple[object, ...]:
    """Return what faults that are alike have in common, but for their pages."""
    return fault.architecture, fault.iommu, fault.device, fault.identifier, fault.code, fault.name, fault.access


def _distinct(faults: Iterable[Fault]) -> list[tuple[Fault, int]]:
    """Return the first of each kind of fault and how many are like it: same unit, ID, reason, access and page."""
    found: dict[tuple[object, ...], list[int]] = {}
    first: list[Fault] = []
    for fault in faults:
        page = None if fault.address is None else fault.address >> 12
        key = (*_kind(fault), page)
        count = found.get(key)
        if count is None:
            found[key] = [fault.count]
            first.append(fault)
        else:
            count[0] += fault.count
    return [(fault, count[0]) for fault, count in zip(first, found.values(), strict=True)]


def _pasted(what: Sequence[str]) -> tuple[str | None, str]:
    """Return what was pasted and where it stood; of a file or folder None and its path."""
    if len(what) == 1 and what[0] != STDIN and os.path.exists(what[0]):
        return None, what[0]
    from ..faults.pasted import joined

    if what and what != [STDIN]:
        return joined(" ".join(what)), "the command line"
    return joined(sys.stdin.read(MOST_PASTED)), "stdin"


def _is_sysfs(path: str) -> bool:
    """Tell whether a path is that of a unit in sysfs, or of one of its files of registers."""
    from ..faults.features import read_sysfs

    return os.path.exists(path) and read_sysfs(path) != ""


def _registers(text: str | None, name: str) -> Iterator[Fault]:
    """Yield the faults of registers that were pasted; nothing when there are none."""
    from ..faults import FaultError
    from ..faults.raw import from_registers

    if text is not None:
        with contextlib.suppress(FaultError):
            yield from from_registers(text, source=name).faults


def _units(text: str | None, name: str) -> list[str]:
    """Return what the feature registers of units say that are in what was pasted, in a file or in sysfs."""
    from ..faults.features import draw_unit, read_features, read_sysfs

    if text is not None:
        units = read_features(text, name)
    elif registers := read_sysfs(name):
        units = read_features(registers, name)
    else:
        with open(name, encoding="utf-8", errors="replace") as file:
            units = read_features(file.read(MOST_PASTED), name, log=True)
    return ["\n".join(draw_unit(unit)) for unit in units]


def _words(text: str | None, name: str, architecture: str, source: FaultSource) -> Iterator[Fault]:
    """Yield faults of hexadecimal words, or of pieces of lines and dumps. Raises FaultError when there are none."""
    from ..base import Finding, Origin
    from ..faults import FaultError
    from ..faults.raw import from_words

    if text is not None:
        try:
            candidates = from_words(text, architecture=architecture, source=name)
        except FaultError as error:
            found = _pieces(text, name, architecture, source)
            if not found and (architecture or error.finding.message != "these are no hexadecimal words"):
                raise
        else:
            found = [one.fault for one in candidates]
        if found:
            yield from found
            return
    message = "there is no IOMMU fault in this that is known"
    advice = "paste the lines of the kernel's log, registers as NAME=VALUE, or the words of a record"
    raise FaultError(Finding("FAULT-NONE", "error", Origin(name), message, advice=advice))


def _pieces(text: str, name: str, architecture: str, source: FaultSource) -> list[Fault]:
    """Return the faults of a line that is not whole or of a memory dump, and say on stderr that it was read so."""
    from ..base import Origin
    from ..faults.pasted import dumped, half_event, half_line
    from ..faults.raw import from_words

    fault, event, words = half_line(text, Origin(name)), half_event(text), dumped(text)
    if words is not None:
        sys.stderr.write(f"{name}: read as a memory dump\n")
        return [one.fault for one in from_words(words, architecture=architecture, source=name)]
    found = [fault] if fault else list(FaultSource().read_text(event, name)) if event else []
    if found:
        source.unparsed.clear()  # it has been understood after all
        sys.stderr.write(f"{name}: this is no whole line; what is there was read, hold it against the log\n")
    return found
