"""Finding QEMU, and saying what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.qemu import MACHINES, Function, find_qemu, installed


def fake(folder: Path, text: str, status: int = 0) -> None:
    """Put a program of the name of QEMU into a folder; it writes this text and ends."""
    program = folder / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
    program.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that programs are found in before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    return tmp_path


def test_a_qemu_says_its_version(folder: Path) -> None:
    """Path, version and first line are those of the program that is first on PATH."""
    fake(folder, "QEMU emulator version 8.2.7 (Distribution 1:8.2)\nCopyright (c) 2003-2023")
    found = find_qemu("qemu-system-x86_64", "qemu-system-x86", (8, 2))
    assert (found.path, found.version) == (str(folder / "qemu-system-x86_64"), (8, 2))
    assert found.text == "QEMU emulator version 8.2.7 (Distribution 1:8.2)"


def test_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A QEMU that is missing is named, with the package that has it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IommuError) as caught:
        find_qemu("qemu-system-x86_64", "qemu-system-x86")
    assert str(caught.value) == "qemu-system-x86_64 is not installed; install it (Debian: qemu-system-x86)"


def test_one_sentence_says_that_it_is_too_old(folder: Path) -> None:
    """A QEMU that is too old is named, with its version and the one that is needed."""
    fake(folder, "QEMU emulator version 7.2.22")
    with pytest.raises(IommuError) as caught:
        find_qemu("qemu-system-x86_64", "qemu-system-x86", (8, 1))
    assert str(caught.value) == (
        f"{folder}/qemu-system-x86_64 is too old for this machine: found 7.2, expected 8.1 or later; "
        "install a newer one (Debian: qemu-system-x86 of backports)"
    )


@pytest.mark.parametrize(("text", "status"), [("no QEMU at all", 0), ("", 1)])
def test_a_program_that_is_no_qemu_is_refused(folder: Path, text: str, status: int) -> None:
    """What does not say its version, or fails, is not used."""
    fake(folder, text, status)
    with pytest.raises(IommuError) as caught:
        find_qemu("qemu-system-x86_64", "qemu-system-x86")
    assert caught.value.finding.rule == "QEMU-BROKEN"


def test_a_program_that_cannot_be_run_is_refused(folder: Path) -> None:
    """A file that is executable and no program is one more that is refused."""
    (folder / "qemu-system-x86_64").write_bytes(b"\x7fELF nothing")
    (folder / "qemu-system-x86_64").chmod(0o755)
    with pytest.raises(IommuError) as caught:
        find_qemu("qemu-system-x86_64", "qemu-system-x86")
    assert caught.value.finding.rule == "QEMU-BROKEN"


def test_a_device_that_it_was_built_without_is_named(folder: Path) -> None:
    """What a machine needs and QEMU does not list is refused by name; devices behind bridges count."""
    fake(folder, 'QEMU emulator version 10.0.2\nname "intel-iommu", bus System\nname "pcie-root-port", bus PCI')
    installed(MACHINES["q35"])
    with pytest.raises(IommuError) as caught:
        installed(MACHINES["q35"], (Function("pcie-root-port", 5, below=(Function("intel-hda", 0),)),))
    assert caught.value.finding.rule == "QEMU-LACKS"
    assert "has no intel-hda: found QEMU emulator version 10.0.2" in str(caught.value)
