"""Mutated messages by the thousand: no crash, and nothing opened that its owner did not ask for."""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.manager import ManagerError
from iommuman.manager import calls as c
from iommuman.manager import protocol as p
from iommuman.manager.service import ServiceLimits

from tests.manager.serving import BASE, NVME, SCSI, Serving, answer, assert_reach_is_granted, dial, grant, until

MESSAGES = int(os.environ.get("IOMMUMAN_FUZZ_MESSAGES", "3000"))
"""Mutated messages sent; 100,000 is what the project asks of itself."""

SEEDS: list[Callable[[int, int], bytes]] = [
    lambda serial, _: p.request(serial, c.CreateObject()),
    lambda serial, number: p.request(serial, c.AddDevice(number, c.NamedId(SCSI))),
    lambda serial, number: p.request(serial, c.AddDevice(number, c.PciId(0x41, None, 0))),
    lambda serial, number: p.request(serial, c.AddDevice(number, c.PciId(), together=True)),
    lambda serial, number: p.request(serial, c.AddDevice(number, c.MmioId(0xFE000000, 4096))),
    lambda serial, number: p.request(serial, c.MapEntries(number, 3, (c.Entry(BASE, 4096), c.Entry(BASE + 8192, 1)))),
    lambda serial, number: p.request(serial, c.MapEntries(number, 0, (c.Entry(BASE, 4096),))),
    lambda serial, number: p.request(serial, c.MapEntries(number, 3, (c.Entry(BASE, 4096),), 0x40000000)),
    lambda serial, _: p.request(serial, c.RemoveDevice(c.NamedId(NVME))),
    lambda serial, number: p.request(serial, c.DestroyObject(number)),
    lambda serial, _: p.request(serial, c.ReportReserved(c.NamedId(SCSI))),
    lambda serial, _: p.request(serial, c.Watch()),
    lambda serial, _: p.request(serial, c.ReadIncident()),
    lambda serial, _: p.request(serial, c.DmaAccess(c.NamedId(NVME), BASE, 8, write=True)),
]


VALUES: list[object] = [
    None, True, False, 0, 1, -1, 7, 8, 255, 256, 4096, BASE, 1 << 31, 1 << 32, 1 << 53, (1 << 64) - 1, 1 << 64, 10**40,
    "", "x", "pci", "name", "mmio", SCSI, "\x00", "y" * 300, [], [None], {}, {"kind": "pci"}, {"start": 0, "length": 1},
]  # fmt: skip
"""What a field is replaced by."""


def mutate(message: bytes, source: random.Random) -> bytes:
    """Return a message with a field, a byte or its length changed."""
    body = message[4:]
    if source.randrange(2):
        fields: dict[str, object] = json.loads(body)
        for _ in range(source.randrange(1, 3)):
            holder = source.choice([fields, *(one for one in fields.values() if isinstance(one, dict) and one)])
            name = source.choice([*holder, "extra"])
            if source.randrange(5):
                holder[name] = source.choice(VALUES)
            else:
                holder.pop(name, None)
            if not fields:
                break
        body = json.dumps(fields).encode()
    else:
        body = damaged(bytearray(body), source)
    length = len(body) if source.randrange(200) else source.randrange(1 << 32)
    return length.to_bytes(4, "big") + body


def damaged(body: bytearray, source: random.Random) -> bytes:
    """Return a text with some of its bytes changed, taken out, put in or said twice."""
    for _ in range(source.randrange(1, 4)):
        at = source.randrange(len(body))
        match source.randrange(5):
            case 0:
                body[at] ^= 1 << source.randrange(8)
            case 1 if len(body) > 10:
                del body[at : at + source.randrange(1, 8)]
            case 2:
                body[at:at] = source.choice([b"9" * 20, b"-1", b"null", b"[]", b"{}", b'"', b"\x00", b",", b"[" * 50])
            case 3:
                digits = [index for index, byte in enumerate(body) if byte in b"0123456789"]
                body[source.choice(digits or [at])] = source.choice(b"0123456789")
            case _:
                body[at:at] = body[at : at + 10]
    return bytes(body)


@pytest.mark.damage
def test_mutated_messages_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of mutated messages of attached clients: no crash, and no device of another client changes.

    The victim's devices and objects are among those that the messages speak of. After each connection the models let
    every device reach what its object grants, and when the senders are gone, nothing is open but what the victim has.
    """
    read: list[bool] = []
    read_request = p.read_request

    def counted(body: bytes) -> tuple[int, c.Call | ManagerError]:
        read.append(False)
        found = read_request(body)
        read[-1] = not isinstance(found[1], ManagerError)
        return found

    monkeypatch.setattr(p, "read_request", counted)
    with Serving(tmp_path, limits=ServiceLimits(seconds=0.1, poll=0.01)) as serving:
        victim = serving.connect("victim", "target")
        objects = [grant(victim, device) for device in (NVME, SCSI)]
        had = {name: serving.reach(name) for name in (NVME, SCSI)}
        source = random.Random(20)
        while len(read) < MESSAGES:
            fuzz(serving, source, f"fuzz {len(read)}")
            assert {name: serving.reach(name) for name in had} == had
            assert_reach_is_granted(serving)
        until(lambda: serving.clients() == 1)
        assert serving.open_devices() == {NVME, SCSI}
        assert serving.failure is None
        # Both kinds came through: calls that could be carried out, and others.
        assert 0.1 < sum(read) / len(read) < 0.9
        for number in objects:
            victim.destroy_object(number)
        victim.close()


def fuzz(serving: Serving, source: random.Random, name: str) -> None:
    """Send mutated messages on one connection until it is ended, 200 at most."""
    connection = dial(serving)
    with contextlib.suppress(OSError, EOFError):
        connection.sendall(p.request(0, c.Attach(1, name, ("attach", "target", "dma"))))
        answer(connection)
        for serial in range(200):
            message = source.choice(SEEDS)(serial, source.randrange(1, 12))
            connection.sendall(mutate(message, source) if source.randrange(4) else message)
            if not connection.recv(65536):
                break
    connection.close()
