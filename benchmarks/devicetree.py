"""How fast device trees are read, against other readers of the same bytes in the same run.

Run with `python -m benchmarks.devicetree`. It reads a generated tree of 3,000 nodes and about 360 KB, and prints the
time of each reader and its ratio to ours. Readers that are not installed (pylibfdt, dtc) are left out.

pyfdt's own parse searches all siblings for each node that it adds, so a second table shows how time grows with the
number of siblings: fourfold for twice as many there, twofold here.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from iommuman.parsers.devicetree import DeviceTree, Node, Property, build_devicetree, read_devicetree
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.from_devicetree import add_devicetree

ROUNDS = 7


def cells(*values: int) -> bytes:
    """Return numbers as cells."""
    return b"".join(value.to_bytes(4) for value in values)


def generate(buses: int = 30, devices: int = 98) -> bytes:
    """Return a board with one SMMU, and that many buses with that many devices each, half of them behind the SMMU."""
    root = Node("/")
    for name, raw in (("#address-cells", cells(2)), ("#size-cells", cells(2)), ("compatible", b"example,board\0")):
        root.append(Property(name, raw))
    smmu = Node("iommu@2b400000")
    for name, raw in (
        ("compatible", b"arm,mmu-500\0arm,smmu-v2\0"),
        ("reg", cells(0, 0x2B400000, 0, 0x20000)),
        ("#iommu-cells", cells(1)),
        ("phandle", cells(1)),
    ):
        smmu.append(Property(name, raw))
    root.append(smmu)
    for number in range(buses):
        bus = Node(f"bus@{number + 1:x}0000000")
        for name, raw in (
            ("compatible", b"simple-bus\0"),
            ("#address-cells", cells(1)),
            ("#size-cells", cells(1)),
            ("ranges", cells(0, number + 1 >> 4, (number + 1 << 28) & 0xFFFFFFFF, 1 << 28)),
        ):
            bus.append(Property(name, raw))
        root.append(bus)
        for index in range(devices):
            bus.append(_device(number * devices + index, index))
    return build_devicetree(DeviceTree("", root, (), {}))


def _device(number: int, index: int) -> Node:
    """Return one device with the usual properties."""
    device = Node(f"ethernet@{index:x}000")
    for name, raw in (
        ("compatible", b"example,ethernet-2\0"),
        ("reg", cells(index << 12, 0x1000)),
        ("interrupts", cells(0, number, 4)),
        ("status", b"okay\0"),
        ("phandle", cells(number + 16)),
    ):
        device.append(Property(name, raw))
    if number % 2:
        device.append(Property("iommus", cells(1, number)))
    return device


def best(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the shortest of several times, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times) * 1000


def readers(data: bytes, path: Path) -> list[tuple[str, Callable[[], object]]]:
    """Return the readers that are here, ours first."""
    from pyfdt.pyfdt import FdtBlobParse

    found: list[tuple[str, Callable[[], object]]] = [
        ("iommuman: read", lambda: read_devicetree(data)),
        ("iommuman: read and find the IOMMUs", lambda: add_devicetree(TopologyBuilder(), read_devicetree(data))),
        ("pyfdt: parse", lambda: FdtBlobParse(io.BytesIO(data)).to_fdt()),
    ]
    try:
        import libfdt
    except ImportError:
        pass
    else:
        found.append(("pylibfdt: walk nodes and properties", lambda: walk(libfdt, data)))
    dtc = shutil.which("dtc")
    if dtc:
        command = [dtc, "-q", "-I", "dtb", "-O", "dts", "-o", "/dev/null", str(path)]
        found.append(("dtc -O dts", lambda: subprocess.run(command, check=True)))
    return found


def walk(libfdt: object, data: bytes) -> int:
    """Visit every property with pylibfdt, and return how many there are."""
    fdt = libfdt.FdtRo(data)  # type: ignore[attr-defined]
    missing = libfdt.FdtException  # type: ignore[attr-defined]
    count = depth = offset = 0
    while True:
        try:
            place = fdt.first_property_offset(offset)
            while True:
                fdt.get_property_by_offset(place)
                count += 1
                place = fdt.next_property_offset(place)
        except missing:
            pass
        try:
            offset, depth = fdt.next_node(offset, depth)
        except missing:
            return count
        if depth < 0:
            return count


def main() -> None:
    """Print the figures."""
    data = generate()
    out = sys.stdout.write
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree.dtb"
        path.write_bytes(data)
        times = [(name, best(work)) for name, work in readers(data, path)]
    ours = times[0][1]
    out(f"{len(read_devicetree(data).nodes)} nodes, {len(data)} bytes, best of {ROUNDS}\n")
    for name, milliseconds in times:
        out(f"  {name:<38} {milliseconds:8.1f} ms  {milliseconds / ours:6.2f} x\n")
    out("processor time with twice as many siblings (1 bus, 2000 -> 4000 devices)\n")
    few, many = generate(1, 2000), generate(1, 4000)
    for index, name in ((0, "iommuman: read"), (2, "pyfdt: parse")):
        longer, shorter = (best(readers(data, path)[index][1], time.process_time) for data in (many, few))
        ratio = longer / shorter
        out(f"  {name:<38} {ratio:8.1f} x\n")


if __name__ == "__main__":
    main()
