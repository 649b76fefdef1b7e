"""Boards on QEMU: the manager, its ports and proofs are those of simulated boards, and come to the same results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from iommuman.iommu.qemu import Description
from iommuman.manager import Access, Endpoint, Machine, Manager, ManagerError, simulate
from iommuman.manager.accesses import access as access_once
from iommuman.manager.dma import TracedMemory, access
from iommuman.manager.emulated import emulate
from iommuman.manager.prove import prove
from iommuman.topology import Topology, load_topology

from tests.conftest import BOARDS

DISK = "0000:00:03.0"
MACHINES = {"q35-vtd": "q35", "virt-smmuv3-acpi": "virt"}
GRANT = 0x50000000
READ, WRITE = False, True


@pytest.fixture(params=MACHINES)
def topology(request: pytest.FixtureRequest, need_qemu: Callable[[str], Description]) -> Topology:
    """Return a board that QEMU can be."""
    need_qemu(MACHINES[request.param])
    return load_topology([str(BOARDS / request.param)])


@pytest.fixture
def machines(topology: Topology) -> Iterator[tuple[Machine, Machine]]:
    """Return the board, simulated and emulated."""
    with closing(emulate(topology, traced=True)) as emulated:
        yield simulate(topology, TracedMemory, caching=False), emulated


def managed(topology: Topology, machine: Machine, device: str = DISK) -> Manager:
    """Return a manager that has granted a device one page to read and one to read and write."""
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, GRANT, 0x1000, Access.READ)
    manager.map(client, number, GRANT + 0x1000, 0x1000, Access.READ | Access.WRITE)
    manager.add_device(client, number, device, together=True)
    return manager


# VT-d leaves PV undefined where PP is 0 (4.1 clause 11.4, FRCD), which QEMU fills with ones; of an SMMUv3 event, bits
# 11:0 of the IPA are reserved (IHI 0070 clause 7.3), where QEMU has the page offset.
UNDEFINED = {"vtd": ((1 << 20) - 1) << 104, "smmuv3": 0xFFF << 192}


def recorded(topology: Topology, machine: Machine) -> list[tuple[int | None, str, int | None, str, str, bytes]]:
    """Return what becomes of accesses by the disk: where they go, and what the unit recorded, as bytes."""
    manager = managed(topology, machine)
    (place,) = manager.member(DISK).endpoints
    mask = ~UNDEFINED[next(iter(topology.iommus.values())).kind]
    found: list[tuple[int | None, str, int | None, str, str, bytes]] = []
    for address, write in ((GRANT, False), (GRANT + 0x1008, True), (0x99000, False), (0x1234560, True), (GRANT, True)):
        (piece,) = access(machine, manager, place, address, 4, write=write)
        refusal = piece.incident.refusal if piece.incident is not None else None
        raw = b""
        if refusal is not None:
            raw = (int.from_bytes(refusal.raw, "little") & mask).to_bytes(len(refusal.raw), "little")
        found.append(
            (
                piece.physical,
                refusal.access if refusal else "",
                refusal.address if refusal else None,
                refusal.reason if refusal else "",
                " ".join(step.what for step in piece.steps),
                raw,
            )
        )
    return found


def test_faults_are_the_same_byte_for_byte(topology: Topology, machines: tuple[Machine, Machine]) -> None:
    """What reaches memory, what is refused, and each record are the same on models of ours and on QEMU.

    The last access, a write of a page that may be read and was, leaves no record in QEMU's VT-d: it has cached it.
    """
    simulated, emulated = (recorded(topology, machine) for machine in machines)
    assert simulated[:4] == emulated[:4]
    assert [one[0] for one in simulated] == [one[0] for one in emulated] == [GRANT, GRANT + 0x1008, None, None, None]
    assert all(one[5] for one in simulated[2:])


def test_proofs_are_the_same(topology: Topology, machines: tuple[Machine, Machine]) -> None:
    """Every device reaches on QEMU what it reaches on models: exactly what it was granted."""
    proofs = [list(prove(machine, managed(topology, machine))) for machine in machines]
    assert proofs[0] == proofs[1]
    assert all(proof.holds for proof in proofs[0])
    assert sum(len(proof.reached) for proof in proofs[0]) == 2


@pytest.mark.parametrize(
    ("device", "identifier"),
    [
        ("0000:01:00.0", 0x100), ("0000:02:01.0", 0x30), ("0000:05:00.0", 0x500), ("0000:08:01.0", 0x800),
        ("0000:41:00.0", 0x4100),
    ],
)  # fmt: skip
def test_devices_behind_bridges_send_the_ids_of_the_board(
    need_qemu: Callable[[str], Description], device: str, identifier: int
) -> None:
    """Behind root ports, switches, conventional bridges and an expander, accesses arrive under the board's IDs."""
    need_qemu("q35")
    topology = load_topology([str(BOARDS / "q35-vtd")])
    with closing(emulate(topology, "q35")) as machine:
        manager = managed(topology, machine, device)
        assert machine.dma(Endpoint("vtd@fed90000", identifier), GRANT + 0x1000, WRITE) == GRANT + 0x1000
        assert access_once(manager, machine, device, GRANT, write=False) == GRANT
        assert machine.dma(Endpoint("vtd@fed90000", identifier), 0x99000, WRITE) is None
        (incident,) = manager.poll()
        assert incident.refusal.identifier == identifier
        assert device in incident.devices
        with pytest.raises(ManagerError, match="no device of the machine sends ID 0x208"):
            machine.dma(Endpoint("vtd@fed90000", 0x208), GRANT, READ)


def test_models_hold_what_the_hardware_holds(machines: tuple[Machine, Machine]) -> None:
    """The models of an emulated board are read from it at the moment; there are none of other units."""
    emulated = machines[1]
    assert list(emulated.models) == list(emulated.ports)
    assert len(emulated.models) == 1
    with pytest.raises(KeyError):
        emulated.models["another"]
    assert emulated.hardware.startswith("QEMU emulator version")


def test_memory_that_is_not_there_is_granted_all_the_same(
    topology: Topology, machines: tuple[Machine, Machine]
) -> None:
    """Where tables lead to an address without memory, no bytes can tell, and the tables' word is taken."""
    emulated = machines[1]
    manager = Manager(topology, emulated.ports, emulated.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0xF0000000, 0x1000, Access.READ)
    manager.add_device(client, number, DISK, together=True)
    (place,) = manager.member(DISK).endpoints
    assert emulated.dma(place, 0xF0000008, READ) == 0xF0000008


def test_a_board_that_is_no_machine_is_refused(need_qemu: Callable[[str], Description]) -> None:
    """A board with another unit or with several is not started, and the error says what it could be."""
    need_qemu("q35")
    boards = (("q35-amd", "q35"), ("riscv-virt-sys-dt", ""), ("q35-vtd", "virt"), ("virt-smmuv3-acpi", "q35"))
    for name, machine in boards:
        topology = load_topology([str(BOARDS / name)])
        with pytest.raises(ManagerError, match="the board is not this machine") as caught:
            emulate(topology, machine)
        assert caught.value.finding.rule == "PLATFORM-MACHINE"


def test_a_board_without_functions_has_no_devices(need_qemu: Callable[[str], Description]) -> None:
    """Where no source lists PCI functions, the unit is programmed all the same, and no access can be made."""
    need_qemu("q35")
    topology = load_topology([str(BOARDS / "q35-vtd" / "DMAR.bin")])
    with closing(emulate(topology)) as machine:
        assert machine.sent == frozenset()
        assert machine.ports


def test_qemu_ends_when_a_unit_cannot_be_taken_over(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong after the start takes QEMU along: no process is left, and no warning of one."""
    monkeypatch.setattr("iommuman.manager.emulated.open_port", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        emulate(topology)
