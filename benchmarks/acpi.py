"""Tables to topology beside `iasl -d`, over the same files, each in one process; and what the fast path is worth.

The files are those of the corpus where it is present beside the checkout, else the fixtures over and over: 500 in all.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
import time
import timeit
from pathlib import Path

from iommuman.parsers.acpi import parse_table
from iommuman.parsers.acpi.iort.records import IdMapping
from iommuman.parsers.sources import Inputs
from iommuman.topology import assemble

ROOT = Path(__file__).resolve().parent.parent
COUNT = 500
SIGNATURES = ("DMAR", "IORT", "MCFG")


def files() -> list[bytes]:
    """Return the content of 500 tables."""
    corpus = ROOT.parent / "shared" / "corpus"
    if (corpus / "index.tsv").is_file():
        rows = (line.split("\t") for line in (corpus / "index.tsv").read_text().splitlines()[1:])
        paths = [corpus / row[0] for row in rows if row[1] in SIGNATURES]
    else:
        paths = sorted(path for name in SIGNATURES for path in (ROOT / "fixtures").rglob(f"{name}.bin"))
    return [path.read_bytes() for path in itertools.islice(itertools.cycle(paths), COUNT)]


def ours(tables: list[bytes]) -> float:
    """Return the seconds that table to topology takes, over all tables."""
    started = time.perf_counter()
    for data in tables:
        assemble(Inputs(tables=[parse_table(data, "table")]))
    return time.perf_counter() - started


def iasl(tables: list[bytes]) -> float:
    """Return the seconds that one run of `iasl -d` over all tables takes."""
    with tempfile.TemporaryDirectory() as folder:
        names = [f"t{number}.dat" for number in range(len(tables))]
        for name, data in zip(names, tables, strict=True):
            (Path(folder) / name).write_bytes(data)
        started = time.perf_counter()
        subprocess.run(["iasl", "-d", *names], cwd=folder, capture_output=True, check=False)
        return time.perf_counter() - started


def main() -> None:
    """Print the ratios."""
    tables = files()
    ours(tables)
    times = [(ours(tables), iasl(tables) if shutil.which("iasl") else 0.0) for _ in range(5)]
    mine, theirs = (min(values) for values in zip(*times, strict=True))
    print(f"table to topology: {mine / COUNT * 1e6:.0f} us a table, {COUNT / mine:.0f} tables a second")
    if theirs:
        print(f"iasl -d:           {theirs / COUNT * 1e6:.0f} us a table; ours takes {mine / theirs:.2f} of its time")
    layout, image = IdMapping.LAYOUT, bytes(range(20))
    slow = min(timeit.repeat(lambda: layout.declaration.parse(image), number=2000, repeat=5)) / 2000
    fast = min(timeit.repeat(lambda: layout.read(image), number=2000, repeat=5)) / 2000
    print(f"20-byte entry: construct {slow * 1e6:.2f} us, derived {fast * 1e6:.2f} us: {slow / fast:.0f} x")


if __name__ == "__main__":
    main()
