"""Rules that are looked at while sources are read: for each a source that breaks it, and one that barely does not."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from iommuman.base import IommumanError, Origin
from iommuman.cli.config import _replace
from iommuman.parsers import board_module, folders, memory_map
from iommuman.parsers.acpi import Table, build_table, parse_table
from iommuman.parsers.containers import memory_image, packed
from iommuman.parsers.devicetree import Node, read_devicetree
from iommuman.parsers.pci import sysfs
from iommuman.parsers.smmu_config import Configuration, DeviceEntry, NamedSpec, Use, files
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import RULES, Board, check
from iommuman.topology.load import load_inputs

from tests.parsers.acpi.test_acpidump import write_new
from tests.parsers.devicetree.build import blob, node
from tests.parsers.devicetree.test_blob import PROP, ROOT, header, small, structure
from tests.parsers.pci.test_file import document
from tests.parsers.pci.test_sysfs import space, tree

from . import containers, handmade, iorts
from .boards import ALL, ENDPOINT, HIERARCHY, NAMED, andd, dmar, drhd, rhsa, rmrr, scope, sidp
from .boards import table as other
from .iorts import DEVICE, ITS, RMR, SMMU, SMMU2, SOUND, changed, sound
from .test_devicetree import V2, host, master, smmu
from .test_mcfg import G, windows

Tell = Callable[[Path], set[str]]
"""Writes sources below a folder, reads them, and returns the rules of all findings."""

READING = tuple(rule for rule in RULES if rule.look is None)
"""The rules that readers look at."""


def told(*paths: Path, config: Sequence[Path] = (), module: str = "", keep: bool = False) -> set[str]:
    """Return the rules of what is said of these sources, or why they cannot be read."""
    try:
        inputs = load_inputs([str(path) for path in paths], [str(path) for path in config], board_module=module)
    except IommumanError as error:
        return {error.finding.rule}
    return {finding.rule for finding in check(Board.of(inputs, keep=keep))}


def file(*contents: bytes) -> Tell:
    """Return what is told of files."""

    def tell(folder: Path) -> set[str]:
        paths = [folder / f"source{index}" for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return told(*paths)

    return tell


def table(made: Table, *others: bytes) -> Tell:
    """Return what is told of a table, and of other files beside it."""
    return file(build_table(made), *others)


def iort(*places: tuple[int, int, int]) -> Tell:
    """Return what is told of the sound IORT with these numbers written over it."""
    return table(sound(*places))


def entries(signature: str, fixed: int, more: bytes) -> Tell:
    """Return what is told of a table whose fixed part is zero, with these bytes after it, beside a sound table."""
    return file(build_table(other(signature, bytes(fixed) + more)), build_table(SOUND))


def dt(*children: Node) -> Tell:
    """Return what is told of a tree of these nodes."""
    return file(blob(*children))


def refused(call: Callable[[], object]) -> Tell:
    """Return the rule of the error that a call raises, if it raises one."""

    def tell(_: Path) -> set[str]:
        try:
            call()
        except IommumanError as error:
            return {error.finding.rule}
        return set()

    return tell


def limited(module: object, name: str, tell: Tell, limit: int) -> Tell:
    """Return what is told with a limit of the readers set to another number."""

    def lower(folder: Path) -> set[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, limit)
            return tell(folder)

    return lower


def sys(config: bytes, *more: str) -> Tell:
    """Return what is told of a /sys tree of functions with this configuration space."""

    def tell(folder: Path) -> set[str]:
        for address in ("0000:00:01.0", *more):
            tree(folder, config, address)
        return told(folder)

    return tell


def kernel(regions: str) -> Tell:
    """Return what is told of a /sys tree with one group that has these reserved regions."""

    def tell(folder: Path) -> set[str]:
        tree(folder, space(), "0000:00:01.0")
        (folder / "kernel/iommu_groups/0").mkdir(parents=True)
        (folder / "kernel/iommu_groups/0/reserved_regions").write_text(regions)
        return told(folder)

    return tell


def folder_of(count: int) -> Tell:
    """Return what is told of a folder with a table and other files."""

    def tell(folder: Path) -> set[str]:
        (folder / "0").write_bytes(build_table(SOUND))
        for index in range(1, count):
            (folder / str(index)).write_text("other")
        return told(folder)

    return tell


def pci(secondary: int | None, address: str = "00:01.0") -> bytes:
    """Return a PCI topology of one function, a bridge when it has a bus behind it."""
    bridge = None if secondary is None else {"secondary": secondary, "subordinate": secondary}
    return document({"address": address, "bridge": bridge, "header_type": 0 if secondary is None else 1})


def oem_revision(number: int) -> Table:
    """Return the sound table with another OEM revision."""
    return replace(SOUND, header=replace(SOUND.header, oem_revision=number))


def dump(*left_out: int) -> bytes:
    """Return the text of acpidump for the sound table without some of its lines."""
    lines = write_new("IORT", build_table(SOUND)).splitlines(keepends=True)
    return "".join(line for index, line in enumerate(lines) if index not in left_out).encode()


def unknown_nodes(count: int) -> Table:
    """Return an IORT of nodes of no known type."""
    return iorts.iort(*(iorts.node(9, 0, index, b"") for index in range(count)))


def short_names(count: int) -> Table:
    """Return an IORT of devices, each with a name that is too short."""
    return iorts.iort(*(iorts.component(index, f"\\A{index}"[:4]) for index in range(count)))


def nested(depth: int) -> bytes:
    """Return a blob of nodes inside each other, the root among them."""
    inner = depth - 1
    return structure(*ROOT, *(1, b"a\0\0\0") * inner, *(2,) * inner, 2, 9)


def reserved(phandle: int) -> Tell:
    """Return what is told of reserved memory for the device with this phandle."""
    region = node("r@0", {"phandle": 6, "reg": (0, 0, 0, 4096), "iommu-addresses": (phandle, 0, 0, 0, 4096)})
    memory = node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": None}, region)
    return dt(node("dma@0", {"phandle": 5, "memory-region": 6}), memory)


def config(text: str | bytes, *made: Table, keep: bool = False) -> Tell:
    """Return what is told of a configuration, laid over tables."""

    def tell(folder: Path) -> set[str]:
        path = folder / "user.smmu"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        tables = [folder / f"table{index}" for index in range(len(made))]
        for table_path, one in zip(tables, made, strict=True):
            table_path.write_bytes(build_table(one))
        return told(*tables, config=[path], keep=keep)

    return tell


def module(text: str | bytes, name: str = "") -> Tell:
    """Return what is told of a board module that is written here, or that has another name."""

    def tell(folder: Path) -> set[str]:
        (folder / "board.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return told(module=str(folder / (name or "board.toml")))

    return tell


def user_file(folder: Path) -> Path:
    """Return the folder, with an empty configuration in it."""
    (folder / "user.smmu").touch()
    return folder


class EntryPoint:
    """An entry point of a package that gives a number for a configuration."""

    name = value = "ours"

    def load(self) -> Callable[[], object]:
        """Return the function."""
        return lambda: 5


def memory(iomem: bytes) -> Tell:
    """Return what is told of a memory map beside a table."""
    return file(build_table(SOUND), iomem)


def used(*ids: int) -> Tell:
    """Return what is told of a device that a configuration puts behind an SMMU of the sound table, with these IDs."""
    here = Origin("made")
    entry = DeviceEntry(NamedSpec("acpi:\\_SB_.DEV0"), here, uses=(Use("smmuv3@9050000", here, *ids),))

    def tell(_: Path) -> set[str]:
        inputs = Inputs(tables=[SOUND], configurations=[Configuration("made", devices=(entry,))])
        return {finding.rule for finding in check(Board.of(inputs))}

    return tell


def entry_point(name: str) -> Tell:
    """Return what is told of a board module that a package has."""

    def tell(_: Path) -> set[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("importlib.metadata.entry_points", lambda **_: [EntryPoint()])
            return told(module=name)

    return tell


GIC = node("gic", {"compatible": "arm,gic-v3", "#interrupt-cells": 3, "phandle": 9, "interrupt-controller": None})
NAMED_1 = scope(NAMED, (0, 0), number=1)
MAPPED = smmu(V2, 2)

UNIT = "smmu smmuv3 unit s 0x2b400000 "
IOMEM = b"00001000-00001fff : System RAM\n00002000-00002fff : System RAM\n"
HIDDEN = b"00000000-00000000 : System RAM\n" * 2
BOARD = """
title = 'a'
origin = ['b']
[[unit]]
name = 'u'
type = 'armsmmu'
base = 0x1000
context-interrupt = 1
global-interrupt = 2
bypass = false
"""
GROUP = "[[group]]\nunit = 'u'\nid = 5\naddresses = [0x2000, 0x3000]\n"
OTHER = iorts.component(8, "\\_SB_.DEV1", iorts.single(0x100, SMMU2))
TWIN = "device acpi:\\_SB_.DEV0 reserved 0x70000000,1M"

CASES: dict[str, tuple[Tell, Tell]] = {
    "SOURCE-OPEN": (lambda folder: told(folder / "absent"), table(SOUND)),
    "SOURCE-EMPTY": (file(b"text"), table(SOUND)),
    "SOURCE-MANY": (limited(folders, "MAX_ENTRIES", folder_of(3), 2), limited(folders, "MAX_ENTRIES", folder_of(2), 2)),
    "SOURCE-UNREAD": (
        file(build_table(other("RIMT", bytes(11)))),
        file(build_table(other("RIMT", bytes(12)))),
    ),
    "CHECK-MORE": (table(short_names(1001)), table(short_names(1000))),
    "ACPIDUMP-OFFSET": (file(dump(2)), file(dump())),
    "ACPI-SIZE": (refused(lambda: parse_table(bytes(35))), refused(lambda: parse_table(bytes(36)))),
    "ACPI-LENGTH": (iort((4, 4, 561)), iort((4, 4, 560))),
    "ACPI-TRAILING": (file(build_table(SOUND) + b"\0"), table(SOUND)),
    "ACPI-CHECKSUM": (file(build_table(SOUND)[:-1] + b"\1"), table(SOUND)),
    "ACPI-MORE": (table(unknown_nodes(1001)), table(unknown_nodes(1000))),
    "ACPI-BUILD": (
        refused(lambda: build_table(oem_revision(1 << 32))),
        refused(lambda: build_table(oem_revision((1 << 32) - 1))),
    ),
    "MCFG-LENGTH": (
        file(build_table(changed(windows((G, 0, 0, 255)), (4, 4, 61))) + b"\0"),
        table(windows((G, 0, 0, 255))),
    ),
    "MCFG-BUS-RANGE": (table(windows((G, 0, 1, 0))), table(windows((G, 0, 1, 1)))),
    "PCI-FILE": (file(document(functions=None)), file(document({"address": "02:01.0"}))),
    "PCI-ENTRY": (file(document({"address": "02:32.0"})), file(document({"address": "02:1f.0"}))),
    "PCI-MORE": (file(document(*[0] * 1001)), file(document(*[0] * 1000))),
    "PCI-MANY": (
        limited(sysfs, "MAX_FUNCTIONS", sys(space(), "0000:00:02.0"), 1),
        limited(sysfs, "MAX_FUNCTIONS", sys(space(), "0000:00:02.0"), 2),
    ),
    "KERNEL-SYSFS": (kernel("0x0 0xfff"), kernel("0x0 0xfff msi")),
    "PCI-SYSFS": (sys(space(63)), sys(space(64))),
    "PCI-CAPABILITIES": (
        sys(space(64, x06=b"\x10", x34=b"\x40")),
        sys(space(256, x06=b"\x10", x34=b"\x40", x40=b"\x05")),
    ),
    "DMAR-STRUCTURE-LENGTH": (table(dmar(struct.pack("<HH", 0, 15), bytes(11))), table(dmar(drhd(0x1000)))),
    "DMAR-STRUCTURE-END": (table(changed(dmar(drhd(0x1000)), (50, 2, 17))), table(dmar(drhd(0x1000)))),
    "DMAR-STRUCTURE-TYPE": (table(dmar(struct.pack("<HH", 7, 4))), table(dmar(sidp()))),
    "DMAR-SCOPE-LENGTH": (
        table(changed(dmar(drhd(0x1000, scope(ENDPOINT, (1, 0)))), (65, 1, 9))),
        table(changed(dmar(drhd(0x1000, scope(ENDPOINT, (1, 0)))), (65, 1, 8))),
    ),
    "DMAR-SCOPE-TYPE": (
        table(dmar(drhd(0x1000, scope(6, (0, 0))))),
        table(dmar(drhd(0x1000, NAMED_1), andd(1, "\\A"))),
    ),
    "DMAR-SCOPE-PATH": (
        table(dmar(drhd(0x1000, scope(ENDPOINT, (32, 0))))),
        table(dmar(drhd(0x1000, scope(ENDPOINT, (31, 7))))),
    ),
    "DMAR-SCOPE-ABSENT": (
        table(dmar(drhd(0x1000, scope(ENDPOINT, (2, 0)))), pci(None)),
        table(dmar(drhd(0x1000, scope(ENDPOINT, (1, 0)))), pci(None)),
    ),
    "DMAR-SCOPE-KIND": (
        table(dmar(drhd(0x1000, scope(HIERARCHY, (1, 0)))), pci(None)),
        table(dmar(drhd(0x1000, scope(HIERARCHY, (1, 0)))), pci(1)),
    ),
    "DMAR-UNIT-BASE": (table(dmar(drhd(0))), table(dmar(drhd(0x1000)))),
    "DMAR-UNIT-TWICE": (table(dmar(drhd(0x1000), drhd(0x1000, flags=ALL))), table(dmar(drhd(0x1000), drhd(0x2000)))),
    "DMAR-RMRR-RANGE": (table(dmar(rmrr(0x2000, 0x1FFF))), table(dmar(rmrr(0x2000, 0x2FFF)))),
    "DMAR-RHSA-UNIT": (
        table(dmar(drhd(0x1000), rhsa(0x2000, 0))),
        table(dmar(drhd(0x1000), rhsa(0x1000, 0))),
    ),
    "DMAR-ANDD-NAME": (
        table(dmar(struct.pack("<HH3sB", 4, 10, bytes(3), 1) + b"\\A")),
        table(dmar(andd(1, "\\A"))),
    ),
    "DMAR-ANDD-MISSING": (
        table(dmar(drhd(0x1000, NAMED_1), andd(2, "\\A"))),
        table(dmar(drhd(0x1000, NAMED_1), andd(1, "\\A"))),
    ),
    "IORT-NODE-OFFSET": (iort((40, 4, 47)), iort((40, 4, 48))),
    "IORT-NODE-END": (iort((36, 4, 9)), iort((36, 4, 8))),
    "IORT-NODE-LENGTH": (iort((SMMU + 1, 2, 15)), iort((SMMU + 1, 2, 88))),
    "IORT-NODE-TYPE": (iort((DEVICE, 1, 8)), iort((DEVICE, 1, 7))),
    "IORT-TRAILING": (iort((36, 4, 7)), iort((36, 4, 8))),
    "IORT-NAME": (iort((DEVICE + 39, 1, 65)), iort((DEVICE + 38, 1, 65))),
    "IORT-ARRAY-END": (iort((SMMU + 8, 4, 2)), iort((SMMU + 8, 4, 1))),
    "IORT-REFERENCE": (iort((SMMU + 80, 4, ITS + 1)), iort((SMMU + 80, 4, ITS))),
    "IORT-REFERENCE-TYPE": (iort((SMMU + 80, 4, SMMU2)), iort((DEVICE + 52, 4, SMMU))),
    "IORT-SINGLE": (iort((SMMU2 + 108, 4, 1)), iort((DEVICE + 56, 4, 1))),
    "IORT-OWN-MAPPING": (iort((SMMU + 24, 4, 16), (SMMU + 64, 4, 1)), iort((SMMU + 24, 4, 16), (SMMU + 64, 4, 0))),
    "IORT-RMR-REVISION": (iort((RMR + 3, 1, 2)), iort((RMR + 3, 1, 3))),
    "IORT-RMR-RANGE": (iort((RMR + 36, 8, 0)), iort((RMR + 36, 8, 1))),
    "DT-MAGIC": (refused(lambda: read_devicetree(b"\xd0\x0d\xfe\xec" + small()[4:])), file(small())),
    "DT-VERSION": (file(header(small(), last_comp_version=18)), file(header(small(), last_comp_version=17))),
    "DT-SIZE": (
        file(header(small(), totalsize=len(small()) + 1)),
        file(header(small(), totalsize=len(small()))),
    ),
    "DT-ALIGN": (file(header(small(), off_mem_rsvmap=52)), file(header(small(), off_mem_rsvmap=48))),
    "DT-RESERVE": (file(header(small(), off_mem_rsvmap=len(small()) & ~7)), file(small())),
    "DT-STRUCTURE": (file(structure(*ROOT, 2)), file(structure(*ROOT, 2, 9))),
    "DT-DEPTH": (file(nested(65)), file(nested(64))),
    "DT-ORDER": (
        file(structure(*ROOT, 1, b"a\0\0\0", 2, *PROP, 2, 9)),
        file(structure(*ROOT, *PROP, 1, b"a\0\0\0", 2, 2, 9)),
    ),
    "DT-DUPLICATE": (file(structure(*ROOT, *PROP, *PROP, 2, 9)), file(structure(*ROOT, *PROP, 2, 9))),
    "DT-NAME": (
        file(structure(*ROOT, 1, b"a/\0\0", 2, 2, 9)),
        file(structure(*ROOT, 1, b"a@\0\0", 2, 2, 9)),
    ),
    "DT-PHANDLE": (dt(smmu(), master("usb@0", 2, 5)), dt(smmu(), master("usb@0", 1, 5))),
    "DT-LENGTH": (dt(smmu(), master("usb@0", 1)), dt(smmu(), master("usb@0", 1, 5))),
    "DT-CELLS": (dt(smmu(V2, None), master("usb@0", 1, 5)), dt(smmu(V2, 1), master("usb@0", 1, 5))),
    "DT-REG": (dt(smmu(reg=(0, 1, 0))), dt(smmu(reg=(0, 1, 0, 1)))),
    "DT-RANGES": (dt(node("soc", {}, smmu(reg=(0, 1, 2)))), dt(node("soc", {"ranges": None}, smmu(reg=(0, 1, 2))))),
    "DT-INTERRUPTS": (
        dt(GIC, smmu(interrupts=(0, 1), interrupt_parent=9)),
        dt(GIC, smmu(interrupts=(0, 1, 1), interrupt_parent=9)),
    ),
    "DT-OVERLAY": (dt(node("__fixups__")), dt(node("__symbols__"))),
    "DT-MAP-LENGTH": (dt(smmu(), host((0, 1, 0))), dt(smmu(), host((0, 1, 0, 1)))),
    "DT-MAP-MASK": (
        dt(smmu(), host((0x100, 1, 0, 1), iommu_map_mask=0xFF)),
        dt(smmu(), host((0x100, 1, 0, 1), iommu_map_mask=0x1FF)),
    ),
    "DT-MAP-RANGE": (dt(MAPPED, host((0, 1, 5, 0, 2))), dt(MAPPED, host((0, 1, 5, 0, 1)))),
    "DT-MAP-CELLS": (
        dt(MAPPED, host((0, 1, 5, 1), (0x100, 1, 6, 1))),
        dt(MAPPED, host((0, 1, 5, 0, 1), (0x100, 1, 6, 0, 1))),
    ),
    "DT-MAP-EMPTY": (dt(smmu(), host((0, 1, 0, 0))), dt(smmu(), host((0, 1, 0, 1)))),
    "DT-PCI-DOMAIN": (dt(host(), host(name="pcie@1")), dt(host(), host(name="pcie@1", status="disabled"))),
    "DT-IOMMU-DISABLED": (
        dt(smmu(status="disabled"), master("usb@0", 1, 5)),
        dt(smmu(status="disabled"), master("usb@0", 1, 5, status="disabled")),
    ),
    "DT-MMU-MASTERS": (
        dt(smmu(V2, None, mmu_masters=(5, 7)), node("usb@0", {"phandle": 5, "#stream-id-cells": 1})),
        dt(smmu(), master("usb@0", 1, 7)),
    ),
    "DT-IOMMU-ADDRESSES": (reserved(7), reserved(5)),
    "MADT-ENTRY-LENGTH": (entries("APIC", 8, b"\x01\x01"), entries("APIC", 8, b"\xff\x02")),
    "MADT-ENTRY-END": (entries("APIC", 8, b"\xff\x03"), entries("APIC", 8, b"\xff\x02")),
    "FADT-LENGTH": (entries("FACP", 81, b""), entries("FACP", 80, b"")),
    "HPET-LENGTH": (entries("HPET", 20, b"\0"), entries("HPET", 20, b"")),
    "SLIT-LENGTH": (entries("SLIT", 8, b"\x0a"), entries("SLIT", 0, b"\x01" + bytes(7) + b"\x0a")),
    "SRAT-ENTRY-LENGTH": (entries("SRAT", 12, b"\x01\x01"), entries("SRAT", 12, b"\xff\x02")),
    "SRAT-ENTRY-END": (entries("SRAT", 12, b"\xff\x03"), entries("SRAT", 12, b"\xff\x02")),
    "MEMORY-RANGE": (memory(IOMEM.replace(b"2000-", b"4000-")), memory(IOMEM)),
    "MEMORY-MANY": (
        limited(memory_map, "MAX_RANGES", memory(IOMEM), 1),
        limited(memory_map, "MAX_RANGES", memory(IOMEM), 2),
    ),
    "MEMORY-HIDDEN": (memory(HIDDEN), memory(IOMEM)),
    **{rule: (file(*breaks), file(*keeps)) for rule, (breaks, keeps) in containers.FILES.items()},
    "ARCHIVE-MORE": (
        limited(packed, "MAX_FINDINGS", file(containers.CUT), 0),
        limited(packed, "MAX_FINDINGS", file(containers.CUT), 1),
    ),
    "MEMORY-IMAGE-MANY": (
        limited(memory_image, "MAX_TABLES", file(containers.SOUND), 1),
        limited(memory_image, "MAX_TABLES", file(containers.SOUND), 3),
    ),
    "CONFIG-OPEN": (lambda folder: told(config=[folder / "absent"]), config(UNIT)),
    "CONFIG-TEXT": (config(b"\xff"), config(b"foreground")),
    "CONFIG-LARGE": (
        limited(files, "MAX_FILE", config(UNIT), len(UNIT) - 1),
        limited(files, "MAX_FILE", config(UNIT), len(UNIT)),
    ),
    "CONFIG-WRITE": (
        lambda folder: refused(lambda: _replace(str(folder / "absent"), ""))(folder),
        lambda folder: refused(lambda: _replace(str(folder / "user.smmu"), ""))(user_file(folder)),
    ),
    "CONFIG-MORE": (config("smmu x\n" * 1001), config("smmu x\n" * 1000)),
    "CONFIG-INCLUDE": (config("@absent"), config("# @absent\n" + UNIT)),
    "CONFIG-OPTION": (config("foregroundd"), config("foreground")),
    "CONFIG-MISSING": (config("smmu"), config("smmu smmuv3")),
    "CONFIG-EXTRA": (config("foreground now"), config("foreground")),
    "CONFIG-ORDER": (config("unit s 0x2b400000"), config(UNIT)),
    "CONFIG-TYPE": (config("smmu smmuv4"), config("smmu smmuv3")),
    "CONFIG-NAME": (config("smmu smmuv3 unit -s 0x2b400000"), config(UNIT)),
    "CONFIG-NUMBER": (config("allow a x,4K"), config("allow a 1000,4K")),
    "CONFIG-RANGE": (config("allow a 1000,0"), config("allow a 1000,1")),
    "CONFIG-VALUE": (config("debug 3"), config("debug 2")),
    "CONFIG-DEVICE": (config("device pci:x"), config("device pci:0:0.7")),
    "CONFIG-UNIT": (config(UNIT + "device mem:1000 use t 5"), config(UNIT + "device mem:1000 use s 5")),
    "CONFIG-SET": (config("device mem:1000 b\nallow a 1000,1"), config("device mem:1000 a\nallow a 1000,1")),
    "CONFIG-TWICE": (config(UNIT + "unit s 0x2b500000"), config(UNIT + "unit t 0x2b500000")),
    "CONFIG-ABSENT": (
        config(UNIT + "device acpi:\\X use s 5", SOUND),
        config(UNIT + "device acpi:\\_SB_.DEV0 use s 5", SOUND),
    ),
    "CONFIG-CONFLICT": (
        config("smmu smmuv3 unit s 0x9050000 device acpi:\\_SB_.DEV0 use s 5", SOUND, keep=True),
        config("smmu armsmmu unit s 0x2b500000,41,40,0 device acpi:\\_SB_.DEV0 use s 0x100", SOUND, keep=True),
    ),
    "CONFIG-NOT-PCI": (
        config("smmu vtd unit v 0x1000 device mem:5000 use v", dmar(drhd(0x1000, flags=ALL))),
        config("smmu vtd unit v 0x1000 device pci:0:2.0 use v", dmar(drhd(0x1000, flags=ALL))),
    ),
    "CONFIG-RANGE-USE": (
        config(UNIT + "device pci:0:0.0-0:0.7 use s 0-6"),
        config(UNIT + "device pci:0:0.0-0:0.7 use s 0-7"),
    ),
    "CONFIG-REQUIRE": (
        config("smmu vtd require unit v 0x1000", SOUND),
        config("smmu vtd require unit v 0x1000", dmar(drhd(0x1000, flags=ALL))),
    ),
    "CONFIG-SHARED": (config(TWIN, iorts.longer(OTHER)), config(TWIN, SOUND)),
    "CONFIG-USE-ID": (used(), used(5)),
    "BOARD-ABSENT": (lambda _: told(module="absent"), module("")),
    "BOARD-ENTRY-POINT": (entry_point("ours"), module("")),
    "BOARD-OPEN": (lambda folder: told(module=str(folder)), module("")),
    "BOARD-SIZE": (
        limited(board_module, "MAX_BYTES", module("#" * 9), 8),
        limited(board_module, "MAX_BYTES", module("#" * 8), 8),
    ),
    "BOARD-TOML": (module("a"), module("")),
    "BOARD-KEY": (module("a = 1"), module("title = 'a'")),
    "BOARD-MISSING": (module("[[unit]]\nname = 'u'\ntype = 'vtd'"), module(BOARD)),
    "BOARD-VALUE": (module("title = 1"), module("title = '1'")),
    "BOARD-NOTE": (module("notes = ['a']"), module("notes = []")),
    "BOARD-GROUP": (module(BOARD + GROUP), module(BOARD)),
    **{rule: (table(breaks), table(keeps)) for rule, (breaks, keeps) in handmade.CASES.items()},
    **{
        rule: (table(breaks, pci(None)), table(keeps, pci(None)))
        for rule, (breaks, keeps) in handmade.BESIDE_PCI.items()
    },
}


@pytest.mark.parametrize("rule", CASES)
def test_what_breaks_a_rule_is_told_as_it_is_read(rule: str, tmp_path: Path) -> None:
    """Damage of each kind, in one place, is among what is told of the source."""
    assert rule in CASES[rule][0](tmp_path)


@pytest.mark.parametrize("rule", CASES)
def test_what_barely_does_not_break_it_is_not_told(rule: str, tmp_path: Path) -> None:
    """One byte, or one number, further, the rule is not among it."""
    assert rule not in CASES[rule][1](tmp_path)


def test_every_rule_of_the_readers_has_its_cases() -> None:
    """No rule without a function of its own is without a source that breaks it."""
    assert set(CASES) == {rule.id for rule in READING}
