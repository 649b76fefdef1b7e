"""`iommuman prove`: what every device reaches, read back from the programmed bits, beside what it was granted."""

from __future__ import annotations

import argparse
from contextlib import closing

from ..base import printable
from . import output
from .board import add_board, load_board, start_manager

INCOMPLETE = (
    "INCOMPLETE: no PCI topology was given; PCI functions that no other source names are not among these devices "
    "('iommuman capture' writes one)"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
The board's units are simulated bit for bit, or emulated by QEMU (--platform qemu), and programmed by the drivers that
program hardware; then their tables and registers are read back, independently of the drivers, and every device is held
to what it was granted. What is proved is said of the devices that the sources name: without a PCI topology the first
line says so (JSON: "complete").

Exit status: 0 every device reaches exactly what it was granted, 1 some device does not (one that no IOMMU restricts
reaches all of memory) or a step of the scenario is not as it expects, 2 wrong usage, 3 a source cannot be read, 4 it is
not safe to start.
"""
    add_board(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def run(arguments: argparse.Namespace) -> int:
    """Start the manager and prove what devices reach."""
    from ..manager.draw import draw_memory, draw_proofs, proof_object
    from ..manager.prove import prove

    topology = load_board(arguments)
    with closing(start_manager(topology, arguments)) as started:
        proofs = list(prove(started.machine, started.manager))
    unrestricted = started.manager.survey.unrestricted
    lacks_functions = bool(topology.roots) and not topology.pci
    if arguments.format == "json":
        import json

        document = {
            "format": "iommuman-proof",
            "version": 1,
            "proofs": [proof_object(proof) for proof in proofs],
            "complete": not lacks_functions,
            "unrestricted": [{"device": name, "reason": reason} for name, reason in unrestricted],
        }
        output.write(json.dumps(document, indent=1) + "\n")
    else:
        lines = [INCOMPLETE] if lacks_functions else []
        lines += [printable(f"UNRESTRICTED: {name} reaches all of memory: {reason}") for name, reason in unrestricted]
        lines += draw_proofs(proofs)
        memory = draw_memory(proofs)
        if memory:
            lines += ["", "physical memory that devices reach", *(f"  {line}" for line in memory)]
        output.write("\n".join(lines) + "\n")
    holds = started.as_expected and not unrestricted and all(proof.holds for proof in proofs)
    return output.OK if holds else output.FINDINGS
