"""Sending packets to systemd's journal in its native protocol: datagrams of `KEY=value` lines.

A value with a newline in it goes in the binary form (key, newline, 64-bit little-endian length, bytes, newline). A
message too long for a datagram goes as a sealed memory file whose descriptor is passed along, as the protocol has it.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from .errors import refuse
from .names import SYSLOG_SEVERITIES
from .packet import Packet
from .text_out import format_value
from .values import Value, encode_text

DEFAULT_SOCKET = Path("/run/systemd/journal/socket")

_NOT_KEY = re.compile(r"[^A-Z0-9_]")
_MAX_KEY = 64


def journal_message(packet: Packet) -> bytes:
    """Return the packet as one message of the native protocol.

    The time goes into SLOG2_TIMESTAMP in nanoseconds (a client cannot set the journal's own).
    """
    stream = packet.stream
    own = {
        "MESSAGE": packet.text,
        "SYSLOG_IDENTIFIER": stream.set_name,
        "SYSLOG_PID": str(stream.owner_pid),
        "SLOG2_BUFFER": stream.buffer_name,
        "SLOG2_CODE": str(packet.code),
        "SLOG2_NUMBER": str(packet.number),
        "SLOG2_TIMESTAMP": str(packet.timestamp),
    }
    if packet.severity < len(SYSLOG_SEVERITIES):
        own["PRIORITY"] = str(SYSLOG_SEVERITIES[packet.severity])
    return message(own, packet.fields)


def message(own: Mapping[str, str], fields: Mapping[str, Value]) -> bytes:
    """Return one message of the native protocol.

    Args:
        own: what the message has under names that the journal knows, or that are fit for it.
        fields: further fields; each is named as the journal wants names. One whose name is among `own` becomes
            `FIELD_<name>`; two whose names become one are both sent, as the journal allows.
    """
    entries = [_entry(key, value) for key, value in own.items()]
    for key, value in fields.items():
        name = _key(key)
        entries.append(_entry(f"FIELD_{name}" if name in own else name, _text(value)))
    return b"".join(entries)


def _entry(key: str, value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else encode_text(value)
    if b"\n" in data:
        return key.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return key.encode() + b"=" + data + b"\n"


def _key(key: str) -> str:
    """Return a journal's field name: capitals, digits and underscores, a letter in front, at most 64."""
    name = _NOT_KEY.sub("_", key.upper())
    return (name if name[:1].isalpha() else "F" + name)[:_MAX_KEY]


def _text(value: Value) -> str | bytes:
    return value if isinstance(value, (str, bytes)) else format_value(value)


class JournalSender:
    """Sends packets to a journal's socket. A context manager.

    Raises Slog2Error when the socket cannot be reached.
    """

    def __init__(self, path: Path = DEFAULT_SOCKET, *, wait: bool = True) -> None:
        """Connect to the socket at `path`; without `wait`, sending to a journal that is busy is the error EAGAIN."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            advice = "is systemd-journald running?"
            raise refuse("SLOG2-JOURNAL", str(path), "cannot be reached", found=str(error), advice=advice) from error
        self._socket.setblocking(wait)

    def send(self, packet: Packet) -> int:
        """Send one packet; returns 0 or the number of the error."""
        return self.send_message(journal_message(packet))

    def send_message(self, data: bytes) -> int:
        """Send what `message` returned; returns 0 or the number of the error."""
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                return error.errno or errno.EIO
            return self._send_file(data)
        return 0

    def _send_file(self, data: bytes) -> int:
        try:
            handle = os.memfd_create("iommuman-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                with os.fdopen(os.dup(handle), "wb") as file:
                    file.write(data)
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
                fcntl.fcntl(handle, fcntl.F_ADD_SEALS, seals)
                self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))])
            finally:
                os.close(handle)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        """Return the sender."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
