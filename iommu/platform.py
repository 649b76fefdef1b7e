"""What an IOMMU and its driver share: physical memory and memory-mapped registers.

A driver sees a `Platform`, which reads and writes physical memory and registers and nothing else, so that it runs the
same on models and on emulated hardware. `Simulated` is a platform of ours: a `Memory`, which may be a file shared with
another process and in which faults can be planted, and register blocks (models) attached at their physical addresses.
Every value that differs from what memory held is reported to observers one doubleword at a time, in ascending order:
these are the single stores between which hardware may look.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable
from pathlib import Path
from struct import Struct
from typing import Literal, Protocol, TypeVar

from ..base import RangeSet
from .bits import Bits
from .errors import failure

PAGE_SIZE = 4096
FaultKind = Literal["access", "corruption"]
"""`access`: nobody answers, or the bus refuses. `corruption`: the word is known to be damaged (ECC, poison)."""
Access = Literal["read", "write"]
Observer = Callable[[str, int], None]
"""Called after a store with `memory` or `mmio` and the physical address of the doubleword or register."""

_U64 = Struct("<Q")
_ZEROS = bytes(PAGE_SIZE)
_Layout = TypeVar("_Layout", bound=Bits)


class Platform(Protocol):
    """All that a driver may use. Addresses are physical, in bytes; every method raises `IommuError` where it fails."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes of memory."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Write memory in ascending order, each aligned doubleword as one store."""
        ...

    def read_mmio(self, address: int, size: int) -> int:
        """Read a register of 4 or 8 bytes."""
        ...

    def write_mmio(self, address: int, value: int, size: int) -> None:
        """Write a register of 4 or 8 bytes."""
        ...


class RegisterBlock(Protocol):
    """What answers at a range of MMIO addresses, such as the model of an IOMMU."""

    def read_register(self, offset: int, size: int) -> int:
        """Return the register of 4 or 8 bytes at `offset` in the block."""
        ...

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write the register of 4 or 8 bytes at `offset` in the block."""
        ...


class Memory:
    """Physical memory in whole pages: sparse, reading as zeros where never written, or a file.

    `ranges` are the `(start, length)` of RAM; everything else refuses access. With `path`, the ranges lie one after
    another in that file, which another process may map too; it is made, or grown, to their total length.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]], path: Path | None = None) -> None:
        """Make memory. Raises ValueError for ranges that are not whole 4 KiB pages or overlap."""
        self.ranges = tuple(ranges)
        if any(start % PAGE_SIZE or length % PAGE_SIZE or length <= 0 or start < 0 for start, length in self.ranges):
            raise ValueError(f"RAM comes in whole pages of {PAGE_SIZE} bytes")
        self._ram = RangeSet()
        for start, length in self.ranges:
            if self._ram.overlapping(start, length):
                raise ValueError(f"RAM at 0x{start:x} is given twice")
            self._ram.add(start, length)
        self._pages: dict[int, bytearray | memoryview] = {}
        self._faults: dict[tuple[Access, int], FaultKind] = {}
        self._file = _map_file(path, sum(length for _, length in self.ranges)) if path is not None else None
        self._view = memoryview(self._file) if self._file is not None else None

    def close(self) -> None:
        """Let go of the file, if there is one; the memory must not be used afterwards."""
        self._pages.clear()
        if self._view is not None and self._file is not None:
            self._view.release()
            self._file.close()

    @property
    def resident(self) -> int:
        """Number of pages that have been written to (of a file: touched)."""
        return len(self._pages)

    def inject(self, address: int, kind: FaultKind = "access", length: int = 8, on: Access | None = None) -> None:
        """Make every access (or only reads, or only writes) that touches these bytes fail, until `heal`.

        Faults are kept by aligned doubleword: a fault in any byte of it is a fault in all eight.
        """
        for word in range(address >> 3, (address + length + 7) >> 3):
            for access in ("read", "write") if on is None else (on,):
                self._faults[access, word] = kind

    def heal(self) -> None:
        """Take every injected fault away."""
        self._faults.clear()

    def flip(self, address: int, bit: int) -> None:
        """Damage memory silently: invert one bit, counted from bit 0 of the byte at `address`."""
        at = address + bit // 8
        self.write(at, bytes([self.read(at, 1)[0] ^ 1 << bit % 8]))

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes. Raises `IommuError`: `MEMORY-ACCESS` outside RAM or injected, `MEMORY-CORRUPTION`."""
        if self._faults:
            self._check("read", address, size)
        at = address & 0xFFF
        if at + size <= PAGE_SIZE:
            return bytes(self._readable(address >> 12)[at : at + size])
        pieces = []
        while size > 0:
            count = min(size, PAGE_SIZE - (address & 0xFFF))
            pieces.append(bytes(self._readable(address >> 12)[address & 0xFFF : (address & 0xFFF) + count]))
            address, size = address + count, size - count
        return b"".join(pieces)

    def read_u64(self, address: int) -> int:
        """Return the aligned little-endian doubleword at `address`; raises as `read` does."""
        if self._faults:
            self._check("read", address, 8)
        page: bytes | bytearray | memoryview | None = self._pages.get(address >> 12)
        if page is None:
            page = self._readable(address >> 12)
        value: int = _U64.unpack_from(page, address & 0xFF8)[0]
        return value

    def write(self, address: int, data: bytes) -> None:
        """Write bytes; raises as `read` does, before anything is written."""
        size = len(data)
        if self._faults:
            self._check("write", address, size)
        at = address & 0xFFF
        if 0 < size <= PAGE_SIZE - at:
            self._writable(address >> 12)[at : at + size] = data
            return
        for number in range(address >> 12, (address + size + PAGE_SIZE - 1) >> 12):
            self._writable(number)
        done = 0
        while done < size:
            at = (address + done) & 0xFFF
            piece = data[done : done + PAGE_SIZE - at]
            self._writable((address + done) >> 12)[at : at + len(piece)] = piece
            done += len(piece)

    def write_u64(self, address: int, value: int) -> None:
        """Write the aligned little-endian doubleword at `address`; raises as `read` does."""
        if self._faults:
            self._check("write", address, 8)
        page = self._pages.get(address >> 12)
        if page is None:
            page = self._writable(address >> 12)
        _U64.pack_into(page, address & 0xFF8, value)

    def compare_and_swap(self, address: int, old: int, new: int) -> bool:
        """Write the doubleword `new` if memory holds `old`, and tell whether it did: what hardware does to set A and D.

        Raises as `read` and `write` do.
        """
        if self.read_u64(address) != old:
            return False
        self.write_u64(address, new)
        return True

    def _readable(self, number: int) -> bytes | bytearray | memoryview:
        page = self._pages.get(number)
        if page is not None:
            return page
        if self._view is None and number << 12 in self._ram:
            return _ZEROS
        return self._writable(number)

    def _writable(self, number: int) -> bytearray | memoryview:
        page = self._pages.get(number)
        if page is None:
            address = number << 12
            if address not in self._ram:
                raise failure("MEMORY-ACCESS", f"there is no memory at 0x{address:x}")
            page = self._pages[number] = (
                bytearray(PAGE_SIZE) if self._view is None else self._view[self._file_offset(address) :][:PAGE_SIZE]
            )
        return page

    def _file_offset(self, address: int) -> int:
        before = sum(length for start, length in self.ranges[: self._range_of(address)])
        return before + address - self.ranges[self._range_of(address)][0]

    def _range_of(self, address: int) -> int:
        return next(i for i, (start, length) in enumerate(self.ranges) if start <= address < start + length)

    def _check(self, access: Access, address: int, size: int) -> None:
        for word in range(address >> 3, (address + size + 7) >> 3):
            kind = self._faults.get((access, word))
            if kind is not None:
                raise failure(f"MEMORY-{kind.upper()}", f"{access} of 0x{word << 3:x} fails: {kind}")


def _map_file(path: Path, length: int) -> mmap.mmap:
    with path.open("r+b" if path.exists() else "w+b") as file:
        if path.stat().st_size < length:
            file.truncate(length)
        return mmap.mmap(file.fileno(), length)


class Simulated:
    """A platform of models: memory, and register blocks at physical addresses.

    `observers` are called after every single store: a doubleword of memory that changed, or a register write.
    """

    def __init__(self, memory: Memory) -> None:
        """Make a platform on `memory`, with no registers yet."""
        self.memory = memory
        self.observers: list[Observer] = []
        self._blocks: list[tuple[int, int, RegisterBlock]] = []

    def attach(self, start: int, length: int, block: RegisterBlock) -> None:
        """Let `block` answer at `length` bytes from `start`. Raises ValueError where another one answers already."""
        if any(start < at + size and at < start + length for at, size, _ in self._blocks):
            raise ValueError(f"the registers at 0x{start:x} overlap others")
        self._blocks.append((start, length, block))

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes of memory; raises `IommuError` as `Memory.read` does."""
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write memory; with observers, doubleword by doubleword. Raises `IommuError` as `Memory.read` does."""
        if not self.observers:
            self.memory.write(address, data)
            return
        done = 0
        while done < len(data):
            count = 8 - (address + done) % 8
            piece = data[done : done + count]
            if self.memory.read(address + done, len(piece)) != piece:
                self.memory.write(address + done, piece)
                self._report("memory", address + done)
            done += len(piece)

    def read_mmio(self, address: int, size: int) -> int:
        """Read a register of 4 or 8 bytes. Raises `IommuError` (`MMIO-ACCESS`) where nothing answers."""
        start, block = self._block(address, size)
        return block.read_register(address - start, size)

    def write_mmio(self, address: int, value: int, size: int) -> None:
        """Write a register of 4 or 8 bytes. Raises `IommuError` (`MMIO-ACCESS`) where nothing answers."""
        start, block = self._block(address, size)
        block.write_register(address - start, value, size)
        self._report("mmio", address)

    def _report(self, kind: str, address: int) -> None:
        for observer in self.observers:
            observer(kind, address)

    def _block(self, address: int, size: int) -> tuple[int, RegisterBlock]:
        for start, length, block in self._blocks:
            if start <= address and address + size <= start + length and size in (4, 8) and address % size == 0:
                return start, block
        raise failure("MMIO-ACCESS", f"no register of {size} bytes answers at 0x{address:x}")


class PageAllocator:
    """Hands out pages of one range of memory, zeroed and aligned, and takes them back."""

    def __init__(self, platform: Platform, start: int, length: int) -> None:
        """Own `length` bytes from `start`, both multiples of 4096 (else ValueError)."""
        if start % PAGE_SIZE or length % PAGE_SIZE:
            raise ValueError("an allocator owns whole pages")
        self._platform = platform
        self._free = RangeSet([(start, length)])
        self._used: dict[int, int] = {}
        self.pages_in_use = 0
        """Number of 4 KiB pages handed out and not yet taken back."""

    def allocate(self, size: int = PAGE_SIZE, align: int = PAGE_SIZE) -> int:
        """Return the address of `size` zeroed bytes (rounded up to pages), a multiple of `align` (a power of two).

        Raises `IommuError` (`MEMORY-EXHAUSTED`) when no such range is free.
        """
        size = max(-(-size // PAGE_SIZE), 1) * PAGE_SIZE
        for start, length in self._free:
            address = -(-start // align) * align
            if address + size <= start + length:
                self._free.remove(address, size)
                self._used[address] = size
                self.pages_in_use += size // PAGE_SIZE
                for page in range(address, address + size, PAGE_SIZE):
                    self._platform.write(page, _ZEROS)
                return address
        raise failure("MEMORY-EXHAUSTED", f"no {size} bytes aligned to 0x{align:x} are free for tables")

    def free(self, address: int) -> None:
        """Take back what `allocate` returned. Raises ValueError for anything else."""
        size = self._used.pop(address, None)
        if size is None:
            raise ValueError(f"0x{address:x} was not handed out")
        self.pages_in_use -= size // PAGE_SIZE
        self._free.add(address, size)


def load(platform: Platform, address: int, layout: type[_Layout]) -> _Layout:
    """Return the structure of class `layout` at a physical address."""
    return layout.from_bytes(platform.read(address, layout.size))


def store(platform: Platform, address: int, structure: Bits) -> None:
    """Write a structure to memory, its lowest doubleword first; use `Platform.write` where another order is needed."""
    platform.write(address, bytes(structure))


def read_register(platform: Platform, base: int, layout: type[_Layout]) -> _Layout:
    """Read the register of class `layout` in the register block at `base`."""
    return layout(platform.read_mmio(base + layout.offset, layout.size))


def write_register(platform: Platform, base: int, register: Bits) -> None:
    """Write a register to the block at `base`."""
    platform.write_mmio(base + register.offset, register.value, register.size)
