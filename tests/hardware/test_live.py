"""`dump live` in a Linux guest, beside that guest's own `/sys`: the judge is the kernel that runs there.

The guests are those of the captured boards. Kernels and Python come from a Debian mirror the first time, so the tests
run where IOMMUMAN_GUESTS names a folder to keep them in, and are skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from .guest import boot_live, capture_tool

WORK = os.environ.get("IOMMUMAN_GUESTS", "")
BOARDS = {"q35-vtd": "qemu-system-x86_64", "virt-smmuv3-dt": "qemu-system-aarch64"}


@pytest.fixture(scope="module", params=BOARDS)
def out(request: pytest.FixtureRequest) -> Path:
    """Boot a board, and return what came out of it."""
    program = BOARDS[request.param]
    if not WORK:
        pytest.skip(f"{request.param} is not booted: IOMMUMAN_GUESTS names no folder for kernels")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    return boot_live(request.param, Path(WORK))


def document(out: Path, name: str) -> dict[str, Any]:
    """Return the JSON that a run in the guest wrote."""
    found: dict[str, Any] = json.loads((out / "live" / f"{name}.out").read_text())
    return found


@pytest.mark.parametrize("name", ["json", "nobody-json"])
def test_the_kernel_is_shown_as_it_is(out: Path, name: str) -> None:
    """Units with their attributes, groups with devices, domain and regions: as busybox copied them out of `/sys`."""
    verdict = capture_tool().linux_verdict(out)
    (kernel,) = document(out, name)["kernels"]
    assert {one["name"]: {"devices": one["devices"], "properties": one["attributes"]} for one in kernel["units"]} == {
        unit: {**what, "devices": sorted(what["devices"])} for unit, what in verdict["iommus"].items()
    }
    assert {
        str(one["number"]): (
            one["devices"],
            one["domain"],
            [tuple(region.values()) for region in one["reserved"]],
        )
        for one in kernel["groups"]
    } == {
        number: (sorted(group["devices"]), group["type"], [tuple(region) for region in group["reserved_regions"]])
        for number, group in verdict["groups"].items()
    }


def test_firmware_and_kernel_agree(out: Path) -> None:
    """Root reads everything; there is no difference, and the groups foretold are those of the kernel."""
    found = document(out, "json")
    (kernel,) = found["kernels"]
    assert kernel["differences"] == []
    left = {one["device"] for one in kernel["as_foretold"]}
    ours = {frozenset(one["devices"]) - left for one in found["groups"]}
    assert ours == {frozenset(one["devices"]) for one in kernel["groups"]}


def test_nobody_is_told_what_may_not_be_read(out: Path) -> None:
    """Each table that is for root alone is named; nothing that could not be read is told as a difference."""
    said = (out / "live" / "nobody.err").read_text()
    tables = out / "sys" / "firmware" / "acpi" / "tables"
    for table in tables.iterdir() if tables.is_dir() else ():
        assert f"{table.name}: this cannot be opened: Permission denied" in said
    (kernel,) = document(out, "nobody-json")["kernels"]
    assert not [one for one in kernel["differences"] if one["known"]]
