"""What the manager costs: 1,000 devices in 200 VMs with 1,000,000 mapped pages, and how latency grows.

Run as `python -m benchmarks manager`; with `IOMMUMAN_PAGES=100000` fewer pages. Pages are mapped one by one, no two of
them side by side, which is the worst that clients can do. The exponent says how the latency of a change grows with the
number of pages that exist already: 0 would be not at all, 1 in proportion.
"""

from __future__ import annotations

import math
import os
import resource
import time
from collections.abc import Callable
from statistics import linear_regression, median

from iommuman.base import Origin, format_pci_address
from iommuman.manager import Access, Machine, Manager, simulate
from iommuman.manager.prove import prove
from iommuman.topology import Device, IdMap, Iommu, PciRoot, Topology
from iommuman.topology.builder import TopologyBuilder

PAGES = int(os.environ.get("IOMMUMAN_PAGES", "1000000"))
DEVICES, VMS = 1000, 200
PAGE = 0x1000
BASE = 0x1_0000_0000
HERE = Origin("benchmark")
RW = Access.READ | Access.WRITE
SAMPLES = 200


def board(kind: str) -> Topology:
    """Return a topology of one unit and `DEVICES` PCI functions."""
    builder = TopologyBuilder()
    unit = f"{kind}@fed90000"
    builder.iommus.append(Iommu(unit, kind, HERE, 0xFED90000, segment=0))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", unit, 0, 0x10000, 0, HERE, "all"))
    for number in range(DEVICES):
        rid = 0x100 + number
        builder.device(Device(format_pci_address(0, rid), "pci", HERE, 0, rid))
    return Topology(builder)


def started(kind: str) -> tuple[Machine, Manager, list[tuple[int, int]]]:
    """Return a board with its manager, and (client, object) of each VM, which has its share of the devices."""
    topology = board(kind)
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    names = list(manager.survey.members)
    share = DEVICES // VMS
    machines = []
    for number in range(VMS):
        client = manager.attach(f"vm{number}", ("attach", "target"))
        made = manager.create_object(client)
        for name in names[number * share : (number + 1) * share]:
            manager.add_device(client, made, name)
        machines.append((client, made))
    return machine, manager, machines


def fill(manager: Manager, vm: tuple[int, int], first: int, count: int) -> None:
    """Map pages of a VM one by one, no two of them side by side."""
    client, made = vm
    for page in range(first, first + count):
        manager.map(client, made, BASE + 2 * PAGE * page, PAGE, RW, target=BASE + 3 * PAGE * page)


def latency(change: Callable[[int], None]) -> float:
    """Return the median of microseconds that a change takes."""
    taken = []
    for sample in range(SAMPLES):
        begin = time.perf_counter()
        change(sample)
        taken.append(time.perf_counter() - begin)
    return median(taken) * 1e6


def changes(manager: Manager, vm: tuple[int, int], mapped: int) -> tuple[float, float]:
    """Return the latency of mapping and of unmapping a page of a VM with so many pages mapped, which stay."""
    client, made = vm
    step = max(mapped // SAMPLES, 1)

    def add(sample: int) -> None:
        address = BASE + 2 * PAGE * step * sample + PAGE
        manager.map(client, made, address, PAGE, RW, target=address)

    def take(sample: int) -> None:
        manager.unmap(client, made, BASE + 2 * PAGE * step * sample + PAGE, PAGE)

    return latency(add), latency(take)


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return the slope of values over sizes, both as logarithms."""
    return linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope


def main() -> None:
    """Print the figures of both architectures."""
    for kind in ("vtd", "smmuv3"):
        machine, manager, machines = started(kind)
        begin = time.perf_counter()
        for vm in machines:
            fill(manager, vm, 0, PAGES // VMS)
        filled = time.perf_counter() - begin
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{kind}: {DEVICES} devices, {VMS} VMs, {PAGES} pages mapped one by one in {filled:.0f} s "
            f"({PAGES / filled:.0f} a second), {memory:.0f} MiB resident, {machine.memory.resident} pages of tables"
        )
        begin = time.perf_counter()
        proofs = list(prove(machine, manager))
        runs = sum(len(proof.reached) for proof in proofs)
        verdict = all(proof.holds for proof in proofs)
        print(f"  proof of all devices ({runs} runs): {time.perf_counter() - begin:.0f} s, holds: {verdict}")
        one_more = changes(manager, machines[0], PAGES // VMS)
        print(f"  a page more in one of the full VMs: map {one_more[0]:.0f} us, unmap {one_more[1]:.0f} us")
        _growth(kind)


def _growth(kind: str) -> None:
    """Print how the latency of a change in one VM grows with the pages of that VM."""
    _, manager, machines = started(kind)
    sizes = [count for count in (1000, 3000, 10000, 30000, 100000, 300000) if count <= PAGES]
    maps, unmaps = [], []
    mapped = 0
    for size in sizes:
        fill(manager, machines[0], mapped, size - mapped)
        mapped = size
        adding, taking = changes(manager, machines[0], mapped)
        maps.append(adding)
        unmaps.append(taking)
        bar = "#" * round(adding / 2)
        print(f"  {size:>7} pages in one VM: map {adding:5.0f} us, unmap {taking:5.0f} us  {bar}")
    print(f"  exponent: map {exponent(sizes, maps):.2f}, unmap {exponent(sizes, unmaps):.2f}")
