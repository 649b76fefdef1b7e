"""From identifiers to devices: a name that means several, or none, is never guessed."""

from __future__ import annotations

import pytest
from iommuman.manager import Manager, MmioId, NamedId, PciId, simulate
from iommuman.manager.naming import names_of

from tests.manager.serving import refused, topology


@pytest.fixture
def manager() -> Manager:
    """Return the manager of a board with device-tree devices."""
    machine = simulate(topology("dt-reserved"))
    return Manager(topology("dt-reserved"), machine.ports, machine.private)


def test_a_name_that_several_devices_end_with_is_refused(manager: Manager) -> None:
    """The short form of one device is taken, that of several or none is ENOENT with what is near."""
    assert names_of(manager, NamedId("adsp@300000")) == ["dt:/bus@19000000/adsp@300000"]
    error = refused(names_of, manager, NamedId("display@1520000"))
    assert (error.reason, "did you mean" in error.finding.advice) == ("ENOENT", True)


def test_a_function_is_named_whether_or_not_it_is_known(manager: Manager) -> None:
    """Without any, the manager is left to say what it lacks of a function."""
    assert names_of(manager, PciId(3, 4, 5, 1)) == ["0001:03:04.5"]
    error = refused(names_of, manager, PciId(3, None, 5))
    assert error.finding.origin.part == "0000:3:*.5"


def test_registers_that_nobody_names_are_refused(manager: Manager) -> None:
    """Where there are SMMUs, the advice is to name the device."""
    assert "name it as the sources do" in refused(names_of, manager, MmioId(0x1000, 1)).finding.advice
