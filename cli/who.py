"""`iommuman who`: the IOMMU and IDs of a device; the devices of an ID; what an address falls in."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..base import printable
from . import output

if TYPE_CHECKING:
    from ..topology import Topology

DEVICES = """\
A DEVICE is a PCI function (0000:02:01.0, or 02:01.0 for segment 0), an ACPI path (\\_SB.USB0), the path of a
device-tree node (/soc/usb@1000), ioapic:N or hpet:N, or the last part of a path when only one device has it. A function
of a PCI host bridge whose segment no source tells is HOST/02:01.0. Numbers may be hexadecimal (0x…).

"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "iommuman who [options] SOURCE... DEVICE | --sid N [--iommu NAME] SOURCE... | --address A SOURCE..."
    parser.epilog = DEVICES + output.EPILOG
    parser.add_argument("words", nargs="+", metavar="SOURCE... DEVICE", help="what to read, then whom to ask for")
    parser.add_argument("--sid", type=_number, metavar="N", help="ask who sends this stream ID or source ID")
    parser.add_argument("--iommu", metavar="NAME", help="the IOMMU that --sid is meant for, if there are several")
    parser.add_argument("--address", type=_number, metavar="A", help="ask what this address falls in")
    parser.add_argument("--cost", action="store_true", help="of a device: what memory its reserved regions cost")
    output.add_configurations(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    parser.set_defaults(fail=parser.error)


def _number(text: str) -> int:
    """Return a number, decimal or with 0x."""
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number; write it in decimal, or in hexadecimal as 0x…")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Answer the question."""
    from ..topology.load import load_topology
    from ..topology.query import TopologyError

    asks_device = arguments.sid is None and arguments.address is None
    words = arguments.words
    if arguments.sid is not None and arguments.address is not None:
        arguments.fail("--sid and --address are two questions; ask one at a time")
    if arguments.iommu is not None and arguments.sid is None:
        arguments.fail("--iommu goes with --sid")
    if arguments.cost and not asks_device:
        arguments.fail("--cost goes with a DEVICE")
    if asks_device and len(words) == 1 and not (arguments.config or arguments.board_module):
        arguments.fail("name at least one SOURCE and, last, the DEVICE")
    topology = load_topology(
        words[:-1] if asks_device else words, arguments.config, keep=arguments.keep,
        board_module=arguments.board_module, named=True,
    )  # fmt: skip
    as_json = arguments.format == "json"
    if asks_device:
        try:
            text = _device(topology, words[-1], as_json, arguments.cost)
        except TopologyError as error:
            arguments.fail(printable(str(error)))
    elif arguments.sid is not None:
        text = _senders(topology, _unit(topology, arguments), arguments.sid, as_json)
    else:
        text = _places(topology, arguments.address, as_json)
    output.write(text)
    return output.report(topology.findings)


def _device(topology: Topology, name: str, as_json: bool, costs: bool) -> str:  # noqa: FBT001
    from ..topology.draw import who
    from ..topology.query import ask

    answer = ask(topology, name)
    return who.answer_json(answer, costs=costs) if as_json else who.draw_answer(answer, costs=costs)


def _unit(topology: Topology, arguments: argparse.Namespace) -> str:
    """Return the name of the IOMMU that --sid is meant for."""
    names = list(topology.iommus)
    wanted = arguments.iommu
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in topology.iommus:
        known = printable(", ".join(names)) or "none"
        arguments.fail(f"--iommu NAME must name one of the IOMMUs of the sources: {known}")
    return str(wanted)


def _senders(topology: Topology, unit: str, stream: int, as_json: bool) -> str:  # noqa: FBT001
    from ..topology.draw import who
    from ..topology.senders import senders

    found = senders(topology, unit, stream)
    return who.senders_json(unit, stream, found) if as_json else who.draw_senders(unit, stream, found)


def _places(topology: Topology, address: int, as_json: bool) -> str:  # noqa: FBT001
    from ..topology.draw import who
    from ..topology.query import at_address

    found = at_address(topology, address)
    return who.places_json(address, found) if as_json else who.draw_places(address, found)
