"""`iommuman capture`: saves what a machine's `/sys` says to a folder, which can then be read anywhere."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import output

if TYPE_CHECKING:
    from ..parsers.sources import Inputs


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = """\
The folder gets one <SIGNATURE>.bin for each ACPI table (<SIGNATURE>1.bin, … when there are several), board.dtb when the
machine has a device tree, pci.json, and iomem.txt, which is the memory map. Files that are there already are not
written over. Run it as root: other users may read neither the tables nor all of PCI configuration space.

Exit status: 0 saved, 1 saved but something could not be read (on stderr), 2 wrong usage, 3 nothing could be saved.
"""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to save; made when it is not there")
    parser.add_argument(
        "--sys", type=Path, default=Path("/sys"), metavar="DIR", help="a copy of /sys to read; default: this machine's"
    )


def run(arguments: argparse.Namespace) -> int:
    """Save the machine."""
    from ..base import Finding, Origin
    from ..parsers import ParseError
    from ..parsers.folders import is_sys_tree
    from ..parsers.sources import read_sources

    if not is_sys_tree(str(arguments.sys)):
        text = "this is no /sys tree: it has no firmware tables, device tree or PCI functions"
        advice = "name /sys or a copy of it"
        if arguments.sys.is_file():
            text, advice = "this is a file, and no /sys tree", "name a folder; an archive has to be unpacked before"
        raise ParseError(Finding("CAPTURE-SYS", "error", Origin(str(arguments.sys)), text, advice=advice))
    inputs = read_sources([str(arguments.sys)])
    try:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for name, data in _files(inputs, arguments.sys):
            with (arguments.folder / name).open("xb") as file:
                file.write(data)
            output.write(f"{name}  {len(data)} bytes\n")
    except OSError as error:
        where = Origin(str(error.filename or arguments.folder))
        text = f"this cannot be written: {error.strerror or error}"
        raise ParseError(Finding("CAPTURE-WRITE", "error", where, text, advice="name a new folder")) from error
    pci_findings = [finding for pci in inputs.pci for finding in pci.findings]
    return output.report([*inputs.findings, *pci_findings], inputs.passed_over)


def _files(inputs: Inputs, root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of the board."""
    from ..parsers.files import read_file
    from ..parsers.folders import DEVICE_TREE

    for table in inputs.tables:
        from ..parsers.acpi import build_table

        # Linux numbers the files when a signature comes several times: the name in /sys is kept.
        yield f"{Path(table.source).name}.bin", build_table(table)
    if inputs.trees:
        yield "board.dtb", read_file(str(root / DEVICE_TREE))
    for pci in inputs.pci:
        from ..parsers.pci import build_pci

        if pci.functions:
            yield "pci.json", build_pci(pci.functions.values())
    if inputs.memory:
        from ..parsers.memory_map import build_iomem

        yield "iomem.txt", build_iomem(inputs.memory)
