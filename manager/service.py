"""The service: many client processes on one Unix socket, each with a session of one manager.

Everything runs in one thread, one call after another. A connection that ends, however it ends, takes its grants with
it. What nobody foresaw leads to the design safe state: everything is denied, and the service ends.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from ..base import printable
from ..iommu import IommuError
from . import protocol
from .access_list import AccessList, Credentials, Peer, credentials, default_access
from .calls import Attach, Attached, Call, Result
from .errors import ManagerError
from .holdings import Holdings, Level, Log
from .machine import Machine
from .manager import Manager
from .session import Limits, Session
from .state import ClientRecord, StateFile

SPARE = 8
"""Connections of one user beyond the clients that it may have, to be told that they are too many."""


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What the service stands.

    Attributes:
        connections: open at once, attached or not.
        clients_per_user: attached clients of one user; root and the service's own user are not limited so.
        seconds: for a first call to come, for a message to be whole once it has begun, and for an answer to be taken.
        poll: seconds between looks at the units.
        grace: seconds that grants of a state file are held for clients to come back.
        client: what one client may have.
    """

    connections: int = 256
    clients_per_user: int = 64
    seconds: float = 10.0
    poll: float = 0.05
    grace: float = 30.0
    client: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class _Connected:
    """One connection, from its first byte to its last."""

    peer: Peer
    writer: asyncio.StreamWriter
    name: str = ""
    session: Session | None = None

    def tell(self) -> None:
        """Send the notice that there is a record to read."""
        if not self.writer.is_closing():
            self.writer.write(protocol.NOTICE)


class Service:
    """Serves a manager's clients until it is stopped."""

    def __init__(
        self, manager: Manager, machine: Machine | None, *, access: AccessList | None = None,
        state: StateFile | None = None, limits: ServiceLimits | None = None, log: Log = lambda _level, _text: None,
        peer: Credentials = credentials,
    ) -> None:  # fmt: skip
        """Prepare to serve.

        Args:
            manager: which nobody else uses from now on.
            machine: the simulated board, whose devices clients with the ability `dma` may make access memory.
            access: who may do what; see `default_access`.
            state: remembers what is granted; what it holds is held for clients to come back.
            limits: what clients and connections may have.
            log: takes lines.
            peer: tells who is at the other end of a connection.
        """
        self._manager = manager
        self._machine = machine
        self._access = default_access() if access is None else access
        self._limits = limits or ServiceLimits()
        self._log = log
        self._peer = peer
        self._holdings = Holdings(manager, state, self._limits.grace, log)
        self._open: dict[asyncio.Task[None], _Connected] = {}
        self._clients: set[tuple[str, int]] = set()
        self._stopped = asyncio.Event()
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Have `run` deny everything and return; to be called in its event loop."""
        self._stopped.set()

    async def run(self, listening: socket.socket) -> None:
        """Serve connections to a listening socket until `stop`; then deny everything.

        Raises ManagerError (`EIO`): something went wrong that nobody foresaw, or a unit does not do what it is told.
        Everything is denied, as far as units still do what they are told.
        """
        server = await asyncio.start_unix_server(self._connected, sock=listening, limit=protocol.MOST_REQUEST)
        poller = asyncio.create_task(self._poll())
        try:
            await self._stopped.wait()
        finally:
            self._stopped.set()
            poller.cancel()
            server.close()
            try:
                self._manager.stop()
            finally:
                # Not cancelled: ended, as by the other side, so that each goes the way it always goes.
                for one in self._open.values():
                    one.writer.transport.abort()
                await asyncio.gather(poller, *self._open, return_exceptions=True)
        if self._failure is not None:
            raise ManagerError(
                "EIO", "SERVICE-SAFE-STATE", "the service has denied everything and ends, since something went wrong",
                found=f"{type(self._failure).__name__}: {self._failure}"[:500],
            ) from self._failure  # fmt: skip
        self._say("info", "stopped: every device that a unit controls is denied everything")

    # --- What goes on by itself

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._limits.poll)
            try:
                self._manager.poll()
                self._holdings.expire()
            except Exception as error:  # noqa: BLE001 - the design safe state is for what nobody foresaw
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Go to the design safe state."""
        if self._failure is None:
            self._failure = error
            self._say("critical", f"going to the design safe state: {type(error).__name__}: {error}")
        self._stopped.set()

    def _say(self, level: Level, text: str) -> None:
        self._log(level, printable(text))

    # --- Connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        one = self._admit(writer)
        if task is None or one is None:
            writer.transport.abort()
            return
        self._open[task] = one
        try:
            await self._converse(one, reader)
        except TimeoutError:
            self._say("warning", f"process {one.peer.pid} ({one.name!r}) took too long, and is dropped")
        except (OSError, asyncio.IncompleteReadError):
            pass  # the other side has gone
        except Exception as error:  # noqa: BLE001 - the design safe state is for what nobody foresaw
            self._fail(error)
        finally:
            self._end(one)
            del self._open[task]
            writer.transport.abort()

    def _admit(self, writer: asyncio.StreamWriter) -> _Connected | None:
        """Return who has connected; None when that is one too many, or has gone again."""
        if self._stopped.is_set() or len(self._open) >= self._limits.connections:
            return None
        try:
            one = _Connected(self._peer(writer.get_extra_info("socket")), writer)
        except OSError:
            return None
        same = sum(other.peer.uid == one.peer.uid for other in self._open.values())
        if same >= self._limits.clients_per_user + SPARE and not self._is_own(one.peer):
            return None
        writer.transport.set_write_buffer_limits(high=0)
        return one

    async def _converse(self, one: _Connected, reader: asyncio.StreamReader) -> None:
        """Answer calls until the client goes, or sends what is no message."""
        while not self._stopped.is_set():
            try:
                body = await self._message(reader, first=one.session is None)
                serial, call = protocol.read_request(body)
            except ManagerError as error:
                self._say("warning", f"process {one.peer.pid} (user {one.peer.uid}) is dropped: {error}")
                await self._send(one, protocol.reply(0, error))
                return
            if self._stopped.is_set():
                return
            answer = self._answer(one, call)
            await self._send(one, protocol.reply(serial, answer))
            if one.session is None:
                return

    async def _message(self, reader: asyncio.StreamReader, *, first: bool) -> bytes:
        """Read one message; only for the first byte of one, after the first message, may there be any wait."""
        begin = b"" if first else await reader.readexactly(1)
        async with asyncio.timeout(self._limits.seconds):
            header = begin + await reader.readexactly(protocol.HEADER.size - len(begin))
            return await reader.readexactly(protocol.body_length(header, protocol.MOST_REQUEST))

    async def _send(self, one: _Connected, message: bytes) -> None:
        """Send a message, and wait until it has been taken: nothing piles up for a client that does not read."""
        one.writer.write(message)
        async with asyncio.timeout(self._limits.seconds):
            await one.writer.drain()

    def _answer(self, one: _Connected, call: Call | ManagerError) -> Result | ManagerError:
        """Carry a call out, and return what to answer."""
        if isinstance(call, ManagerError):
            return call
        try:
            if one.session is None:
                return self._attach(one, call)
            return one.session.handle(call)
        except ManagerError as error:
            if error.reason == "EIO":
                # A unit that does not do what it is told is not trusted to deny anything either.
                self._fail(error)
            return error

    def _attach(self, one: _Connected, call: Call) -> Attached:
        """Take a client in, if the access list lets it."""
        if not isinstance(call, Attach):
            raise ManagerError("EPROTO", "SERVICE-ATTACH", "the first call of a connection is attach")
        peer = one.peer
        allowed = self._access.abilities(peer)
        lacking = {"attach", *call.abilities} - allowed
        if lacking:
            self._say("warning", f"process {peer.pid} (user {peer.uid}) is refused: it lacks {', '.join(lacking)}")
            raise ManagerError(
                "EACCES", "SERVICE-ACCESS", "the access list does not give this user an ability", call.name,
                found=", ".join(sorted(lacking)), advice="list it",
            )  # fmt: skip
        key = (call.name, peer.uid)
        self._require_room(call.name, peer)
        session = Session(
            self._manager, call, one.tell, machine=self._machine, limits=self._limits.client,
            changed=lambda: self._note(one),
        )  # fmt: skip
        record = self._holdings.claim(*key)
        if record is None:
            result = Attached()
        elif call.resume:
            result = self._resume(session, record)
        else:
            self._say("info", f"client {call.name!r} has come back and does not want its grants again")
            result = Attached()
            self._holdings.write()
        one.name, one.session = call.name, session
        self._clients.add(key)
        self._note(one)
        self._say("info", f"client {call.name!r} is attached: process {peer.pid}, user {peer.uid}")
        return result

    def _resume(self, session: Session, record: ClientRecord) -> Attached:
        """Grant again what a client had; where that cannot be, nothing of it is held any more."""
        try:
            return session.resume(record.objects)
        except ManagerError as error:
            self._say("error", f"client {record.name!r} cannot have its grants again: {error}")
            self._holdings.write()
            raise

    def _require_room(self, name: str, peer: Peer) -> None:
        """Refuse a client that is one too many, or has the name of another of the same user."""
        if (name, peer.uid) in self._clients:
            raise ManagerError(
                "EBUSY", "SERVICE-NAME", "a client of this user has this name already", name,
                advice="give each client a name of its own: grants are taken up by name after a restart",
            )  # fmt: skip
        same = sum(uid == peer.uid for _, uid in self._clients)
        if same >= self._limits.clients_per_user and not self._is_own(peer):
            raise ManagerError("EDQUOT", "SERVICE-LIMIT", f"one user has no more than {same} clients", name)

    def _is_own(self, peer: Peer) -> bool:
        return peer.uid in {one.uid for one in default_access().entries}

    def _note(self, one: _Connected) -> None:
        """Write down what a client has been granted."""
        session = one.session
        if session is not None and self._holdings.remembers:
            self._holdings.note(session.client, ClientRecord(one.name, one.peer.uid, session.granted()))

    def _end(self, one: _Connected) -> None:
        """Let a client go that has gone: its devices are denied."""
        session, one.session = one.session, None
        if session is None:
            return
        self._clients.discard((one.name, one.peer.uid))
        if self._failure is not None or self._stopped.is_set():
            return  # everything is, or is about to be, denied; the state file stays as it is
        try:
            session.end()
            self._holdings.note(session.client, None)
        except (ManagerError, IommuError) as error:
            self._fail(error)
        self._say("info", f"client {one.name!r} is gone, and its grants with it")
