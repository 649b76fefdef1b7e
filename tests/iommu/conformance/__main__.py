"""A long run: `python -m tests.iommu.conformance --seconds 600`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import count, islice

from iommuman.iommu import IommuError

from .harness import Bench, Report
from .suite import ARCHITECTURES

WIDTH = 40
SHOWN = 10
"""Configurations of which a difference is shown, of each architecture."""


def bar(name: str, report: Report, part: float) -> None:
    """Show how far a run is, where somebody looks."""
    if sys.stderr.isatty():
        done = "#" * int(WIDTH * min(part, 1))
        sys.stderr.write(
            f"\r{name:28} [{done:{WIDTH}}] {report.configurations} configurations, {report.accesses} accesses "
        )
        sys.stderr.flush()


def run(name: str, options: argparse.Namespace) -> int:
    """Run one architecture; returns the number of unexplained differences; one is that QEMU ends."""
    try:
        bench = Bench(ARCHITECTURES[name]())
    except IommuError as error:
        sys.stdout.write(f"{name}: skipped: {error}\n")
        return 0
    report = Report(name, bench.machine.text, options.seed)
    begin = time.monotonic()
    until = begin + options.seconds if options.configurations is None else None
    indices: Iterator[int] = iter([options.index]) if options.index is not None else count()
    try:
        for _ in bench.run(options.seed, islice(indices, options.configurations), report, until):
            if options.configurations is None:
                bar(name, report, (time.monotonic() - begin) / options.seconds)
            else:
                bar(name, report, report.configurations / options.configurations)
    except IommuError as error:
        number = report.configurations if options.index is None else options.index
        sys.stdout.write(f"{name}: configuration {number} of seed {options.seed}: {error}\n")
        return 1
    finally:
        bench.close()
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    sys.stdout.write(f"{report}\n")
    first = {one.index: one for one in reversed(report.unexplained)}
    sys.stdout.writelines(f"  unexplained: {first[index]}\n" for index in sorted(first)[:SHOWN])
    return len(report.unexplained)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.iommu.conformance", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="for each architecture; default: 20")
    parser.add_argument("--configurations", type=int, help="for each architecture, instead of a time")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run; default: another each time")
    parser.add_argument("--index", type=int, help="one configuration alone, by its number")
    parser.add_argument("--only", choices=ARCHITECTURES, action="append", help="these architectures; default: all")
    options = parser.parse_args()
    return 1 if sum(run(name, options) for name in options.only or ARCHITECTURES) else 0


if __name__ == "__main__":
    sys.exit(main())
