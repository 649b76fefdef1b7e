"""`iommuman check` and `iommuman explain-rule`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.parsers.acpi import build_table
from iommuman.topology.check import RULES

from tests.cli.conftest import Ran
from tests.conftest import BOARDS, HANDMADE, ROOT
from tests.topology.check.iorts import DEVICE, SMMU, sound

Run = Callable[..., Ran]
BROKEN = HANDMADE / "iort-offbyone"


@pytest.fixture
def iort(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the sound IORT with numbers written over it, and returns its file."""

    def write(*places: tuple[int, int, int]) -> Path:
        path = tmp_path / "IORT.bin"
        path.write_bytes(build_table(sound(*places)))
        return path

    return write


def test_a_sound_table_is_status_0(run: Run, iort: Callable[..., Path]) -> None:
    """Nothing to say, and nothing passed over."""
    assert run("check", iort()) == (0, "no findings\n", "")


def test_errors_and_warnings_are_status_1_and_notes_alone_are_not(run: Run, iort: Callable[..., Path]) -> None:
    """What is to be mended decides, whatever else is worth knowing; findings are the answer, so they are on stdout."""
    ran = run("check", iort((SMMU + 40, 4, 9), (DEVICE + 56, 4, 0)))
    assert (ran.status, ran.err) == (1, "")
    assert "warning IORT-SMMU-MODEL  IORT+0x70 (4 bytes)  09 00 00 00\n" in ran.out
    assert ran.out.endswith("\n\n1 warning, 1 note\n")
    ran = run("check", iort((DEVICE + 56, 4, 0)))
    assert (ran.status, ran.out.splitlines()[-1]) == (0, "1 note")


def test_what_cannot_be_read_is_status_3(run: Run) -> None:
    """A source that is not there has no findings."""
    ran = run("check", "absent")
    assert (ran.status, ran.out) == (3, "")
    assert "absent: this cannot be opened" in ran.err


def test_files_that_are_passed_over_are_named(run: Run) -> None:
    """On stderr, so that the answer stays one."""
    ran = run("check", BROKEN)
    assert ran.status == 1
    assert ran.err.startswith("passed over: ")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--select", "IORT-MAP"), ["IORT-MAP-OFF-BY-ONE"]),
        (("--select", "iort-map-off-by-one, MCFG"), ["IORT-MAP-OFF-BY-ONE"]),
        (("--select", "IORT-*-QUIRK"), ["IORT-COUNT-QUIRK", "IORT-SMMU-QUIRK"]),
        (("--select", "IORT", "--ignore", "IORT-MAP,IORT-*-QUIRK"), ["IORT-ROOT-GAP"]),
        (("--ignore", "IORT"), []),
        (("--select", "IORT-MA?-OFF-BY-ONE"), ["IORT-MAP-OFF-BY-ONE"]),
    ],
)
def test_rules_are_selected_and_ignored_by_name_beginning_and_pattern(
    run: Run, options: tuple[str, ...], found: list[str]
) -> None:
    """Names in either case, beginnings up to a dash, patterns; what is ignored is so whatever is selected."""
    document = json.loads(run("check", "--format", "json", *options, BROKEN).out)
    assert sorted(document["rules"]) == found


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_a_word_that_means_no_rule_is_wrong_usage(run: Run, option: str) -> None:
    """A misspelt rule would pass everything: what was likely meant is said."""
    ran = run("check", option, "IORT,IORT-MAP-OVERLAPS", BROKEN)
    assert (ran.status, ran.out) == (2, "")
    assert "'IORT-MAP-OVERLAPS' means no rule; did you mean IORT-MAP-OVERLAP?" in ran.err
    assert "'X' means no rule; 'iommuman explain-rule' lists all\n" in run("check", option, "x", BROKEN).err


def test_json_and_sarif_are_documents(run: Run) -> None:
    """Each is one JSON document and nothing else, with the status of the findings."""
    ran = run("check", "--format", "json", BROKEN)
    assert (ran.status, json.loads(ran.out)["format"]) == (1, "iommuman-check")
    ran = run("check", "--format", "sarif", BROKEN)
    assert (ran.status, json.loads(ran.out)["version"]) == (1, "2.1.0")


def test_configurations_are_checked_with_the_board(run: Run, tmp_path: Path, iort: Callable[..., Path]) -> None:
    """Rules of a configuration are looked at in each that is given, and what all say together once."""
    first, second = tmp_path / "a.smmu", tmp_path / "b.smmu"
    first.write_text("device acpi:\\_SB_.DEV9\nallow a 1000,4K")
    second.write_text("foreground\nallow b 1000,4K")
    ran = run("check", "--config", first, "--config", second, "--format", "json", iort((SMMU + 40, 4, 9)))
    found = [(one["rule"], Path(one["origin"]["source"]).name) for one in json.loads(ran.out)["findings"]]
    assert found.count(("IORT-SMMU-MODEL", "IORT.bin")) == 1
    assert {("CONFIG-GRANT-UNUSED", "a.smmu"), ("CONFIG-GRANT-UNUSED", "b.smmu")} <= set(found)
    assert len(found) == len(set(found))
    only = run("check", "--config", first, "--config", second, "--select", "IORT", iort((SMMU + 40, 4, 9)))
    assert only.out.endswith("\n\n1 warning\n")


def test_something_must_be_named(run: Run) -> None:
    """Without a source or configuration there is nothing to check."""
    ran = run("check")
    assert (ran.status, ran.out) == (2, "")
    assert "name at least one SOURCE, --config or --board-module" in ran.err


def test_a_folder_is_checked_in_half_a_second(run: Run) -> None:
    """Time of the processor, without that of starting Python."""
    started = time.process_time()
    assert run("check", BOARDS / "q35-vtd").status == 0
    assert time.process_time() - started < 0.5


def test_a_rule_is_explained_in_words(run: Run) -> None:
    """Whatever the case, all that is known of it: meaning, system, remedy, clause, others who look for it."""
    assert run("explain-rule", "iort-map-off-by-one") == (
        0,
        """\
IORT-MAP-OFF-BY-ONE (warning): a mapping reaches one ID into the next: its count may be the number of IDs, and not \
that minus one

A system without a workaround gives the first function of the next range the wrong stream ID.
Linux prints '[map %p] conflicting mapping for input ID 0x%x' and 'applying workaround.', and takes the mapping that \
begins with the ID.
To mend it: write the number of IDs minus one.
Asked for by: DEN 0049E.f §3.1.
Also looked for by: Linux.
""",
        "",
    )
    told = run("explain-rule", "SOURCE-OPEN").out
    assert told.endswith("It is found while the source is read, so every command says it.\n")
    assert "Asked for by" not in told
    assert "Also looked for" not in told


def test_a_misspelt_rule_is_wrong_usage(run: Run) -> None:
    """What was likely meant is said."""
    ran = run("explain-rule", "IORT-MAP-OVERLAP'")
    assert (ran.status, ran.out) == (2, "")
    assert 'there is no rule "IORT-MAP-OVERLAP\'"; did you mean IORT-MAP-OVERLAP?' in ran.err


def test_rules_that_begin_alike_are_listed(run: Run) -> None:
    """The beginning of names lists those rules, as it selects them for check; a word of no rule says what would do."""
    lines = run("explain-rule", "iort-map").out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.id for rule in RULES if rule.id.startswith("IORT-MAP-")]
    assert "there is no rule 'X'; leave RULE out to list all\n" in run("explain-rule", "X").err


def test_all_rules_are_listed(run: Run) -> None:
    """Without a name: one line a rule. As markdown: the document that is kept."""
    lines = run("explain-rule").out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.id for rule in RULES]
    assert run("explain-rule", "--markdown").out == (ROOT / "docs" / "checks.md").read_text()
    assert run("explain-rule", "--markdown", "IORT-LOOP").status == 2
