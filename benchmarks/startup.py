"""How long a whole `iommuman` process takes, beside a Python process that does nothing.

The two take turns, so that whatever else the machine does meets both; the figure is the ratio of the medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
ROUNDS = 40
COMMANDS = {
    "iommuman --help": ["--help"],
    "iommuman dump DMAR.bin": ["dump", str(FIXTURES / "boards/q35-vtd-plain/DMAR.bin")],
    "iommuman dump q35-vtd": ["dump", str(FIXTURES / "boards/q35-vtd")],
    "iommuman dump IORT.bin": ["dump", str(FIXTURES / "boards/virt-smmuv3-acpi/IORT.bin")],
    "iommuman dump board.dtb": ["dump", str(FIXTURES / "boards/virt-smmuv3-dt/board.dtb")],
    "iommuman who q35-vtd 02:01.0": ["who", str(FIXTURES / "boards/q35-vtd"), "02:01.0"],
}


def seconds(command: list[str]) -> float:
    """Return how long one process takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print the ratios."""
    script = str(Path(sys.executable).with_name("iommuman"))
    nothing = [sys.executable, "-c", "pass"]
    for name, arguments in COMMANDS.items():
        pairs = [(seconds(nothing), seconds([script, *arguments])) for _ in range(ROUNDS)]
        base, ours = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"{name:32} {ours * 1e3:6.1f} ms = {ours / base:4.1f} x python -c pass ({base * 1e3:.1f} ms)")


if __name__ == "__main__":
    main()
