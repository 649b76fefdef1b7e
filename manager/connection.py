"""A connection to the service: what a client's calls go through when the manager is another process."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading

from . import protocol
from .calls import Attach, Attached, Call, Result
from .errors import ManagerError
from .incidents import Notice


class Connection:
    """One connection, and a thread that takes what the service sends. Any thread may call."""

    remote = True

    def __init__(self, path: str, attach: Attach, timeout: float) -> None:
        """Connect and attach; `timeout` is in seconds, for each answer.

        Raises ManagerError: `ENOTCONN` there is no service; or what it answers.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._timeout = timeout
        self._path = path
        self._lock = threading.Lock()
        self._serial = 0
        self._notice: Notice | None = None
        self._replies: queue.SimpleQueue[protocol.Reply | None] = queue.SimpleQueue()
        self._broken = False
        try:
            self._socket.connect(path)
            self._socket.settimeout(None)
        except (OSError, ValueError) as error:
            self._socket.close()
            raise self._gone(getattr(error, "strerror", None) or str(error)) from None
        self._thread = threading.Thread(target=self._take, name="iommuman client", daemon=True)
        self._thread.start()
        try:
            result = self.call(attach)
        except ManagerError:
            self.close()
            raise
        self.attached = result if isinstance(result, Attached) else Attached()

    def call(self, call: Call) -> Result:
        """Have a call carried out. Raises ManagerError: what the service answers, or `ENOTCONN`."""
        with self._lock:
            if self._broken:
                raise self._gone("the connection has ended")
            self._serial = (self._serial + 1) % (1 << 32)
            message = protocol.request(self._serial, call)
            with contextlib.suppress(OSError):  # the thread that takes answers learns of it too
                self._socket.sendall(message)
            try:
                answer = self._replies.get(timeout=self._timeout)
            except queue.Empty:
                self._end()
                raise self._gone(f"it has not answered for {self._timeout:g} s") from None
        if answer is None:
            raise self._gone("the connection has ended")
        result = protocol.result_of(call, answer)
        if answer.serial != self._serial:
            raise self._gone("it answers another call than the last")
        return result

    def expect(self, notice: Notice) -> None:
        """Have `notice` called once in a thread of its own when the service gives notice, or is gone."""
        self._notice = notice

    def close(self) -> None:
        """End the connection, and with it everything that was granted."""
        self._end()
        self._thread.join()
        self._socket.close()

    def _take(self) -> None:
        """Take what the service sends, until it is gone."""
        with contextlib.suppress(OSError, EOFError, ManagerError):
            while True:
                length = protocol.body_length(self._exactly(protocol.HEADER.size), protocol.MOST_REPLY)
                answer = protocol.read_reply(self._exactly(length))
                if answer is None:
                    self._tell()
                else:
                    self._replies.put(answer)
        self._end()
        self._replies.put(None)
        self._tell()

    def _exactly(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            piece = self._socket.recv(count - len(found))
            if not piece:
                raise EOFError
            found += piece
        return bytes(found)

    def _tell(self) -> None:
        notice, self._notice = self._notice, None
        if notice is not None:
            # Not in this thread: what is called wants to call the service, and this thread takes the answers.
            threading.Thread(target=notice, name="iommuman notice", daemon=True).start()

    def _end(self) -> None:
        self._broken = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _gone(self, message: str) -> ManagerError:
        return ManagerError(
            "ENOTCONN", "CLIENT-NO-SERVICE", f"the service is not there: {message}", self._path,
            advice="what it had granted is granted no more",
        )  # fmt: skip
