"""`prove` and `dma`: the manager's commands on captured boards, with a configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.iommu.qemu import Description

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, FIXTURES, HANDMADE

VTD, SMMU = str(BOARDS / "q35-vtd"), str(BOARDS / "virt-smmuv3-acpi")
AMD = str(BOARDS / "q35-amd")
RISCV = str(BOARDS / "riscv-virt-sys-dt")


@pytest.fixture
def configuration(tmp_path: Path) -> str:
    """Return a configuration that lets the disk write one region and use another."""
    path = tmp_path / "disk.smmu"
    path.write_text(
        "smmu vtd\nallow disk 0x80000000,1M,t\nallow disk 0x90000000,64K\ndevice pci:0:3.0 disk\n", encoding="utf-8"
    )
    return str(path)


def test_prove_shows_what_each_device_reaches(run: Callable[..., Ran], configuration: str) -> None:
    """The configured device reaches its grants, all others nothing, and memory is pictured."""
    ran = run("prove", "--board", VTD, "--config", configuration)
    assert ran.status == 0
    assert "0000:00:03.0  vtd@fed90000 ID 0x18, object 1 of the configuration: reaches 1088 KiB, as granted" in ran.out
    assert "0000:00:04.0  vtd@fed90000 ID 0x20: reaches nothing" in ran.out
    assert ran.out.endswith("  0x90000000-0x9000ffff  64 KiB  0000:00:03.0 rw-\n")
    document = json.loads(run("prove", "--board", VTD, "--config", configuration, "--format", "json").out)
    assert all(proof["holds"] for proof in document["proofs"])


def test_prove_fails_on_a_hole(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, configuration: str) -> None:
    """A device that does not reach what it was granted makes the status 1."""
    monkeypatch.setattr("iommuman.manager.ports.vtd.VtdPort.map", lambda *_: None)
    ran = run("prove", "--board", VTD, "--config", configuration)
    assert ran.status == 1
    assert "! granted but not reached  -w-  0x80000000-0x800fffff  (1 MiB)" in ran.out


def test_devices_behind_no_unit_are_said_loudly(run: Callable[..., Ran]) -> None:
    """What reaches all of memory is named first, and in JSON, and makes the status 1."""
    ran = run("prove", "--board", str(BOARDS / "virt-bypass-acpi"))
    assert ran.status == 1
    assert ran.out.splitlines()[1] == (
        "UNRESTRICTED: 0000:81:00.0 reaches all of memory: the maps lead to its:0, and to no IOMMU"
    )
    document = json.loads(run("prove", "--board", str(BOARDS / "virt-bypass-acpi"), "--format", "json").out)
    assert [one["device"] for one in document["unrestricted"]] == ["0000:80:00.0", "0000:81:00.0"]


def test_a_proof_without_a_pci_topology_says_so(run: Callable[..., Ran]) -> None:
    """Functions that no table names are not proved, and the first line and the JSON say that."""
    ran = run("prove", "--board", f"{VTD}/DMAR.bin")
    assert ran.status == 0
    assert ran.out.startswith("INCOMPLETE: no PCI topology was given; PCI functions that no other source names are not")
    assert json.loads(run("prove", "--board", f"{VTD}/DMAR.bin", "--format", "json").out)["complete"] is False
    assert "INCOMPLETE" not in run("prove", "--board", VTD).out
    assert json.loads(run("prove", "--board", VTD, "--format", "json").out)["complete"] is True


def test_an_unsafe_board_is_not_started(run: Callable[..., Ran], tmp_path: Path) -> None:
    """Status 4 and the reason; with --degraded it goes on."""
    lines = "smmu rcar3 0xe67b0000,228,18\nunit a 0x51400000,3\ndevice mem:0x5b000000 use a 3\n"
    (tmp_path / "a.smmu").write_text(lines, encoding="utf-8")
    ran = run("prove", "--board", VTD, "--config", str(tmp_path / "a.smmu"))
    assert ran.status == 4
    assert "no driver here programs units of kind ipmmu" in ran.err
    ran = run("prove", "--board", VTD, "--config", str(tmp_path / "a.smmu"), "--degraded")
    assert ran.status == 1
    assert "UNRESTRICTED: mem:5b000000 reaches all of memory: its unit ipmmu@51400000 is not programmed" in ran.out


def test_an_amd_board(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What is configured is reached, the unit itself is no device, and an access is shown step by step."""
    ran = run("prove", "--board", AMD)
    assert ran.status == 0
    assert "0000:02:01.0  amdvi@fed80000 ID 0x30: reaches nothing" in ran.out
    assert "0000:00:01.0" not in ran.out, "the unit itself"
    path = tmp_path / "disk.smmu"
    path.write_text("smmu amdvi\nallow disk 0x80000000,1M\ndevice pci:0:3.0 disk\n", encoding="utf-8")
    ran = run("prove", "--board", AMD, "--config", str(path), "--keep")
    assert ran.status == 0
    assert "0000:00:03.0  amdvi@fed80000 ID 0x18, object 1 of the configuration: reaches 1 MiB, as granted" in ran.out
    arguments = ("dma", "--board", AMD, "--config", str(path), "--keep", "--device", "0000:00:03.0")
    ran = run(*arguments, "--write", "0x80000010,4")
    assert ran.status == 0
    assert "    device table entry (DTE)  [0x" in ran.out
    assert ran.out.splitlines()[-1] == "    allowed: physical 0x80000010"
    ran = run(*arguments, "--read", "0x90000000")
    assert ran.status == 1
    assert (
        "    REFUSED: the address is not mapped (IO_PAGE_FAULT)\n    recorded: 1800000002000020 0000009000000000"
    ) in ran.out


def test_an_amd_board_on_qemu(run: Callable[..., Ran], need_qemu: Callable[[str], Description], tmp_path: Path) -> None:
    """QEMU's unit, programmed by the same driver, lets pass and refuses the same; it records nothing."""
    need_qemu("q35-amd")
    path = tmp_path / "disk.smmu"
    path.write_text("smmu amdvi\nallow disk 0x50000000,1M\ndevice pci:0:3.0 disk\n", encoding="utf-8")
    board = ("--board", AMD, "--config", str(path), "--keep", "--platform", "qemu")
    ran = run("prove", *board, "--machine", "q35-amd")
    assert ran.status == 0
    assert "0000:00:03.0  amdvi@fed80000 ID 0x18, object 1 of the configuration: reaches 1 MiB, as granted" in ran.out
    ran = run("dma", *board, "--device", "0000:00:03.0", "--write", "0x50000010,4")
    assert ran.status == 0
    assert "    page-table entry of level 1  [0x" in ran.out
    assert "    allowed: physical 0x50000010" in ran.out
    ran = run("dma", *board, "--device", "0000:00:03.0", "--read", "0x60000010,4")
    assert ran.status == 1
    assert "    REFUSED; nothing was recorded" in ran.out


def test_a_riscv_board(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What is configured is reached, an access is shown with all that is read, and a unit without registers is told."""
    path = tmp_path / "disk.smmu"
    path.write_text("smmu riscv\nallow disk 0x80000000,1M\ndevice pci:0:3.0 disk\n", encoding="utf-8")
    ran = run("prove", "--board", RISCV, "--config", str(path), "--keep")
    assert (
        "0000:00:03.0  riscv-iommu@3010000 ID 0x18, object 1 of the configuration: reaches 1 MiB, as granted" in ran.out
    )
    arguments = ("dma", "--board", RISCV, "--config", str(path), "--keep", "--device", "0000:00:03.0")
    ran = run(*arguments, "--write", "0x80000010,4")
    assert ran.status == 0
    assert "    device context (DC)  [0x" in ran.out
    assert ran.out.splitlines()[-1] == "    allowed: physical 0x80000010"
    ran = run(*arguments, "--read", "0x90000000")
    assert ran.status == 1
    assert (
        "    REFUSED: the guest's address is not mapped, or not for reading (READ_GUEST_PAGE_FAULT)\n"
        "    recorded: 1500000008180000 "
    ) in ran.out
    ran = run("prove", "--board", str(BOARDS / "riscv-virt-dt"))
    assert ran.status == 4
    assert "riscv-iommu@0000:00:02.0: it is not safe to start: no source says where its registers are" in ran.err


def test_a_board_of_smmuv2_units(run: Callable[..., Ran], tmp_path: Path) -> None:
    """What is configured is reached, an access is shown with all that is read, and others are refused and recorded."""
    path = tmp_path / "gpu.smmu"
    path.write_text("smmu armsmmu\nallow gpu 0x80000000,1M\ndevice acpi:\\_SB.GPU0 gpu\n", encoding="utf-8")
    board = ("--board", str(HANDMADE / "iort-smmuv2"), "--config", str(path), "--keep")
    ran = run("prove", *board)
    assert ran.status == 0
    assert "GPU0  smmuv2@2b700000 ID 0x20, object 1 of the configuration: reaches 1 MiB, as granted" in ran.out
    ran = run("dma", *board, "--device", "acpi:\\_SB.GPU0", "--write", "0x80000010,4")
    assert ran.status == 0
    assert "    stage 2 descriptor, step 3  [0x" in ran.out
    assert ran.out.splitlines()[-1] == "    allowed: physical 0x80000010"
    ran = run("dma", *board, "--device", "acpi:\\_SB.GPU0", "--read", "0x90000000")
    assert ran.status == 1
    assert "    REFUSED: the address is not mapped (TF)\n    recorded: 02040000 0000000000000090 " in ran.out
    ran = run("dma", *board, "--device", "acpi:\\_SB.ETH0", "--read", "0x80000010,4")
    assert ran.status == 1
    assert (
        "    REFUSED: unidentified stream: no stream match entry has this ID (USF)\n"
        "    recorded: 1000008000000000 0200000000000000 0000000010000000 0000000000000000\n"
    ) in ran.out


@pytest.mark.parametrize(
    ("arguments", "status", "last"),
    [
        (["--write", "0x80000000,64"], 0, "    allowed: physical 0x80000000"),
        (["--read", "0x90000000"], 0, "    allowed: physical 0x90000000"),
    ],
)
def test_dma_is_allowed_where_it_is_granted(
    run: Callable[..., Ran], configuration: str, arguments: list[str], status: int, last: str
) -> None:
    """An access that is granted ends with its physical address, and status 0."""
    ran = run("dma", "--board", VTD, "--config", configuration, "--device", "00:03.0", *arguments)
    assert (ran.status, ran.out.splitlines()[-1]) == (status, last)


def test_dma_is_refused_where_it_is_not(run: Callable[..., Ran], configuration: str) -> None:
    """An access that is not granted ends with the unit's reason and record, and status 1; JSON has the same."""
    command = ["dma", "--board", VTD, "--config", configuration, "--device", "00:03.0", "--read", "0x80000000"]
    ran = run(*command)
    assert ran.status == 1
    assert ran.out.splitlines()[0] == "0000:00:03.0 as ID 0x18 of vtd@fed90000: read"
    assert ran.out.splitlines()[-2] == "    REFUSED: no permission to read (LGN.3)"
    document = json.loads(run(*command, "--format", "json").out)
    assert document["allowed"] is False
    assert document["endpoints"][0]["pieces"][0]["reason"] == "no permission to read (LGN.3)"


def test_every_id_of_a_device_is_tried(run: Callable[..., Ran]) -> None:
    """A function behind a bridge is asked under its own ID and the bridge's."""
    ran = run("dma", "--board", VTD, "--device", "02:01.0", "--write", "0x1000")
    assert [line for line in ran.out.splitlines() if line.startswith("0000")] == [
        "0000:02:01.0 as ID 0x208 of vtd@fed90000: write",
        "0000:02:01.0 as ID 0x30 of vtd@fed90000: write",
    ]


@pytest.mark.parametrize("text", ["", "x", "0x1000,", "-1", "0,0", "0,2000000", "0xffffffffffffffff,2"])
def test_ranges_that_cannot_be_are_wrong_usage(run: Callable[..., Ran], text: str) -> None:
    """What is no address and length is said so, with status 2."""
    if text == "0x1000,":
        assert run("dma", "--board", SMMU, "--device", "00:03.0", f"--read={text}").status == 1
        return
    assert run("dma", "--board", SMMU, "--device", "00:03.0", f"--read={text}").status == 2


def test_a_device_without_unit_cannot_be_asked(run: Callable[..., Ran]) -> None:
    """A device that no unit controls is refused with the reason."""
    ran = run("dma", "--board", str(BOARDS / "virt-bypass-acpi"), "--device", "81:00.0", "--read", "0")
    assert ran.status == 3
    assert "no unit is known to control this device: the maps lead to its:0" in ran.err


SCENARIO = str(FIXTURES / "scenarios" / "two-vms.toml")


def test_prove_holds_what_a_scenario_leaves_behind(run: Callable[..., Ran]) -> None:
    """The steps are told on stderr, and the proof is of what VMs and guests have granted by then."""
    ran = run("prove", "--board", VTD, "--scenario", SCENARIO)
    assert ran.status == 0
    assert (
        "ID 0x18, object 8 of cluster: reaches 4 KiB, as granted\n  r--  0x50000000-0x50000fff at 0x101000000"
        in ran.out
    )
    assert "VM cluster starts: done\n" in ran.err
    assert (
        "0000:00:03.0 writes 0x40200000, 512 bytes: denied: 0x40200000 is refused\n"
        "  incident: 0000:00:03.0 (ID 0x18 of vtd@fed90000): write of 0x40200000 refused: no permission to write "
        "(LGN.2)\n"
        "  cluster (guest) is told: 0000:00:05.0 (ID 0x0 of vdev-smmu): write of 0x40200000 refused"
    ) in ran.err


def test_an_access_follows_a_scenario(run: Callable[..., Ran]) -> None:
    """The access is made in the state that the scenario leaves behind."""
    ran = run("dma", "--board", VTD, "--scenario", SCENARIO, "--device", "0000:00:03.0", "--read", "0x50000010,8")
    assert ran.status == 0
    assert "allowed: physical 0x101000010" in ran.out


def test_a_scenario_that_goes_another_way_is_a_failure(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A step that is not as the scenario expects is said, and makes the status 1; notes are told, errors stop it."""
    path = tmp_path / "s.toml"
    path.write_text(
        'vm = [{ name = "a", qvm = "q" }]\n'
        '[[event]]\ndo = "start"\nvm = "a"\nexpect = "refused"\n'
        '[[event]]\ndo = "read"\ndevice = "0000:00:03.0"\naddress = 0\nexpect = "denied"\n'
    )
    (tmp_path / "q").write_text("cpu\n")
    ran = run("prove", "--board", VTD, "--scenario", str(path))
    assert ran.status == 1
    assert "the option has no bearing on DMA" in ran.err
    assert "VM a starts: done - EXPECTED refused\n" in ran.err
    path.write_text('events = 1\n[[event]]\ndo = "poll"\n')
    ran = run("prove", "--board", VTD, "--scenario", str(path))
    assert (ran.status, ran.out) == (3, "")
    assert "did you mean event?" in ran.err
    path.write_text("manager = false\n")
    assert (
        "the scenario has no manager, and nothing to show" in run("prove", "--board", VTD, "--scenario", str(path)).err
    )


def test_problems_of_a_vm_are_noted(run: Callable[..., Ran]) -> None:
    """A unity-mapped VM that runs without protection from a device is told as such."""
    ran = run("prove", "--board", SMMU, "--scenario", str(FIXTURES / "scenarios" / "arm-guest.toml"))
    assert ran.status == 0
    assert "  note: mem:0xe6ef0000: no unit is known to control this device" in ran.err
