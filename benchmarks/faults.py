"""How fast kernel logs become faults, beside `grep -c` and lnav on the same file, and in how much memory.

Run with `python -m benchmarks faults`. Rates are the best of some rounds, in lines a second of processor time; other
programs are timed by what their processes took, start included. IOMMUMAN_BENCH_PIPE is the size of the log that is
read from a pipe, in MiB (2048 unless given). lnav is left out where it is not installed.
"""

from __future__ import annotations

import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from iommuman.faults.from_log import from_log
from iommuman.parsers.kernel_log import read_kernel_log

ROUNDS = 5
COUNT = 100_000
PIPE = int(os.environ.get("IOMMUMAN_BENCH_PIPE", "2048"))

Lines = Callable[[int], str]

_WORDS = (
    "event 0x10 received:",
    "\t0x0000002000000010",
    "\t0x0000020800000000",
    "\t0x0000000012220000",
    "\t0x" + "0" * 16,
)
FAMILIES: dict[str, Lines] = {
    "VT-d": lambda i: (
        f"DMAR: [DMA Read NO_PASID] Request device [00:03.0] fault addr 0x{i << 12:x} "
        "[fault reason 0x06] PTE Read access is not set"
    ),
    "AMD-Vi": lambda i: (
        f"ahci 0000:02:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0043 address=0x{i << 12:x} flags=0x0070]"
    ),
    "SMMUv3, five lines an event": lambda i: f"arm-smmu-v3 arm-smmu-v3.0.auto: {_WORDS[i % 5]}",
    "SMMUv2": lambda i: (
        f"arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402, iova=0x{i << 12:08x}, fsynr=0x170021, "
        "cbfrsynra=0xc88, cb=11"
    ),
    "RISC-V": lambda i: f"riscv,iommu 3010000.iommu: Fault 13 devid: 0x18 iotval: {i << 12:x} iotval2: 0",
    "virtio-iommu": lambda i: f"virtio_iommu virtio0: page fault from EP 24 at 0x{i << 12:x} []",
}


def other(i: int) -> str:
    """Return a line of other matters, rich in the letters that slow a search down."""
    return f"usb {i % 9}-1: New USB device found, idVendor=0627, idProduct=0001, bcdDevice= 0.{i % 100:02d}"


def log(lines: Lines, count: int) -> bytes:
    """Return a log of so many lines."""
    return "".join(f"[{20 + i / 1e4:12.6f}] {lines(i)}\n" for i in range(count)).encode()


def rate(data: bytes) -> tuple[float, int]:
    """Return lines a second, and how many faults there are."""
    best, faults = float("inf"), 0
    for _ in range(ROUNDS):
        start = time.process_time()
        faults = sum(1 for _ in from_log(read_kernel_log(io.BytesIO(data))))
        best = min(best, time.process_time() - start)
    return data.count(b"\n") / best, faults


def program(arguments: list[str]) -> tuple[float, str]:
    """Return the processor time that a program takes at best, and what it writes."""
    best, written = float("inf"), ""
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        written = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best, written


def beside_others(folder: Path) -> None:
    """Read one file in which one line in a hundred is a fault, with iommuman, grep and lnav."""
    path = folder / "kernel.log"
    fault = FAMILIES["VT-d"]
    path.write_bytes(log(lambda i: other(i) if i % 100 else fault(i), 1_000_000))
    script = (
        "import sys\nfrom iommuman.faults.from_log import from_log\n"
        "from iommuman.parsers.kernel_log import read_kernel_log\n"
        "print(sum(1 for _ in from_log(read_kernel_log(sys.argv[1]))))\n"
    )
    programs = {
        "iommuman, faults with their fields": [sys.executable, "-c", script, str(path)],
        "grep -c 'fault addr'": ["grep", "-c", "fault addr", str(path)],
        "grep -cE, as many drivers": ["grep", "-cE", "mmu|MMU|DMAR|AMD-Vi|VT-D|dmar|dart", str(path)],
    }
    if shutil.which("lnav"):
        programs["lnav -n, filter-in fault addr"] = ["lnav", "-n", "-c", ":filter-in fault addr", str(path)]
    print(f"\n1,000,000 lines, {path.stat().st_size >> 20} MiB, one in a hundred a fault")
    for name, arguments in programs.items():
        seconds, written = program(arguments)
        found = written if written.isdecimal() else written.count("\n") + 1  # lnav writes the lines
        print(f"{name:44}{1e6 / seconds:12,.0f} lines/s   {found} found")


def memory() -> None:
    """Read a log from a pipe in a process of its own, and print how much memory it took."""
    block = log(lambda i: other(i) if i % 1000 else FAMILIES["VT-d"](i), 10_000)
    script = (
        "import re, time\nfrom iommuman.faults.from_log import from_log\n"
        "from iommuman.parsers.kernel_log import read_kernel_log\n"
        "log = read_kernel_log('-')\nfaults = sum(1 for _ in from_log(log))\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) >> 10\n"
        "print(f'{log.counts.size >> 20} MiB, {log.counts.lines:,} lines, {faults:,} faults: "
        "{peak} MiB of memory, {log.counts.lines / time.process_time():,.0f} lines/s')\n"
    )
    print("\nfrom a pipe")
    for size in (PIPE // 16, PIPE):
        with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
            if child.stdin is None:
                raise RuntimeError("there is no pipe")
            for _ in range((size << 20) // len(block)):
                child.stdin.write(block)
            child.stdin.close()


def main() -> None:
    """Measure, and print tables."""
    print(f"{'kernel log to faults':44}{'lines/s':>12}")
    print(f"{'lines of other matters':44}{rate(log(other, COUNT * 4))[0]:12,.0f}")
    for name, lines in FAMILIES.items():
        speed, faults = rate(log(lines, COUNT))
        print(f"{name:44}{speed:12,.0f}   {faults:,} faults")
    with tempfile.TemporaryDirectory(prefix="iommuman-faults-") as folder:
        beside_others(Path(folder))
    memory()


if __name__ == "__main__":
    main()
