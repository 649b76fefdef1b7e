"""`iommuman client`: one call of a client, or a session of them from stdin."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from ..base import printable
from . import output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..manager import Access, Client, Granted, Incident, MmioId, PciId

REFUSED = 1
"""Exit status: the service, or the board, refused something."""

NO_SERVICE = 3
"""Exit status: the service cannot be reached, or does not take the client in."""

EPILOG = """\
COMMAND is one of these. Without one, commands are read from stdin, one a line, on one connection: what a client has
been granted ends with its connection, so that a single command on the command line grants nothing that stays.

  attach                          tell who the client is
  object [manual]                 make an object; manual: reserved regions are for the client to map
  destroy OBJECT                  deny its devices everything
  add OBJECT DEVICE [together]    put devices into it; together: and those that share an ID with them
  remove DEVICE [together]        take devices out
  map OBJECT RWX RANGE... [to A]  grant ranges; RWX is some of the letters r, w, x; to A: at this physical address
  unmap OBJECT RANGE...           take ranges away
  reserved DEVICE                 list its reserved regions
  watch [N]                       wait for N refused accesses (1 if not given), and show them
  status                          show what has been refused since the first watch, without waiting
  dma DEVICE read|write RANGE     let a device of the board access memory

A RANGE is ADDRESS,LENGTH, such as 0x80000000,4096. A DEVICE is a name as 'iommuman who' takes it; PCI functions with *
for any bus, device or function (0000:03:*.*, *:*.0); or mmio:ADDRESS,LENGTH.

Exit status: 0 done; 1 something was refused; 2 wrong usage; 3 the service cannot be reached, or lets this user not in.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "iommuman client --socket PATH [options] [COMMAND...]"
    parser.epilog = EPILOG
    parser.add_argument("--socket", required=True, metavar="PATH", help="of the service")
    parser.add_argument("--name", default=f"client.{os.getpid()}", help="of the client; default: client.PID")
    parser.add_argument(
        "--ability", action="append", choices=("target", "dma"), default=[], help="ask for this besides attach"
    )
    parser.add_argument("--resume", action="store_true", help="take up what a service before a restart had granted")
    parser.add_argument("words", nargs="*", metavar="COMMAND", help="see below; from stdin if not given")


def run(arguments: argparse.Namespace) -> int:
    """Carry commands out."""
    from ..manager import Client, ManagerError

    words: list[str] = arguments.words
    if words and words[0] not in COMMANDS:
        return _misused(f"there is no command {words[0]!r}")
    try:
        client = Client.connect(
            arguments.socket, arguments.name, ("attach", *dict.fromkeys(arguments.ability)), resume=arguments.resume
        )
    except ManagerError as error:
        sys.stderr.write(f"iommuman: {error.reason}: {printable(str(error))}\n")
        return NO_SERVICE
    with client:
        shell = _Shell(client, f"{arguments.name} with {', '.join(('attach', *arguments.ability))}")
        if words:
            status, text = shell.line(words)
            if status == output.USAGE:
                return _misused(text)
            output.write(text)
            return status
        return _converse(shell)


def _misused(text: str) -> int:
    sys.stderr.write(f"iommuman client: {printable(text)}; see 'iommuman client --help'\n")
    return output.USAGE


def _converse(shell: _Shell) -> int:
    """Carry out the lines of stdin, and answer each at once; the worst status is that of all."""
    worst = output.OK
    for one in shell.client.objects:
        output.write(f"object {one.object} again: {', '.join(one.devices) or 'no device'}, {one.mappings} ranges\n")
    sys.stdout.flush()
    for line in sys.stdin or ():  # None: closed by whoever started us
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        status, text = shell.line(words) if words[0] in COMMANDS else (output.USAGE, f"no command {words[0]!r}")
        output.write(f"error: {printable(text)}\n" if status == output.USAGE else text)
        sys.stdout.flush()
        worst = max(worst, status)
        if status == NO_SERVICE:
            break
    return worst


class _Shell:
    """Carries out commands on one client."""

    def __init__(self, client: Client, who: str) -> None:
        self.client = client
        self.who = who

    def line(self, words: Sequence[str]) -> tuple[int, str]:
        """Return the exit status of a command, and what to show."""
        from ..manager import ManagerError

        try:
            return COMMANDS[words[0]](self, *words[1:])
        except ManagerError as error:
            status = NO_SERVICE if error.reason == "ENOTCONN" else REFUSED
            return status, f"refused: {error.reason}: {printable(str(error))}\n"
        except (TypeError, ValueError) as error:
            # Too few or many words, or a word that is no number.
            return output.USAGE, f"{' '.join(words)}: {error}" if isinstance(error, ValueError) else _usage(words[0])

    def attach(self) -> tuple[int, str]:
        return output.OK, f"attached as {printable(self.who)}\n"

    def object(self, manual: str = "") -> tuple[int, str]:
        if manual not in ("", "manual"):
            raise ValueError(f"{manual} is not 'manual'")
        return output.OK, f"object {self.client.create_object(manual_reserved=bool(manual))}\n"

    def destroy(self, number: str) -> tuple[int, str]:
        self.client.destroy_object(_number(number))
        return output.OK, "done\n"

    def add(self, number: str, device: str, together: str = "") -> tuple[int, str]:
        added = self.client.add_device(_number(number), _device(device), together=_together(together))
        return output.OK, f"added {', '.join(added.devices)}{' (+1)' if added.remap else ''}\n"

    def remove(self, device: str, together: str = "") -> tuple[int, str]:
        removed = self.client.remove_device(_device(device), together=_together(together))
        return output.OK, f"removed {', '.join(removed.devices)}\n"

    def map(self, number: str, letters: str, *ranges: str) -> tuple[int, str]:
        target = None
        if len(ranges) > 1 and ranges[-2] == "to":
            target, ranges = _number(ranges[-1]), ranges[:-2]
        access = _access(letters)
        granted = self.client.map(_number(number), _ranges(ranges), access, target=target)
        return output.OK, "".join(_granted(one, access) for one in granted)

    def unmap(self, number: str, *ranges: str) -> tuple[int, str]:
        from ..manager import Access

        gone = self.client.map(_number(number), _ranges(ranges), Access.NONE)
        return output.OK, "".join(f"taken away {_extent(one.start, one.length)}\n" for one in gone)

    def reserved(self, device: str) -> tuple[int, str]:
        regions = self.client.reserved(_device(device))
        return output.OK, "".join(f"{_extent(*one)}\n" for one in regions) or "none\n"

    def watch(self, count: str = "1") -> tuple[int, str]:
        import select

        for _ in range(_number(count)):
            descriptor = self.client.notify_fd()
            while (found := self.client.status()) is None:
                select.select([descriptor], [], [])
                descriptor = self.client.notify_fd()
            output.write(_incident(found))
            sys.stdout.flush()
        return output.OK, ""

    def status(self) -> tuple[int, str]:
        found = iter(self.client.status, None)
        return output.OK, "".join(_incident(one) for one in found if one is not None) or "none\n"

    def dma(self, device: str, way: str, where: str) -> tuple[int, str]:
        if way not in ("read", "write"):
            raise ValueError(f"{way} is neither read nor write")
        ((start, length),) = _ranges((where,))
        verdict = self.client.dma(_device(device), start, length, write=way == "write")
        if verdict.allowed:
            return output.OK, f"allowed: 0x{start:x} is physical 0x{verdict.physical or 0:x}\n"
        return REFUSED, f"refused at 0x{verdict.refused or 0:x}\n"


COMMANDS: dict[str, Callable[..., tuple[int, str]]] = {
    "attach": _Shell.attach,
    "object": _Shell.object,
    "destroy": _Shell.destroy,
    "add": _Shell.add,
    "remove": _Shell.remove,
    "map": _Shell.map,
    "unmap": _Shell.unmap,
    "reserved": _Shell.reserved,
    "watch": _Shell.watch,
    "status": _Shell.status,
    "dma": _Shell.dma,
}


def _usage(command: str) -> str:
    lines = [line.strip() for line in EPILOG.splitlines() if line.startswith(f"  {command} ")]
    return f"usage: {' '.join(lines[0].split())}" if lines else command


def _number(text: str) -> int:
    number = int(text, 0)
    if number < 0:
        raise ValueError(f"{text} is negative")
    return number


def _ranges(words: Sequence[str]) -> list[tuple[int, int]]:
    found = []
    for word in words:
        start, comma, length = word.partition(",")
        if not comma:
            raise ValueError(f"{word} is no ADDRESS,LENGTH")
        found.append((_number(start), _number(length)))
    if not found:
        raise ValueError("no range is given")
    return found


def _access(letters: str) -> Access:
    from ..manager import Access

    flags = {"r": Access.READ, "w": Access.WRITE, "x": Access.EXEC}
    access = Access.NONE
    for letter in letters:
        if letter not in flags:
            raise ValueError(f"{letters} is not made of r, w and x")
        access |= flags[letter]
    return access


def _together(word: str) -> bool:
    if word not in ("", "together"):
        raise ValueError(f"{word} is not 'together'")
    return bool(word)


def _device(word: str) -> str | PciId | MmioId:
    from ..manager import MmioId

    if word.startswith("mmio:"):
        ((start, length),) = _ranges((word[5:],))
        return MmioId(start, length)
    return _functions(word) if "*" in word else word


def _functions(word: str) -> PciId:
    """Return PCI functions by an address with `*` in it."""
    from ..manager import PciId

    head, colon, tail = word.rpartition(":")
    device, dot, function = tail.partition(".")
    segment, _, bus = head.rpartition(":")
    if not (colon and dot) or segment == "*":
        raise ValueError(f"{word} is no SSSS:BB:DD.F or BB:DD.F with * for some of BB, DD, F")
    bus_number, device_number, function_number = (
        None if part == "*" else int(part, 16) for part in (bus, device, function)
    )
    return PciId(bus_number, device_number, function_number, int(segment or "0", 16))


def _extent(start: int, length: int) -> str:
    return f"0x{start:x}-0x{start + length - 1:x}"


def _granted(granted: Granted, asked: Access) -> str:
    text = f"granted {_extent(granted.start, granted.length)} {(asked | granted.widened).words}"
    if granted.beyond:
        text += f"; beyond what was asked, by rounding: {', '.join(_extent(*one) for one in granted.beyond)}"
    if granted.widened:
        text += f"; the unit cannot grant {asked.words} without {granted.widened.words}"
    return text + "\n"


def _incident(incident: Incident) -> str:
    lost = " (records before this one were lost)" if incident.dropped else ""
    return f"{printable(str(incident))}{lost}; record {incident.refusal.raw.hex()}\n"
