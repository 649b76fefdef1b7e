"""Damage done on purpose: every truncation, and seeded single-byte mutants."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

MUTANTS = int(os.environ.get("IOMMUMAN_MUTANTS", "500"))
"""Mutants of each fixture; continuous integration asks for 20,000."""


def truncations(data: bytes, used: int | None = None) -> Iterator[bytes]:
    """Yield every shorter version of the data; of padding after `used` bytes only every 4096th."""
    end = len(data) if used is None else min(used, len(data))
    for length in (*range(end), *range(end, len(data), 4096)):
        yield data[:length]


def mutants(data: bytes, used: int | None = None, count: int = MUTANTS) -> Iterator[bytes]:
    """Yield copies of the data with one byte changed, the same ones at each run; only the first `used` bytes change."""
    source = random.Random(len(data))
    end = len(data) if used is None else min(used, len(data))
    for _ in range(count):
        copy = bytearray(data)
        copy[source.randrange(end)] ^= source.randrange(1, 256)
        yield bytes(copy)
