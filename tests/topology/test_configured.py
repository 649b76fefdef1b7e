"""The order in which modules and configurations are laid over firmware, and what becomes of tables that are ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.manager import Manager, ManagerError, simulate
from iommuman.topology import load_topology

from tests.conftest import HANDMADE

BROKEN = str(HANDMADE / "damaged" / "dmar-base-zero")


def test_an_ignored_tables_errors_are_notes(tmp_path: Path) -> None:
    """What is wrong with a table that the configuration ignores stays known, and is no reason to stop."""
    path = tmp_path / "all.smmu"
    path.write_text("smmu vtd ignore\nunit vtd0 0xfed90000\ndevice pci:0:0.0-255:31.7 use vtd0\n", encoding="utf-8")
    firmware = load_topology([BROKEN])
    assert [(one.rule, one.severity) for one in firmware.findings] == [("DMAR-UNIT-BASE", "error")]
    ignoring = load_topology([BROKEN], [str(path)])
    assert [(one.rule, one.severity) for one in ignoring.findings] == [("DMAR-UNIT-BASE", "note")]
    assert ignoring.findings[0].advice.endswith("; the configuration ignores this table")


def test_the_manager_starts_on_broken_firmware_only_when_told_to_ignore_it(tmp_path: Path) -> None:
    """Errors of firmware that still counts are a reason not to start, even where a configuration repairs a part."""
    part, whole = tmp_path / "part.smmu", tmp_path / "whole.smmu"
    part.write_text("smmu vtd\nunit vtd0 0xfed90000\ndevice pci:0:3.0 use vtd0\n", encoding="utf-8")
    whole.write_text("smmu vtd ignore\nunit vtd0 0xfed90000\ndevice pci:0:0.0-255:31.7 use vtd0\n", encoding="utf-8")
    topology = load_topology([BROKEN], [str(part)])
    machine = simulate(topology)
    with pytest.raises(ManagerError, match="the sources are damaged: the unit has no registers"):
        Manager(topology, machine.ports, machine.private)
    topology = load_topology([BROKEN], [str(whole)])
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    assert manager.survey.unrestricted == manager.survey.unknown == ()
