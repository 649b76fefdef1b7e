"""A connection to a service that lies, is silent, or is not there."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest
from iommuman.manager import Client
from iommuman.manager import calls as c
from iommuman.manager import protocol as p

from tests.manager.serving import refused


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
