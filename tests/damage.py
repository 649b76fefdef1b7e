"""Damage done on purpose: every truncation, and seeded single-byte mutants."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

MUTANTS = int(os.environ.get("IOMMUMAN_MUTANTS", "500"))
"""Mutants of each fixture; continuous integration asks for 20,000."""


def truncations(data: bytes, used: int | None = None) -> Iterator[bytes]:
    """Yield every shorter version of the data; of those longer than `used` bytes only every 97th."""
    end = len(data) if used is None else min(used, len(data))
    for length in (*range(end), *range(end, len(data), 97)):
        yield data[:length]


def mutants(data: bytes, count: int = MUTANTS) -> Iterator[bytes]:
    """Yield copies of the data with one byte changed, the same ones at each run."""
    source = random.Random(len(data))
    for _ in range(count):
        copy = bytearray(data)
        copy[source.randrange(len(data))] ^= source.randrange(1, 256)
        yield bytes(copy)
