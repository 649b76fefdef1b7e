"""Holding an enumeration against a model that is asked address by address."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, product

from iommuman.iommu import Memory, Reach

Answer = tuple[int | None, int | None, int | None]
"""Output for reading, writing and executing, None where refused."""


def agree(runs: Iterable[Reach], ask: Callable[[int], Answer], probes: Iterable[int]) -> int:
    """Assert that runs are in order, as long as can be, and what the model answers; return how many probes passed.

    Asked are the probes, and both sides of every end of every run.
    """
    found = list(runs)
    for run, after in pairwise(found):
        assert run.address + run.length <= after.address
        joined = (run.address + run.length, run.output + run.length, *run[3:])
        assert joined != (after.address, after.output, *after[3:]), "two runs that are one"
    assert all(run.length > 0 and any(run[3:]) for run in found)
    ends = {end for run in found for end in (run.address, run.address + run.length)}
    addresses = {at for end in ends for at in (end - 4096, end - 1, end, end + 4095)} | set(probes)
    starts = [run.address for run in found]
    passed = 0
    for address in sorted(addresses):
        if not 0 <= address < 1 << 64:
            continue
        at = bisect_right(starts, address) - 1
        expected: Answer = (None, None, None)
        if at >= 0 and address < found[at].address + found[at].length:
            output = found[at].output + address - found[at].address
            read, write, execute = (output if granted else None for granted in found[at][3:])
            expected = (read, write, execute)
        assert ask(address) == expected, f"at 0x{address:x}"
        passed += expected != (None, None, None)
    return passed


def corners(shifts: Sequence[int], numbers: Sequence[int], base: int = 0, bits: int = 64) -> list[int]:
    """Return, for each way through tables by these entries of each level, the first and last byte and the one after.

    `bits` is the width of an address; those that are wider are left out.
    """
    page = 1 << shifts[-1]
    firsts = {
        sum(number << shift for number, shift in zip(path, shifts, strict=True))
        for path in product(numbers, repeat=len(shifts))
    }
    return [base + at for first in firsts for at in (first, first + page - 1, first + page) if at >> bits == 0]


def damage(memory: Memory, places: Sequence[int], source: random.Random) -> None:
    """Flip bits of a few words, then make the bytes of a few others fail."""
    for place in source.sample(places, source.choice((0, 1, 1, 2))):
        memory.flip(place, source.randrange(64))
    for place in source.sample(places, source.choice((0, 1, 1, 2))):
        memory.inject(place, source.choice(("access", "corruption")), on=source.choice((None, "read", "write")))
