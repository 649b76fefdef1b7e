"""The service: real sockets and real processes; whoever dies, lies or is slow harms nobody and leaves nothing open."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.errors import failure
from iommuman.manager import Access, Client, ManagerError, Verdict
from iommuman.manager import calls as c
from iommuman.manager import protocol as p
from iommuman.manager.access_list import AccessList, Allow, Peer
from iommuman.manager.service import ServiceLimits
from iommuman.manager.session import Limits

from tests.manager.serving import PAGES, Serving
from tests.manager.test_client import BASE, NVME, RW, SCSI, SHARED, SHARING, refused, until

ROOT = Peer(1, 0, frozenset({0}))
QUICK = ServiceLimits(seconds=0.5, poll=0.01)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Return a running service."""
    with Serving(tmp_path) as found:
        yield found


def dial(serving: Serving, name: str = "") -> socket.socket:
    """Return a plain connection; with a name, an attached one."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(10)
    made.connect(serving.path)
    if name:
        made.sendall(p.request(0, c.Attach(1, name, ("attach",))))
        assert answer(made)["result"] == {"objects": []}
    return made


def answer(connection: socket.socket) -> dict[str, object]:
    """Return the next message of the service."""
    data = b""
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        piece = connection.recv(1)
        if not piece:
            raise EOFError
        data += piece
    found: dict[str, object] = json.loads(data[4:])
    return found


def gone(connection: socket.socket) -> bool:
    """Tell whether the service has ended a connection, after what it had to say."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65536):
            pass
    return True


def grant(client: Client, device: str, start: int = BASE, length: int = 0x1000) -> int:
    """Grant a device memory, and return the object."""
    number = client.create_object()
    client.add_device(number, device, together=True)
    client.map(number, [(start, length)], RW)
    return number


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


BUSY = """
import sys, random
from iommuman.manager import Client, Access
client = Client.connect(sys.argv[1], sys.argv[2])
print("ready", flush=True)
source = random.Random(sys.argv[2])
objects = [client.create_object() for _ in range(3)]
while True:
    number = source.choice(objects)
    try:
        what = source.randrange(4)
        if what == 0:
            client.add_device(number, source.choice(["00:03.0", "00:04.0", "00:04.1", "41:00.0"]))
        elif what == 1:
            client.map(number, [(0x80000000 + 4096 * source.randrange(8), 4096 * source.randrange(1, 3))], Access(3))
        elif what == 2:
            client.map(number, [(0x80000000 + 4096 * source.randrange(8), 8192)], Access.NONE)
        else:
            client.destroy_object(number)
            objects[objects.index(number)] = client.create_object()
    except OSError:
        raise
    except Exception as error:
        if error.reason == "ENOTCONN":
            raise
"""


def test_clients_killed_at_random_leave_nothing_open(serving: Serving) -> None:
    """Busy clients that fight for devices are killed at moments of chance; each time nothing of theirs stays."""
    source = random.Random(6)
    for turn in range(3):
        names = [f"busy {turn} {number}" for number in range(3)]
        processes = [
            subprocess.Popen([sys.executable, "-c", BUSY, serving.path, name], stdout=subprocess.PIPE)
            for name in names
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(source.random() / 4)
        assert_reach_is_granted(serving)
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        until(lambda: serving.clients() == 0)
        assert serving.open_devices() == set()


def assert_reach_is_granted(serving: Serving) -> None:
    """Hold what the models let every device reach to what its object grants, between two calls."""
    from tests.manager.watch import by_page, reached

    def check() -> None:
        for name, member in serving.manager.survey.members.items():
            place = serving.manager.object_of(name)
            granted = {} if place is None else by_page(place.granted(member), PAGES)
            for endpoint in member.endpoints:
                assert reached(serving.machine, endpoint, PAGES) == granted, name

    serving.ask(check)


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
    deaf.setblocking(False)
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


def test_a_clean_stop_denies_everything(serving: Serving, tmp_path: Path) -> None:
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
    from tests.manager.watch import reached

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
    from tests.manager.watch import reached

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


# --- The client's side


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\x00\x00\x00\x02[]",
        b"\xff\xff\xff\xff",
        p.reply(77, c.Attached()),
        p.reply(1, c.Created(4)),
        b'\x00\x00\x00\x1e{"serial":1,"result":{"x":1  }}',
    ],
)
def test_a_client_believes_no_service_that_lies(tmp_path: Path, reply: bytes) -> None:
    """Answers that are none, or to another call, are a typed error, and no exception of another kind."""
    path = str(tmp_path / "liar")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def lie() -> None:
            connection, _ = listening.accept()
            connection.recv(4096)
            connection.sendall(reply)
            time.sleep(0.1)
            connection.close()

        thread = threading.Thread(target=lie)
        thread.start()
        assert refused(Client.connect, path, "x").reason in ("ENOTCONN", "EPROTO")
        thread.join()


def test_a_service_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """A call has a limit of time; the connection is of no use after it."""
    path = str(tmp_path / "silent")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        error = refused(Client.connect, path, "x", timeout=0.2)
        assert (error.reason, "0.2 s" in str(error)) == ("ENOTCONN", True)


def test_a_path_that_cannot_be_is_no_service() -> None:
    """A path too long for a socket is ENOTCONN like one where nothing is."""
    assert refused(Client.connect, "/x" * 100, "x").reason == "ENOTCONN"


# --- The state file


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


def test_a_client_that_does_not_ask_gets_nothing_back(tmp_path: Path) -> None:
    """Without resume, or as another name or user, nothing is granted; the own name without resume frees the devices."""
    state = tmp_path / "state"
    with Serving(tmp_path, state=state) as before:
        client = before.connect("driver")
        grant(client, SCSI)
    client.close()
    peers = iter([ROOT, Peer(1, 1000, frozenset({0})), ROOT])
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
    from iommuman.manager.state import ClientRecord, ObjectRecord, StateFile

    with Serving(tmp_path) as before:
        file = StateFile(str(tmp_path / "state"), before.manager)
        record = ObjectRecord(manual_reserved=False, devices=(SCSI,), mappings=())
        file.write([ClientRecord(name, 0, (record,)).packed() for name in ("a", "b")])
    with Serving(tmp_path, state=tmp_path / "state") as after:
        assert any("are not held" in text for _, text in after.lines)
        with after.connect("b", resume=True) as second, after.connect("a", resume=True) as first:
            assert (second.objects, len(first.objects)) == ((), 1)


# --- Damage

MESSAGES = int(os.environ.get("IOMMUMAN_FUZZ_MESSAGES", "3000"))
"""Mutated messages sent; 100,000 is what the project asks of itself."""

SEEDS: list[Callable[[int], bytes]] = [
    lambda serial: p.request(serial, c.CreateObject()),
    lambda serial: p.request(serial, c.AddDevice(6, c.NamedId(SCSI))),
    lambda serial: p.request(serial, c.AddDevice(6, c.PciId(0x41, None, 0))),
    lambda serial: p.request(serial, c.AddDevice(4, c.PciId(), together=True)),
    lambda serial: p.request(serial, c.AddDevice(4, c.MmioId(0xFE000000, 4096))),
    lambda serial: p.request(serial, c.MapEntries(4, 3, (c.Entry(BASE, 4096), c.Entry(BASE + 8192, 1)))),
    lambda serial: p.request(serial, c.MapEntries(4, 0, (c.Entry(BASE, 4096),))),
    lambda serial: p.request(serial, c.MapEntries(4, 3, (c.Entry(BASE, 4096),), 0x40000000)),
    lambda serial: p.request(serial, c.RemoveDevice(c.NamedId(NVME))),
    lambda serial: p.request(serial, c.DestroyObject(4)),
    lambda serial: p.request(serial, c.ReportReserved(c.NamedId(SCSI))),
    lambda serial: p.request(serial, c.Watch()),
    lambda serial: p.request(serial, c.ReadIncident()),
    lambda serial: p.request(serial, c.DmaAccess(c.NamedId(NVME), BASE, 8, write=True)),
]


def mutate(message: bytes, source: random.Random) -> bytes:
    """Return a message with a byte, a number, a part or its length changed."""
    body = bytearray(message[4:])
    for _ in range(source.randrange(1, 4)):
        at = source.randrange(len(body))
        match source.randrange(5):
            case 0:
                body[at] ^= 1 << source.randrange(8)
            case 1:
                del body[at : at + source.randrange(1, 8)]
            case 2:
                body[at:at] = source.choice([b"9" * 20, b"-1", b"null", b"[]", b"{}", b'"', b"\x00", b",", b"[" * 50])
            case 3:
                digits = [index for index, byte in enumerate(body) if byte in b"0123456789"]
                if digits:
                    body[source.choice(digits)] = source.choice(b"0123456789")
            case 4:
                body[at:at] = body[at : at + 10]
        if not body:
            return message
    length = len(body) if source.randrange(20) else source.randrange(1 << 32)
    return length.to_bytes(4, "big") + bytes(body)


@pytest.mark.damage
def test_mutated_messages_open_nothing(tmp_path: Path) -> None:
    """Thousands of mutated messages of attached clients: no crash, and no device of another client changes.

    The victim's devices and objects are those that the messages speak of. At the end, when the senders are gone,
    nothing is open but what the victim has.
    """
    with Serving(tmp_path) as serving:
        victim = serving.connect("victim", "target")
        objects = [grant(victim, device) for device in (NVME, SCSI)]
        had = {name: serving.reach(name) for name in (NVME, SCSI)}
        source = random.Random(20)
        sent = 0
        while sent < MESSAGES:
            sent += fuzz(serving, source, f"fuzz {sent}")
            assert {name: serving.reach(name) for name in had} == had
            assert_reach_is_granted(serving)
        until(lambda: serving.clients() == 1)
        assert serving.open_devices() == {NVME, SCSI}
        assert serving.failure is None
        for number in objects:
            victim.destroy_object(number)
        victim.close()


def fuzz(serving: Serving, source: random.Random, name: str) -> int:
    """Send mutated messages on one connection until it is ended, 200 at most; return how many."""
    connection = dial(serving)
    connection.settimeout(5)
    abilities = ("attach", "target", "dma")
    sent = 0
    try:
        connection.sendall(p.request(0, c.Attach(1, name, abilities)))
        answer(connection)
        for serial in range(200):
            message = source.choice(SEEDS)(serial)
            connection.sendall(mutate(message, source) if source.randrange(4) else message)
            sent += 1
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(65536):
                    break
            connection.settimeout(5)
    except (OSError, EOFError):
        pass
    connection.close()
    return max(sent, 1)
