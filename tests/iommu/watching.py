"""Watching hardware after every single store of a driver.

What devices reach is asked of the model in two ways: with nothing remembered (every entry is read anew) and with what
it remembers. Hardware is free in when it fills its caches, so a run is repeated with the caches filled after each store
in turn: whatever state memory is in for an instant may be the one that stays remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from iommuman.iommu.platform import Memory, Simulated

READ, WRITE = 1, 2
"""Permissions of a view."""


class TouchedMemory(Memory):
    """Memory that knows which doublewords were read.

    A store to a doubleword that no probe reads cannot change what the probes see, so it needs no new look: that is
    what makes it possible to look after every store that matters.
    """

    def __init__(self) -> None:
        """Start with nothing read."""
        super().__init__([(0, 1 << 40)])
        self.touched: set[int] = set()

    def read_u64(self, address: int) -> int:
        """Read, and remember what was read."""
        self.touched.add(address)
        return super().read_u64(address)

    def read(self, address: int, size: int) -> bytes:
        """Read, and remember what was read."""
        self.touched.update(range(address & -8, address + size, 8))
        return super().read(address, size)


View = Mapping[int, tuple[int, int]]
"""What a device reaches of the probed pages: by address, (output, permissions)."""


class Scene(Protocol):
    """A platform with unit and driver, and the question what devices reach.

    Attributes:
        memory: of the platform.
        platform: what the driver uses.
        devices: devices that are asked about.
    """

    memory: TouchedMemory
    platform: Simulated
    devices: tuple[int, ...]

    def reach(self, *, remembered: bool) -> dict[int, dict[int, tuple[int, int]]]:
        """Return the view of every device."""
        ...

    def fill(self) -> None:
        """Let the unit remember all it can of this instant."""
        ...


_Scene = TypeVar("_Scene", bound=Scene)


def views(
    ask: Callable[[int, int, int], object], devices: Iterable[int], probes: Iterable[int]
) -> dict[int, dict[int, tuple[int, int]]]:
    """Return the view of every device, by asking `ask(device, page, access)` for each page; an integer is an output."""
    found: dict[int, dict[int, tuple[int, int]]] = {}
    for device in devices:
        view = found[device] = {}
        for page in probes:
            reads, writes = ask(device, page, READ), ask(device, page, WRITE)
            read_ok, write_ok = isinstance(reads, int), isinstance(writes, int)
            if read_ok and write_ok:
                assert reads == writes
            if read_ok or write_ok:
                output = reads if isinstance(reads, int) else writes
                assert isinstance(output, int)
                view[page] = (output, read_ok * READ | write_ok * WRITE)
    return found


def within(now: View, old: View, new: View) -> bool:
    """Tell whether every page, and every permission, is granted by the old or by the new view."""
    for page, (output, access) in now.items():
        granted = 0
        for view in (old, new):
            if page in view and view[page][0] == output:
                granted |= view[page][1]
        if access & ~granted:
            return False
    return True


def observed(
    rig: Scene,
    change: Callable[[], None],
    old: Mapping[int, View],
    new: Mapping[int, View],
    *,
    fill_at: Iterable[int] = (),
    walks: bool = True,
) -> list[int]:
    """Carry a change out, look after every store, and return the numbers of the stores that probes could notice.

    Args:
        rig: the rig, whose devices have the `old` views.
        change: calls the driver.
        old: views before, by device.
        new: views after.
        fill_at: numbers of stores after which the unit fills its caches; 0 is before the first.
        walks: look with nothing remembered as well.
    """
    stores = 0
    noticed: list[int] = []
    fill = set(fill_at)
    first = min(fill, default=0)
    memory = rig.memory
    read: set[int] = set()

    def look(when: str) -> None:
        nonlocal read
        memory.touched = read = set()
        if walks:
            compare(rig.reach(remembered=False), f"walk {when}")
        if stores >= first:
            compare(rig.reach(remembered=True), f"caches of {sorted(fill)} {when}")
        memory.touched = set()

    def check(kind: str, address: int) -> None:
        nonlocal stores
        stores += 1
        if stores in fill:
            rig.fill()
        elif kind == "memory" and address & -8 not in read and stores > first:
            return
        if kind == "mmio" or address & -8 in read:
            noticed.append(stores)
        look(f"after store {stores}, {kind} 0x{address:x}")

    def compare(now: Mapping[int, View], when: str) -> None:
        for device in rig.devices:
            assert within(now[device], old[device], new[device]), (when, hex(device), now[device], old, new)

    if 0 in fill:
        rig.fill()
    look("before the first store")
    rig.platform.observers.append(check)
    change()
    rig.platform.observers.clear()
    assert rig.reach(remembered=False) == new, "at the end exactly what was asked for"
    assert rig.reach(remembered=True) == new, "and nothing else is remembered"
    return noticed


def exhaustively(
    make: Callable[[], tuple[_Scene, Callable[[], None], Mapping[int, View], Mapping[int, View]]],
) -> list[int]:
    """Observe a change once for every store after which filled caches could matter; return these stores.

    `make` sets the same scene anew each time. Each moment is tried with caches that are empty before, and with caches
    that already hold everything from before the change.
    """
    noticed = observed(*make())
    for moment in (0, *noticed):
        for fill_at in {(moment,), (0, moment)}:
            observed(*make(), fill_at=fill_at, walks=False)
    return noticed


def mapped(
    view: Mapping[int, tuple[int, int]], probes: list[int], start: int, output: int, length: int, access: int
) -> dict[int, tuple[int, int]]:
    """Return the view after mapping a range."""
    more = {page: (output + page - start, access) for page in probes if start <= page < start + length}
    return {**view, **more}


def unmapped(view: Mapping[int, tuple[int, int]], start: int, length: int) -> dict[int, tuple[int, int]]:
    """Return the view after unmapping a range."""
    return {page: value for page, value in view.items() if not start <= page < start + length}


# --- Mapping, unmapping, splitting, merging: what drivers of tables with 512 entries are watched in

K, M, G = 1 << 10, 1 << 20, 1 << 30
WINDOW = 0x40000000
MAP_PROBES = [WINDOW + offset for offset in (0, 4 * K, 8 * K, 2 * M - 4 * K, 2 * M, 4 * M, G - 4 * K, G)]
OUT, OTHER = 2 * G, 8 * G
Action = tuple[str, int, int, int, int]
"""map or unmap, start, output, length, permissions."""
MAPPINGS: dict[str, tuple[list[Action], Action]] = {
    "map 4 KiB": ([], ("map", WINDOW, OUT, 4 * K, 3)),
    "map 2 MiB": ([], ("map", WINDOW, OUT, 2 * M, 3)),
    "map 1 GiB": ([], ("map", WINDOW, OUT, G, 1)),
    "map a range of all sizes": ([], ("map", WINDOW - 4 * K, OUT - 4 * K, G + 2 * M + 8 * K, 3)),
    "map beside": ([("map", WINDOW, OUT, 4 * K, 3)], ("map", WINDOW + 4 * K, OTHER, 8 * K, 2)),
    "map over the same": ([("map", WINDOW, OUT, 2 * M, 3)], ("map", WINDOW, OUT, 2 * M, 3)),
    "map over with other memory": ([("map", WINDOW, OUT, 2 * M, 3)], ("map", WINDOW, OTHER, 2 * M, 3)),
    "map over with less": ([("map", WINDOW, OUT, G, 3)], ("map", WINDOW, OUT, G, 1)),
    "map over with more": ([("map", WINDOW, OUT, 4 * K, 1)], ("map", WINDOW, OUT, 4 * K, 3)),
    "map over a part": ([("map", WINDOW, OUT, 2 * M, 3)], ("map", WINDOW + 4 * K, OTHER, 4 * K, 3)),
    "map larger over smaller": ([("map", WINDOW + 4 * K, OTHER, 4 * K, 3)], ("map", WINDOW, OUT, 2 * M, 3)),
    "unmap 4 KiB": ([("map", WINDOW, OUT, 12 * K, 3)], ("unmap", WINDOW + 4 * K, 0, 4 * K, 0)),
    "unmap the last of a table": ([("map", WINDOW, OUT, 4 * K, 3)], ("unmap", WINDOW, 0, 4 * K, 0)),
    "unmap all": ([("map", WINDOW - 4 * K, OUT - 4 * K, G + 8 * K, 3)], ("unmap", WINDOW - 2 * M, 0, 2 * G, 0)),
    "unmap nothing": ([], ("unmap", WINDOW, 0, 2 * M, 0)),
    "split 2 MiB": ([("map", WINDOW, OUT, 2 * M, 3)], ("unmap", WINDOW + 4 * K, 0, 4 * K, 0)),
    "split 1 GiB": ([("map", WINDOW, OUT, G, 3)], ("unmap", WINDOW + 4 * K, 0, 4 * K, 0)),
    "split both ends": ([("map", WINDOW, OUT, 4 * M, 3)], ("unmap", WINDOW + 8 * K, 0, 4 * M - 16 * K, 0)),
    "merge 2 MiB": (
        [("map", WINDOW, OUT, 4 * K, 3), ("map", WINDOW + 8 * K, OUT + 8 * K, 2 * M - 8 * K, 3)],
        ("map", WINDOW + 4 * K, OUT + 4 * K, 4 * K, 3),
    ),
    "merge 1 GiB": (
        [("map", WINDOW, OUT, 4 * K, 3), ("map", WINDOW + 8 * K, OUT + 8 * K, G - 8 * K, 3)],
        ("map", WINDOW + 4 * K, OUT + 4 * K, 4 * K, 3),
    ),
    "no merge for other permissions": (
        [("map", WINDOW, OUT, 4 * K, 3), ("map", WINDOW + 8 * K, OUT + 8 * K, 2 * M - 8 * K, 3)],
        ("map", WINDOW + 4 * K, OUT + 4 * K, 4 * K, 1),
    ),
}
