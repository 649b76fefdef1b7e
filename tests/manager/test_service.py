"""The service: real sockets and real processes; whoever dies, lies or is slow harms nobody and leaves nothing open."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.errors import failure
from iommuman.manager import Client, ManagerError, Verdict
from iommuman.manager import calls as c
from iommuman.manager import protocol as p
from iommuman.manager.access_list import AccessList, Allow, Peer
from iommuman.manager.service import ServiceLimits
from iommuman.manager.session import Limits

from tests.manager.serving import (
    BASE,
    NVME,
    PAGES,
    RW,
    SCSI,
    SHARED,
    SHARING,
    Serving,
    answer,
    dial,
    gone,
    grant,
    refused,
    until,
)
from tests.manager.watch import reached

QUICK = ServiceLimits(seconds=0.5, poll=0.01)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Return a running service."""
    with Serving(tmp_path) as found:
        yield found


# --- Death

DYING = """
import sys, time
from iommuman.manager import Client, Access
from iommuman.manager.calls import MapEntries, Entry
from iommuman.manager.protocol import request
path, steps = sys.argv[1], int(sys.argv[2])
client = Client.connect(path, "dying", ("attach", "target"))
number = 0
def create():
    global number
    number = client.create_object()
actions = [
    create,
    lambda: client.map(number, [(0x80000000, 0x2000)], Access.READ | Access.WRITE),
    lambda: client.add_device(number, "0000:00:03.0"),
    lambda: client.add_device(number, "02:01.0", together=True),
    lambda: client.map(number, [(0x80004000, 0x1000)], Access.READ, target=0x40000000),
    lambda: client.notify(lambda: None),
    lambda: client.remove_device("0000:00:03.0"),
    lambda: client._calls._socket.sendall(request(9, MapEntries(number, 3, (Entry(0x80006000, 4096),)))[:-9]),
    lambda: client._calls._socket.sendall(request(9, MapEntries(number, 3, (Entry(0x80006000, 4096),))) * 500),
]
for action in actions[:steps]:
    action()
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("steps", range(10))
def test_a_killed_client_leaves_nothing_open(serving: Serving, steps: int) -> None:
    """After kill -9 at any point every device of the client is denied, by the models, and free for others."""
    other = serving.connect("other")
    grant(other, NVME)
    process = subprocess.Popen([sys.executable, "-c", DYING, serving.path, str(steps)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    if 3 <= steps < 7:
        assert serving.open_devices() >= {SCSI, NVME}
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: serving.clients() == 1)
    assert serving.open_devices() == {NVME}
    number = other.create_object()
    other.add_device(number, SCSI)
    other.add_device(number, SHARED, together=True)
    other.close()


def test_a_client_that_closes_properly_is_gone_as_well(serving: Serving) -> None:
    """close() and a plain end of the connection deny what the client had."""
    client = serving.connect("polite")
    grant(client, SCSI)
    client.close()
    until(lambda: serving.clients() == 0)
    assert serving.open_devices() == set()


# --- Bad manners


@pytest.mark.parametrize(
    "message",
    [
        b"\xff\xff\xff\xff",
        b"\x00\x01\x00\x01" + b"x" * 65537,
        b"\x00\x00\x00\x00",
        b"\x00\x00\x00\x02[]",
        b"\x00\x00\x00\x04\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_what_is_no_message_ends_the_connection_with_the_reason(serving: Serving, message: bytes) -> None:
    """An oversized, empty or unreadable message is answered EPROTO with serial 0, and its sender loses its grants."""
    bad = dial(serving, "bad")
    bad.sendall(p.request(1, c.CreateObject()))
    number = answer(bad)["result"]["object"]  # type: ignore[index]
    bad.sendall(p.request(2, c.AddDevice(number, c.NamedId(SCSI))))
    answer(bad)
    with contextlib.suppress(BrokenPipeError):
        bad.sendall(message)
    found = answer(bad)
    assert found["serial"] == 0
    assert found["error"]["reason"] == "EPROTO"  # type: ignore[index]
    assert gone(bad)
    until(lambda: serving.clients() == 0)
    assert serving.ask(lambda: serving.manager.object_of(SCSI)) is None
    bad.close()


def test_a_field_out_of_bounds_is_answered_and_the_connection_goes_on(serving: Serving) -> None:
    """A readable call with a wrong field gets its typed error; the next call is carried out."""
    one = dial(serving, "sloppy")
    one.sendall(p.frame({"call": "create", "serial": 8, "manual_reserved": 3}, 1 << 16))
    assert answer(one)["serial"] == 8
    one.sendall(p.request(9, c.CreateObject()))
    assert "result" in answer(one)
    one.close()


@pytest.mark.parametrize("part", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x00\x20", b'\x00\x00\x00\x20{"call":'])
def test_half_a_message_ends_the_connection_in_time(serving: Serving, part: bytes) -> None:
    """A message that has begun has to end: a slow client is dropped, and others are served all the while."""
    slow, other = dial(serving, "slow"), serving.connect("other")
    began = time.monotonic()
    slow.sendall(part)
    while time.monotonic() < began + 0.3:
        other.destroy_object(other.create_object())
    assert gone(slow)
    assert 0.3 < time.monotonic() - began < 5
    slow.close()
    other.close()


def test_a_client_between_messages_may_take_its_time(serving: Serving) -> None:
    """Only messages have a limit of time: a client that holds grants in silence keeps them."""
    client = serving.connect("silent")
    grant(client, SCSI)
    time.sleep(0.8)
    assert set(serving.reach(SCSI)) == {BASE}
    client.close()


def test_who_does_not_attach_in_time_is_dropped(serving: Serving) -> None:
    """A connection that says nothing does not keep its place."""
    silent = dial(serving)
    began = time.monotonic()
    assert gone(silent)
    assert time.monotonic() - began < 5
    silent.close()


def test_who_does_not_read_is_dropped_and_costs_nothing(serving: Serving) -> None:
    """A client that asks and never takes an answer is dropped with its grants; others are served, nothing piles up."""
    deaf, other = dial(serving, "deaf"), serving.connect("other", "dma")
    deaf.sendall(p.request(1, c.CreateObject()))
    answer(deaf)
    deaf.settimeout(0)
    flood = p.request(2, c.ReportReserved(c.NamedId("x" * 200))) * 50
    began = time.monotonic()
    while serving.clients() == 2:
        assert time.monotonic() - began < 10
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            deaf.send(flood)
        other.destroy_object(other.create_object())
    assert serving.clients() == 1
    assert any("took too long" in text for _, text in serving.lines)
    deaf.close()
    other.close()


def test_a_deaf_watcher_costs_one_notice(serving: Serving) -> None:
    """A watcher that never reads is sent one notice for each time it asked, however many accesses are refused."""
    deaf, other = dial(serving, "deaf"), serving.connect("other", "dma")
    deaf.sendall(p.request(1, c.Watch()))
    assert answer(deaf) == {"serial": 1, "result": {}}
    for at in range(100):
        other.dma(NVME, 0x1000 * at)
    assert answer(deaf) == {"notice": "incident"}
    deaf.settimeout(0.1)
    with pytest.raises(TimeoutError):
        deaf.recv(1)
    deaf.close()
    other.close()


def test_the_first_call_is_attach_and_the_only_one(serving: Serving) -> None:
    """Another first call, another version, an ability that is none: refused, and the connection ends."""
    for call, reason in (
        (c.CreateObject(), "EPROTO"),
        (c.Attach(2, "x", ("attach",)), "EPROTO"),
        (c.Attach(1, "", ("attach",)), "EINVAL"),
        (c.Attach(1, "x", ("attach", "fly")), "EACCES"),
    ):
        one = dial(serving)
        one.sendall(p.request(1, call))
        assert answer(one)["error"]["reason"] == reason  # type: ignore[index]
        assert gone(one)
        one.close()
    twice = dial(serving, "twice")
    twice.sendall(p.request(1, c.Attach(1, "again", ("attach",))))
    assert answer(twice)["error"]["reason"] == "EINVAL"  # type: ignore[index]
    twice.close()
    assert serving.failure is None


# --- Who may do what


def test_the_access_list_decides_by_peer(tmp_path: Path) -> None:
    """Abilities come from the list, by user or group; who is not listed is not let in."""
    peers = iter(
        [
            Peer(1, 1000, frozenset({100})),
            Peer(2, 1000, frozenset({100})),
            Peer(3, 2000, frozenset({200, 300})),
            Peer(4, 2000, frozenset({200})),
        ]
    )
    access = AccessList(
        (Allow(1000, None, frozenset({"attach"})), Allow(None, 300, frozenset({"attach", "target"})))
    )  # fmt: skip
    with Serving(tmp_path, access=access, peer=lambda _: next(peers)) as serving:
        with serving.connect("user") as user:
            user.create_object()
        assert refused(serving.connect, "user", "target").reason == "EACCES"
        with serving.connect("group", "target") as group:
            group.map(group.create_object(), [(BASE, 4096)], RW, target=0)
        error = refused(serving.connect, "nobody")
        assert (error.reason, error.finding.found) == ("EACCES", "attach")


def test_without_a_list_root_and_the_own_user_attach_and_no_more(tmp_path: Path) -> None:
    """The default gives attach to root and the service's user, target and dma to nobody."""
    peers = iter([Peer(1, 0, frozenset()), Peer(1, os.geteuid(), frozenset()), Peer(1, 0, frozenset()),
                  Peer(1, 54321, frozenset({0}))])  # fmt: skip
    with Serving(tmp_path, access=None, peer=lambda _: next(peers)) as serving:
        serving.connect("root").close()
        serving.connect("own").close()
        assert refused(serving.connect, "root", "target").reason == "EACCES"
        assert refused(serving.connect, "other").reason == "EACCES"


def test_the_kernel_says_who_connects(serving: Serving) -> None:
    """Peer credentials are those of this process."""
    serving.connect("me").close()
    assert any(f"process {os.getpid()}, user {os.geteuid()}" in text for _, text in serving.lines)


def test_a_name_belongs_to_one_client_of_a_user(serving: Serving) -> None:
    """A second client of the same user and name is EBUSY, until the first is gone."""
    first = serving.connect("driver")
    assert refused(serving.connect, "driver").reason == "EBUSY"
    first.close()
    until(lambda: serving.clients() == 0)
    serving.connect("driver").close()


def test_connections_and_clients_of_a_user_have_limits(tmp_path: Path) -> None:
    """One user's clients leave room for others'; connections beyond the limit are closed at once."""
    peers = iter([Peer(1, 1000, frozenset({0})), Peer(1, 1000, frozenset({0})), Peer(1, 1001, frozenset({0}))])
    access = AccessList((Allow(None, 0, frozenset({"attach"})),))
    limits = ServiceLimits(connections=2, clients_per_user=1, client=Limits(objects=1))
    with Serving(tmp_path, access=access, peer=lambda _: next(peers), limits=limits) as serving:
        first = serving.connect("first")
        assert refused(serving.connect, "second").reason == "EDQUOT"
        third = serving.connect("third")
        assert refused(serving.connect, "fourth").reason == "ENOTCONN"
        first.create_object()
        assert refused(first.create_object).reason == "EDQUOT"
        first.close()
        third.close()


def test_connections_of_one_user_leave_room_for_others(tmp_path: Path) -> None:
    """A user that opens connections and says nothing does not keep others out."""
    peers = iter([*[Peer(1, 1000, frozenset({0}))] * 20, Peer(1, 1001, frozenset({0}))])
    access = AccessList((Allow(None, 0, frozenset({"attach"})),))
    limits = ServiceLimits(connections=12, clients_per_user=2)
    with Serving(tmp_path, access=access, peer=lambda _: next(peers), limits=limits) as serving:
        greedy = [dial(serving) for _ in range(20)]
        for one in greedy[10:]:
            assert gone(one)
        serving.connect("other").close()
        for one in greedy:
            one.close()


def test_who_has_gone_before_it_is_looked_at_is_nobody(tmp_path: Path) -> None:
    """A connection whose credentials cannot be had is closed."""

    def vanished(_: socket.socket) -> Peer:
        raise OSError(107, "Transport endpoint is not connected")

    with Serving(tmp_path, peer=vanished) as serving:
        assert refused(serving.connect, "x").reason == "ENOTCONN"
    assert serving.failure is None


# --- Rivals


def test_two_clients_fight_for_a_device(serving: Serving) -> None:
    """Of two that take a device in turns as fast as they can, never both have it, and who has it has its own memory."""
    wins = [0, 0]
    pages = [BASE, BASE + 0x4000]

    def fight(which: int) -> None:
        with serving.connect(f"rival {which}", "dma") as client:
            number = client.create_object()
            client.map(number, [(pages[which], 0x1000)], RW)
            for _ in range(150):
                try:
                    client.add_device(number, SCSI)
                except ManagerError as error:
                    assert error.reason == "EBUSY"  # noqa: PT017
                    continue
                wins[which] += 1
                assert client.dma(SCSI, pages[which]) == Verdict(allowed=True, physical=pages[which])
                assert not client.dma(SCSI, pages[1 - which]).allowed
                client.remove_device(SCSI)

    threads = [threading.Thread(target=fight, args=(which,)) for which in range(2)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        assert len(serving.reach(SCSI, pages)) <= 1
    for one in threads:
        one.join()
    assert min(wins) > 0
    until(lambda: serving.clients() == 0)
    assert serving.open_devices() == set()


# --- The end


def test_a_clean_stop_denies_everything(serving: Serving) -> None:
    """On stop every device is denied, watchers are told, calls are ENOTCONN, and the socket is gone."""
    client = serving.connect("driver")
    grant(client, SCSI)
    grant(client, SHARED)
    told = threading.Event()
    client.notify(told.set)
    assert serving.open_devices() == {SCSI, SHARED, SHARING}
    serving.stop()
    serving._loop = None
    assert {name for name in serving.manager.survey.members if serving.manager.object_of(name)} == set()
    for member in serving.manager.survey.members.values():
        assert reached(serving.machine, member.endpoints[0], PAGES) == {}
    assert told.wait(10)
    error = refused(client.create_object)
    assert (error.reason, "granted no more" in str(error)) == ("ENOTCONN", True)
    client.close()
    assert not Path(serving.path).exists()
    assert refused(Client.connect, serving.path, "x").reason == "ENOTCONN"


def test_what_nobody_foresaw_ends_in_the_safe_state(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that is no refusal denies everything and ends the service with EIO."""
    client = serving.connect("driver")
    grant(client, SCSI)

    def surprise(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(serving.manager, "create_object", surprise)
    assert refused(client.create_object).reason == "ENOTCONN"
    serving._thread.join(10)
    assert serving.failure is not None
    assert serving.failure.reason == "EIO"
    assert "ZeroDivisionError" in str(serving.failure)
    assert any(level == "critical" for level, _ in serving.lines)
    assert serving.manager.object_of(SCSI) is None
    client.close()


def test_a_unit_that_cannot_be_read_ends_in_the_safe_state(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that fails is no reason to go on."""
    (port,) = serving.manager.ports.values()

    def broken() -> None:
        raise IommuError(failure("TEST", "", "broken").finding)

    monkeypatch.setattr(port, "refusals", broken)
    serving._thread.join(10)
    assert serving.failure is not None


def test_a_unit_that_does_not_deny_ends_in_the_safe_state(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a device of a dead client cannot be denied, all others are, and the service ends."""
    client = serving.connect("driver")
    grant(client, SCSI)
    grant(client, NVME)
    (port,) = serving.manager.ports.values()
    block = port.block

    def broken(identifier: int) -> None:
        if identifier == 0x18:
            raise IommuError(failure("TEST", "", "broken").finding)
        block(identifier)

    monkeypatch.setattr(port, "block", broken)
    client.close()
    serving._thread.join(10)
    assert serving.failure is not None
    assert reached(serving.machine, serving.manager.survey.members[NVME].endpoints[0], PAGES) == {}


def test_a_unit_that_does_not_attach_ends_in_the_safe_state(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO in answer to a client is a unit that is not to be trusted."""
    client = serving.connect("driver")
    (port,) = serving.manager.ports.values()

    def broken(*_: object) -> None:
        raise IommuError(failure("TEST", "", "broken").finding)

    monkeypatch.setattr(port, "attach", broken)
    assert refused(client.add_device, client.create_object(), SCSI).reason in ("EIO", "ENOTCONN")
    serving._thread.join(10)
    assert serving.failure is not None
    client.close()
