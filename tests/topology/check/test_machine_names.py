"""Object names and hardware IDs against the ACPI namespace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import parse_table
from iommuman.parsers.acpi.namespace import AcpiDevice, Namespace
from iommuman.topology.check import Board, check, rule_of
from iommuman.topology.check.machine_names import RULES, UNREAD

from tests.conftest import BOARDS

from .boards import REST, Case, andd, assert_complete, board, dmar, iort, madt, named_component, said, table

DSDT = table("DSDT", b"")


def device(path: str, hid: str | None = None, *cids: str) -> AcpiDevice:
    """Return a device of the namespace."""
    return AcpiDevice(path, hid, cids, None, None, None, None, (), Origin("DSDT.bin", f"DSDT {path}"))


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the namespace of every board one of these devices."""

    def these(*devices: AcpiDevice, findings: tuple[Finding, ...] = ()) -> None:
        monkeypatch.setattr("iommuman.topology.check.board.namespace", lambda _: Namespace(devices, findings))

    return these


def unread(found: Board) -> list[tuple[str, str, str]]:
    """Return what is said of why the namespace is not known: rule, severity and message."""
    wanted = {rule.id for rule in UNREAD}
    return [(one.rule, one.severity, one.message) for one in check(found, wanted.__contains__)]


def objects(found: Board) -> list[tuple[str, int | None, str]]:
    """Return what is said of the names of objects."""
    return said(RULES, "MACHINE-OBJECT", found)


def test_a_name_that_no_table_declares_is_told(declare: Callable[..., None]) -> None:
    """Of an ANDD and of a named component, at the structure; and the nearest name that is declared."""
    declare(device("\\_SB.PC00.I2C0"))
    found = board(dmar(REST, andd(1, "\\_SB.PC00.I2C1")), iort(named_component("\\_SB.USB0")), DSDT)
    assert objects(found) == [
        ("warning", 72, "no table declares '\\_SB.PC00.I2C1'"),
        ("warning", 48, "no table declares '\\_SB.USB0'"),
    ]
    rule = rule_of("MACHINE-OBJECT")
    assert rule is not None
    assert rule.look is not None
    assert [one.expected for one in rule.look(rule, found)] == ["\\_SB.PC00.I2C0", ""]


def test_a_name_that_is_declared_is_not_told(declare: Callable[..., None]) -> None:
    """Trailing underscores of a segment are padding."""
    declare(device("\\_SB.PC00.I2C"), device("\\_SB.USB0"))
    found = board(dmar(REST, andd(1, "\\_SB_.PC00.I2C_")), iort(named_component("\\_SB.USB0")), DSDT)
    assert objects(found) == []


def test_without_a_namespace_nothing_follows(declare: Callable[..., None]) -> None:
    """Neither for tables without a DSDT, nor for a DSDT beside tables that name nothing."""
    declare()
    assert objects(board(dmar(REST, andd(1, "\\A")))) == []
    assert objects(board(dmar(REST), DSDT)) == []


def test_that_the_namespace_was_not_looked_at_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without iasl, a note says so in place of an answer, once; names and hardware IDs are passed by."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    found = board(dmar(REST, andd(1, "\\A")), DSDT)
    assert unread(found) == [("NAMESPACE-IASL", "note", "the ACPI namespace cannot be read without iasl")]
    assert objects(found) == said(RULES, "MACHINE-HID", found) == []


def test_a_machine_without_a_dsdt_is_told_so_when_names_are_to_be_looked_at() -> None:
    """That there is a MADT shows that the tables of a machine are there; a table alone is no machine."""
    text = "no table declares the devices of the ACPI namespace"
    assert unread(board(dmar(REST, andd(1, "\\A")), madt())) == [("NAMESPACE-TABLES", "note", text)]
    assert unread(board(dmar(REST, andd(1, "\\A")))) == []
    assert unread(board(dmar(REST), madt())) == []


def test_too_much_aml_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is counted, with the limit beside it."""
    monkeypatch.setattr("iommuman.parsers.acpi.namespace.MAX_TABLES", 1)
    found = board(DSDT, table("SSDT", b""))
    assert unread(found) == [("NAMESPACE-SIZE", "warning", "there is too much AML to read")]
    assert "NAMESPACE-SIZE" not in [rule for rule, *_ in unread(board(table("SSDT", b"")))]


def test_in_a_namespace_with_gaps_a_missing_name_is_a_note(declare: Callable[..., None]) -> None:
    """A table that iasl cannot disassemble may declare it."""
    declare(findings=(Finding("NAMESPACE-TABLE", "warning", Origin("SSDT.bin"), "x"),))
    found = board(dmar(REST, andd(1, "\\A")), DSDT)
    assert objects(found) == [("note", 72, "no table declares '\\A'")]
    assert unread(found) == [("NAMESPACE-TABLE", "warning", "x")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("PNPD0040", "PNP0D40"),
        ("PNPOC14", "PNP0C14"),
        ("pnp0a08", "AAA#### or NNNN####"),
        ("PNP0A0", "PNP0A08"),
        ("ACPI00100", "ACPI0010"),
        ("QCOM", "AAA#### or NNNN####"),
    ],
)
def test_a_misspelt_hardware_id_is_told(value: str, expected: str, declare: Callable[..., None]) -> None:
    """An ID of neither form, with the well-known one that is nearest."""
    declare(device("\\_SB.DEV", value))
    rule = rule_of("MACHINE-HID")
    assert rule is not None
    assert rule.look is not None
    (one,) = rule.look(rule, board(DSDT))
    assert (one.message, one.found, one.expected) == ("_HID of \\_SB.DEV is no PNP or ACPI ID", repr(value), expected)


@pytest.mark.parametrize("value", ["PNP0D40", "ACPI0010", "QCOM2430", "ARMH0011", "LNRO0005", "80860F0A", "INT33A1"])
def test_a_well_formed_hardware_id_is_not_told(value: str, declare: Callable[..., None]) -> None:
    """Three letters and four digits, or four characters and four digits; and a device may have none."""
    declare(device("\\_SB.DEV", value, value), device("\\_SB.NONE"))
    assert said(RULES, "MACHINE-HID", board(DSDT)) == []
    assert said(RULES, "MACHINE-HID", board(dmar(REST))) == []


def test_compatible_ids_are_looked_at_as_well(declare: Callable[..., None]) -> None:
    """Each that is of neither form is told by the name of the object."""
    declare(device("\\_SB.DEV", "PNP0C02", "PNP0C01", "PNP0C0"))
    assert said(RULES, "MACHINE-HID", board(DSDT)) == [("warning", None, "_CID of \\_SB.DEV is no PNP or ACPI ID")]


def test_a_dsdt_is_read_by_iasl(
    need_tool: Callable[[str, str], str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two names, the one that QEMU's DSDT declares is found and the other is not."""
    need_tool("iasl", "acpica-tools")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    dsdt = parse_table((BOARDS / "q35-vtd" / "DSDT.bin").read_bytes(), "DSDT.bin")
    found = board(dmar(REST, andd(1, "\\_SB.PCI0"), andd(2, "\\_SB.PCI9")), dsdt)
    assert objects(found) == [("warning", 90, "no table declares '\\_SB.PCI9'")]


def test_every_rule_has_its_words() -> None:
    """Titles and remedies are clauses, the rest are sentences."""
    cases = [Case(rule.id, board, (), board) for rule in RULES]
    assert_complete(RULES, cases)
