"""Our reading of tables against that of `iasl -d`: the same value at the same offset, for every field it lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iommuman.parsers.acpi import parse_table

from tests.conftest import HANDMADE, corpus_files, tables
from tests.oracles.iasl import listings

from . import test_hpet, test_ivrs, test_madt, test_slit, test_srat
from .agreement import Score, compare
from .test_sdt import golden, sealed

SIGNATURES = ("APIC", "DMAR", "FACP", "HPET", "IORT", "IVRS", "MCFG", "SLIT", "SRAT")
CUT_ALIKE = {"ACPI-CHECKSUM", "ACPI-TRAILING"}
"""Findings that do not keep iasl and us from cutting a table into the same fields."""


def judge(paths: list[Path], workdir: Path) -> tuple[Score, int]:
    """Return the score over all tables, and the number of those that both of us could read."""
    total = Score()
    read = 0
    for path, listing in listings(paths, workdir).items():
        assert not listing.unread, (path, listing.unread)
        table = parse_table(path.read_bytes(), str(path))
        alike = all(finding.rule in CUT_ALIKE for finding in table.findings)
        score = compare(table, listing.fields, names=alike)
        read += bool(listing.fields)
        total.equal += score.equal
        total.bits += score.bits
        total.unknown_to_iasl += score.unknown_to_iasl
        total.differences += score.differences
    return total, read


def test_every_field_of_every_fixture_equals_iasl(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """Each field that iasl lists for a well-formed fixture has the same bytes and the same meaning in our records."""
    need_tool("iasl", "acpica-tools")
    paths = [path for path in tables(*SIGNATURES) if HANDMADE / "damaged" not in path.parents]
    score, read = judge(paths, tmp_path)
    assert not score.differences
    assert read == len(paths)
    assert score.equal > 1500
    assert score.bits > 200


GOLDEN = {
    "APIC": (test_madt.TABLE, test_madt.LATER),
    "HPET": (test_hpet.TABLE,),
    "IVRS": (test_ivrs.SOUND,),
    "SLIT": (test_slit.TABLE,),
    "SRAT": (test_srat.TABLE,),
}
"""Entries that no fixture and no table of the corpus has."""


def test_entries_that_no_machine_has_equal_iasl(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """Each field that iasl lists for the tables written by hand has the same bytes and the same meaning."""
    need_tool("iasl", "acpica-tools")
    paths = []
    for signature, texts in GOLDEN.items():
        for number, text in enumerate(texts):
            path = tmp_path / f"{signature}{number}.bin"
            path.write_bytes(sealed(signature.encode(), golden(text)[0], revision=3))
            paths.append(path)
    score, read = judge(paths, tmp_path / "work")
    assert not score.differences
    assert read == len(paths)
    assert score.equal >= 225
    assert score.bits >= 27


def test_every_field_of_the_corpus_equals_iasl(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """The same over real tables, damaged ones included, where the corpus is present beside the checkout."""
    need_tool("iasl", "acpica-tools")
    paths = corpus_files(*SIGNATURES)
    score, read = judge(paths, tmp_path)
    print(f"{read} of {len(paths)} tables, {score.equal} fields and {score.bits} bits equal to iasl")  # noqa: T201
    assert not score.differences


def test_tables_that_only_newer_versions_of_iasl_know_equal_it(
    need_tool: Callable[[str, str], str], tmp_path: Path
) -> None:
    """Each field that iasl lists for a VIOT or RIMT has the same bytes; an older one lists the header alone."""
    need_tool("iasl", "acpica-tools")
    paths = [path for path in tables("RIMT", "VIOT") if HANDMADE / "damaged" not in path.parents]
    for path, listing in listings([*paths, *corpus_files("VIOT")], tmp_path).items():
        table = parse_table(path.read_bytes(), str(path))
        score = compare(table, listing.fields, names=False)
        assert not score.differences
        unknown = f"Unknown ACPI table signature [{table.signature}]" in listing.remarks
        assert (score.equal > 9) != unknown, path
