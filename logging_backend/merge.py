"""Merging buffers by time without ever changing the order within one.

A clock may be set back while a program logs, so the times of one buffer need not rise; its packets are then placed as
if each were no earlier than the one before. Packets of the same time come in the order of their streams.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate

from .packet import Packet


class _Lane:
    """One stream with the packets taken from it that are not given on yet, and the key each is placed by."""

    __slots__ = ("chunks", "keys", "packets")

    def __init__(self, chunks: Iterator[list[Packet]]) -> None:
        self.chunks = chunks
        self.packets: list[Packet] = []
        self.keys: list[int] = []

    def fill(self) -> bool:
        """Take the next packets when none are left; False at the end of the stream."""
        floor = self.keys[-1] if self.keys else 0
        while not self.packets:
            chunk = next(self.chunks, None)
            if chunk is None:
                return False
            self.packets = chunk
            self.keys = list(accumulate([packet[0] for packet in chunk], max, initial=floor))[1:]
        return True

    def take(self, limit: int) -> tuple[list[int], list[Packet]]:
        """Remove and return what is placed no later than `limit`."""
        cut = bisect_right(self.keys, limit)
        keys, packets = self.keys[:cut], self.packets[:cut]
        self.packets = self.packets[cut:]
        self.keys = self.keys[cut:] or keys[-1:]
        return keys, packets


def merge(streams: Iterable[Iterator[list[Packet]]]) -> Iterator[list[Packet]]:
    """Merge streams of lists of packets into one, by time; takes one list of each stream at a time."""
    lanes = [lane for lane in map(_Lane, streams) if lane.fill()]
    while len(lanes) > 1:
        # What comes next in a lane is no earlier than its last key, so all up to the earliest of these is known.
        limit = min(lane.keys[-1] for lane in lanes)
        keys: list[int] = []
        packets: list[Packet] = []
        for lane in lanes:
            some_keys, some_packets = lane.take(limit)
            keys += some_keys
            packets += some_packets
        yield [packets[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]
        lanes = [lane for lane in lanes if lane.fill()]
    for lane in lanes:
        yield lane.packets
        yield from lane.chunks
