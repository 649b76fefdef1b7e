"""`--platform qemu`: the manager's commands on QEMU's emulated units."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.iommu.qemu import Description
from iommuman.manager import Access, Client

from tests.cli.conftest import Ran
from tests.conftest import BOARDS

VTD, SMMU = str(BOARDS / "q35-vtd"), str(BOARDS / "virt-smmuv3-acpi")
QEMU = ("--platform", "qemu")


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    """Return a configuration that lets the disk use one region and read another."""
    path = tmp_path / "disk.smmu"
    path.write_text("smmu vtd\nallow disk 0x50000000,1M\nallow disk 0x60000000,64K,s\ndevice pci:0:3.0 disk\n")
    return str(path)


def test_prove_says_the_same_as_on_models(
    run: Callable[..., Ran], need_qemu: Callable[[str], Description], configuration: str
) -> None:
    """The same board and configuration give the same proof, word for word."""
    need_qemu("q35")
    simulated = run("prove", "--board", VTD, "--config", configuration)
    emulated = run("prove", "--board", VTD, "--config", configuration, *QEMU)
    assert simulated == emulated
    assert emulated.status == 0
    assert "0x50000000-0x500fffff   1 MiB  0000:00:03.0 rw-" in emulated.out


def test_dma_shows_what_qemu_did(
    run: Callable[..., Ran], need_qemu: Callable[[str], Description], configuration: str
) -> None:
    """An access that is allowed moves bytes, one that is not leaves QEMU's own record; QEMU is named."""
    need_qemu("q35")
    arguments = ("dma", "--board", VTD, "--config", configuration, "--device", "0000:00:03.0", *QEMU)
    allowed = run(*arguments, "--write", "0x50000ffc,8")
    assert allowed.status == 0
    assert "  allowed: physical 0x50001000\n" in allowed.out
    assert allowed.out.splitlines()[-1].startswith("decided by QEMU emulator version")
    refused = run(*arguments, "--write", "0x60000000", "--format", "json")
    assert refused.status == 1
    document = json.loads(refused.out)
    assert document["hardware"].startswith("QEMU emulator version")
    (piece,) = document["endpoints"][0]["pieces"]
    assert piece["physical"] is None
    assert piece["record"].startswith("0000006000000000" + "18000000" + "05")


def test_a_board_or_device_that_does_not_fit_is_named(
    run: Callable[..., Ran], need_qemu: Callable[[str], Description]
) -> None:
    """A machine that the board is not, one without --platform qemu, and a device that QEMU does not have."""
    need_qemu("virt")
    wrong = run("prove", "--board", VTD, *QEMU, "--machine", "virt")
    assert wrong.status == 3
    assert "the board is not this machine: found vtd@fed90000 (vtd)" in wrong.err
    alone = run("prove", "--board", VTD, "--machine", "q35")
    assert "it goes with --platform qemu" in alone.err
    absent = run("dma", "--board", VTD, *QEMU, "--device", "0000:00:1f.2", "--read", "0")
    assert absent.status == 3
    assert "0000:00:1f.2: no device of the machine sends an ID of this one: found they send 0x18, 0x20," in absent.err


def test_qemu_that_is_missing_is_one_sentence(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where QEMU is not installed, the error says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    ran = run("prove", "--board", SMMU, *QEMU)
    assert ran.status == 3
    assert ran.err.splitlines()[-1] == (
        "iommuman: qemu-system-aarch64 is not installed; install it (Debian: qemu-system-arm)"
    )


def test_clients_of_a_service_on_qemu_move_bytes(
    need_qemu: Callable[[str], Description], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` serves clients whose devices do real DMA, and QEMU ends with it."""
    need_qemu("virt")
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path / "log"))
    access, socket = tmp_path / "access.toml", tmp_path / "socket"
    access.write_text(f'[[allow]]\nuid = {os.geteuid()}\nabilities = ["attach", "target", "dma"]\n')
    access.chmod(0o600)
    program = [sys.executable, "-c", "from iommuman.cli.main import main; raise SystemExit(main())"]
    command = [*program, "run", "--board", SMMU, *QEMU, "--socket", str(socket), "--access", str(access)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        for _ in range(600):
            if socket.exists() or service.poll() is not None:
                break
            time.sleep(0.1)
        with Client.connect(str(socket), "driver", ("attach", "dma")) as client:
            number = client.create_object()
            client.add_device(number, "00:03.0")
            client.map(number, [(0x50000000, 4096)], Access.READ | Access.WRITE)
            assert client.dma("00:03.0", 0x50000000, write=True).allowed
            assert not client.dma("00:03.0", 0x50001000, write=True).allowed
        service.send_signal(signal.SIGTERM)
        said = service.communicate(timeout=60)[1]
    assert "the units are those of QEMU emulator version" in said
    assert service.returncode == 0
