"""What a device reaches: every translation that tables in memory hold, as few runs, without asking address by address.

A `Tree` reads the tables of one stage whole, 512 entries at a time. What an entry means depends on a few of its bits;
an architecture says what (`judge`), once for each combination, so that what is left for a page is one look-up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, compress
from struct import Struct
from typing import NamedTuple

from .errors import IommuError, failure
from .platform import PAGE_SIZE, Memory

READ, WRITE, EXECUTE = 1, 2, 4
"""Permission bits of a `Piece`."""
LIMIT = 1 << 22
"""Runs after which an enumeration gives up unless told otherwise: 16 GiB of pages of 4 KiB, no two side by side."""

_CHUNK = PAGE_SIZE // 8
_ZEROS = bytes(PAGE_SIZE)
_MOST = 4096
"""Blocks, meanings and pieces that are held at a time."""
_FLAGS = tuple((bool(bits & READ), bool(bits & WRITE), bool(bits & EXECUTE)) for bits in range(8))

Piece = tuple[int, int, int, int]
"""Address, output, length, permission bits: a run that may go on in the next one."""
Pieces = list[Piece]


class Reach(NamedTuple):
    """A run of addresses that a device reaches, with contiguous output and equal permissions.

    Attributes:
        address: first address, as the device sends it.
        output: physical address that it leads to.
        length: length in bytes.
        read: the device may read there.
        write: it may write.
        execute: it may fetch instructions.
    """

    address: int
    output: int
    length: int
    read: bool
    write: bool
    execute: bool


class Level(NamedTuple):
    """One level of a tree.

    Attributes:
        shift: log2 of the bytes that an entry spans.
        entries: entries of a table.
        relevant: the bits of an entry that say what it means.
        table: the bits that hold the address of the next table.
        leaf: the bits that hold the output address of a page or block.
        high: bits that hold further bits of both addresses.
        lift: how far up these go.
    """

    shift: int
    entries: int
    relevant: int
    table: int
    leaf: int
    high: int = 0
    lift: int = 0


class Tree:
    """The tables of one stage, as the accesses of one device see them.

    `judge(depth, state, bits)` says what the relevant bits of an entry mean at a level (0 is the first), below tables
    that led to `state`: 0 nothing, less than 0 a table (-1 - its state), more than 0 a leaf with these permission
    bits. A leaf with bits from 3 up as well is handed to `settle(place, bits)`, which returns the permission bits.
    An entry of zero must mean nothing. `fetch(address, size)` reads a table, or 4 KiB of it; what cannot be read is
    zeros. `finish` turns what the tables map into what the device reaches.

    Tables found to hold nothing are remembered by level and state, so every visit of a table that is made again yields
    something: the work is bounded by what is yielded, times the tables that are in memory, even where tables point to
    themselves.
    """

    def __init__(
        self,
        levels: Iterable[Level],
        root: int,
        judge: Callable[[int, int, int], int],
        fetch: Callable[[int, int], bytes],
        *,
        finish: Callable[[Pieces], Iterator[Pieces]] | None = None,
        settle: Callable[[int, int], int] | None = None,
        limit: int | None = None,
        big_endian: bool = False,
    ) -> None:
        """Look at the tables from `root` down; input addresses end at `limit`, by default where the tables do."""
        self._levels = tuple(levels)
        self._root = root
        self._judge = judge
        self._fetch = fetch
        self._finish = finish
        self._settle = settle
        first, last = self._levels[0], self._levels[-1]
        self.size = min(limit or first.entries << first.shift, first.entries << first.shift)
        self._order = ">" if big_endian else "<"
        self._empty: set[tuple[int, int, int]] = set()
        self._meanings: dict[tuple[int, int], dict[int, int]] = {}
        self._block = last.shift + last.entries.bit_length() - 1
        self._blocks: dict[tuple[int, int], Pieces] = {}

    def scan(self, state: int, start: int, end: int, base: int = 0) -> Iterator[Pieces]:
        """Yield what is mapped from `start` to `end`, ascending, in lists none of which is empty.

        `state` is that of the first table, and `base` the address of its first entry.
        """
        end = min(end, base + self.size)
        return self._scan(self._root, 0, state, base, start, end) if start < end else iter(())

    def within(self, start: int, length: int, state: int) -> Iterable[Piece]:
        """Yield what is mapped in a range, as `scan` does; ranges of a few pages, asked for in any order, are quick."""
        block, end = start >> self._block, start + length
        if end - 1 >> self._block != block:
            return chain.from_iterable(self.scan(state, start, end))
        known = self._blocks.get((block, state))
        if known is None:
            if len(self._blocks) >= _MOST:
                self._blocks.clear()
            first = block << self._block
            runs = _joined(chain.from_iterable(self.scan(state, first, first + (1 << self._block))))
            known = self._blocks[block, state] = list(runs)
        at = max(bisect_right(known, start, key=_address) - 1, 0)
        found = []
        while at < len(known) and known[at][0] < end:
            found.append(known[at])
            at += 1
        return _clipped(found, start, end)

    def _scan(self, table: int, depth: int, state: int, base: int, start: int, end: int) -> Iterator[Pieces]:
        level = self._levels[depth]
        whole = start <= base and base + (level.entries << level.shift) <= end
        first = max(start - base, 0) >> level.shift
        last = min(end - 1 - base >> level.shift, level.entries - 1)
        found = False
        inner = self._pages if depth == len(self._levels) - 1 else self._tables
        for pieces in inner(table, depth, base, state, range(first, last + 1), start, end):
            found = True
            yield pieces
        if whole and not found:
            self._empty.add((table, depth, state))

    def _tables(
        self, table: int, depth: int, base: int, state: int, numbers: range, start: int, end: int
    ) -> Iterator[Pieces]:
        """Scan a table above the last level."""
        shift, _, relevant, next_mask, leaf_mask, high, lift = self._levels[depth]
        meanings = self._meanings.setdefault((depth, state), {})
        pieces: Pieces = []
        for number, entry in self._entries(table, depth, numbers):
            found = meanings.get(entry & relevant)
            if found is None:
                found = self._meaning(meanings, depth, state, entry & relevant)
            if found > 7 and self._settle:
                found = self._settle(table + 8 * number, found)
            more = (entry & high) << lift
            if found > 0:
                pieces.append((base + (number << shift), entry & leaf_mask | more, 1 << shift, found))
            elif found and (inner := (entry & next_mask | more, depth + 1, -1 - found)) not in self._empty:
                if pieces:
                    yield from self._finished(pieces, start, end)
                    pieces = []
                yield from self._scan(*inner, base + (number << shift), start, end)
        if pieces:
            yield from self._finished(pieces, start, end)

    def _pages(
        self, table: int, depth: int, base: int, state: int, numbers: range, start: int, end: int
    ) -> Iterator[Pieces]:
        """Scan a table of the last level, joining pages that go on from one another."""
        shift, _, relevant, _, mask, high, lift = self._levels[depth]
        size = 1 << shift
        meanings = self._meanings.setdefault((depth, state), {})
        pieces: Pieces = []
        begin = following = output = expected = access = 0
        for number, entry in self._entries(table, depth, numbers):
            found = meanings.get(entry & relevant)
            if found is None:
                found = self._meaning(meanings, depth, state, entry & relevant)
            if found > 7 and self._settle:
                found = self._settle(table + 8 * number, found)
            if not found:
                continue
            here = entry & mask
            if high:
                here |= (entry & high) << lift
            if here == expected and number == following and found == access:
                expected += size
                following += 1
                continue
            if access:
                pieces.append((base + (begin << shift), output, following - begin << shift, access))
            begin, following, output, expected, access = number, number + 1, here, here + size, found
        if access:
            pieces.append((base + (begin << shift), output, following - begin << shift, access))
            yield from self._finished(pieces, start, end)

    def _finished(self, pieces: Pieces, start: int, end: int) -> Iterable[Pieces]:
        """Finish pieces, after cutting off what was not asked for."""
        if pieces[0][0] < start or pieces[-1][0] + pieces[-1][2] > end:
            pieces = _clipped(pieces, start, end)
        return (pieces,) if self._finish is None else self._finish(pieces)

    def _meaning(self, meanings: dict[int, int], depth: int, state: int, bits: int) -> int:
        if len(meanings) >= _MOST:
            meanings.clear()
        found = meanings[bits] = self._judge(depth, state, bits)
        return found

    def _entries(self, table: int, depth: int, numbers: range) -> Iterator[tuple[int, int]]:
        """Yield number and value of the entries of a table that are not zero."""
        count = min(self._levels[depth].entries, _CHUNK)
        unpack = Struct(f"{self._order}{count}Q").unpack
        zeros = _ZEROS[: 8 * count]
        for at in range(numbers.start & -count, numbers.stop, count):
            data = self._fetch(table + 8 * at, 8 * count)
            if data == zeros:
                continue
            found = unpack(data)
            if numbers.start <= at and at + count <= numbers.stop:
                yield from compress(enumerate(found, at), found)
            else:
                first, last = max(numbers.start - at, 0), numbers.stop - at
                yield from compress(enumerate(found[first:last], at + first), found[first:last])


def table_bytes(memory: Memory, address: int, size: int) -> bytes:
    """Return a table, or a part of it within 4 KiB, as a walk sees it: doublewords that cannot be read are zeros."""
    try:
        return memory.read(address, size)
    except IommuError:
        pass
    if not any(start <= address < start + length for start, length in memory.ranges):
        return bytes(size)
    words = []
    for at in range(address, address + size, 8):
        try:
            words.append(memory.read(at, 8))
        except IommuError:
            words.append(bytes(8))
    return b"".join(words)


def composed(second: Tree, pieces: Pieces) -> Iterator[Pieces]:
    """Take the output of pieces through another stage, whose state is the permission bits that are of use."""
    done: Pieces = []
    for address, middle, length, access in pieces:
        delta = address - middle
        for start, output, size, granted in second.within(middle, length, access):
            done.append((start + delta, output, size, access & granted))
            if len(done) >= _MOST:
                yield done
                done = []
    if done:
        yield done


def without(batches: Iterable[Pieces], start: int, end: int, *, by_output: bool = False) -> Iterator[Pieces]:
    """Leave out what has its address, or with `by_output` its output, from `start` to `end`."""
    at = int(by_output)
    for pieces in batches:
        if any([piece[at] < end and start < piece[at] + piece[2] for piece in pieces]):  # noqa: C419 - a list is faster
            left = [part for piece in pieces for part in _cut(piece, start - piece[at], end - piece[at])]
            if left:
                yield left
        else:
            yield pieces


def reached(batches: Iterable[Pieces], limit: int) -> Iterator[Reach]:
    """Join pieces to runs. Raises `IommuError` (`REACH-LIMIT`) instead of a run beyond so many."""
    for count, (address, output, length, access) in enumerate(_joined(chain.from_iterable(batches))):
        if count >= limit:
            raise failure(
                "REACH-LIMIT",
                f"the tables map more than {limit} runs of memory",
                found=f"another run at 0x{address:x}",
                advice="look for tables that point to themselves, or allow more runs",
            )
        yield Reach(address, output, length, *_FLAGS[access])


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    address = output = length = access = 0
    for piece in pieces:
        start, to, size, granted = piece
        if start == address + length and to == output + length and granted == access:
            length += size
            continue
        if length:
            yield address, output, length, access
        address, output, length, access = piece
    if length:
        yield address, output, length, access


def _clipped(pieces: Pieces, start: int, end: int) -> Pieces:
    return [part for piece in pieces for part in _middle(piece, start, end)]


def _middle(piece: Piece, start: int, end: int) -> Iterator[Piece]:
    address, output, length, access = piece
    low, high = max(address, start), min(address + length, end)
    if low < high:
        yield low, output + low - address, high - low, access


def _cut(piece: Piece, first: int, last: int) -> Iterator[Piece]:
    """Yield what is left of a piece without its bytes from `first` to `last`."""
    address, output, length, access = piece
    if first > 0:
        yield address, output, min(first, length), access
    if last < length:
        start = max(last, 0)
        yield address + start, output + start, length - start, access


def _address(piece: Piece) -> int:
    return piece[0]
