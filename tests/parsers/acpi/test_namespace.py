"""The ACPI namespace of the boards: what iasl's disassembly says, against ACPICA's interpreter and by hand."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import Table, namespace, parse_table
from iommuman.parsers.acpi.asl import canonical

from tests.conftest import BOARDS
from tests.damage import mutants

from .test_sdt import sealed

DSDTS = sorted(BOARDS.glob("*/DSDT.bin"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache and a folder for temporary files of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "cache" / "iommuman"


def read(*tables: Table) -> namespace.Namespace:
    """Return the namespace of tables that have one."""
    found = namespace.namespace(tables)
    assert isinstance(found, namespace.Namespace), found
    return found


def dsdt(board: str) -> Table:
    """Return the DSDT of a board."""
    return parse_table((BOARDS / board / "DSDT.bin").read_bytes(), "DSDT.bin")


def told(found: namespace.Namespace, *paths: str) -> list[tuple[object, ...]]:
    """Return what is known of the devices at these paths."""
    devices = [found.device(path) for path in paths]
    return [(one.hid, one.cids, one.uid, one.adr, one.seg, one.bbn) for one in devices if one is not None]


def test_the_devices_of_an_arm_board(need_tool: Callable[[str, str], str]) -> None:
    """The SMMUv3 board as QEMU 7.2's hw/arm/virt-acpi-build.c describes it, written down by hand."""
    need_tool("iasl", "acpica-tools")
    found = read(dsdt("virt-smmuv3-acpi"))
    assert found.findings == ()
    assert [device.path for device in found.devices] == [
        *("\\_SB.C000", "\\_SB.C001", "\\_SB.COM0", "\\_SB.FWCF"),
        *(f"\\_SB.VR{number:02}" for number in range(32)),
        *("\\_SB.L400", "\\_SB.L401", "\\_SB.L402", "\\_SB.L403", "\\_SB.PC40"),
        *("\\_SB.L000", "\\_SB.L001", "\\_SB.L002", "\\_SB.L003", "\\_SB.PCI0", "\\_SB.PCI0.RES0"),
        *("\\_SB.GED", "\\_SB.PWRB"),
    ]
    assert told(found, "\\_SB.C001", "\\_SB.VR31", "\\_SB.PC40", "\\_SB_.PCI0", "\\_SB_.GED_", "\\_SB.NONE") == [
        ("ACPI0007", (), 1, None, None, None),
        ("LNRO0005", (), 31, None, None, None),
        ("PNP0A08", ("PNP0A03",), 0x40, None, None, 0x40),
        ("PNP0A08", ("PNP0A03",), 0, None, 0, 0),
        ("ACPI0013", (), "GED", None, None, None),
    ]
    memory = {device.path: [tuple(one) for one in device.memory] for device in found.devices if device.memory}
    virtio = {f"\\_SB.VR{number:02}": [(0x0A000000 + 0x200 * number, 0x200, False)] for number in range(32)}
    assert memory == virtio | {
        "\\_SB.COM0": [(0x09000000, 0x1000, False)],
        "\\_SB.FWCF": [(0x09020000, 0x18, False)],
        "\\_SB.PC40": [(0x10A00000, 0x201000, True)],
        "\\_SB.PCI0": [
            (0x10000000, 0xA00000, True),
            (0x10C01000, 0x2E3EF000, True),
            (0x8000000000, 0x8000000000, True),
        ],
        "\\_SB.PCI0.RES0": [(0x4010000000, 0x10000000, True)],
    }
    assert found.devices[0].origin == Origin("DSDT.bin", "DSDT \\_SB.C000")


def test_the_devices_of_a_pc(need_tool: Callable[[str, str], str]) -> None:
    """The VT-d board: both host bridges, the HPET with its registers, ISA devices and PCI functions by `_ADR`."""
    need_tool("iasl", "acpica-tools")
    found = read(dsdt("q35-vtd"))
    assert found.findings == ()
    assert len(found.devices) == 112
    paths = ("\\_SB.PCI0", "\\_SB.PC40", "\\_SB.HPET", "\\_SB.PCI0.S21", "\\_SB.PCI0.S30.S08", "\\_SB.PCI0.PRES")
    assert told(found, *paths) == [
        ("PNP0A08", ("PNP0A03",), 0, None, None, None),
        ("PNP0A08", ("PNP0A03",), 0x40, None, None, 0x40),
        ("PNP0103", (), 0, None, None, None),
        (None, (), None, 0x40001, None, None),
        (None, (), None, 0x10000, None, None),
        ("PNP0A06", (), "CPU Hotplug resources", None, None, None),
    ]
    memory = {device.path: [tuple(one) for one in device.memory] for device in found.devices if device.memory}
    assert {path: memory[path] for path in ("\\_SB.HPET", "\\_SB.DRAC", "\\_SB.PC40")} == {
        "\\_SB.HPET": [(0xFED00000, 0x400, False)],
        "\\_SB.DRAC": [(0xB0000000, 0x10000000, True)],
        "\\_SB.PC40": [(0xFD800000, 0x200000, True), (0xFDF0C000, 0x1000, True), (0xFE400000, 0x200000, True)],
    }
    assert set(memory) == {"\\_SB.HPET", "\\_SB.DRAC", "\\_SB.PC40", "\\_SB.PCI0"}


LINE = re.compile(r" *([0-9]+) +(\S{4}) (Device|Integer|String|Buffer)\b.*? 00[0-9A-F](.*)")


def eisa(number: int) -> str:
    """Return the text of an EISA ID (ACPI 6.5 §19.3.4)."""
    word = int.from_bytes(number.to_bytes(4, "little"))
    return "".join(chr((word >> shift & 0x1F) + 0x40) for shift in (26, 21, 16)) + f"{word & 0xFFFF:04X}"


def interpreted(path: Path) -> dict[str, dict[str, object]]:
    """Return the devices that ACPICA's interpreter has after loading a DSDT, with their names' values."""
    ran = subprocess.run(["acpiexec", "-b", "namespace", str(path)], capture_output=True, check=False, timeout=60)
    found: dict[str, dict[str, object]] = {}
    places: list[str] = []
    for line in ran.stdout.decode("latin-1").splitlines():
        if (match := re.match(r" *([0-9]+) +(\S{4}) ", line)) is None:
            continue
        depth = int(match[1])
        places[depth:] = [match[2]]
        here, above = canonical("\\" + ".".join(places)), canonical("\\" + ".".join(places[:-1]))
        if (kind := LINE.match(line)) is None:
            continue
        if kind[3] == "Device":
            found[here] = {}
        elif above in found and kind[3] == "Integer":
            value = int(kind[4].removeprefix(" ="), 16)
            found[above][match[2]] = eisa(value) if match[2] in ("_HID", "_CID") else value
        elif above in found and kind[3] == "String":
            found[above][match[2]] = kind[4].partition('"')[2][:-1]
        elif above in found and match[2] == "_CRS":
            found[above][match[2]] = bytes.fromhex(kind[4].partition("=")[2])
    return found


@pytest.mark.parametrize("path", DSDTS, ids=lambda path: path.parent.name)
def test_devices_are_those_of_the_interpreter(path: Path, need_tool: Callable[[str, str], str]) -> None:
    """ACPICA's interpreter, which loads the AML itself, has the same devices with the same names and numbers."""
    need_tool("acpiexec", "acpica-tools")
    theirs = interpreted(path)
    ours = {device.path: device for device in read(parse_table(path.read_bytes(), "DSDT.bin")).devices}
    assert theirs.keys() - ours.keys() <= {"\\_SB", "\\_TZ"}  # ACPICA makes devices of these two scopes
    assert ours.keys() <= theirs.keys()
    assert len(ours) > 30
    fixed = 0
    for place, device in ours.items():
        values = theirs[place]
        assert [device.hid, device.uid, device.adr] == [values.get(name) for name in ("_HID", "_UID", "_ADR")]
        assert [device.seg, device.bbn] == [values.get(name) for name in ("_SEG", "_BBN")]
        assert device.cids == (() if "_CID" not in values else (values["_CID"],))
        crs = values.get("_CRS")
        if isinstance(crs, bytes) and crs[0] == 0x86:  # the first 12 bytes are shown: a whole Memory32Fixed
            where = int.from_bytes(crs[4:8], "little"), int.from_bytes(crs[8:12], "little"), False
            assert tuple(device.memory[0]) == where
            fixed += 1
    assert fixed


SSDT = r"""
DefinitionBlock ("", "SSDT", 2, "HANDMD", "SSDT", 0x00000001)
{
    External (\_SB.PCI0, DeviceObj)
    External (\_SB.PCI0.SUM, MethodObj)
    Scope (\_SB.PCI0)
    {
        Name (NUMB, 0x05)
        Device (ADDD)
        {
            Name (_HID, "HAND0001")
            Name (_UID, 0x03)
            Method (_STA, 0, NotSerialized) { Return (\_SB.PCI0.SUM (One, 0x02)) }
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadWrite, 0xFE000000, 0x00001000, ) })
        }
    }
}
"""


DSDT = r"""
DefinitionBlock ("", "DSDT", 2, "HANDMD", "DSDT", 0x00000001)
{
    Device (\_SB.PCI0)
    {
        Name (_HID, EisaId ("PNP0A08"))
        Method (SUM, 2, NotSerialized) { Return ((Arg0 + Arg1)) }
    }
}
"""


def compiled(text: str, folder: Path, name: str) -> Table:
    """Return the table that iasl makes of a source."""
    (folder / f"{name}.asl").write_text(text)
    subprocess.run(["iasl", f"{name}.asl"], cwd=folder, check=True, capture_output=True)
    return parse_table((folder / f"{name}.aml").read_bytes(), f"{name}.aml")


def test_ssdts_add_to_the_dsdt(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """A device of an SSDT is found with the table that declares it, whichever table is given first."""
    need_tool("iasl", "acpica-tools")
    first, second = compiled(DSDT, tmp_path, "first"), compiled(SSDT, tmp_path, "second")
    for tables in ((first, second), (second, first)):
        found = read(*tables)
        assert [(device.path, device.hid, str(device.origin)) for device in found.devices] == [
            ("\\_SB.PCI0", "PNP0A08", "first.aml: DSDT \\_SB.PCI0"),
            ("\\_SB.PCI0.ADDD", "HAND0001", "second.aml: SSDT \\_SB.PCI0.ADDD"),
        ]
        assert [tuple(one) for one in found.devices[1].memory] == [(0xFE000000, 0x1000, False)]


THIRD = r"""
DefinitionBlock ("", "SSDT", 2, "HANDMD", "THIRD", 0x00000001)
{
    External (\_SB.PCI0.ADDD, DeviceObj)
    Scope (\_SB.PCI0.ADDD) { Device (LAST) { Name (_ADR, 0x02) } }
}
"""


def test_every_other_table_is_there_for_its_externals(
    need_tool: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run for each of three tables, with the two others as externals, is enough: iasl accepts them."""
    iasl = need_tool("iasl", "acpica-tools")
    tables = [compiled(text, tmp_path, name) for text, name in ((DSDT, "one"), (SSDT, "two"), (THIRD, "three"))]
    fake_iasl(tmp_path / "bin", monkeypatch, f'echo "$*" >> {tmp_path}/runs; exec {iasl} "$@"')
    found = read(*tables)
    assert [device.path for device in found.devices] == ["\\_SB.PCI0", "\\_SB.PCI0.ADDD", "\\_SB.PCI0.ADDD.LAST"]
    assert found.findings == ()
    assert (tmp_path / "runs").read_text().splitlines() == [
        "-e t1.dat t2.dat -d t0.dat",
        "-e t0.dat t2.dat -d t1.dat",
        "-e t0.dat t1.dat -d t2.dat",
    ]


def test_without_tables_or_iasl_a_finding_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """No DSDT, too much AML and a missing program are each told in one sentence."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert str(namespace.namespace([])) == (
        "no table declares the devices of the ACPI namespace; give the DSDT and the SSDTs"
    )
    assert str(namespace.namespace([dsdt("q35-vtd")])) == (
        "DSDT.bin: the ACPI namespace cannot be read without iasl; install it (Debian: acpica-tools)"
    )
    monkeypatch.setattr(namespace, "MAX_AML", 100)
    assert str(namespace.namespace([dsdt("q35-vtd")])) == (
        "DSDT.bin: there is too much AML to read: found 1 tables, 18639 bytes, expected at most 256 tables, 100 bytes; "
        "give the tables of one machine"
    )


def fake_iasl(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program called iasl on PATH that runs this script of the shell."""
    folder.mkdir(exist_ok=True)
    (folder / "iasl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "iasl").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


ONE = 'for last; do :; done; echo "Device (DEV0) { Name (_UID, One)'


@pytest.mark.parametrize(
    ("script", "devices"),
    [
        ("exit 1", 0),
        ("kill -SEGV $$", 0),
        (ONE + '" > ${last%.dat}.dsl', 1),
        (ONE + '" > ${last%.dat}.dsl; exec sleep 60', 1),
        (ONE + '}" > ${last%.dat}.dsl; while :; do echo "{{{{{{{{"; done >> ${last%.dat}.dsl', 1),
    ],
    ids=["nothing", "crash", "cut off", "hang", "endless"],
)
def test_an_iasl_that_fails_is_bounded(
    script: str, devices: int, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever iasl does, what it wrote is read, a finding names the table, and nothing of it stays."""
    fake_iasl(tmp_path / "bin", monkeypatch, script)
    monkeypatch.setattr(namespace, "SECONDS", 1.0)
    monkeypatch.setattr(namespace, "MAX_LISTING", 1 << 16)
    started = time.monotonic()
    found = read(dsdt("q35-vtd"))
    assert time.monotonic() - started < 10
    assert len(found.devices) == devices
    assert [str(finding) for finding in found.findings] == [
        "DSDT.bin: DSDT: iasl cannot disassemble the whole of this table; devices that it declares may be missing"
    ]
    assert not cache.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_externals_that_cannot_be_loaded_are_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When iasl gives nothing with the other tables as externals, it is asked again without; then time is up."""
    fake_iasl(tmp_path / "bin", monkeypatch, '[ "$1" = -e ] && exit 1; ' + ONE + '}" > ${last%.dat}.dsl')
    tables = dsdt("q35-vtd"), parse_table(sealed(b"SSDT", b"one"), "SSDT.bin")
    assert [device.path for device in read(*tables).devices] == ["\\DEV0"]
    monkeypatch.setattr(namespace, "SECONDS", 0.0)
    late = read(parse_table(sealed(b"SSDT", b"two"), "late"))
    assert (late.devices, len(late.findings)) == ((), 1)


def test_an_iasl_that_cannot_be_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of that name that is no program gives the finding about the table."""
    (tmp_path / "iasl").write_bytes(b"\x7fELF")
    (tmp_path / "iasl").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(read(dsdt("q35-vtd")).findings) == 1


def counting_iasl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Put an iasl on PATH that declares one device, and return how to ask how often it ran."""
    fake_iasl(tmp_path / "bin", monkeypatch, f'echo >> {tmp_path}/runs; {ONE}}}" > ${{last%.dat}}.dsl')
    return lambda: len((tmp_path / "runs").read_text()) if (tmp_path / "runs").exists() else 0


def test_the_same_tables_are_disassembled_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second answer comes from the cache, under the new file names, and without iasl; other bytes do not."""
    runs = counting_iasl(tmp_path, monkeypatch)
    first = read(dsdt("q35-vtd"))
    monkeypatch.setenv("PATH", "/nonexistent")
    second = read(parse_table((BOARDS / "q35-vtd" / "DSDT.bin").read_bytes(), "other name"))
    assert runs() == 1
    assert [(device.path, device.uid) for device in second.devices] == [("\\DEV0", 1)]
    assert second.devices[0].origin.source == "other name"
    assert first.findings == second.findings == ()
    assert len(list(cache.iterdir())) == 1
    assert isinstance(namespace.namespace([dsdt("q35-amd")]), Finding)


GOOD = [0, "\\A", None, [], None, None, None, None, []]
BROKEN = [
    b"",
    b"\xff",
    b"[" * 100_000,
    b"[]",
    b'{"devices": [], "failed": [0]}',
    b'{"devices": {}, "failed": []}',
    *(
        json.dumps({"devices": [[*GOOD[:place], value, *GOOD[place + 1 :]]], "failed": []}).encode()
        for place, value in (
            (0, 1), (0, -1), (0, "0"), (1, None), (2, 1), (3, None), (3, [1]), (4, []), (5, "1"), (6, "1"), (7, []),
            (8, None), (8, [1]), (8, [[1, 2]]), (8, [[1, 2, 3]]),
        )
    ),
    json.dumps({"devices": [GOOD[:-1]], "failed": []}).encode(),
    json.dumps({"devices": ["A"], "failed": []}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_cache_is_no_answer(data: bytes, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept file that does not hold a result is passed over, and replaced."""
    runs = counting_iasl(tmp_path, monkeypatch)
    good = read(dsdt("q35-vtd"))
    (kept,) = cache.iterdir()
    kept.write_bytes(data)
    assert read(dsdt("q35-vtd")) == good
    assert runs() == 2
    assert read(dsdt("q35-vtd")) == good
    assert runs() == 2


def test_a_cache_that_cannot_be_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the cache is no folder, or there is no home for it, each answer is worked out anew."""
    runs = counting_iasl(tmp_path, monkeypatch)
    (tmp_path / "cache").write_bytes(b"")
    for _ in range(2):
        assert len(read(dsdt("q35-vtd")).devices) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert len(read(dsdt("q35-vtd")).devices) == 1
    assert runs() == 3


def test_the_cache_is_below_home_unless_a_whole_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative XDG_CACHE_HOME is no place, as its specification says."""
    counting_iasl(tmp_path, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    read(dsdt("q35-vtd"))
    assert len(list((tmp_path / "home" / ".cache" / "iommuman").iterdir())) == 1


@pytest.mark.damage
def test_mutants_are_answered(need_tool: Callable[[str, str], str]) -> None:
    """With one byte changed, a DSDT has a namespace, or its finding: iasl's crashes and loops do no harm."""
    need_tool("iasl", "acpica-tools")
    data = (BOARDS / "q35-vtd-plain" / "DSDT.bin").read_bytes()
    count = min(int(os.environ.get("IOMMUMAN_MUTANTS", "50")), 500)
    for mutant in mutants(data, count):
        table = parse_table(mutant, "damaged")
        found = namespace.namespace([table])
        assert isinstance(found, namespace.Namespace) == (table.signature == "DSDT")
