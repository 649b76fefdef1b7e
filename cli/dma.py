"""`iommuman dma`: one access of a device, each structure that the unit reads for it, and the verdict."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

from . import output
from .board import Started, add_board, load_board, start_manager

if TYPE_CHECKING:
    from ..manager import Endpoint

MOST_BYTES = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
The access is made under each ID that the device sends; with --platform qemu, by a device of QEMU that stands where it
does, under the IDs that QEMU sends, four bytes a page. ADDR and LEN may be hexadecimal (0x...); without LEN it is one
byte. What is shown is what the unit reads from memory on the way, in the order in which it does.

Exit status: 0 allowed, 1 refused, in part or as a whole, 2 wrong usage, 3 a source cannot be read, or no unit is known
to control the device, 4 it is not safe to start.
"""
    add_board(parser)
    parser.add_argument("--device", required=True, metavar="DEVICE", help="as for who: 0000:03:00.0, \\_SB.X, /soc/x@1")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--read", type=_range, metavar="ADDR[,LEN]", help="read LEN bytes")
    way.add_argument("--write", type=_range, metavar="ADDR[,LEN]", help="write LEN bytes")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _range(text: str) -> tuple[int, int]:
    """Return address and length of `ADDR[,LEN]`."""
    address, _, length = text.partition(",")
    try:
        found = int(address, 0), int(length or "1", 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no address and length, such as 0x80000000,64") from None
    if not 0 <= found[0] < 1 << 64 or not 0 < found[1] <= MOST_BYTES or sum(found) > 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {MOST_BYTES} bytes within 64 bits of address")
    return found


def run(arguments: argparse.Namespace) -> int:
    """Make the access."""
    from ..topology.query import ask

    topology = load_board(arguments)
    device = ask(topology, arguments.device).device
    with closing(start_manager(topology, arguments, traced=True)) as started:
        return _run(arguments, started, device.name)


def _run(arguments: argparse.Namespace, started: Started, name: str) -> int:
    from ..manager.dma import access
    from ..manager.draw import draw_piece, piece_object

    write = arguments.write is not None
    address, length = arguments.write if write else arguments.read
    hardware = started.machine.hardware
    lines: list[str] = []
    objects = []
    refused = False
    for place in _places(started, name):
        lines.append(f"{name} as ID 0x{place.identifier:x} of {place.unit}: {'write' if write else 'read'}")
        pieces = list(access(started.machine, started.manager, place, address, length, write=write))
        lines += [f"  {line}" for piece in pieces for line in draw_piece(piece)]
        refused = refused or any(piece.physical is None for piece in pieces)
        objects.append(
            {"iommu": place.unit, "id": place.identifier, "pieces": [piece_object(piece) for piece in pieces]}
        )
    if hardware:
        lines.append(f"decided by {hardware}")
    if arguments.format == "json":
        import json

        document = {
            "format": "iommuman-dma",
            "version": 1,
            "device": name,
            "access": "write" if write else "read",
            "allowed": not refused,
            **({"hardware": hardware} if hardware else {}),
            "endpoints": objects,
        }
        output.write(json.dumps(document, indent=1) + "\n")
    else:
        output.write("\n".join(lines) + "\n")
    return output.FINDINGS if refused else output.OK


def _places(started: Started, name: str) -> list[Endpoint]:
    """Return the IDs of a device under which the board can make accesses; raises ManagerError when there is none."""
    places = started.manager.member(name).endpoints
    sent = started.machine.sent
    found = [place for place in places if sent is None or place.identifier in sent]
    if not found:
        from ..manager import ManagerError

        listed = ", ".join(f"0x{one:x}" for one in sorted(sent or ()))
        message = "no device of the machine sends an ID of this one"
        raise ManagerError("ENOENT", "PLATFORM-DEVICE", message, name, found=f"they send {listed or 'none'}")
    return found
