"""What a kernel's log says of a board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.parsers.kernel_log import parse_boot_log
from iommuman.parsers.sources import read_sources

from tests.conftest import BOARDS

LOGS = sorted(BOARDS.glob("*/linux/kernel.log"))


def test_units_and_groups_of_a_board_with_vtd() -> None:
    """The DRHD and its registers are two lines about one unit; groups are in the order of the log."""
    boot = parse_boot_log((BOARDS / "q35-vtd" / "linux" / "kernel.log").read_bytes(), "kernel.log")
    assert [(unit.unit, unit.base, dict(unit.facts).get("flags")) for unit in boot.units] == [
        ("", 0xFED90000, 0),
        ("dmar0", 0xFED90000, None),
    ]
    assert dict(boot.units[1].facts)["ecap"] == 0xF00F4A
    assert boot.units[0].origin == Origin("kernel.log", line=112)
    assert boot.reserved == ()
    assert (boot.groups[0].device, boot.groups[0].group, len(boot.groups)) == ("0000:00:00.0", 0, 24)
    assert [fact.name for fact in boot.facts][:2] == ["IOMMU enabled", "Host address width 48"]


def test_units_of_other_boards() -> None:
    """An SMMUv3 tells the widths of addresses, an AMD IOMMU its function."""
    smmu = parse_boot_log((BOARDS / "virt-smmuv3-acpi" / "linux" / "kernel.log").read_bytes())
    assert [(unit.unit, dict(unit.facts)) for unit in smmu.units] == [
        ("arm-smmu-v3.0.auto", {"ias": 44, "oas": 44, "features": 0x88705})
    ]
    amd = parse_boot_log((BOARDS / "q35-amd" / "linux" / "kernel.log").read_bytes())
    assert [unit.unit for unit in amd.units] == ["", "0000:00:01.0"]


@pytest.mark.parametrize("path", LOGS, ids=[path.parent.parent.name for path in LOGS])
def test_groups_are_those_that_the_guest_showed(path: Path) -> None:
    """The groups in a guest's log are those that its /sys had afterwards."""
    boot = parse_boot_log(path.read_bytes())
    groups = json.loads((path.parent / "verdict.json").read_text())["groups"]
    shown = {device: int(number) for number, group in groups.items() for device in group["devices"]}
    assert {one.device: one.group for one in boot.groups} == shown


def test_reserved_regions_are_taken() -> None:
    """An RMRR is a start and a length, of which the line tells the last byte."""
    boot = parse_boot_log(b"DMAR: RMRR base: 0x0000003e2e0000 end: 0x0000003e2fffff\n")
    assert [(one.start, one.length) for one in boot.reserved] == [(0x3E2E0000, 0x20000)]
    assert not boot.empty


def test_a_log_is_a_source(tmp_path: Path) -> None:
    """A log beside the tables of a board is read for the memory map and for what was found at boot."""
    log = BOARDS / "q35-vtd" / "linux" / "kernel.log"
    inputs = read_sources([str(BOARDS / "q35-vtd" / "DMAR.bin"), str(log)])
    assert [(one.source, len(one.groups)) for one in inputs.kernel_logs] == [(str(log), 24)]
    assert inputs.memory
    short = tmp_path / "short.log"
    short.write_text("[    1.000000] pci 0000:00:03.0: Adding to iommu group 1\n")
    inputs = read_sources([str(BOARDS / "q35-vtd" / "DMAR.bin"), str(short)])
    assert [one.groups[0].device for one in inputs.kernel_logs] == ["0000:00:03.0"]
    assert inputs.findings == []


def test_a_file_that_only_has_the_words_is_no_log(tmp_path: Path) -> None:
    """A kernel image has the formats of the lines; that makes no log of it."""
    image = tmp_path / "vmlinux"
    image.write_bytes(b"\0Adding to iommu group %d\0DRHD base: 0x%llx\0: [mem 0x\0")
    inputs = read_sources([str(BOARDS / "q35-vtd" / "DMAR.bin"), str(image)])
    assert inputs.kernel_logs == []
    assert [finding.rule for finding in inputs.findings] == ["SOURCE-EMPTY"]
