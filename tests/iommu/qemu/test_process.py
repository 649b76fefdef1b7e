"""A QEMU ends with us, whatever happens, and leaves nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.qemu import MACHINES, Description, Function, Qemu, start
from iommuman.iommu.qemu.process import Process

PROGRAM = """
import sys, time
from iommuman.iommu.qemu import start
machine = start(sys.argv[1])
print(machine.pid, flush=True)
time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Wait for the end of a process, ten seconds at most."""
    for _ in range(1000):
        if not runs(pid):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_qemu_ends_when_we_are_killed(need_qemu: Callable[[str], Description], number: signal.Signals) -> None:
    """A program that started a QEMU and is killed, with no chance to clean up, takes it along."""
    need_qemu("q35")
    with subprocess.Popen([sys.executable, "-c", PROGRAM, "q35"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert runs(pid)
        parent.send_signal(number)
        assert ends(pid)


def test_qemu_ends_when_it_is_closed(need_qemu: Callable[[str], Description]) -> None:
    """Closing a machine ends its QEMU, and waits for it; so does leaving a `with` in any way."""
    need_qemu("q35")
    machine = start("q35")
    assert runs(machine.pid)
    machine.close()
    assert not runs(machine.pid)

    def fail(machine: Qemu) -> None:
        raise KeyError(machine.pid)

    with pytest.raises(KeyError) as caught, start("q35") as machine:
        fail(machine)
    assert not runs(caught.value.args[0])


def test_nothing_listens_and_nothing_is_left(need_qemu: Callable[[str], Description]) -> None:
    """A QEMU has no socket but the connected one it was given, and no file of it has a name."""
    need_qemu("q35")
    with start("q35") as machine:
        folder = Path(f"/proc/{machine.pid}/fd")
        targets = [str(one.readlink()) for one in folder.iterdir()]
        sockets = {target[8:-1] for target in targets if target.startswith("socket:")}
        assert len(sockets) == 1
        for table in ("tcp", "tcp6", "udp", "udp6"):
            lines = Path(f"/proc/{machine.pid}/net/{table}")
            inodes = {line.split()[9] for line in lines.read_text().splitlines()[1:]} if lines.exists() else set()
            assert not sockets & inodes
        known = ("socket:", "anon_inode:", "/dev/", "/memfd:guest-ram (deleted)", "/memfd:stderr (deleted)")
        assert [target for target in targets if not target.startswith(known)] == []


def test_a_qemu_that_does_not_start_says_why(need_qemu: Callable[[str], Description]) -> None:
    """What QEMU has to say is in the error when it refuses its arguments."""
    description = need_qemu("q35")
    wrong = Description(
        **{name: getattr(description, name) for name in Description.__slots__}
        | {"arguments": ("-M", "no-such-machine")}
    )
    with pytest.raises(IommuError) as caught:
        Qemu(wrong)
    assert caught.value.finding.rule == "QEMU-START"
    assert "no-such-machine" in str(caught.value)


def test_functions_that_cannot_be_set_up_end_qemu(need_qemu: Callable[[str], Description]) -> None:
    """Where QEMU starts and its functions cannot all be set up, the reason is ours, and QEMU ends."""
    need_qemu("q35")
    below = (Function("pcie-root-port", 5, below=(Function("nvme", 0, options=("serial=1",)),)),)
    with pytest.raises(IommuError) as caught:
        start("q35", (*below, Function("pxb-pcie", 6, bus=1)))
    assert caught.value.finding.rule == "QEMU-PCI"


def test_a_program_that_cannot_be_started_is_refused(tmp_path: Path) -> None:
    """A path that is no program, and memory that nobody has, raise the error of this layer."""
    with pytest.raises(IommuError) as caught:
        Process(str(tmp_path / "none"), [], 1 << 20)
    assert caught.value.finding.rule == "QEMU-START"
    for ram in (0, 1 << 62):
        with pytest.raises(IommuError) as caught:
            Process(str(tmp_path / "none"), [], ram)
        assert "bytes of address space for guest memory" in str(caught.value)


def test_a_view_of_memory_outlives_the_process(need_qemu: Callable[[str], Description]) -> None:
    """Closing does not fail while somebody still looks at guest memory."""
    description = need_qemu("q35")
    process = Process("qemu-system-x86_64", list(description.arguments), 1 << 24)
    view = memoryview(process.memory)
    process.close()
    assert len(view) == 1 << 24


def test_machines_are_named() -> None:
    """A machine that there is not is refused, and those that there are named."""
    with pytest.raises(IommuError, match=r"there is no machine 'pc'.*q35, q35-scalable"):
        start("pc")
    assert {description.kind for description in MACHINES.values()} == {"vtd", "amdvi", "smmuv3", "riscv"}
