"""The promise, with a guest: a device reaches what the host gives the VM and the guest grants, and never more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iommuman.iommu import Simulated
from iommuman.iommu.errors import failure
from iommuman.manager import Access, ManagerError

from tests.manager.guest_play import DEVICES, OPERATIONS, Play
from tests.manager.watch import Reached


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(OPERATIONS, max_size=20))
def test_a_device_reaches_what_host_and_guest_grant_and_never_a_page_more(
    name: str, begun: bool, operations: list[tuple[object, ...]]
) -> None:
    """After each of any operations of host and guest: what both grant, or the host's limit before a guest narrows."""
    play = Play(name)
    play.check()
    if begun:
        play.prepare()
    for operation in operations:
        play.play(operation)
        play.check()
    play.check_everywhere()
    assert play.host is not None
    play.host.stop()
    play.present = set()
    play.check_everywhere()


def within(now: Reached, old: Reached, new: Reached) -> bool:
    """Tell whether each page and permission is granted by the old or by the new account."""
    for at, (output, letters) in now.items():
        granted = Access.NONE
        for view in (old, new):
            there, given = view.get(at, (0, Access.NONE))
            if there == output:
                granted |= given
        if letters & ~granted:
            return False
    return True


@pytest.mark.parametrize("name", DEVICES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS.filter(lambda one: one[0] != "die"), min_size=1, max_size=6))
def test_no_store_of_a_driver_opens_more_than_before_or_after(name: str, operations: list[tuple[object, ...]]) -> None:
    """After every single store that an operation of host or guest leads to, reach is within old and new together."""
    play = Play(name)
    play.prepare()
    seen: set[tuple[int, tuple[tuple[int, tuple[int, Access]], ...]]] = set()

    def look(_kind: str, _address: int) -> None:
        for device in range(4):
            seen.update((device, tuple(found.items())) for found in play.reach(device))

    for operation in operations:
        old = [dict(play.granted(device)) for device in range(4)]
        seen.clear()
        platform = play.machine.platform
        assert isinstance(platform, Simulated)
        platform.observers[:] = [look]
        play.play(operation)
        platform.observers.clear()
        new = [play.granted(device) for device in range(4)]
        for device, found in seen:
            assert within(dict(found), old[device], new[device]), (play.devices[device], operation)
        play.check()


class Flaky:
    """A unit whose driver fails once, at one of the calls to come."""

    def __init__(self, port: Any) -> None:
        self.port, self.left = port, 1 << 30

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.port, name)
        return self.counted(found) if name in ("map", "create", "attach") else found

    def counted(self, call: Any) -> Any:
        """Return a call that fails when it is its turn."""

        def counted(*arguments: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                raise failure("TEST", "the unit does not answer")
            return call(*arguments)

        return counted


@pytest.mark.parametrize("name", ["q35-vtd", "virt-smmuv3-acpi"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS.filter(lambda one: one[0] != "die"), max_size=5), OPERATIONS, st.integers(1, 8))
def test_a_unit_that_fails_at_any_point_leaves_nothing_more_open(
    name: str, operations: list[tuple[object, ...]], last: tuple[object, ...], when: int
) -> None:
    """Whatever call of a unit fails: what was refused has granted nothing, and what was taken away is gone."""
    play = Play(name)
    assert play.host is not None
    ports = [Flaky(port) for port in play.host.ports.values()]
    play.host.ports.update({port.port.name: port for port in ports})
    play.prepare()
    for operation in operations:
        play.play(operation)
    old = [dict(play.granted(device)) for device in range(4)]
    for port in ports:
        port.left = when
    try:
        play.play(last)
    except ManagerError as error:
        if error.finding.rule != "TEST":
            raise
    new = [play.granted(device) for device in range(4)]
    for port in ports:
        port.left = 1 << 30
    for device in range(4):
        for found in play.reach(device):
            assert within(found, old[device], new[device]), (play.devices[device], last)
