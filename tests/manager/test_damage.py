"""Mutated messages by the thousand: no crash, and nothing opened that its owner did not ask for."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.manager import calls as c
from iommuman.manager import protocol as p

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
            message = source.choice(SEEDS)(serial, source.randrange(1, 12))
            connection.sendall(mutate(message, source) if source.randrange(4) else message)
            sent += 1
            connection.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                if not connection.recv(65536):
                    break
            connection.settimeout(5)
    except (OSError, EOFError):
        pass
    connection.close()
    return max(sent, 1)
