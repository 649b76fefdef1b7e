"""No device reaches, after any single store of the driver, what neither the old nor the new configuration grants."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from iommuman.iommu.errors import IommuError
from iommuman.iommu.smmuv3 import Domain
from iommuman.iommu.smmuv3.driver.entries import ste_update
from iommuman.iommu.smmuv3.layout import STE
from iommuman.iommu.smmuv3.model import READ, WRITE

from .observer import BASE, GUEST, RO, RW, WINDOW, Board, Probe
from .rig import capabilities

STREAMS = (0x18, 0x119)
KINDS = ["abort", "bypass", "s1", "s1b", "s2", "s2b", "nested", "nestedb"]
LINUX_SYNCS = {
    # arm-smmu-v3-test.c: bypass<->abort 2, cdtable<->abort 2, cdtable<->bypass 3, s2<->abort and bypass 2, s1<->s2 3
    frozenset(("bypass", "abort")): 2,
    frozenset(("s1", "abort")): 2,
    frozenset(("s1", "bypass")): 3,
    frozenset(("s2", "abort")): 2,
    frozenset(("s2", "bypass")): 2,
    frozenset(("s1", "s2")): 3,
}


def cuts(granule: int) -> list[int]:
    """Return the addresses between which ranges are mapped: around pages, runs of pages, and blocks."""
    rows = 1 << granule - 3
    return [page << granule for page in (0, 1, 16, rows - 1, rows, rows + 1, 2 * rows)]


def probes(granule: int, streams: tuple[int, ...] = STREAMS) -> list[Probe]:
    """Return the first and last page of every cell between cuts, for every stream."""
    edges = cuts(granule)
    pages = {address for low, high in itertools.pairwise(edges) for address in (low, high - (1 << granule))}
    pages.add(edges[-1])
    return [(stream, None, page + 8) for stream in streams for page in sorted(pages)]


def populated(granule: int = 12, **caps: int) -> tuple[Board, dict[str, Domain | str]]:
    """Return a started board and everything that a stream can be attached to, with something mapped in each."""
    board = Board(capabilities(**caps), [(0x18, None, 8), (0x18, None, 0x2008), (0x119, None, 8)])
    board.start()
    size = 1 << granule
    targets: dict[str, Domain | str] = {"abort": "abort", "bypass": "bypass"}
    for name, output in (("s2", 0x2_0000_0000), ("s2b", 0x3_0000_0000)):
        domain = targets[name] = board.domain(2, granule=granule)
        board.map(domain, 0, output, size)
        board.map(domain, 1 << 30, output + (1 << 30), size, RO)
        board.map(domain, GUEST + WINDOW, GUEST, 0x100_0000)
    for name, parent, output in (("s1", None, 0x5_0000_0000), ("s1b", None, 0x6_0000_0000)):
        domain = targets[name] = board.domain(1, parent, granule=granule)
        board.map(domain, 0, output, size)
    for name, parent in (("nested", "s2"), ("nestedb", "s2b")):
        domain = targets[name] = board.domain(1, targets[parent], granule=granule)  # type: ignore[arg-type]
        board.map(domain, 0, 1 << 30, size)
    return board, targets


@pytest.mark.parametrize("granule", [12, 16])
def test_every_pair_of_stream_configurations(granule: int) -> None:
    """All 64 transitions between abort, bypass, two of stage 1, stage 2 and nested leave no hole."""
    board, targets = populated(granule)
    for before, after in itertools.product(KINDS, KINDS):
        board.attach(0x18, targets[before])
        syncs = board.attach(0x18, targets[after])
        assert syncs <= LINUX_SYNCS.get(frozenset((before, after)), 3), (before, after)
        if before == after and before in ("abort", "bypass", "s2", "s2b"):
            assert syncs == 0
    assert board.looks > 500


def test_torn_reads_of_a_stream_table_entry() -> None:
    """An STE read partly before and partly after a group of stores means the old or the new configuration, or abort."""
    board, targets = populated()
    board.attach(0x18, "abort")
    place = board.driver._streams.place(0x18)[0]
    memory, hardware = board.memory, board.models[1]
    for before, after in itertools.product(KINDS, KINDS):
        board.attach(0x18, targets[before])
        old, old_reach = STE.from_bytes(memory.read(place, 64)), board.meant()
        board.attach(0x18, targets[after])
        new, new_reach = STE.from_bytes(memory.read(place, 64)), board.meant()
        words = list(old.words)
        for group in ste_update(old, new):
            for chosen in itertools.product((False, True), repeat=len(group)):
                mixed = words.copy()
                for (index, value), stored in zip(group, chosen, strict=True):
                    mixed[index] = value if stored else words[index]
                memory.write(place, b"".join(word.to_bytes(8, "little") for word in mixed))
                for probe, access in itertools.product(board.probes[:2], (READ, WRITE)):
                    got = hardware.translate(0x18, probe[2], access)
                    key = (probe, access)
                    assert got in (-1, old_reach.get(key), new_reach.get(key)), (before, after, chosen)
            for index, value in group:
                words[index] = value
        assert tuple(words) == new.words
        memory.write(place, bytes(new))


def test_sync_counts_are_those_of_linux_or_fewer() -> None:
    """The counts that Linux's KUnit expects of the same transitions of stream table entries are not exceeded."""
    board, targets = populated()
    counts = {}
    for before, after in itertools.permutations(("abort", "bypass", "s1", "s2"), 2):
        board.attach(0x18, targets[before])
        counts[before, after] = board.attach(0x18, targets[after])
    for pair, count in counts.items():
        assert count <= LINUX_SYNCS[frozenset(pair)], pair
    assert counts["s1", "bypass"] == 2
    assert counts["s1", "s2"] == 3
    # A change of the CD table alone is one store, as a change of S1DSS is in KUnit.
    board.attach(0x18, targets["s1"])
    assert board.attach(0x18, targets["s1b"]) == 1


def test_substream_transitions() -> None:
    """Context descriptors change without a hole: clear 2 syncs, as in KUnit; exchange 3, through an invalid one."""
    board, targets = populated()
    board.probes = [(0x18, ssid, 8) for ssid in (None, 1, 70, 200)]
    for default in ("terminate", "bypass", "domain"):
        board.attach(0x18, targets["s1"], substream_bits=8, default=default)
        for ssid in (1, 70, 200):
            linked = ssid != 1 or default != "domain"  # the leaf of substreams 0 to 63 exists already
            assert board.set_substream(0x18, ssid, targets["s1"]) == 2 + linked  # type: ignore[arg-type]
            assert board.set_substream(0x18, ssid, targets["s1b"]) == 3  # type: ignore[arg-type]
            assert board.set_substream(0x18, ssid, None) == 2
            assert board.set_substream(0x18, ssid, targets["s1b"]) == 2  # type: ignore[arg-type]
    board.attach(0x18, targets["nested"], substream_bits=3)
    board.set_substream(0x18, 1, targets["nested"])  # type: ignore[arg-type]
    board.attach(0x18, "abort")


@pytest.mark.parametrize("two_level", [0, 1])
def test_bringing_up_and_taking_over(two_level: int) -> None:
    """From reset, and from a running configuration, start and stop open nothing."""
    board = Board(capabilities(ST_LEVEL=two_level, SIDSIZE=10), [(0x18, None, 8), (0x3FF, None, 0x1008)])
    board.start()
    domain = board.domain(2)
    board.map(domain, 0, 0x9000, 0x1000)
    board.attach(0x18, domain)
    board.attach(0x3FF, "bypass")
    second = Board.__new__(Board)
    second.__dict__.update(board.__dict__)
    second.driver = type(board.driver)(board.platform, BASE, board.allocator)
    second.start()
    with second.change():
        second.watch()
        second.driver.stop()


@pytest.mark.parametrize(
    ("granule", "ril", "bbml"), [(12, 0, 0), (12, 0, 2), (12, 1, 0), (12, 1, 2), (14, 1, 0), (16, 0, 2)]
)
@pytest.mark.parametrize("stage", [1, 2])
def test_splits_and_merges(stage: int, granule: int, ril: int, bbml: int) -> None:
    """A block is split by unmapping part of it and merged when it is whole again; pages elsewhere stay."""
    board = Board(capabilities(RIL=ril, BBML=bbml), probes(granule, (0x18,)))
    board.start()
    domain = board.domain(stage, granule=granule, input_bits=40)
    board.attach(0x18, domain)
    edges = cuts(granule)
    block = edges[4]
    base = 0x2_0000_0000
    board.map(domain, 0, base, 2 * block)
    pages = domain.table.pages
    assert domain.table.find(8) == domain.table.find(block - 1)
    for low, high in ((0, edges[1]), (edges[2], edges[3]), (edges[3], edges[5])):
        board.unmap(domain, low, high - low)
        assert domain.table.pages > pages
        board.map(domain, low, base + low, high - low)
        assert domain.table.pages == pages
        assert (domain.table.find(low) or (0, 0))[1] == (block - 1).bit_length()
    board.unmap(domain, 0, 2 * block)
    board.unmap(domain, 0, 2 * block)
    assert domain.table.find(0) is None


def decoded(number: int) -> tuple[Any, ...]:
    """Return the operation that a number stands for: one in four attaches a stream, the others map and unmap."""
    number, kind = divmod(number, 8)
    if kind < 2:
        number, stream = divmod(number, 2)
        return "attach", STREAMS[stream], ("abort", "bypass", "s1", "s2", "nested")[number % 5]
    number, name = divmod(number, 3)
    number, low = divmod(number, 6)
    number, high = divmod(number, 6 - low)
    flags = (bool(number & 1), bool(number & 2))
    return "map" if kind < 5 else "unmap", ("s1", "s2", "nested")[name], (low, low + 1 + high), *flags


@pytest.mark.parametrize(("granule", "ril", "bbml"), [(12, 1, 0), (12, 0, 0), (14, 1, 0), (16, 1, 2)])
@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(numbers=st.lists(st.integers(0, 1 << 20), min_size=50, max_size=50))
def test_sequences_of_fifty_operations(granule: int, ril: int, bbml: int, numbers: list[int]) -> None:
    """Whatever is mapped, unmapped and attached in any order, every store is safe and every end is exact."""
    board = Board(capabilities(RIL=ril, BBML=bbml), probes(granule))
    board.start()
    s2 = board.domain(2, granule=granule, input_bits=40)
    targets: dict[str, Any] = {"abort": "abort", "bypass": "bypass", "s1": board.domain(1, granule=granule), "s2": s2}
    board.map(s2, GUEST + WINDOW, GUEST, 0x100_0000)
    targets["nested"] = board.domain(1, s2, granule=granule)
    for stream, name in zip(STREAMS, ("s1", "nested"), strict=True):
        board.attach(stream, targets[name])
    edges = cuts(granule)
    for operation in map(decoded, numbers):
        if operation[0] == "attach":
            board.attach(operation[1], targets[operation[2]])
            continue
        verb, name, (low, high), shifted, writable = operation
        start, size = edges[low], edges[high] - edges[low]
        domain = targets[name]
        if verb == "unmap":
            board.unmap(domain, start, size)
        elif board.spaces[domain].free(start, size):
            # Outputs of nested domains are IPAs that the stage 2 domain may or may not map.
            base = 0 if name == "nested" else 0x2_0000_0000
            board.map(domain, start, base + start + (shifted << granule), size, RW if writable else RO)
        else:
            with pytest.raises(IommuError, match="mapped already"):
                board.driver.map(domain, start, start, size, RW)


def test_the_observer_sees_holes() -> None:
    """The proof can fail: a driver that forgets to invalidate, or that writes in the wrong order, is caught."""
    board, targets = populated()
    domain = targets["s2"]
    assert isinstance(domain, Domain)
    board.attach(0x18, domain)
    board.driver.commands.running = False
    with pytest.raises(AssertionError, match="at the end"):
        board.unmap(domain, 0, 0x1000)
    board, _ = populated()
    domain = board.domain(2, input_bits=40)
    board.map(domain, 0, 0x9000, 0x1000)
    board.attach(0x18, domain)
    with pytest.raises(AssertionError, match="0x40000008"):
        open_a_hole(board, domain)


def open_a_hole(board: Board, domain: Domain) -> None:
    """Unmap a page, and map another that nobody asked for."""
    with board.change():
        board.watch()
        board.driver.unmap(domain, 0, 0x1000)
        board.platform.write(domain.table.root, (0x40000000 | 0x7FD).to_bytes(8, "little"))
