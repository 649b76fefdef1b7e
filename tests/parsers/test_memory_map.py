"""The memory map: three places where Linux shows it, and one form in which it is written."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers import memory_map
from iommuman.parsers.memory_map import (
    MemoryRange,
    build_iomem,
    has_memory_log,
    is_iomem,
    parse_iomem,
    parse_memory_log,
    read_memmap,
)

from tests.conftest import BOARDS

Ranges = tuple[MemoryRange, ...]


def plain(ranges: Ranges) -> list[tuple[int, int, str]]:
    """Return start, length and kind of each range."""
    return [(one.start, one.length, one.kind) for one in ranges]


IOMEM = b"""\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000a0000-000bffff : PCI Bus 0000:00
000f0000-000fffff : System ROM
00100000-7fff0fff : System RAM
  01000000-01ffffff : Kernel code
  48000000-48ffffff : reserved
7fff1000-7fff8fff : ACPI Tables
7fff9000-7fffbfff : ACPI Non-volatile Storage
80000000-8fffffff : PCI MMCONFIG 0000 [bus 00-ff]
  80000000-8fffffff : Reserved
90000000-90000fff : Unusable memory
fec00000-fec003ff : IOAPIC 0
100000000-17fffffff : Persistent Memory
  100000000-10fffffff : namespace0.0
    100000000-100ffffff : System RAM (kmem)
200000000-27fffffff : Soft Reserved
  200000000-27fffffff : System RAM
"""


def test_iomem_gives_memory_of_the_top_and_reserved_of_every_level() -> None:
    """Memory comes from the top level, reserved ranges from inside others as well; devices are passed by."""
    ranges, findings = parse_iomem(IOMEM, "iomem")
    assert plain(ranges) == [
        (0x0, 0x1000, "reserved"),
        (0x1000, 0x9EC00, "ram"),
        (0x100000, 0x7FEF1000, "ram"),
        (0x48000000, 0x1000000, "reserved"),
        (0x7FFF1000, 0x8000, "acpi"),
        (0x7FFF9000, 0x3000, "nvs"),
        (0x80000000, 0x10000000, "reserved"),
        (0x90000000, 0x1000, "other"),
        (0x100000000, 0x80000000, "persistent"),
        (0x200000000, 0x80000000, "other"),
    ]
    assert findings == ()
    assert ranges[3].origin == Origin("iomem", line=7)


def test_iomem_without_addresses_was_not_read_by_root() -> None:
    """When all addresses are zero nothing is used, and the finding says what to do."""
    hidden = b"00000000-00000000 : Reserved\n  00000000-00000000 : System RAM\n"
    ranges, findings = parse_iomem(hidden, "iomem")
    assert ranges == ()
    assert [str(finding) for finding in findings] == [
        "iomem: all addresses of this memory map are zero; read /proc/iomem as root; no range is used"
    ]


def test_a_range_that_ends_before_it_begins_is_left_out() -> None:
    """The finding names the line; the other ranges are read."""
    ranges, findings = parse_iomem(b"00001000-00000fff : System RAM\r\n00002000-00002000 : Reserved\r\n", "iomem")
    assert plain(ranges) == [(0x2000, 1, "reserved")]
    assert [str(finding) for finding in findings] == [
        "iomem:1: a range of memory ends before it begins: found 0xfff, expected at least 0x1000; it is left out"
    ]


def test_the_number_of_ranges_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit ranges are counted and not taken; one that is there already does not count."""
    monkeypatch.setattr(memory_map, "MAX_RANGES", 2)
    lines = [f"{number:08x}-{number:08x} : Reserved\n" for number in (1, 2, 2, 3, 4)]
    ranges, findings = parse_iomem("".join(lines).encode(), "iomem")
    assert plain(ranges) == [(1, 1, "reserved"), (2, 1, "reserved")]
    assert [str(finding) for finding in findings] == [
        "iomem: there are too many ranges of memory: found 4, expected at most 2; only the first are read"
    ]


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (IOMEM, True),
        (IOMEM.replace(b"\n", b"\r\n"), True),
        (b"00000000-00000fff : Reserved", True),
        (IOMEM * 100, True),
        (b"", False),
        (b"\n\n", False),
        (b"0000-0fff : Reserved\n", False),
        (b"0000-0cf7 : PCI Bus 0000:00\n  0000-001f : dma1\n", False),
        (IOMEM[:100] + b"\nsomething else\n", False),
    ],
)
def test_iomem_is_known_by_its_lines(data: bytes, answer: bool) -> None:
    """Every whole line near the beginning is a range with a name; `/proc/ioports` has shorter numbers."""
    assert is_iomem(data) is answer


@given(
    st.lists(
        st.tuples(
            st.integers(0, (1 << 64) - 1),
            st.integers(1, 1 << 40),
            st.sampled_from(["ram", "reserved", "acpi", "nvs", "mmio", "persistent", "other"]),
        ),
        min_size=1,
        unique_by=lambda one: one[0],
    )
)
def test_what_is_written_is_read_again(wanted: list[tuple[int, int, memory_map.MemoryKind]]) -> None:
    """Ranges of every kind, written and read, are the same."""
    kept = [(start, min(length, (1 << 64) - start), kind) for start, length, kind in wanted]
    kept = [one for one in kept if one[0] or one[1] > 1]  # a single byte at 0 reads as hidden
    text = build_iomem(MemoryRange(*one, Origin("")) for one in kept)
    if kept:
        assert is_iomem(text)
        assert plain(parse_iomem(text)[0]) == kept


def test_the_written_form_is_that_of_linux() -> None:
    """Addresses have eight digits or more, the end is included, and the words are those of Linux."""
    ranges = (MemoryRange(0x1000, 0x9EC00, "ram", Origin("")), MemoryRange(1 << 32, 4096, "nvs", Origin("")))
    text = b"00001000-0009fbff : System RAM\n100000000-100000fff : ACPI Non-volatile Storage\n"
    assert build_iomem(ranges) == text


def memmap(folder: Path, *ranges: tuple[str, str, str]) -> Path:
    """Write a `memmap` folder with these starts, ends and types."""
    for number, values in enumerate(ranges):
        (folder / str(number)).mkdir(parents=True)
        for name, value in zip(("start", "end", "type"), values, strict=True):
            (folder / str(number) / name).write_text(value + "\n")
    return folder


def test_memmap_folders_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """Each folder is a range whose end is included; number 10 comes after 9, and other folders are passed by."""
    types = ["System RAM", "ACPI Tables", "ACPI Non-volatile Storage", "Unusable memory", "Persistent Memory (legacy)"]
    types += ["Persistent Memory", "Soft Reserved", "Reserved", "Unknown E820 type", "reserved", "System RAM"]
    entries = [(hex(n << 12), hex((n << 12) + 0xFFF), kind) for n, kind in enumerate(types)]
    folder = memmap(tmp_path / "memmap", *entries)
    (folder / "stray").mkdir()
    ranges, findings = read_memmap(str(folder))
    assert [one.start >> 12 for one in ranges] == list(range(11))
    assert {one.length for one in ranges} == {0x1000}
    kinds = ["ram", "acpi", "nvs", "other", "persistent", "persistent", "other", "reserved", "other", "reserved", "ram"]
    assert [one.kind for one in ranges] == kinds
    assert ranges[10].origin == Origin(f"{folder}/10")
    assert findings == ()


def test_what_is_wrong_in_memmap_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an end, with words or numbers that cannot be, is left out; a missing folder has no ranges."""
    folder = memmap(
        tmp_path, ("0x0", "0xfff", "Reserved"), ("zero", "0xfff", "Reserved"), ("0x0", hex(1 << 64), "Reserved"),
        ("-0x1", "0xfff", "Reserved"), ("0x0", "0xfff", "Reserved"), ("0x1", "0x0", "Reserved"),
    )  # fmt: skip
    (folder / "4" / "end").unlink()
    ranges, findings = read_memmap(str(folder))
    assert plain(ranges) == [(0, 0x1000, "reserved")]
    where = [(finding.origin.source.removeprefix(str(folder)), finding.message) for finding in findings]
    cannot = "this range of memory cannot be read"
    ends = "a range of memory ends before it begins"
    assert where == [("/1", cannot), ("/2", cannot), ("/3", cannot), ("/4", cannot), ("/5", ends)]
    assert read_memmap(str(tmp_path / "nothing")) == ((), ())
    monkeypatch.setattr(memory_map, "MAX_RANGES", 1)
    assert str(read_memmap(str(folder))[1][-1]).endswith(
        "there are too many ranges of memory: found 6, expected at most 1; only the first are read"
    )


def test_the_log_of_a_pc_shows_e820() -> None:
    """The nine ranges that QEMU's firmware told Linux, line by line; later lines about e820 change nothing."""
    path = BOARDS / "q35-vtd" / "linux" / "kernel.log"
    ranges, findings = parse_memory_log(path.read_bytes(), "kernel.log")
    assert plain(ranges) == [
        (0x0, 0x9FC00, "ram"),
        (0x9FC00, 0x400, "reserved"),
        (0xF0000, 0x10000, "reserved"),
        (0x100000, 0x3FEC3000, "ram"),
        (0x3FFC3000, 0x3D000, "reserved"),
        (0xB0000000, 0x10000000, "reserved"),
        (0xFED1C000, 0x4000, "reserved"),
        (0xFFFC0000, 0x40000, "reserved"),
        (0xFD00000000, 0x300000000, "reserved"),
    ]
    assert [one.origin.line for one in ranges] == list(range(4, 13))
    assert findings == ()


def test_the_log_of_another_machine_shows_the_memory_of_its_nodes() -> None:
    """Without firmware's own map the ranges that the kernel found are taken, all of them memory."""
    path = BOARDS / "riscv-virt-dt" / "linux" / "kernel.log"
    ranges, _ = parse_memory_log(path.read_bytes(), "kernel.log")
    assert plain(ranges) == [(0x80000000, 0x60000, "ram"), (0x80060000, 0x3FFA0000, "ram")]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("usable", "ram"),
        ("System RAM", "ram"),
        ("reserved", "reserved"),
        ("device reserved", "reserved"),
        ("ACPI data", "acpi"),
        ("ACPI NVS", "nvs"),
        ("unusable", "other"),
        ("soft reserved", "other"),
        ("persistent (type 7)", "persistent"),
        ("persistent RAM (type 12)", "persistent"),
        ("type 20", "other"),
    ],
)
def test_every_word_of_e820_has_a_kind(words: str, kind: str) -> None:
    """What the kernel prints for each type, old and new, with whatever the log puts before it."""
    line = f"Nov 21 10:00:00 host kernel: BIOS-e820: [mem 0x0000000000100000-0x00000000001fffff] {words}\r\n"
    assert plain(parse_memory_log(line.encode())[0]) == [(0x100000, 0x100000, kind)]


EFI = [
    ("Reserved", "Reserved", "reserved"),
    ("Loader Code", "Loader Code", "ram"),
    ("Loader Data", "Loader Data", "ram"),
    ("Boot Code", "Boot Code", "ram"),
    ("Boot Data", "Boot Data", "ram"),
    ("Runtime Code", "Runtime Code", "reserved"),
    ("Runtime Data", "Runtime Data", "reserved"),
    ("Conventional", "Conventional Memory", "ram"),
    ("Unusable", "Unusable Memory", "other"),
    ("ACPI Reclaim", "ACPI Reclaim Memory", "acpi"),
    ("ACPI Mem NVS", "ACPI Memory NVS", "nvs"),
    ("MMIO", "Memory Mapped I/O", "mmio"),
    ("MMIO Port", "MMIO Port Space", "mmio"),
    ("PAL Code", "PAL Code", "reserved"),
    ("Persistent", "Persistent Memory", "persistent"),
    ("type=15", "type=15", "other"),
]


@pytest.mark.parametrize(("new", "old", "kind"), EFI)
def test_every_name_of_efi_has_a_kind(new: str, old: str, kind: str) -> None:
    """The lines of x86 with either bracket, and those of arm64 and RISC-V, with the names of new and old kernels."""
    lines = [
        f"efi: mem00: [{new:12}|   |  |  |WB|WT|WC|UC] range=[0x0000000000001000-0x0000000000001fff] (0MB)",
        f"efi: mem01: [{old:19}|   |  |  |WB|WT|WC|UC] range=[0x0000000000002000-0x0000000000003000) (0MB)",
        f"efi: mem02: [{old:19}|attr=0x080000000000000f] range=[0x0000000000004000-0x0000000000005000) (0MB)",
        f"[    0.000000] efi:   0x000000006000-0x000000006fff [{new:12}|   |  |  |WB|WT|WC|UC]",
        f"[    0.000000] efi:   0x000000008000-0x000000008fff [{old:19}|RUN|  |  |WB|WT|WC|UC]*",
    ]
    ranges, findings = parse_memory_log("\n".join(lines).encode())
    assert plain(ranges) == [(start, 0x1000, kind) for start in (0x1000, 0x2000, 0x4000, 0x6000, 0x8000)]
    assert findings == ()


def test_of_several_maps_the_one_that_the_system_uses_is_taken() -> None:
    """e820 comes before EFI, and EFI before the nodes; the same boot twice in one log is one map."""
    node = b"[    0.0]   node   0: [mem 0x0000000040000000-0x00000000bfffffff]\n"
    efi = b"efi: mem00: [MMIO        |   ] range=[0x0000000000001000-0x0000000000001fff] (0MB)\n"
    e820 = b"BIOS-e820: [mem 0x0000000000100000-0x00000000001fffff] usable\n"
    assert plain(parse_memory_log(node)[0]) == [(0x40000000, 0x80000000, "ram")]
    assert plain(parse_memory_log(node + efi)[0]) == [(0x1000, 0x1000, "mmio")]
    assert plain(parse_memory_log((node + efi + e820) * 2)[0]) == [(0x100000, 0x100000, "ram")]
    assert parse_memory_log(b"nothing of that\n") == ((), ())


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"x\n" * 1000 + b"BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n", True),
        (b"\0\0[    0.0] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n", True),
        (b"efi: mem00: [Boot Code |   ] range=[0x0000000000000000-0x0000000000000fff] (0MB)", True),
        (b"efi:   0x000040000000-0x00004003ffff [Loader Data        |   |WB|  ]\n", True),
        (b"[    0.0]   node   0: [mem 0x0000000040000000-0x00000000bfffffff]\n", True),
        (b"\0%s: [mem 0x\0BIOS-e820: [mem 0x%016llx\0Early memory node ranges\0", False),
        (b"x" * (256 << 10) + b"\nBIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable\n", False),
        (b"e820: update [mem 0x00000000-0x00000fff] usable ==> reserved\n", False),
        (b"", False),
    ],
)
def test_a_log_is_known_by_its_memory_map(data: bytes, answer: bool) -> None:
    """A text with a line of a memory map near its beginning is a kernel log; a kernel's own text is none."""
    assert has_memory_log(data) is answer


@given(st.binary(max_size=300))
def test_any_bytes_are_answered(data: bytes) -> None:
    """Whatever a text holds is read without an exception, and each range has a length."""
    for read in (parse_iomem, parse_memory_log):
        assert all(one.length > 0 for one in read(data)[0])
    assert is_iomem(data) in (True, False)


def test_large_hostile_texts_cost_bounded_time() -> None:
    """64 MiB of line ends, and of bad ranges, are answered in a few seconds and with few findings."""
    started = time.process_time()
    assert len(parse_iomem(b"00000000-00000001 : Reserved" + b"\n" * (64 << 20))[0]) == 1
    ranges, findings = parse_iomem(b"00000001-00000000 : Reserved\n" * (1 << 21))
    assert (len(ranges), len(findings)) == (0, 4097)
    parse_memory_log(b"efi: mem00: [" + b" " * (8 << 20))
    assert time.process_time() - started < 20
