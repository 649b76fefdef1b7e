"""What fuzzing begins with: the fixtures, and inputs that it found once."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import FIXTURES, ROOT
from tests.logging_backend.test_damage import image
from tests.manager.test_damage import SEEDS

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
    yield from {"acpidump": _dumps, "iomem": _maps, "json_lines": _json_lines, "messages": _messages,
                "pasted": _pasted, "slog2": _slog2}.get(target, _nothing)()  # fmt: skip


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
    from io import BytesIO

    from iommuman.faults.from_log import from_log
    from iommuman.faults.report.out import json_line
    from iommuman.parsers.kernel_log import read_kernel_log

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
