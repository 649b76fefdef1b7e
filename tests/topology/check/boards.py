"""Boards for the tests of rules, written out: DMAR structures as bytes, PCI functions, and what a rule says of them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iommuman.base import Origin, parse_pci_address
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.memory_map import MemoryKind, MemoryRange
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import Board, Rule

HOST, GRAPHICS, USB, NETWORK, BRIDGE = 0x060000, 0x030000, 0x0C0330, 0x020000, 0x060400


def table(signature: str, body: bytes, oem: bytes = b"HANDMD", revision: int = 1) -> Table:
    """Return a table with a right length and checksum, read from a file that is called after it."""
    length = 36 + len(body)
    head = struct.pack("<4sIBB6s8sI4sI", signature.encode(), length, revision, 0, oem, b"TESTTEST", 1, b"INTL", 1)
    whole = bytearray(head + body)
    whole[9] = -sum(whole) & 0xFF
    return parse_table(bytes(whole), f"{signature}.bin")


def scope(kind: int, *path: tuple[int, int], bus: int = 0, number: int = 0, flags: int = 0, reserved: int = 0) -> bytes:
    """Return a device scope."""
    pairs = bytes(value for pair in path for value in pair)
    return bytes([kind, 6 + len(pairs), flags, reserved, number, bus]) + pairs


def _scoped(kind: int, fixed: bytes, scopes: Iterable[bytes]) -> bytes:
    body = fixed + b"".join(scopes)
    return struct.pack("<HH", kind, 4 + len(body)) + body


def drhd(base: int, *scopes: bytes, flags: int = 0, size: int = 0, segment: int = 0) -> bytes:
    """Return a remapping unit."""
    return _scoped(0, struct.pack("<BBHQ", flags, size, segment, base), scopes)


def rmrr(base: int, limit: int, *scopes: bytes, segment: int = 0, reserved: int = 0) -> bytes:
    """Return a reserved region; `limit` is its last byte."""
    return _scoped(1, struct.pack("<HHQQ", reserved, segment, base, limit), scopes)


def atsr(*scopes: bytes, flags: int = 0, segment: int = 0, reserved: int = 0) -> bytes:
    """Return the root ports with address translation services."""
    return _scoped(2, struct.pack("<BBH", flags, reserved, segment), scopes)


def rhsa(base: int, domain: int, reserved: int = 0) -> bytes:
    """Return the proximity domain of a unit."""
    return struct.pack("<HHIQI", 3, 20, reserved, base, domain)


def andd(number: int, name: str, reserved: bytes = b"\0\0\0") -> bytes:
    """Return the declaration of an ACPI device."""
    text = name.encode() + b"\0"
    return struct.pack("<HH3sB", 4, 8 + len(text), reserved, number) + text


def satc(*scopes: bytes, flags: int = 0, segment: int = 0, reserved: int = 0) -> bytes:
    """Return integrated devices with a translation cache."""
    return _scoped(5, struct.pack("<BBH", flags, reserved, segment), scopes)


def sidp(*scopes: bytes, segment: int = 0, reserved: int = 0) -> bytes:
    """Return properties of integrated devices."""
    return _scoped(6, struct.pack("<HH", reserved, segment), scopes)


def dmar(*parts: bytes, width: int = 38, flags: int = 5, reserved: bytes = bytes(10)) -> Table:
    """Return a DMAR of these structures; the first begins at byte 48."""
    return table("DMAR", bytes([width, flags]) + reserved + b"".join(parts))


def mcfg(*segments: int) -> Table:
    """Return an MCFG with one window for each segment; the first entry begins at byte 44."""
    entries = (struct.pack("<QHBBI", 0xE0000000 + (segment << 28), segment, 0, 255, 0) for segment in segments)
    return table("MCFG", bytes(8) + b"".join(entries))


def madt(*entries: bytes) -> Table:
    """Return a MADT of these entries; the first begins at byte 44."""
    return table("APIC", struct.pack("<II", 0xFEE00000, 1) + b"".join(entries))


def io_apic(number: int) -> bytes:
    """Return an I/O APIC of a MADT, of 12 bytes."""
    return struct.pack("<BBBBII", 1, 12, number, 0, 0xFEC00000, 0)


def gicd() -> bytes:
    """Return the GIC distributor of a MADT, of 24 bytes."""
    return struct.pack("<BBHIQIB3s", 0xC, 24, 0, 0, 0x8000000, 0, 3, bytes(3))


def gic_its(number: int) -> bytes:
    """Return a GIC ITS of a MADT, of 20 bytes."""
    return struct.pack("<BBHIQI", 0xF, 20, 0, number, 0x8080000, 0)


def msi_frame() -> bytes:
    """Return a GICv2m frame of a MADT, of 24 bytes."""
    return struct.pack("<BBHIQIHH", 0xD, 24, 0, 0, 0x8020000, 1, 64, 80)


def hpet(number: int) -> Table:
    """Return an HPET table; the number is its byte 52."""
    return table("HPET", struct.pack("<IBBBBQBHB", 0x8086A201, 0, 0, 0, 0, 0xFED00000, number, 100, 0))


def srat(*domains: int, revision: int = 3) -> Table:
    """Return a SRAT with some memory in each proximity domain."""
    memory = (struct.pack("<BBIHQQIIQ", 1, 40, domain, 0, 0, 0x1000, 0, 1, 0) for domain in domains)
    return table("SRAT", struct.pack("<IQ", 1, 0) + b"".join(memory), revision=revision)


def slit(*rows: bytes) -> Table:
    """Return a SLIT with these rows; the first distance is its byte 44."""
    return table("SLIT", struct.pack("<Q", len(rows)) + b"".join(rows))


def node(kind: int, body: bytes, revision: int = 0) -> bytes:
    """Return a node of an IORT without mappings."""
    return struct.pack("<BHBIII", kind, 16 + len(body), revision, 0, 0, 0) + body


def its_group(*numbers: int) -> bytes:
    """Return an ITS group; its first identifier is at byte 20."""
    return node(0, struct.pack(f"<I{len(numbers)}I", len(numbers), *numbers))


def named_component(name: str) -> bytes:
    """Return a named component."""
    return node(1, bytes(13) + name.encode() + b"\0")


def root_complex(segment: int) -> bytes:
    """Return a root complex of 32 bytes; its segment is at byte 28."""
    return node(2, struct.pack("<QII", 1, 0, segment))


def smmuv3(*interrupts: int, flags: int = 0, domain: int = 0) -> bytes:
    """Return an SMMUv3 of 68 bytes; its interrupts begin at byte 44, its proximity domain at 60."""
    wired = (*interrupts, 0, 0, 0, 0)[:4]
    return node(4, struct.pack("<QIIQI4III", 0x9050000, flags, 0, 0, 0, *wired, domain, 0), 1)


def iort(*nodes: bytes) -> Table:
    """Return an IORT of these nodes; the first begins at byte 48."""
    return table("IORT", struct.pack("<III", len(nodes), 48, 0) + b"".join(nodes))


def function(address: str, class_code: int = NETWORK, device: int = 0x1234, **more: object) -> PciFunction:
    """Return a PCI function of Intel's."""
    segment, rid = parse_pci_address(address) or (0, 0)
    made = {"vendor": 0x8086, "device": device, "class_code": class_code, **more}
    return PciFunction(segment, rid, Origin("pci.json"), **made)  # type: ignore[arg-type]


def bridge(address: str, secondary: int, subordinate: int, pcie_type: str | None = "root-port") -> PciFunction:
    """Return a PCI bridge."""
    return function(address, BRIDGE, header_type=1, secondary=secondary, subordinate=subordinate, pcie_type=pcie_type)


def ranges(*found: tuple[int, int, MemoryKind]) -> tuple[MemoryRange, ...]:
    """Return a memory map of (start, length, kind)."""
    return tuple(MemoryRange(start, length, kind, Origin("iomem")) for start, length, kind in found)


def board(*tables: Table, functions: Iterable[PciFunction] = (), memory: Iterable[MemoryRange] = ()) -> Board:
    """Return the board of these tables, functions and memory."""
    pci = PciTopology(tuple(functions), source="pci.json")
    inputs = Inputs(tables=list(tables), pci=[pci] if pci.functions else [], memory=list(memory))
    return Board.of(inputs)


@dataclass(frozen=True)
class Case:
    """A rule with a board that breaks it, what is said of it, and a board that barely does not break it.

    Attributes:
        rule: its identifier.
        breaks: makes the board that breaks it.
        says: severity, offset and message of each finding.
        keeps: makes the board that does not.
    """

    rule: str
    breaks: Callable[[], Board]
    says: tuple[tuple[str, int | None, str], ...]
    keeps: Callable[[], Board]


def said(rules: Iterable[Rule], identifier: str, found: Board) -> list[tuple[str, int | None, str]]:
    """Return severity, offset and message of each finding of one rule."""
    rule = next(one for one in rules if one.id == identifier)
    assert rule.look is not None
    findings = list(rule.look(rule, found))
    assert all(one.rule == identifier and one.advice for one in findings)
    return [(one.severity, one.origin.offset, one.message) for one in findings]


def assert_complete(rules: Iterable[Rule], cases: Iterable[Case], clause: str = "") -> None:
    """Assert that each rule has a case that breaks it, and words of the right form."""
    assert {case.rule for case in cases} == {rule.id for rule in rules}
    for rule in rules:
        assert rule.meaning.endswith("."), rule.id
        assert rule.system.endswith("."), rule.id
        assert not rule.title.endswith("."), rule.id
        assert not rule.fix.endswith("."), rule.id
        assert rule.clause.startswith(clause), rule.id


ALL = 1
ENDPOINT, HIERARCHY, IOAPIC, HPET, NAMED = 1, 2, 3, 4, 5
REST = drhd(0xFED91000, scope(IOAPIC, (31, 0), bus=0xF0, number=2), flags=ALL)
"""A unit for all of segment 0, with the I/O APIC; 24 bytes."""

PORT = bridge("0000:00:01.0", 1, 2)
CARD = function("0000:01:00.0")
NET = scope(ENDPOINT, (2, 0))
