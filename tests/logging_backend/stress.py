"""Many writers, many readers, for a while: run by `test_stress`, in processes of their own.

    python -m tests.logging_backend.stress write FOLDER NUMBER SECONDS
    python -m tests.logging_backend.stress read FOLDER SETS

A writer ends by printing how many packets it stored in each buffer, a reader how many it got and how many it was told
were lost, by set and buffer; it checks text, number and order of each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from iommuman.logging_backend import Follower, Packet, Schema
from iommuman.logging_backend.names import DataType

from .helpers import make

RECORD = Schema("IQ", "%u record %u", ("who", "n"))
PATIENCE = 60.0


def write(folder: Path, who: int, seconds: float) -> dict[str, int]:
    """Store into two buffers, text and bursts, in a rhythm that readers sometimes can follow and sometimes cannot."""
    os.nice(5)
    stored = [0, 0]
    with make(folder, 16, 8, name=f"w{who}") as writer:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(50 + who * 20):
                assert writer.log(0, who, 5, f"{who} text {stored[0]} {'x' * (stored[0] % 150)}") == 0
                stored[0] += 1
            rows = [(time.time_ns(), who, stored[1] + i) for i in range(100)]
            assert writer.burst(1, who, 5, RECORD, RECORD.pack(rows)) == 0
            stored[1] += 100
            time.sleep(0.004)
    return {f"w{who} b{i}": count for i, count in enumerate(stored)}


def read(folder: Path, sets: int) -> dict[str, tuple[int, int]]:
    """Follow until all sets are closed and read to the end."""
    os.nice(5)
    counts: dict[str, list[int]] = {}
    expected: dict[str, int] = {}
    with Follower(folder) as follower:
        quiet_since = time.monotonic()
        while True:
            packets = follower.poll()
            for packet in packets:
                take(packet, counts, expected)
            if packets:
                quiet_since = time.monotonic()
            closed = len(list(folder.glob("done.*")))
            if closed == sets and time.monotonic() - quiet_since > 0.5:
                return {key: (got, lost) for key, (got, lost) in counts.items()}
            if time.monotonic() - quiet_since > PATIENCE:
                raise TimeoutError(f"{closed} of {sets} writers done")
            time.sleep(0.01)


def take(packet: Packet, counts: dict[str, list[int]], expected: dict[str, int]) -> None:
    """Count one packet, and check that it is the one that comes next."""
    if packet.data_type is DataType.ONLINE:
        return
    key = f"{packet.stream.set_name} {packet.stream.buffer_name}"
    count = counts.setdefault(key, [0, 0])
    if packet.number != expected.get(key, 0):
        raise ValueError(f"{key}: {packet.number} after {expected.get(key)}")
    if packet.lost:
        count[1] += packet.lost
        expected[key] = packet.number + packet.lost
        return
    who, _, number, *_ = packet.text.split(" ")
    if f"w{who}" != packet.stream.set_name or int(number) != packet.number:
        raise ValueError(f"{key}: {packet.text!r} as {packet.number}")
    if packet.stream.buffer_name == "b0" and len(packet.text.split(" ")[3]) != packet.number % 150:
        raise ValueError(f"{key}: torn {packet.text!r}")
    count[0] += 1
    expected[key] = packet.number + 1


def main() -> None:
    """Run a writer or a reader."""
    what, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    result = write(folder, number, float(sys.argv[4])) if what == "write" else read(folder, number)
    if what == "write":
        (folder / f"done.{number}.txt").touch()
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
