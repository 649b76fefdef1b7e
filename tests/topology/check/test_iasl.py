"""The column of iasl in docs/checks.md, by asking iasl itself about the tables that break each rule."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from iommuman.parsers.acpi import build_table
from iommuman.topology.check import RULES

from . import test_acpi, test_iort_fields, test_iort_maps, test_iort_rmr, test_iort_units, test_mcfg, test_reading
from .iorts import SOUND

TOLD = re.compile(r"warn|error|invalid|unknown|incorrect|could not|\*\*\*", re.IGNORECASE)
ALIKE = "Invalid zero length subtable"
"""What iasl 20200925 says of the sound table, which has an RMR: it does not know them."""

OTHERWISE = {
    "IORT-REVISION",  # later versions refuse revisions that were withdrawn
    "IORT-NAME-PATH",  # a longer table meets the RMR in another place
    "ACPI-TEXT",  # it finds the checksum wrong, and not why
    "ACPI-MORE",  # it tells each of the thousand
}


def breaking(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield rules with a table that breaks each."""
    for module in (test_acpi, test_iort_fields, test_iort_units, test_iort_maps, test_iort_rmr, test_mcfg):
        for case in module.CASES:
            yield case.rule, build_table(case.breaks().inputs.tables[0])
    for number, (rule, (tell, _)) in enumerate(test_reading.CASES.items()):
        if rule.partition("-")[0] in ("ACPI", "DMAR", "HPET", "IORT", "MADT", "MCFG", "SRAT"):
            place = folder / str(number)
            place.mkdir()
            tell(place)
            if (place / "source0").exists():
                yield rule, (place / "source0").read_bytes()


def says_something(iasl: str, data: bytes, folder: Path) -> bool:
    """Tell whether iasl finds fault with a table, or does not come to an end."""
    (folder / "T.aml").write_bytes(data)
    (folder / "T.dsl").unlink(missing_ok=True)
    try:
        ran = subprocess.run([iasl, "-d", "T.aml"], cwd=folder, capture_output=True, timeout=3, check=False)
    except subprocess.TimeoutExpired:
        return True
    text = (ran.stdout + ran.stderr).decode("latin-1")
    text += (folder / "T.dsl").read_text("latin-1") if (folder / "T.dsl").exists() else ""
    return bool(ran.returncode) or any(TOLD.search(line) and ALIKE not in line for line in text.splitlines())


def test_iasl_looks_for_what_is_said_of_it(need_tool: Callable[[str, str], str], tmp_path: Path) -> None:
    """A rule names iasl when, and only when, iasl has something to say of a table that breaks the rule."""
    iasl = need_tool("iasl", "acpica-tools")
    assert not says_something(iasl, build_table(SOUND), tmp_path)
    told: dict[str, bool] = {}
    for rule, data in breaking(tmp_path):
        told[rule] = told.get(rule, False) or says_something(iasl, data, tmp_path)
    assert len(told) > 90
    judges = {rule.id: rule.judges for rule in RULES}
    asked = {name: says for name, says in told.items() if name not in OTHERWISE}
    assert {name: says for name, says in asked.items() if says != ("iasl" in judges[name])} == {}
