"""Grants that outlive a service: held for who comes back, denied until then, and never believed when damaged."""

from __future__ import annotations

import os
import random
from pathlib import Path

from iommuman.manager import Access, Manager, simulate
from iommuman.manager.access_list import AccessList, Allow, Peer
from iommuman.manager.holdings import Holdings
from iommuman.manager.service import ServiceLimits
from iommuman.manager.state import ClientRecord, ObjectRecord, StateFile

from tests.manager.serving import BASE, NVME, RW, SCSI, SHARED, SHARING, Serving, grant, refused, topology, until

SELF = Peer(1, os.geteuid(), frozenset({0}))


def test_a_restarted_service_gives_the_same_grants_to_the_same_client(tmp_path: Path) -> None:
    """After a restart everything is denied; the devices are kept from others; the client takes its grants up again."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver", "target")
        first = grant(client, SCSI)
        second = grant(client, SHARED, BASE + 0x2000)
        client.map(second, [(BASE + 0x4000, 0x1000)], Access.READ, target=0x40000000)
        client.destroy_object(grant(client, NVME))
        had = {name: before.reach(name) for name in (SCSI, SHARED, SHARING, NVME)}
    client.close()
    with Serving(tmp_path, state=state) as after:
        assert after.open_devices() == set()
        with after.connect("other") as other:
            number = other.create_object()
            assert refused(other.add_device, number, SCSI).reason == "EBUSY"
            other.add_device(number, NVME)
        again = after.connect("driver", "target", resume=True)
        assert [(set(one.devices), one.mappings) for one in again.objects] == [({SCSI}, 1), ({SHARED, SHARING}, 2)]
        assert {name: after.reach(name) for name in had} == had
        again.map(again.objects[0].object, [(BASE, 0x1000)], Access.NONE)
        assert after.reach(SCSI) == {}
        again.close()
        until(lambda: after.clients() == 0)
        assert after.open_devices() == set()
    assert first != second
    with Serving(tmp_path, state=state) as last, last.connect("driver", resume=True) as nothing:
        assert nothing.objects == ()


def test_without_a_state_file_nothing_is_remembered() -> None:
    """A service without a file writes none."""
    machine = simulate(topology("q35-vtd"))
    manager = Manager(topology("q35-vtd"), machine.ports, machine.private)
    holdings = Holdings(manager, None, 30, lambda _level, _text: None)
    assert not holdings.remembers
    holdings.write()
    assert holdings.claim("driver", 0) is None


def test_a_client_that_does_not_ask_gets_nothing_back(tmp_path: Path) -> None:
    """Without resume, or as another name or user, nothing is granted; the own name without resume frees the devices."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver")
        grant(client, SCSI)
    client.close()
    peers = iter([SELF, Peer(1, os.geteuid() + 1000, frozenset({0})), SELF])
    access = AccessList((Allow(None, 0, frozenset({"attach"})),))
    with Serving(tmp_path, state=state, peer=lambda _: next(peers), access=access) as after:
        with after.connect("other", resume=True) as other:
            assert other.objects == ()
        with after.connect("driver", resume=True) as other_user:
            assert other_user.objects == ()
            assert refused(other_user.add_device, other_user.create_object(), SCSI).reason == "EBUSY"
        with after.connect("driver") as afresh:
            assert afresh.objects == ()
            assert after.open_devices() == set()
            grant(afresh, SCSI)


def test_grants_are_forgotten_when_time_is_up(tmp_path: Path) -> None:
    """After the grace time the devices are anybody's, and the file knows nothing any more."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver")
        grant(client, SCSI)
    client.close()
    limits = ServiceLimits(poll=0.01, grace=0.1)
    with Serving(tmp_path, state=state, limits=limits) as after:
        until(lambda: after.clients() == 0)
        with after.connect("driver", resume=True) as late, after.connect("other") as other:
            assert late.objects == ()
            grant(other, SCSI)
    assert b'"driver"' not in state.read_bytes()


def test_a_state_file_with_any_bit_changed_is_not_believed(tmp_path: Path) -> None:
    """Damage is said, and everything is denied and free; so is a file cut short, or of another board."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver")
        grant(client, SCSI)
    client.close()
    good = state.read_bytes()
    source = random.Random(1)
    for _ in range(25):
        bad = bytearray(good)
        bad[source.randrange(len(bad) - 1)] ^= 1 << source.randrange(8)
        state.write_bytes(bad[: source.choice([None, len(bad) // 2])])
        with Serving(tmp_path, state=state) as after, after.connect("driver", resume=True) as client:
            assert client.objects == ()
            assert after.open_devices() == set()
            assert any(level == "error" and "not believed" in text for level, text in after.lines)
    state.write_bytes(good)
    with Serving(tmp_path, "virt-smmuv3-acpi", state=state) as other:
        assert any("another board" in text for _, text in other.lines)


def test_grants_that_cannot_be_granted_again_are_gone(tmp_path: Path) -> None:
    """A client that comes back without the ability that its grants need gets none of them, and the reason."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver", "target")
        client.map(grant(client, SCSI), [(BASE, 0x1000)], RW, target=0)
    client.close()
    with Serving(tmp_path, state=state) as after:
        assert refused(after.connect, "driver", resume=True).reason == "EACCES"
        until(lambda: after.clients() == 0)
        assert after.open_devices() == set()
        with after.connect("driver", resume=True) as again:
            assert again.objects == ()


def test_a_state_file_that_cannot_be_written_is_said_and_gone(tmp_path: Path) -> None:
    """The service goes on without memory; what the file held is not held any more."""
    folder = tmp_path / "folder"
    folder.mkdir()
    state = folder / "state"
    with Serving(tmp_path, state=state) as serving, serving.connect("driver") as client:
        number = grant(client, SCSI)
        (folder / "state.new").mkdir()
        client.map(number, [(BASE, 0x1000)], Access.NONE)
        assert not state.exists()
        assert any("cannot be written" in text for _, text in serving.lines)
        (folder / "state.new").rmdir()
        client.map(number, [(BASE, 0x1000)], RW)
        assert state.exists()


def test_a_device_that_the_configuration_holds_back_is_not_held_twice(tmp_path: Path) -> None:
    """Two clients of one file that claim one device: the first is held, of the second it is said that it is not."""
    with Serving(tmp_path) as before:
        file = StateFile(str(tmp_path / "state"), before.manager)
        record = ObjectRecord(manual_reserved=False, devices=(SCSI,), mappings=())
        file.write([ClientRecord(name, os.geteuid(), (record,)).packed() for name in ("a", "b")])
    with Serving(tmp_path, state=tmp_path / "state") as after:
        assert any("are not held" in text for _, text in after.lines)
        with after.connect("b", resume=True) as second, after.connect("a", resume=True) as first:
            assert (second.objects, len(first.objects)) == ((), 1)
