"""What a kernel shows of its IOMMUs: captured trees beside what the capture said, and damage of every kind."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest
from iommuman.parsers import kernel_iommu
from iommuman.parsers.kernel_iommu import KernelRegion, read_kernel_view
from iommuman.parsers.sources import read_sources

from tests.conftest import BOARDS, FIXTURES


@pytest.mark.parametrize("name", ["q35-vtd", "virt-smmuv3-acpi"])
def test_a_captured_tree_is_what_linux_said(name: str, tmp_path: Path) -> None:
    """Units, attributes, groups, domains and regions, as the tool that captured the board wrote them down."""
    with tarfile.open(FIXTURES / "sys" / f"{name}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="tar")
    view = read_kernel_view(str(tmp_path / "sys"))
    verdict = json.loads((BOARDS / name / "linux" / "verdict.json").read_text())
    assert view.findings == ()
    assert {one.name: {"devices": list(one.devices), "properties": dict(one.attributes)} for one in view.units} == (
        verdict["iommus"]
    )
    assert {
        str(one.number): {
            "devices": list(one.devices),
            "type": one.domain,
            "reserved_regions": [[hex(region.start), hex(region.last), region.kind] for region in one.regions],
        }
        for one in view.groups
    } == verdict["groups"]
    assert [one.number for one in view.groups] == sorted(one.number for one in view.groups)


def group(root: Path, number: str, regions: str = "", domain: str | None = "DMA\n") -> Path:
    """Write one group."""
    folder = root / "kernel/iommu_groups" / number
    (folder / "devices").mkdir(parents=True)
    (folder / "reserved_regions").write_text(regions)
    if domain is not None:
        (folder / "type").write_text(domain)
    return folder


def test_a_tree_without_groups_shows_nothing(tmp_path: Path) -> None:
    """It gives no view; where only the folder of units is there, the kernel runs no IOMMU."""
    (tmp_path / "bus/pci/devices").mkdir(parents=True)
    assert read_sources([str(tmp_path)]).kernel_views == []
    (tmp_path / "class/iommu").mkdir(parents=True)
    (view,) = read_sources([str(tmp_path)]).kernel_views
    assert (view.source, view.groups, view.units) == (str(tmp_path), (), ())


def test_names_that_are_no_numbers_are_no_groups(tmp_path: Path) -> None:
    """Digits of other scripts and endless ones are not either."""
    for name in ("1", "x", "٣", "9" * 30):
        group(tmp_path, name)
    assert [one.number for one in read_kernel_view(str(tmp_path)).groups] == [1]


def test_lines_that_are_no_regions_are_named(tmp_path: Path) -> None:
    """The others are read; an old kernel shows no type."""
    group(tmp_path, "0", "0x1000 0x1fff direct\n0x2000 0x1fff msi\nwords\n0x0 0x10000000000000000 msi\n", None)
    view = read_kernel_view(str(tmp_path))
    assert view.groups[0].regions == (KernelRegion(0x1000, 0x1FFF, "direct"),)
    assert view.groups[0].domain == ""
    assert [one.message for one in view.findings] == [
        "'0x2000 0x1fff msi' is no reserved region",
        "'words' is no reserved region",
        "'0x0 0x10000000000000000 msi' is no reserved region",
    ]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A pipe in place of a file, a file in place of a folder, too many names."""
    folder = group(tmp_path, "0", domain=None)
    os.mkfifo(folder / "type")
    (folder / "devices").rmdir()
    (folder / "devices").write_text("")
    assert [one.rule for one in read_kernel_view(str(tmp_path)).findings] == ["KERNEL-SYSFS"] * 2


def test_names_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than there can be, the first are read."""
    monkeypatch.setattr(kernel_iommu, "MOST_NAMES", 1)
    group(tmp_path, "0")
    group(tmp_path, "1")
    view = read_kernel_view(str(tmp_path))
    assert [one.number for one in view.groups] == [0]
    assert [one.message for one in view.findings] == ["of 2 entries only 1 are read"]


def test_zeros_behind_a_text_are_none_of_it(tmp_path: Path) -> None:
    """Tar fills files of `/sys` up to a page."""
    folder = group(tmp_path, "0", "0x1000 0x1fff direct\n".ljust(4096, "\0"), "DMA-FQ\n".ljust(4096, "\0"))
    view = read_kernel_view(str(tmp_path))
    assert (view.groups[0].domain, view.groups[0].regions) == ("DMA-FQ", (KernelRegion(0x1000, 0x1FFF, "direct"),))
    assert (view.findings, folder.name) == ((), "0")


def test_links_from_many_names_to_many_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of many units can be a link to one folder of many: all entries together are bounded, and it is told."""
    monkeypatch.setattr(kernel_iommu, "MOST_ENTRIES", 30)
    many = tmp_path / "many/driver"
    many.mkdir(parents=True)
    for number in range(10):
        (many / str(number)).write_text("x")
    (tmp_path / "class/iommu").mkdir(parents=True)
    for number in range(8):
        (tmp_path / f"class/iommu/u{number}").symlink_to("../../many")
    view = read_kernel_view(str(tmp_path))
    assert sum(len(one.attributes) for one in view.units) == 20
    assert [one.message for one in view.findings] == [
        "these are 30 entries of all folders together, and no more are read"
    ]
