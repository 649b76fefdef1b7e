"""What is fuzzed: for each kind of input a function that takes bytes and raises when a promise is broken.

The promises: nothing but the layer's one error class leaves, what was read can be written again, and what was written
is read as the same. Hangs and memory are watched by whoever calls these.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from iommuman.base import Origin, printable
from iommuman.faults import FaultError
from iommuman.faults.explain import explain
from iommuman.faults.from_log import from_log
from iommuman.faults.raw import from_queue, from_registers, from_words
from iommuman.faults.raw.queue import ARCHITECTURES
from iommuman.faults.report.out import from_json_lines, json_line
from iommuman.manager import ManagerError
from iommuman.manager.protocol import checked, parse, read_reply, read_request, request
from iommuman.parsers import ParseError
from iommuman.parsers.acpi import build_table, is_table, parse_table, read_body, seal_table
from iommuman.parsers.acpi.acpidump import is_acpidump, parse_acpidump
from iommuman.parsers.acpi.asl import read_asl
from iommuman.parsers.board_module import parse_board_module
from iommuman.parsers.containers.memory_image import BytesImage, has_pointer, read_image
from iommuman.parsers.containers.trees import trees_in
from iommuman.parsers.content import read_content
from iommuman.parsers.devicetree import DeviceTree, build_devicetree, read_devicetree
from iommuman.parsers.devicetree.overlays import apply_overlays
from iommuman.parsers.kernel_log import parse_boot_log, read_kernel_log
from iommuman.parsers.memory_map import build_iomem, has_memory_log, is_iomem, parse_iomem, parse_memory_log
from iommuman.parsers.pci import build_pci, parse_pci
from iommuman.parsers.scenario import parse_scenario
from iommuman.parsers.smmu_config import (
    format_configuration,
    is_configuration,
    parse_configuration,
    write_configuration,
)
from iommuman.parsers.sources import Inputs
from iommuman.topology import Topology, assemble, routes
from iommuman.topology.check import Board, check
from iommuman.topology.diff.changes import diff
from iommuman.topology.diff.picture import picture
from iommuman.topology.draw.check import draw_check, draw_check_json
from iommuman.topology.draw.json import draw_json
from iommuman.topology.draw.sarif import draw_sarif
from iommuman.topology.draw.tree import draw_tree
from iommuman.topology.suggest import suggest, suggestion_text

from tests.logging_backend.test_damage import examine, mend

KINDS = ("APIC", "DMAR", "HPET", "IORT", "IVRS", "MCFG", "RIMT", "SRAT", "VIOT")
"""Tables whose bodies are read."""

MOST = 1 << 16
"""Bytes of an input that are looked at, so that one that is slow is slow for its content."""

_POINTER = b"RSD PTR "

Target = Callable[[bytes], None]


def table(kind: str, data: bytes) -> None:
    """Read a table of this kind, write it, seal it, and ask everything of the board that it makes."""
    data = kind.encode() + data[4:MOST]
    is_table(data)
    try:
        found = parse_table(data, "fuzz")
    except ParseError:
        assert len(data) < 36
        return
    assert build_table(found) == data
    assert sum(field.size for field in found.fields()) >= 36
    sealed = build_table(seal_table(found))
    again = parse_table(sealed, "fuzz")
    assert build_table(again) == sealed
    assert not {"ACPI-CHECKSUM", "ACPI-TRAILING"} & {finding.rule for finding in again.findings}
    late = read_body(parse_table(data, "fuzz", neighbours=False))
    assert (late.body, set(late.findings)) == (found.body, set(found.findings))
    _board(Inputs(tables=[found]))


def tree(data: bytes) -> None:
    """Read a device tree, write it, read that, and ask everything of the board that it makes."""
    try:
        found = read_devicetree(data[:MOST], "fuzz")
    except ParseError:
        return
    image = build_devicetree(found)
    again = read_devicetree(image, "fuzz")
    assert build_devicetree(again) == image
    assert _content(again) == _content(found)
    _board(Inputs(trees=[found]))


def _content(found: DeviceTree) -> list[tuple[str, list[tuple[str, bytes]]]]:
    return [(node.name, [(one.name, one.raw) for one in node.properties.values()]) for node in found.nodes]


def _board(inputs: Inputs) -> None:
    """Ask everything of a board."""
    board = Board.of(inputs)
    topology: Topology = board.topology
    for device in topology.devices.values():
        assert routes(topology, device)
    findings = check(board)
    for draw in (draw_check, draw_check_json, draw_sarif):
        assert draw(board, findings)
    for finding in (*findings, *topology.findings):
        printable(str(finding))
    draw_tree(topology, provenance=True)
    draw_json(topology)
    shown = picture(topology)
    assert not diff(shown, shown)
    text = suggestion_text(suggest(topology))
    assert not parse_configuration(text, "", _no_files).findings


def acpidump(data: bytes) -> None:
    """Read the text of acpidump, and the tables in it."""
    is_acpidump(data)
    dumped, _ = parse_acpidump(data[:MOST], "fuzz")
    for one in dumped:
        if is_table(one.data):
            assert build_table(parse_table(one.data, "fuzz", neighbours=False)) == one.data


def container(data: bytes) -> None:
    """Read whatever file this is, archives, packed files, tables and trees after each other among them."""
    found = Inputs()
    with suppress(ParseError):
        read_content(data[:MOST], "fuzz", found)
    for one in found.tables:
        assert len(build_table(one)) == one.size + len(one.trailing)
    assemble(found)


def memory_image(data: bytes) -> None:
    """Follow the root pointer of an image of memory, as it is and with the sums of its pointers made right."""
    mended = bytearray(data[:MOST])
    place = mended.find(_POINTER)
    while place >= 0 and place + 36 <= len(mended):
        for at, size in ((place + 8, 20), (place + 32, 36)):
            mended[at] = (mended[at] - sum(mended[place : place + size])) & 0xFF
        place = mended.find(_POINTER, place + 8)
    for image in (BytesImage(data[:MOST]), BytesImage(bytes(mended))):
        has_pointer(image)
        for address, one in read_image(image, "fuzz", []) or ():
            assert image.read(address, len(one)) == one
            parse_table(one)


def overlays(data: bytes) -> None:
    """Read the device trees that stand after each other, and apply the overlays among them."""
    trees = []
    for _, blob in trees_in(data[:MOST]):
        with suppress(ParseError):
            trees.append(read_devicetree(blob, "fuzz"))
    applied, _ = apply_overlays(trees)
    for one in applied:
        again = read_devicetree(build_devicetree(one), "fuzz")
        assert _content(again) == _content(one)
    assemble(Inputs(trees=applied))


def asl(data: bytes) -> None:
    """Read what iasl writes of a DSDT."""
    read_asl(data[:MOST].decode("utf-8", "replace"), {})


def configuration(data: bytes) -> None:
    """Read a configuration, lay it out, write what was read, and read that as the same."""
    is_configuration(data)
    text = data[:MOST].decode("utf-8", "replace")
    found = parse_configuration(text, "fuzz", _no_files)
    with suppress(ParseError):
        laid_out = format_configuration(text, "fuzz")
        if not found.findings:
            assert not parse_configuration(laid_out, "fuzz", _no_files).findings
    written = write_configuration(found)
    again = parse_configuration(written, "", _no_files)
    assert not again.findings
    assert write_configuration(again) == written
    assemble(Inputs(configurations=[found]))


def _no_files(path: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", path)


def board_module(data: bytes) -> None:
    """Read a board module and lay it over nothing."""
    with suppress(ParseError):
        assemble(Inputs(modules=[parse_board_module(data[:MOST], "fuzz")]))


def scenario(data: bytes) -> None:
    """Read a scenario."""
    with suppress(ParseError):
        parse_scenario(data[:MOST].decode("utf-8", "replace"), "")


def kernel_log(data: bytes) -> None:
    """Read the faults of a log and explain them, and read what a log says of a board."""
    data = data[:MOST]
    for read in (_explained, parse_boot_log, parse_memory_log):
        with suppress(ParseError):
            read(data)
    has_memory_log(data)


def _explained(data: bytes) -> None:
    log = read_kernel_log(io.BytesIO(data), name="fuzz", year=2024)
    for fault in from_log(log):
        assert explain(fault)
        (again,) = from_json_lines([json_line(fault)], "fuzz", _fail)
        assert json_line(again) == json_line(fault)


def _fail(finding: object) -> None:
    raise AssertionError(finding)


def iomem(data: bytes) -> None:
    """Read a memory map, write it, and read that as the same."""
    is_iomem(data)
    ranges, _ = parse_iomem(data[:MOST], "fuzz")
    again, findings = parse_iomem(build_iomem(ranges), "fuzz")
    assert [(one.start, one.length) for one in again] == [(one.start, one.length) for one in ranges]
    assert not findings or not ranges  # of an empty map, it is said that there is nothing in it


def json_lines(data: bytes) -> None:
    """Read faults from JSON Lines, and explain them."""
    for fault in from_json_lines(data[:MOST].decode("utf-8", "replace").splitlines(), "fuzz", lambda _: None):
        assert explain(fault)
        json_line(fault)


def pasted(data: bytes) -> None:
    """Read pasted words and registers, of every architecture, and the same bytes as the dump of a queue."""
    text = data[:MOST].decode("utf-8", "replace")
    for architecture in ("", *ARCHITECTURES):
        with suppress(FaultError):
            for one in from_words(text, architecture=architecture):
                assert explain(one.fault)
    with suppress(FaultError):
        for fault in from_registers(text).faults:
            assert explain(fault)
    for architecture in ARCHITECTURES:
        for fault in from_queue(data[:1024], architecture).faults:
            assert explain(fault)


def pci(data: bytes) -> None:
    """Read a PCI topology, write it, read that as the same, and make a board of it."""
    try:
        found = parse_pci(data[:MOST], "fuzz")
    except ParseError:
        return
    image = build_pci(found.functions.values())
    again = parse_pci(image, "fuzz")
    assert not again.findings
    assert build_pci(again.functions.values()) == image
    place = Origin("")
    assert {replace(one, origin=place) for one in again.functions.values()} == {
        replace(one, origin=place) for one in found.functions.values()
    }
    _board(Inputs(pci=[found]))


def slog2(data: bytes) -> None:
    """Read a file of slog2 in every way there is, as it is and with its checks made right."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112, S108
        path = Path(folder) / "fuzz.1"
        path.write_bytes(data[:MOST])
        examine(path)
        mended = bytearray(data[:MOST])
        mend(mended)
        path.write_bytes(mended)
        examine(path)


def messages(data: bytes) -> None:
    """Read a message of the manager's protocol as a request and as a reply; a request is written as the same."""
    with suppress(ManagerError):
        parse(data[:MOST])
    with suppress(ManagerError):
        serial, call = read_request(data[:MOST])
        if not isinstance(call, ManagerError):
            assert checked(call) == call
            assert read_request(request(serial, call)[4:]) == (serial, call)
    with suppress(ManagerError):
        read_reply(data[:MOST])


TARGETS: dict[str, Target] = {
    **{kind.lower(): partial(table, kind) for kind in KINDS},
    "acpidump": acpidump,
    "asl": asl,
    "board_module": board_module,
    "configuration": configuration,
    "container": container,
    "devicetree": tree,
    "iomem": iomem,
    "json_lines": json_lines,
    "kernel_log": kernel_log,
    "memory_image": memory_image,
    "messages": messages,
    "overlays": overlays,
    "pasted": pasted,
    "pci": pci,
    "scenario": scenario,
    "slog2": slog2,
}
"""All targets by name."""
