"""Linux as the judge, on machines made up: a short run of `fixtures/capture judge`, and the machines themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import FIXTURES

MACHINES = os.environ.get("IOMMUMAN_JUDGE_MACHINES", "")
"""How many machines of each kind of processor are booted: each takes about a minute of one core."""

MISSING, SECONDS = 77, 700


def run(*arguments: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
    """Run the tool; its guests end with it."""
    command = [sys.executable, str(FIXTURES / "capture"), "judge", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate(timeout=seconds)
        finally:
            process.terminate()
    return subprocess.CompletedProcess(command, process.returncode, said)


@pytest.mark.parametrize("processor", ["x86", "arm"])
def test_linux_agrees_on_machines_made_up(processor: str, tmp_path: Path) -> None:
    """Every function's IOMMU, the groups, their reserved regions and the IDs of faults are what Linux says."""
    if not MACHINES:
        pytest.skip("IOMMUMAN_JUDGE_MACHINES does not say how many machines Linux is to be booted on")
    work = os.environ.get("IOMMUMAN_JUDGE_WORK", str(tmp_path))
    asked = ("--seed", "12", "--machines", MACHINES, "--only", processor, "--work", work)
    ran = run(*asked, seconds=SECONDS * int(MACHINES))
    if ran.returncode == MISSING:
        pytest.skip(f"no kernel or no QEMU: {ran.stdout.strip().splitlines()[-1]}")
    assert ran.returncode == 0, ran.stdout


def test_an_unknown_kind_of_machine_is_said() -> None:
    """The kinds there are can be asked for by what their names begin with, and no others."""
    ran = run("--only", "sparc", seconds=60)
    assert ran.returncode == 2
    assert "no kind of machine begins with 'sparc'" in ran.stdout
