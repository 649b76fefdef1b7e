"""Tables in images of memory: of real firmware in QEMU, and made by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from iommuman.parsers import ParseError, files
from iommuman.parsers.containers import memory_image
from iommuman.parsers.sources import read_sources

from tests.parsers.acpi.test_sdt import sealed
from tests.parsers.containers.making import DMAR, MCFG, SSDT, found, read, sentences

QEMU = "qemu-system-x86_64"
OVMF = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")


def pointer(rsdt: int, xsdt: int | None = None) -> bytes:
    """Return a root pointer, of ACPI 1.0 without an XSDT."""
    data = bytearray(struct.pack("<8sB6sBI", b"RSD PTR ", 0, b"MADE  ", 0 if xsdt is None else 2, rsdt))
    if xsdt is not None:
        data += struct.pack("<IQBBBB", 36, xsdt, 0, 0, 0, 0)
    data[8] = -sum(data[:20]) & 0xFF
    if xsdt is not None:
        data[32] = -sum(data) & 0xFF
    return bytes(data)


def rsdt(*addresses: int) -> bytes:
    """Return an RSDT."""
    return sealed(b"RSDT", struct.pack(f"<{len(addresses)}I", *addresses))


def xsdt(*addresses: int) -> bytes:
    """Return an XSDT."""
    return sealed(b"XSDT", struct.pack(f"<{len(addresses)}Q", *addresses))


def memory(*, size: int = 1 << 20, **places: bytes) -> bytes:
    """Return memory with bytes put in at addresses (`xf0000` is address f0000h)."""
    made = bytearray(size)
    for place, whole in places.items():
        address = int(place[1:], 16)
        data = whole[: size - address]
        made[address : address + len(data)] = data
    return bytes(made)


def saved(options: list[str], size: int, path: Path) -> None:
    """Save so many bytes of the memory of a machine in QEMU, when its firmware has put tables there."""
    machine = ["-machine", "q35", "-device", "intel-iommu", "-m", str(size >> 20), "-display", "none", "-nodefaults"]
    command = [QEMU, *machine, *options, "-monitor", "stdio"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=path.parent) as qemu:
        assert qemu.stdin is not None
        try:
            for _ in range(60):
                time.sleep(1)
                path.unlink(missing_ok=True)
                qemu.stdin.write(f"pmemsave 0 {size} {path.name}\n".encode())
                qemu.stdin.flush()
                for _ in range(100):
                    if path.exists() and path.stat().st_size == size:
                        break
                    time.sleep(0.1)
                with contextlib.suppress(ParseError):
                    if any(table.signature == "DSDT" for table in read_sources([str(path)]).tables):
                        return
        finally:
            qemu.kill()
    pytest.fail("the firmware left no tables in memory")


@pytest.mark.skipif(shutil.which(QEMU) is None, reason="QEMU is not installed")
@pytest.mark.parametrize(("firmware", "size"), [("SeaBIOS", 32 << 20), ("OVMF", 80 << 20)])
def test_the_memory_of_a_machine_has_its_tables(firmware: str, size: int, tmp_path: Path) -> None:
    """The tables that QEMU's firmware left in memory, small enough to be read whole or not, are found once each."""
    image = tmp_path / "memory"
    if firmware == "OVMF" and not OVMF.exists():
        pytest.skip("OVMF is not installed")
    drive = ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}"]
    saved(drive if firmware == "OVMF" else [], size, image)
    inputs = read_sources([str(image)])
    signatures = [table.signature for table in inputs.tables]
    assert {"DMAR", "MCFG", "FACP", "APIC", "HPET", "DSDT", "RSDT"} <= set(signatures)
    assert len(set(signatures)) == len(signatures)
    assert (inputs.findings, [finding for table in inputs.tables for finding in table.findings]) == ([], [])
    assert all(table.source.startswith(f"{image}@0x") for table in inputs.tables)


def test_both_lists_are_walked_and_each_table_is_taken_once() -> None:
    """What the XSDT lists comes first, then what only the RSDT lists, then the DSDT of the FADT."""
    fadt = sealed(b"FACP", bytes(4) + struct.pack("<I", 0x6000) + bytes(96) + struct.pack("<Q", 0x5000) + bytes(8))
    image = memory(
        xf0010=pointer(0x1000, 0x1800), x1000=rsdt(0x2000, 0x3000), x1800=xsdt(0x2000, 0x4000, 0x1800, 0),
        x2000=DMAR, x3000=MCFG, x4000=fadt, x5000=sealed(b"DSDT", b"aml"), x6000=sealed(b"DSDT", b"old"),
    )  # fmt: skip
    inputs = read(image)
    assert found(inputs) == [
        ("XSDT", "a@0x1800"),
        ("DMAR", "a@0x2000"),
        ("FACP", "a@0x4000"),
        ("RSDT", "a@0x1000"),
        ("MCFG", "a@0x3000"),
        ("DSDT", "a@0x5000"),
    ]
    assert (inputs.findings, inputs.passed_over) == ([], [])


def test_the_pointer_is_found_in_its_places() -> None:
    """It is in the extended BIOS data area, or below 1 MiB at a multiple of 16, or else anywhere, where UEFI put it."""

    def memory_with(**places: bytes) -> bytes:
        return memory(size=1 << 20, **{"x1000": rsdt(0x2000), "x2000": DMAR, **places})

    area = memory_with(x40e=b"\xc0\x9f", x9fc10=pointer(0x1000))
    assert ("DMAR", "a@0x2000") in found(read(area))
    anywhere = memory_with(x14=pointer(0x1000))
    assert ("DMAR", "a@0x2000") in found(read(anywhere))
    # A copy that is not at a multiple of 16 does not count when there is one that is.
    two = memory_with(xe0008=pointer(0x9000), xf0000=pointer(0x1000))
    assert ("DMAR", "a@0x2000") in found(read(two))
    assert sentences(read(two)) == []
    # A pointer that leads nowhere does not hide the one behind it.
    stale = memory_with(xe0000=pointer(0x90000), xf0000=pointer(0x1000))
    assert ("DMAR", "a@0x2000") in found(read(stale))


@pytest.mark.parametrize("place", [8, 15, 20, 24, 32])
def test_a_pointer_with_a_wrong_checksum_is_none(place: int) -> None:
    """Each of its two checksums must be right: programs hold the text as well."""
    damaged = bytearray(pointer(0x1000, 0))
    damaged[place] ^= 4
    image = memory(xf0000=bytes(damaged), x1000=rsdt(0x2000), x2000=DMAR)
    assert read(image).passed_over == [("a", "no table, acpidump text, device tree or PCI topology")]


def test_addresses_outside_of_the_image_are_named() -> None:
    """Each table that is beyond the image, or not where it should be, is a finding; a FACS is none."""
    image = memory(
        xf0000=pointer(0x1000), x1000=rsdt(0x2000, 0x7FE0000, 0x3000, 0xFFFF0, 0x8000), x2000=DMAR, x8000=b"FACS@",
        xffff0=b"SSDT" + (100).to_bytes(4, "little") + b"\1",
    )  # fmt: skip
    inputs = read(image)
    assert found(inputs) == [("RSDT", "a@0x1000"), ("DMAR", "a@0x2000")]
    assert sentences(inputs) == [
        "MEMORY-IMAGE-TABLE a: the RSDT at 0x1000 names a table at 0x7fe0000, outside of the image",
        "MEMORY-IMAGE-TABLE a: the RSDT at 0x1000 names a table at 0x3000, where there is none",
        "MEMORY-IMAGE-TABLE a: the RSDT at 0x1000 names a table at 0xffff0, outside of the image",
    ]
    nothing = read(memory(xf0000=pointer(0xFFFFFFF0)))
    assert sentences(nothing) == [
        "MEMORY-IMAGE-TABLE a: the root pointer at 0xf0000 names a table at 0xfffffff0, outside of the image"
    ]
    many = read(memory(xf0000=pointer(0x1000), x1000=rsdt(*range(0x200000, 0x200014)), x2000=DMAR))
    assert sentences(many)[-1] == "MEMORY-IMAGE-TABLE a: 4 more tables are named that are not there"
    assert len(many.findings) == 17


def test_a_table_that_reaches_beyond_the_image_is_read_as_far_as_it_goes() -> None:
    """The table is there up to the end of the image, which its length says."""
    image = memory(xf0000=pointer(0x1000), x1000=rsdt(0xFFFD0), xfffd0=sealed(b"SSDT", b"\1" * 100))
    (_, table) = read(image).tables
    assert (table.size, [finding.rule for finding in table.findings]) == (48, ["ACPI-LENGTH", "ACPI-CHECKSUM"])


def test_hostile_lists_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that go round, that are long, or whose tables are large together end, and it is told."""
    image = memory(xf0000=pointer(0x1000), x1000=rsdt(0x1000, 0x1000, 0x1000), x2000=DMAR)
    assert (found(read(image)), read(image).findings) == ([("RSDT", "a@0x1000")], [])
    monkeypatch.setattr(memory_image, "MAX_BYTES", 100)
    image = memory(xf0000=pointer(0x1000), x1000=rsdt(0x2000, 0x3000), x2000=DMAR, x3000=MCFG)
    assert sentences(read(image)) == ["MEMORY-IMAGE-MANY a@0x3000: the tables are too large together"]
    image = memory(xf0000=pointer(0x1000), x1000=rsdt(0x2000, 0x3000, 0x4000), x2000=DMAR, x3000=MCFG, x4000=MCFG)
    assert len(read(image).findings) == 1
    monkeypatch.setattr(memory_image, "MAX_TABLES", 1)
    assert sentences(read(image))[0] == "MEMORY-IMAGE-MANY a@0x1000: the RSDT lists too many tables"
    image = memory(xf0000=pointer(0x1000), x1000=rsdt(*[0x2000] * 9), x2000=DMAR)
    assert "MEMORY-IMAGE-MANY a@0x1000: the RSDT lists too many tables" in sentences(read(image))
    pointers = bytearray(2 << 20)
    for place in range(0x100000, 0x102000, 64):
        pointers[place : place + 20] = pointer(0x90000)
    assert len(read(bytes(pointers)).findings) == 1


def test_what_is_no_raw_image_is_named() -> None:
    """An ELF core file is passed over with the reason; a small file, and one of a program, are nothing."""
    core = b"\x7fELF\2\1\1" + bytes(9) + b"\4\0" + memory(xf0000=pointer(0x1000), x1000=rsdt(0x2000), x2000=DMAR)
    reason = "an ELF core file; images of memory are read when they are raw, from address 0"
    assert read(core).passed_over == [("a", reason)]
    assert read(pointer(0x1000)).passed_over == [("a", "RSDP is no table with a header")]
    assert read(memory(size=0x90000, x0=b"\1", x10=pointer(0x1000))).tables == []


def test_a_large_image_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file over the limit that the user names, only what is asked for is read; in a folder it is passed over."""
    path = tmp_path / "image"
    path.write_bytes(memory(size=4 << 20, x300014=pointer(0x1000, 0), x1000=rsdt(0x3FFFF0, 0x2000), x2000=SSDT))
    monkeypatch.setattr(files, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(memory_image, "_PIECE", 0x300020)  # the pointer lies over the edge of a piece
    inputs = read_sources([str(path)])
    assert found(inputs) == [("RSDT", f"{path}@0x1000"), ("SSDT", f"{path}@0x2000")]
    assert [finding.rule for finding in inputs.findings] == ["MEMORY-IMAGE-TABLE"]
    with pytest.raises(ParseError, match="larger than 1 MiB"):
        read_sources([str(tmp_path)])

    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.pread", fail)
        with pytest.raises(ParseError, match="larger than 1 MiB"):
            read_sources([str(path)])
    path.write_bytes(b"\x7fELF" + path.read_bytes()[4:])
    with pytest.raises(ParseError, match="larger than 1 MiB"):
        read_sources([str(path)])


def test_a_large_file_without_a_pointer_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it has to be read to know that there is none, and that takes long enough."""
    path = tmp_path / "image"
    path.write_bytes(memory(size=4 << 20))
    monkeypatch.setattr(files, "MAX_FILE", 1 << 20)
    monkeypatch.setattr(memory_image, "_PIECE", 1 << 20)
    taken: list[int] = []
    read_at = os.pread

    def reading(descriptor: int, length: int, address: int) -> bytes:
        taken.append(address)
        return read_at(descriptor, length, address)

    monkeypatch.setattr("os.pread", reading)
    with pytest.raises(ParseError, match="larger than 1 MiB"):
        read_sources([str(path)])
    assert taken.count(2 << 20) == 1
