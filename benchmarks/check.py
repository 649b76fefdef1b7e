"""What `check` finds in real tables and trees, counted by rule, and how long that takes.

The sources are those of the corpus where it is present beside the checkout, each machine a folder of its own, else the
captured boards. `python -m benchmarks check` prints one line a rule: findings, sources that have one, severity, name.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from iommuman.base import Finding, IommumanError
from iommuman.parsers.sources import read_sources
from iommuman.topology.check import Board, check

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT.parent / "shared" / "corpus"


def sources() -> list[Path]:
    """Return the machines, tables and trees of the corpus; without it, the captured boards."""
    if not CORPUS.is_dir():
        return sorted((ROOT / "fixtures" / "boards").iterdir())
    return [*sorted((CORPUS / "machines").iterdir()), *sorted((CORPUS / "tables").glob("*/*.bin")),
            *sorted((CORPUS / "trees").glob("*.dtb"))]  # fmt: skip


def findings(path: Path) -> tuple[Finding, ...]:
    """Return what is said of a source, or why it cannot be read."""
    try:
        inputs = read_sources([str(path)])
    except IommumanError as error:
        return (error.finding,)
    return check(Board.of(inputs))


def main() -> None:
    """Print the counts, and the time for one source."""
    count: Counter[tuple[str, str]] = Counter()
    having: Counter[tuple[str, str]] = Counter()
    paths = sources()
    started = time.perf_counter()
    for path in paths:
        found = Counter((one.rule, one.severity) for one in findings(path))
        count += found
        having.update(found.keys())
    took = time.perf_counter() - started
    for (rule, severity), number in sorted(count.items()):
        print(f"{number:5} in {having[rule, severity]:4}  {severity:7}  {rule}")
    print(f"{len(paths)} sources, {took / max(len(paths), 1) * 1e3:.1f} ms each")


if __name__ == "__main__":
    main()
