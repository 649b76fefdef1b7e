"""What fuzzing begins with: the fixtures, and inputs that it found once."""

from __future__ import annotations

import ast
import bz2
import gzip
import re
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from iommuman.faults.from_log import from_log
from iommuman.faults.report.out import json_line
from iommuman.parsers.devicetree import DeviceTree, Node, Property, build_devicetree
from iommuman.parsers.kernel_log import read_kernel_log

from tests.conftest import FIXTURES, ROOT
from tests.logging_backend.test_damage import image
from tests.manager.test_damage import SEEDS
from tests.parsers.acpi.test_sdt import sealed

from .targets import KINDS, MOST

FINDS = Path(__file__).parent / "finds"
"""A folder for each target, with the smallest input of each bug that fuzzing found."""

_TESTS = ROOT / "tests"
_FILES = {
    "asl": ("fixtures/**/*.asl",),
    "board_module": ("parsers/boards/*.toml",),
    "configuration": ("fixtures/**/*.smmu", "tests/parsers/smmu_config/bad_lines.txt"),
    "devicetree": ("fixtures/**/*.dtb",),
    "kernel_log": ("fixtures/**/faults.log", "tests/parsers/kernel_log/lines/*.txt"),
    "pci": ("fixtures/**/pci.json",),
    "scenario": ("fixtures/scenarios/*.toml",),
}
_WORDS = re.compile(r"[0-9A-Fa-fx\[\]_]{3,}(?:[ ,:=][ =0-9A-Za-z_\[\]x,]*)+")


def finds(target: str) -> list[Path]:
    """Return the inputs that fuzzing found for a target."""
    return sorted((FINDS / target).iterdir()) if (FINDS / target).is_dir() else []


def seeds(target: str) -> list[bytes]:
    """Return what fuzzing of a target begins with, each content once, the smallest first."""
    found = {path.read_bytes() for path in finds(target)} | set(_fixtures(target))
    return sorted((one for one in found if len(one) <= MOST), key=lambda one: (len(one), one))


def _fixtures(target: str) -> Iterator[bytes]:
    if target.upper() in KINDS:
        yield from (path.read_bytes() for path in FIXTURES.rglob(f"{target.upper()}.bin"))
        yield target.upper().encode() + (64).to_bytes(4, "little") + bytes(56)
    for pattern in _FILES.get(target, ()):
        yield from (path.read_bytes() for path in ROOT.glob(pattern))
    yield from _MADE.get(target, _nothing)()


def _nothing() -> Iterator[bytes]:
    return iter(())


def _dumps() -> Iterator[bytes]:
    """Yield tables as acpidump writes them."""
    for kind in ("HPET", "MCFG", "VIOT"):
        data = min((path.read_bytes() for path in FIXTURES.rglob(f"{kind}.bin")), key=len)
        rows = (
            f"  {at:04X}: {data[at : at + 16].hex(' ').upper():<47}  {'.' * len(data[at : at + 16])}\n"
            for at in range(0, len(data), 16)
        )
        yield f"{kind} @ 0x0000000000000000\n{''.join(rows)}\n".encode()


def _maps() -> Iterator[bytes]:
    yield b"00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\nfed90000-fed90fff : dmar0\n"
    yield b"40000000-13fffffff : System RAM\n  40210000-41c6ffff : Kernel code\n  41c70000-4233ffff : reserved\n"


def _json_lines() -> Iterator[bytes]:
    for path in FIXTURES.rglob("faults.log"):
        faults = from_log(read_kernel_log(BytesIO(path.read_bytes()), name="a", year=2024))
        yield "\n".join(json_line(fault) for fault, _ in zip(faults, range(4), strict=False)).encode()


def _messages() -> Iterator[bytes]:
    yield from (make(1, 3)[4:] for make in SEEDS)
    yield b'{"serial":1,"result":{"object":3}}'
    yield b'{"notice":"incident"}'
    yield b'{"serial":1,"error":{"reason":"EBUSY","rule":"MANAGER-BUSY","message":"it is taken"}}'


def _pasted() -> Iterator[bytes]:
    """Yield the words and registers that the tests of these readers have."""
    for name in ("words", "registers"):
        for node in ast.walk(ast.parse((_TESTS / f"faults/raw/test_{name}.py").read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORDS.search(node.value):
                yield node.value.encode()


def _slog2() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        yield image(Path(folder) / "whole")


def _small() -> dict[str, bytes]:
    """Return the smallest fixture of some kinds, by the name of its file."""
    kinds = ("HPET.bin", "MCFG.bin", "VIOT.bin", "board.dtb", "pci.json")
    return {kind: min((path.read_bytes() for path in FIXTURES.rglob(kind)), key=len) for kind in kinds}


def _containers() -> Iterator[bytes]:
    """Yield the same small files in every container, and one container in another."""
    small = _small()
    for mode in ("w:", "w:gz", "w:xz"):
        file = BytesIO()
        with tarfile.open(fileobj=file, mode=mode) as tar:
            for name, data in small.items():
                entry = tarfile.TarInfo(f"board/{name}")
                entry.size = len(data)
                tar.addfile(entry, BytesIO(data))
        yield file.getvalue()
    inner = file.getvalue()
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in (*small.items(), ("inner.tar.xz", inner)):
                archive.writestr(f"board/{name}", data)
        yield file.getvalue()
    yield gzip.compress(small["MCFG.bin"], mtime=0)
    yield bz2.compress(small["HPET.bin"])
    yield small["HPET.bin"] + small["MCFG.bin"] + small["VIOT.bin"]
    yield small["board.dtb"] * 2
    yield next(_dumps()).decode().encode("utf-16")


def _images() -> Iterator[bytes]:
    """Yield an image with a root pointer, an XSDT and two tables."""
    small = _small()
    places = 0x200, 0x400
    listed = b"".join(place.to_bytes(8, "little") for place in places)
    image = bytearray(0x600)
    for place, data in zip(
        (0x100, *places), (sealed(b"XSDT", listed), small["HPET.bin"], small["MCFG.bin"]), strict=True
    ):
        image[place : place + len(data)] = data
    image[0x40:0x64] = struct.pack("<8s7sBIIQ4x", b"RSD PTR ", b"\0FUZZ  ", 2, 0, 36, 0x100)
    yield bytes(image)


def _overlays() -> Iterator[bytes]:
    """Yield a base and an overlay that enables a node of it by its label, and adds a property."""
    base = _tree(
        ("__symbols__", {"uart": b"/soc/serial@0\0"}, ()),
        ("soc", {}, (("serial@0", {"status": b"disabled\0", "phandle": b"\0\0\0\5"}, ()),)),
    )
    overlay = _tree(
        ("fragment@0", {"target": b"\xff\xff\xff\xff"}, (("__overlay__", {"status": b"okay\0"}, ()),)),
        ("__fixups__", {"uart": b"/fragment@0:target:0\0"}, ()),
    )
    yield base + overlay
    yield overlay + base


def _tree(*nodes: tuple[str, dict[str, bytes], tuple[Any, ...]]) -> bytes:
    """Return the blob of a tree with these nodes: name, properties, and the nodes below."""
    root = Node("/")
    todo = [(root, one) for one in nodes]
    while todo:
        above, (name, properties, below) = todo.pop()
        node = Node(name)
        above.append(node)
        for key, raw in properties.items():
            node.append(Property(key, raw))
        todo += [(node, one) for one in below]
    return build_devicetree(DeviceTree("", root, (), {}))


_MADE: dict[str, Callable[[], Iterator[bytes]]] = {
    "acpidump": _dumps,
    "container": _containers,
    "iomem": _maps,
    "json_lines": _json_lines,
    "memory_image": _images,
    "messages": _messages,
    "overlays": _overlays,
    "pasted": _pasted,
    "slog2": _slog2,
}
