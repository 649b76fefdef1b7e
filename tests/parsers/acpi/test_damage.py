"""Damaged tables: one error class or an answer, the same bytes back, bounded work."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.acpi import build_table, parse_table
from iommuman.parsers.sources import Inputs
from iommuman.topology import assemble, routes

from tests.conftest import FIXTURES, tables
from tests.damage import mutants, truncations

pytestmark = pytest.mark.damage
SIGNATURES = ("APIC", "DMAR", "FACP", "HPET", "IORT", "IVRS", "MCFG", "RIMT", "SLIT", "SRAT", "VIOT")
TABLES = tables(*SIGNATURES)


def exercise(data: bytes) -> bool:
    """Read a table, build it again and make a topology of it; tell whether it could be read."""
    try:
        table = parse_table(data, "damaged")
    except ParseError:
        return False
    assert build_table(table) == data
    assert list(table.fields())
    topology = assemble(Inputs(tables=[table]))
    for device in topology.devices.values():
        assert routes(topology, device)
    return True


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(FIXTURES).parent))
def test_every_truncation_is_answered_or_refused_in_one_way(path: Path) -> None:
    """Cut at any length, a table is either read, with a finding, or refused by the one error class."""
    data = path.read_bytes()
    for cut in truncations(data):
        assert exercise(cut) == (len(cut) >= 36)
        if len(cut) >= 36 and len(cut) != int.from_bytes(data[4:8], "little"):
            assert parse_table(cut).findings


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(FIXTURES).parent))
def test_every_mutant_is_answered(path: Path) -> None:
    """With one byte changed, a table is read, gives the same bytes back, and has at least one finding more."""
    data = path.read_bytes()
    for mutant in mutants(data):
        assert exercise(mutant)


@given(st.binary(max_size=400), st.sampled_from(SIGNATURES))
def test_any_bytes_are_answered(body: bytes, signature: str) -> None:
    """Whatever follows a header is read without any exception but ours, and comes back unchanged."""
    head = signature.encode() + (36 + len(body)).to_bytes(4, "little") + bytes(28)
    assert exercise(head + body)


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize(
    "filler", [b"\0", b"\xff", b"\x04\0", b"\x10\0", b"\x09\x10\0\0", b"\x09\0\x04\0", b"\x01\x02", b"\x80\x02"]
)
def test_large_hostile_tables_cost_time_and_memory_in_proportion(signature: str, filler: bytes) -> None:
    """The worst repeated content is read in linear time, and in a few hundred bytes of memory for each byte."""
    size = 1 << 17
    head = bytearray(signature.encode() + size.to_bytes(4, "little") + bytes(28))
    if signature == "VIOT":
        head += (0xFFFF).to_bytes(2, "little") + (48).to_bytes(2, "little") + bytes(8)
    if signature in ("IORT", "RIMT"):
        head += (0xFFFFFFFF).to_bytes(4, "little") + (48).to_bytes(4, "little") + bytes(4)
    data = bytes(head) + (filler * size)[: size - len(head)]
    tracemalloc.start()
    started = time.process_time()
    table = parse_table(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - started < 15
    assert peak < 300 * size
    assert len(table.findings) <= 1001
    assert build_table(table) == data
