"""`iommuman explain`: what a fault means, whose it was and what to do, from anything that a person can paste."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from . import output
from .fault_input import STDIN, FaultSource, add_board, load_board

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

Exit status: 0 explained, 1 explained but the sources have findings (on stderr), 2 wrong usage, 3 nothing to explain.
"""
    parser.add_argument("what", nargs="*", metavar="WHAT", help="a file, or text; default: stdin")
    add_board(parser)
    parser.add_argument("--architecture", default="", metavar="KIND", help="of hexadecimal words: vtd, smmuv3, ...")


def run(arguments: argparse.Namespace) -> int:
    """Explain what was pasted."""
    from ..faults.explain import explain

    board = load_board(arguments)
    source = FaultSource()
    groups = _distinct(_faults(arguments, source))
    blocks = []
    for fault, count in groups[:MOST_EXPLAINED]:
        lines = explain(fault, board.attribute(fault) if board else None)
        if count > 1:
            lines.append(f"times: {count} alike")
        blocks.append("\n".join(lines))
    output.write("\n\n".join(blocks) + "\n")
    if len(groups) > MOST_EXPLAINED:
        sys.stderr.write(f"{len(groups) - MOST_EXPLAINED} more faults that differ: 'iommuman faults' lists them\n")
    source.tell()
    return output.report([*(board.topology.findings if board else ()), *source.findings])


def _distinct(faults: Iterator[Fault]) -> list[tuple[Fault, int]]:
    """Return the first of each kind of fault and how many are like it: same unit, ID, reason, access and page."""
    found: dict[tuple[object, ...], list[int]] = {}
    first: list[Fault] = []
    for fault in faults:
        page = None if fault.address is None else fault.address >> 12
        key = (fault.architecture, fault.iommu, fault.device, fault.identifier, fault.code, fault.access, page)
        count = found.get(key)
        if count is None:
            found[key] = [fault.count]
            first.append(fault)
        else:
            count[0] += fault.count
    return [(fault, count[0]) for fault, count in zip(first, found.values(), strict=True)]


def _faults(arguments: argparse.Namespace, source: FaultSource) -> Iterator[Fault]:
    """Yield what was pasted as faults. Raises FaultError when there is none."""
    what: Sequence[str] = arguments.what
    if len(what) == 1 and what[0] != STDIN and os.path.exists(what[0]):
        text, name = None, what[0]
        found = source.read(what)
    else:
        text = " ".join(what) if what and what != [STDIN] else sys.stdin.read(MOST_PASTED)
        name = "the command line" if what and what != [STDIN] else "stdin"
        found = source.read_text(text, name)
    any_found = False
    for fault in found:
        any_found = True
        yield fault
    if not any_found:
        yield from _words(text, name, arguments.architecture)


def _words(text: str | None, name: str, architecture: str) -> Iterator[Fault]:
    """Yield faults of text that is no log: registers, or hexadecimal words."""
    from ..base import Finding, Origin
    from ..faults import FaultError
    from ..faults.raw import from_registers, from_words

    if text is not None:
        try:
            yield from from_registers(text, source=name).faults
        except FaultError:
            pass
        else:
            return
        try:
            candidates = from_words(text, architecture=architecture, source=name)
        except FaultError as error:
            if architecture or error.finding.message != "these are no hexadecimal words":
                raise
        else:
            yield from (one.fault for one in candidates)
            return
    message = "there is no IOMMU fault in this that is known"
    advice = "paste the lines of the kernel's log, registers as NAME=VALUE, or the words of a record"
    raise FaultError(Finding("FAULT-NONE", "error", Origin(name), message, advice=advice))
