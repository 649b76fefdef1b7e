"""`iommuman who`: a device's IOMMU and IDs, an ID's devices, what an address falls in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE

BOARD = BOARDS / "q35-vtd"

ANSWER = """\
0000:02:01.0  1000:0012 SCSI controller, driver pci-stub
  requester ID 0x0208 (02:01.0), its own
    → vtd@fed90000 ID 0x208, by device scope  [DMAR.bin: DMAR+0x78 (8 bytes)]
  requester ID 0x0030 (00:06.0), as conventional PCI bridge 0000:00:06.0 sends it  [pci.json: functions[5]]
    → vtd@fed90000 ID 0x30, by device scope  [DMAR.bin: DMAR+0x78 (8 bytes)]
  ID 0x30 of vtd@fed90000 is shared with 0000:00:06.0, 0000:02:02.0: they cannot be told apart by it
  in one isolation group with 0000:00:06.0 and 0000:02:02.0
    why: conventional PCI bridge 0000:00:06.0 sends requests of 0000:02:01.0 and 0000:02:02.0 as its own  \
[pci.json: functions[5]]
    to split: conventional PCI has no requester IDs: move a device to a PCI Express slot to have it apart
"""


def test_a_device_with_every_step(run: Callable[..., Ran]) -> None:
    """Each ID that the device's requests carry, why, the unit that sees it, and the place of every step."""
    assert run("who", BOARD, "0000:02:01.0") == (0, ANSWER, "")


def test_the_same_as_json(run: Callable[..., Ran]) -> None:
    """The JSON says the same: routes, hops with origins, sharers."""
    document = json.loads(run("who", "--format", "json", BOARD, "02:01.0").out)
    assert [route["id"] for route in document["routes"]] == [0x208, 0x30]
    assert document["routes"][1]["hops"][0]["origin"]["offset"] == 0x78
    assert document["sharers"][0]["devices"] == ["0000:00:06.0", "0000:02:02.0"]


def test_interrupts_and_reserved_memory_are_told(run: Callable[..., Ran]) -> None:
    """The way of message-signalled interrupts, and the memory that a device must keep reaching, stand below."""
    assert "    → its:0 ID 0x18, by ID mapping  [IORT.bin" in run("who", BOARDS / "virt-smmuv3-acpi", "00:03.0").out
    assert "  reserved memory 0x7d000000-0x7f7fffff (40 MiB), rmrr, mapped one to one  [DMAR.bin: DMAR+" in (
        run("who", HANDMADE / "dmar-segments", "00:02.0").out
    )


def test_the_cost_of_reserved_memory_is_told_on_request(run: Callable[..., Ran]) -> None:
    """Whole pages and page tables of what must stay mapped, in words and in bytes; without any nothing."""
    board = HANDMADE / "dmar-segments"
    tables = "92 KiB with pages of 4 KiB, 12 KiB with the largest pages that fit"
    assert run("who", "--cost", board, "00:02.0").out.splitlines()[-2:] == [
        "    costs 40 MiB of memory that nobody else gets",
        f"    costs page tables of 4 levels, in each domain that maps it: {tables}",
    ]
    document = json.loads(run("who", "--cost", "--format", "json", board, "00:02.0").out)
    assert document["cost"] == {"memory": 40 << 20, "rounding": 0, "levels": 4, "small": 23 * 4096, "large": 3 * 4096}
    assert run("who", "--cost", board, "00:1f.2").out.endswith(
        "    costs nothing: no reserved memory has to stay mapped for this device\n"
    )
    assert json.loads(run("who", "--cost", "--format", "json", board, "00:1f.2").out)["cost"] is None
    assert "cost" not in json.loads(run("who", "--format", "json", board, "00:1f.2").out)
    ran = run("who", "--cost", "--sid", "1", "--iommu", "x", board)
    assert (ran.status, "--cost goes with a DEVICE" in ran.err) == (2, True)


def test_rounding_to_pages_is_told(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Of a region that does not end with a page, the rest of the page is lost too."""
    config = tmp_path / "x.smmu"
    config.write_text("smmu vtd\nunit u 0xfed90000\ndevice pci:0:2.0\n    reserved 0x1000,0x1800\n")
    ran = run("who", "--cost", "--config", config, HANDMADE / "dmar-segments", "00:02.0")
    assert "    costs 8 KiB of memory that nobody else gets, 2 KiB of it by rounding to whole pages\n" in ran.out


def test_a_device_without_iommu_is_an_answer(run: Callable[..., Ran]) -> None:
    """No IOMMU is said in words, with the reason, and the status is 0."""
    ran = run("who", BOARDS / "virt-bypass-acpi", "0000:80:00.0")
    assert ran.status == 0
    assert "    no IOMMU: it reaches all of memory (" in ran.out


def test_a_function_that_nobody_lists(run: Callable[..., Ran]) -> None:
    """The answer for an address says that no source lists it."""
    assert "no source lists this function" in run("who", BOARDS / "virt-smmuv3-acpi", "00:1e.0").out


def test_ranges_and_ignored_bits(run: Callable[..., Ran]) -> None:
    """A component with a range of IDs, and IDs of which bits are ignored, are told as such."""
    ranges = run("who", HANDMADE / "iort-smmuv2", "DMA0").out
    assert "  ID 0x0 to 0x7, ID mapping\n    → smmuv2@2b700000 IDs 0x40-0x47, by ID mapping" in ranges
    assert "of this ID, the bits 0x7c00 are ignored" in run("who", HANDMADE / "dt-parents", "usb@6000000").out


@pytest.mark.parametrize("options", [("--sid", "0x30"), ("--sid", "48", "--iommu", "vtd@fed90000")])
def test_who_sends_an_id(run: Callable[..., Ran], options: tuple[str, ...]) -> None:
    """All devices with an ID are listed, with the bridge that gives it to them."""
    ran = run("who", *options, BOARD)
    assert ran.status == 0
    names = [line.split()[0] for line in ran.out.splitlines() if line.startswith("  0000")]
    assert names == ["0000:00:06.0", "0000:02:01.0", "0000:02:02.0"]
    assert ran.out.endswith("  these 3 cannot be told apart by this ID\n")


def test_an_id_that_nobody_known_sends(run: Callable[..., Ran]) -> None:
    """The requester ID that would be it is named; an ID outside all maps is nobody's."""
    board = BOARDS / "virt-smmuv3-acpi"
    assert "  0000:00:1e.0  no source lists this function" in run("who", "--sid", "0xf0", board).out
    assert run("who", "--sid", "0x99999", board).out == (
        "ID 0x99999 of smmuv3@9050000  nobody that the sources speak of sends it\n"
    )
    assert json.loads(run("who", "--sid", "0xf0", "--format", "json", board).out)["senders"][0]["listed"] is False


def test_what_an_address_falls_in(run: Callable[..., Ran]) -> None:
    """Registers, reserved memory and windows at an address are named; nothing is an answer."""
    board = HANDMADE / "dmar-segments"
    assert run("who", "--address", "0xfed90010", board).out == (
        "0xfed90010\n  registers of vtd@fed90000, 0xfed90000-0xfed90fff (4 KiB)  [DMAR.bin: DMAR+0x30 (24 bytes)]\n"
    )
    assert run("who", "--address", "1", board).out == "0x1  nothing that the sources speak of\n"
    assert json.loads(run("who", "--address", "0x7d000000", "--format", "json", board).out)["places"][0]["start"] == (
        "0x7d000000"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((BOARD,), "name at least one SOURCE and, last, the DEVICE"),
        ((BOARD, "0000:02:01.0", "--iommu", "x"), "--iommu goes with --sid"),
        ((BOARD, "--sid", "1", "--address", "2"), "--sid and --address are two questions; ask one at a time"),
        ((BOARD, "--sid", "1", "--iommu", "x"), "must name one of the IOMMUs of the sources: vtd@fed90000"),
        ((BOARD / "pci.json", "--sid", "1"), "must name one of the IOMMUs of the sources: none"),
        ((HANDMADE / "dmar-segments", "--sid", "1"), "vtd@fed90000, vtd@fed92000, vtd@fed91000"),
        ((BOARD, "--sid=-5"), "argument --sid: '-5' is no number; write it in decimal, or in hexadecimal as 0x…"),
        ((BOARD, "--address", "xyz"), "argument --address: 'xyz' is no number"),
        ((BOARD, "ioapic:7"), "there is no device 'ioapic:7'; did you mean ioapic:0?"),
    ],
)
def test_questions_that_make_no_sense_are_status_2(
    run: Callable[..., Ran], arguments: tuple[object, ...], message: str
) -> None:
    """What cannot be asked is said in one sentence, with what would do."""
    ran = run("who", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert message in ran.err


def test_findings_of_the_sources_are_said_too(run: Callable[..., Ran]) -> None:
    """An answer from a damaged table comes with what is wrong with it, and status 1."""
    ran = run("who", HANDMADE / "damaged" / "dmar-checksum" / "DMAR.bin", "00:02.0")
    assert ran.status == 1
    assert ran.err.startswith("error: ")


def test_interrupts_of_a_function_behind_a_bridge_carry_the_bridges_id(run: Callable[..., Ran]) -> None:
    """`who` and `dump` agree: behind bridges of conventional PCI the device ID is that of the bridge's ID."""
    board = BOARDS / "virt-smmuv3-acpi"
    for name, number in (("02:01.0", "0x30"), ("04:01.0", "0x400"), ("00:03.0", "0x18")):
        assert f"→ its:0 ID {number}, by ID mapping" in run("who", board, name).out
        line = next(line for line in run("dump", board).out.splitlines() if f"─ 0000:{name}" in line)
        assert f"MSI its:0 {number}," in line


def test_a_host_with_a_segment_is_its_segment(run: Callable[..., Ran]) -> None:
    """HOST/bb:dd.f of a host whose segment is known is the function of that segment, aliases and all."""
    assert run("who", BOARD, "pci:0000/02:01.0") == run("who", BOARD, "02:01.0")
    blind = run("who", HANDMADE / "dmar-two-hop-blind", "pci:0000/08:00.0").out
    assert "this cannot be told" in blind


def test_an_unresolved_route_is_no_sender(run: Callable[..., Ran]) -> None:
    """A function that may be behind a unit is not listed as one that sends an ID to it."""
    ran = run("who", "--sid", "0x800", "--iommu", "vtd@fed93000", HANDMADE / "dmar-two-hop-blind")
    assert "nobody that the sources speak of sends it" in ran.out


def test_names_in_errors_are_escaped(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A near match whose name has control characters cannot drive the terminal."""
    blob = (HANDMADE / "dt-parents" / "board.dtb").read_bytes().replace(b"usb@6000000", b"us\033@6000000")
    (tmp_path / "board.dtb").write_bytes(blob)
    ran = run("who", tmp_path / "board.dtb", "usb@6000000")
    assert ran.status == 2
    assert "\033" not in ran.err
    assert "\033" not in run("dump", "--format", "dot", tmp_path / "board.dtb").out
    assert "\033" not in run("dump", "--format", "table", tmp_path / "board.dtb").out
