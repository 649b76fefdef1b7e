"""What the fast path of a declared structure is worth: a 20-byte entry read by construct, alone, and in an array."""

from __future__ import annotations

import timeit

from iommuman.parsers.acpi.iort.records import IdMapping

COUNT = 2000


def main() -> None:
    """Print the ratios."""
    layout, image = IdMapping.LAYOUT, bytes(range(20))
    many = image * COUNT
    slow = min(timeit.repeat(lambda: layout.declaration.parse(image), number=COUNT, repeat=5)) / COUNT
    fast = min(timeit.repeat(lambda: layout.read(image), number=COUNT, repeat=5)) / COUNT
    print(f"20-byte entry: construct {slow * 1e6:.2f} us, derived {fast * 1e6:.2f} us: {slow / fast:.0f} x")
    one = min(timeit.repeat(lambda: IdMapping.read(image, 0), number=COUNT, repeat=5)) / COUNT
    row = min(timeit.repeat(lambda: IdMapping.read_array(many, 0, COUNT), number=1, repeat=5)) / COUNT
    print(f"as a record:   alone {one * 1e6:.2f} us, in an array {row * 1e6:.2f} us: {one / row:.1f} x")


if __name__ == "__main__":
    main()
