"""`iommuman run`: the manager as a service, on a simulated board or on one that QEMU emulates."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from ..base import printable
from . import output
from .board import Started, add_board, load_board, start_manager
from .fault_journal import JOURNALD, FaultJournal, is_journal
from .incident import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..faults import Fault
    from ..logging_backend import SetWriter
    from ..manager import Incident, Manager, ManagerError
    from ..manager.access_list import AccessList
    from ..manager.holdings import Level
    from ..topology import Topology

EPILOG = """\
Devices are denied everything until clients have them granted memory ('iommuman client', or the client API). The board
is simulated, or emulated by QEMU (--platform qemu): clients with the ability 'dma' may let its devices access memory.
Lines go to the log, buffer set 'smmuman' ('slog2info' shows it), and during start to stderr as well.

Exit status: 0 stopped by SIGTERM or SIGINT, everything is denied; 2 wrong usage; 3 a source cannot be read; 4 it is not
safe to start, or was not to go on.
"""

FAULTS, LINES = 0, 1
"""Buffers of the log."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = EPILOG
    add_board(parser)
    parser.add_argument("--socket", required=True, metavar="PATH", help="the Unix socket to serve")
    parser.add_argument("--mode", type=_mode, default=0o600, metavar="MODE", help="of the socket, octal; default: 600")
    parser.add_argument("--access", metavar="FILE", help="TOML list of who may do what; default: root and this user")
    parser.add_argument("--state", metavar="FILE", help="remember grants there, for clients of a restarted service")
    parser.add_argument(
        "--faults-to", type=_faults_to, default="slog2", metavar="WHERE[,WHERE...]",
        help="where refused accesses go: slog2 (default), jsonl:PATH, journald or journald:SOCKET; each once",
    )  # fmt: skip


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:  # noqa: PLR2004 - the permission bits
        raise argparse.ArgumentTypeError(f"{text!r} is no mode; write it in octal, such as 660")
    return mode


def _faults_to(text: str) -> tuple[str, ...]:
    """Return the places of a list, in its order; a comma before anything but a place belongs to a path."""
    places = tuple(re.split(",(?=slog2(?:,|$)|jsonl:|journald(?:[:,]|$)|,|$)", text))
    for place in places:
        kind, _, path = place.partition(":")
        if not (place == "slog2" or (kind == "jsonl" and path) or is_journal(place)):
            raise argparse.ArgumentTypeError(f"{place!r} is neither slog2, jsonl:PATH, journald nor journald:SOCKET")
    kinds = [place.partition(":")[0] for place in places]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise argparse.ArgumentTypeError(f"{twice} is there twice in {text!r}; name each once")
    return places


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal."""
    topology = load_board(arguments)
    output.report(topology.findings, topology.passed_over)
    from ..manager import ManagerError

    with _Log() as log:
        try:
            return _run(arguments, topology, log)
        except ManagerError as error:
            log.starting = True
            log("critical", str(error))
            return output.UNSAFE


def _run(arguments: argparse.Namespace, topology: Topology, log: _Log) -> int:
    from ..manager.access_list import load_access

    access = load_access(arguments.access) if arguments.access is not None else None
    with contextlib.closing(start_manager(topology, arguments)) as started:
        return _serving(arguments, topology, log, started, access)


def _serving(
    arguments: argparse.Namespace, topology: Topology, log: _Log, started: Started, access: AccessList | None
) -> int:
    import asyncio

    manager = started.manager
    sinks = [log.sink(place) for place in arguments.faults_to]
    kinds = {unit.name: unit.kind for unit in topology.iommus.values()}

    def tell(incident: Incident) -> None:
        fault = fault_of(incident, kinds[incident.refusal.unit])
        for sink in sinks:
            sink(fault)

    manager.sinks.append(tell)
    if started.machine.hardware:
        log("info", f"the units are those of {started.machine.hardware}")
    announce(manager, log)
    asyncio.run(_serve(arguments, log, started, access))
    return output.OK


async def _serve(arguments: argparse.Namespace, log: _Log, started: Started, access: AccessList | None) -> None:
    """Serve until a signal. Whoever is answered at the socket finds signals taken care of."""
    import asyncio
    import signal

    from ..manager.listener import Listener
    from ..manager.service import Service
    from ..manager.state import StateFile

    def stop() -> None:
        service.stop()  # called by the loop, which has its first turn when the service runs

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with Listener(arguments.socket, arguments.mode) as listener:
        state = StateFile(arguments.state, started.manager) if arguments.state is not None else None
        service = Service(started.manager, started.machine, access=access, state=state, log=log)
        log("info", f"serving clients at {arguments.socket}")
        log.starting = False
        await service.run(listener.socket)


def announce(manager: Manager, log: Callable[[Level, str], None]) -> None:
    """Say what is controlled, and loudly what is not."""
    survey = manager.survey
    for name in manager.ports:
        devices = [
            member.device.name
            for member in survey.members.values()
            if any(place.unit == name for place in member.endpoints)
        ]
        startup = [one for one in devices if survey.members[one].startup]
        granted = f", but what the configuration grants {', '.join(startup)}" if startup else ""
        played = [one for one in devices if manager.object_of(one) and one not in startup]
        granted += f", but what the scenario grants {', '.join(played)}" if played else ""
        log("info", f"{name} controls {len(devices)} devices; all are denied everything{granted}: {', '.join(devices)}")
    for word, open_ones in (("no unit stands before", survey.unrestricted), ("unknown who controls", survey.unknown)):
        for name, reason in open_ones:
            log("warning", f"UNRESTRICTED: {name} may reach ALL MEMORY, {word} it: {reason}")


class _Log:
    """The log of the service: a buffer set, and stderr as long as it starts.

    Attributes:
        starting: lines go to stderr too.
    """

    def __init__(self) -> None:
        from ..logging_backend import BufferConfig, SetConfig, register

        self.starting = True
        self._file: TextIO | None = None
        self._journal: FaultJournal | None = None
        self._set: SetWriter = register(SetConfig("smmuman", (BufferConfig("faults", 128), BufferConfig("slog", 32))))

    def __enter__(self) -> _Log:  # noqa: PYI034 - the class is private
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the set, and what else refused accesses went to."""
        self._set.close()
        if self._journal is not None:
            self._journal.close()
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written has been said
                self._file.close()

    def __call__(self, level: Level, text: str) -> None:
        """Log a line."""
        from ..logging_backend import Severity

        severities = {
            "info": Severity.INFO,
            "warning": Severity.WARNING,
            "error": Severity.ERROR,
            "critical": Severity.CRITICAL,
        }
        self._set.log(LINES, 0, severities[level], printable(text))
        if self.starting:
            sys.stderr.write(f"{'iommuman' if level == 'info' else level}: {printable(text)}\n")
            sys.stderr.flush()

    def sink(self, place: str) -> Callable[[Fault], None]:
        """Return what writes refused accesses to a place of `--faults-to`. Raises ManagerError: it cannot."""
        kind, _, path = place.partition(":")
        if kind == "jsonl":
            return self._to_file(path)
        return self._to_journal(place) if kind == JOURNALD else self._to_set

    def _to_set(self, fault: Fault) -> None:
        from ..faults.report.out import to_slog2

        self._set.log_fields(FAULTS, *to_slog2(fault), fault.time)

    def _to_file(self, path: str) -> Callable[[Fault], None]:
        """Return what appends JSON Lines, in the names of OpenTelemetry."""
        from ..faults.report.out import json_line

        try:
            file = self._file = open(path, "a", encoding="utf-8")  # noqa: PTH123, SIM115 - until the service ends
        except OSError as error:
            raise _unwritable(error.strerror or str(error), path) from None

        def sink(fault: Fault) -> None:
            try:
                file.write(json_line(fault) + "\n")
                file.flush()
            except OSError as error:
                self("error", f"{path} cannot be written: {error.strerror}")

        return sink

    def _to_journal(self, place: str) -> Callable[[Fault], None]:
        """Return what sends messages to the journal."""
        from ..logging_backend import Slog2Error

        try:
            journal = self._journal = FaultJournal(place, wait=False)  # no journal holds up the service
        except Slog2Error as error:
            raise _unwritable(f"{error.finding.message}: {error.finding.found}", error.finding.origin.source) from None

        def sink(fault: Fault) -> None:
            number = journal.send(fault)
            if number:
                self("error", f"{journal.path} cannot be written to: {os.strerror(number)}")

        return sink


def _unwritable(why: str, path: str) -> ManagerError:
    from ..manager import ManagerError

    return ManagerError("EIO", "SERVICE-FAULTS", f"refused accesses cannot be written: {why}", path)
