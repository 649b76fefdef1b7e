"""Scenarios played on captured boards: what happens, what is refused, and who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.manager import ManagerError
from iommuman.manager.prove import prove
from iommuman.manager.scenario import Step, Story, device_named, play
from iommuman.parsers.scenario import Event, parse_scenario, read_scenario
from iommuman.parsers.scenario.reader import ACTIONS
from iommuman.topology import Device, Topology, load_topology

from tests.conftest import BOARDS, FIXTURES, ROOT
from tests.manager.test_manager import small

VTD, SMMU = "q35-vtd", "virt-smmuv3-acpi"
MACHINE = """
[[vm]]
name = "a"
memory = [{ guest = 0x40000000, host = 0x100000000, size = "64K" }]
devices = [{ device = "0000:00:03.0", dma = "d" }, { device = "0000:00:04.1", dma = "d", guest = "0:9.0" }]
[vm.manager]
objects = [{ name = "o", devices = ["0:1.0"], memory = [{ address = 0x40000000, size = "4K" }] }, { name = "p" }]
"""


def board(name: str) -> Topology:
    """Return a captured board."""
    return load_topology([str(BOARDS / name)])


VTD_BOARD = board(VTD)


def story(text: str, name: str = VTD) -> Story:
    """Return the story of a scenario's text."""
    return play(board(name), parse_scenario(text, "s"))


def event(do: str, **keys: object) -> str:
    """Return an event in TOML."""
    lines = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(["[[event]]", f'do = "{do}"', *lines, ""])


def results(steps: list[Step]) -> list[str]:
    """Return what became of each step."""
    return [step.result for step in steps]


@pytest.mark.parametrize(("name", "file"), [(VTD, "two-vms.toml"), (SMMU, "arm-guest.toml")])
def test_the_fixtures_happen_as_they_say(name: str, file: str) -> None:
    """Every step of the scenarios that come with the project has the result that it expects."""
    steps = list(play(board(name), read_scenario(str(FIXTURES / "scenarios" / file))))
    assert [step.text for step in steps if not step.as_expected] == []
    assert sum(1 for step in steps if step.event.expect) >= 7


def test_two_vms_are_told_as_a_story() -> None:
    """Grant, access, violation, incident: what each step says, and who learns of it."""
    steps = list(play(board(VTD), read_scenario(str(FIXTURES / "scenarios" / "two-vms.toml"))))
    by_text = {step.text: step for step in steps}
    narrowed = by_text["0000:00:03.0 writes 0x40200000, 512 bytes"]
    assert (narrowed.result, narrowed.reason) == ("denied", "0x40200000 is refused")
    assert [one.devices for one in narrowed.incidents] == [("0000:00:03.0",)]
    assert [(who, one.devices) for who, one in narrowed.told] == [("cluster (guest)", ("0000:00:05.0",))]
    across = by_text["0000:00:03.0 writes 0x40100e00, 1024 bytes"]
    assert across.reason == "physical 0x100100e00-0x1001011ff"
    group = by_text["0000:02:02.0 reads 0x100000000, 1 byte"]
    assert [one.devices for one in group.incidents] == [("0000:02:01.0", "0000:02:02.0")]
    assert [who for who, _ in steps[-1].told] == ["watchdog"] * 6


def test_a_scenario_without_events_starts_all() -> None:
    """All VMs, and then the managers of those that have one; their state stays to be looked at."""
    told = story(MACHINE)
    steps = list(told)
    assert [step.text for step in steps] == ["VM a starts", "the manager in VM a starts"]
    assert results(steps) == ["done"] * 2
    assert list(told.hypervisor.machines) == list(told.guests) == ["a"]
    assert told.guests["a"].object_of("0000:00:01.0") is not None


def test_host_and_guest_act_in_any_order() -> None:
    """Each action does what it says; accesses show it."""
    at = {"device": "0000:00:04.1", "address": 0x40000000}
    text = (
        MACHINE
        + event("start", vm="a")
        + event("guest-start", vm="a")
        + event("guest-move", vm="a", device="0:9.0", object="p")
        + event("read", **at, expect="denied")
        + event("guest-map", vm="a", object="p", address=0x40000000, target=0x40002000, size="4K", access="r")
        + event("read", **at, size=8192, expect="denied")
        + event("read", **at, expect="allowed")
        + event("write", **at, expect="denied")
        + event("guest-unmap", vm="a", object="p", address=0x40000000, size="4K")
        + event("read", **at, expect="denied")
        + event("guest-kill", vm="a")
        + event("read", device="0000:00:03.0", address=0x40000000, expect="denied")
        + event("guest-stop", vm="a", expect="refused")
        + event("guest-start", vm="a")
        + event("read", device="0000:00:03.0", address=0x40000000, expect="allowed")
        + event("guest-stop", vm="a")
        + event("read", device="0000:00:03.0", address=0x40000000, expect="denied")
        + event("withdraw", vm="a", device="0000:00:04.1")
        + event("guest-start", vm="a")
        + event("stop", vm="a")
        + event("stop", vm="a", expect="refused")
    )
    steps = list(story(text))
    assert [(step.text, step.reason) for step in steps if not step.as_expected] == []
    assert next(step.reason for step in steps if step.result == "allowed") == "physical 0x100002000-0x100002000"
    assert next(step.reason for step in steps if step.event.action == "withdraw") == "gone: 0000:00:04.1"
    assert [step.text for step in steps if step.result == "refused"] == [
        "the manager in VM a stops", "VM a stops",
    ]  # fmt: skip


def test_without_a_manager_nothing_stands_in_the_way() -> None:
    """A VM is refused, a unity-mapped one starts with the problem told, and an access goes where it likes."""
    text = (
        "manager = false\nmonitors = ['m']\n"
        + MACHINE
        + '[[vm]]\nname = "u"\nunity = true\nmemory = [{ guest = 0x1000, host = 0x1000, size = 4096 }]\n'
        + 'devices = [{ device = "0000:00:03.0", dma = "d" }]\n'
        + event("start", vm="a", expect="refused")
        + event("start", vm="u", expect="done")
        + event("read", device="0000:00:03.0", address=0, expect="allowed")
        + event("poll")
    )
    steps = list(story(text))
    assert all(step.as_expected for step in steps)
    assert steps[1].notes == (
        "0000:00:03.0: no manager runs in the host to confine it; the VM starts without protection from it",
    )
    assert steps[2].reason == "no manager runs, and no unit stands in the way"


def test_a_device_behind_no_unit_reaches_everything_and_it_is_said() -> None:
    """The reason is the topology's."""
    (step,) = story(event("write", device="0000:81:00.0", address=0), "virt-bypass-acpi")
    assert (step.result, step.reason) == (
        "allowed", "no unit stands in the way: the maps lead to its:0, and to no IOMMU",
    )  # fmt: skip


def test_a_scenario_with_errors_is_not_played() -> None:
    """The first of them is the reason, and how many more there are."""
    with pytest.raises(ManagerError, match=r"s: mangler: there is no such key.*did you mean manager\? \(and 1 more\)"):
        story("mangler = 1\nx = 2")
    with pytest.raises(ManagerError, match="the scenario is not to be played"):
        story("mangler = 1")


def test_a_board_that_is_not_safe_is_not_played() -> None:
    """The manager's refusal to start is the story's."""
    scenario = parse_scenario(MACHINE)
    topology = small(kind="ipmmu")
    with pytest.raises(ManagerError, match="no driver here programs units of kind ipmmu"):
        play(topology, scenario)
    assert results(list(play(topology, scenario, degraded=True))) == ["refused", "refused"]


def test_devices_are_named_as_qvm_names_them() -> None:
    """By place in decimal, by vendor and device, by registers; what is there twice has to be named by its place."""
    topology = board(VTD)
    assert device_named(topology, "0000:00:1f.2") == "0000:00:1f.2"
    assert device_named(topology, "pci:0:31.2") == "0000:00:1f.2"
    function = next(one for one in topology.pci[0].functions.values() if one.rid == 0xFA)
    assert device_named(topology, f"pci:{function.vendor:#x}/{function.device:#x}") == "0000:00:1f.2"
    for unknown in ("pci:0:30.0", "pci:0x1/0x2", "pci:x/y", "mem:0x1000", f"mem:{'1' * 30}", "mem:\x1b", "nothing"):
        with pytest.raises(ManagerError, match="the board has no such device") as caught:
            device_named(topology, unknown)
        assert caught.value.reason == "ENOENT"
    with pytest.raises(ManagerError, match="the board has several such devices: found 0000:") as caught:
        device_named(topology, "pci:0x1b36/0x10")
    assert caught.value.reason == "EINVAL"
    mapped = small(Device("mem:e6ef0000", "mmio", Origin("x"), base=0xE6EF0000))
    assert device_named(mapped, "mem:0xe6ef0000") == device_named(mapped, "mem:e6ef0000") == "mem:e6ef0000"


def test_an_ambiguous_device_keeps_its_vm_from_starting() -> None:
    """Which of them would be given away is not for the manager to guess."""
    text = '[[vm]]\nname = "a"\nunity = true\ndevices = [{ device = "pci:0x1b36/0x10", dma = "d" }]\n'
    (step,) = story(text)
    assert (step.result, "several such devices" in step.reason) == ("refused", True)


def test_the_example_of_the_documentation_runs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python example runs as it stands, and the documentation names every key and action there is."""
    text = (ROOT / "docs" / "scenario.md").read_text()
    monkeypatch.chdir(ROOT)
    run: Callable[[str, dict[str, object]], None] = exec
    run(text.partition("```python\n")[2].partition("```")[0], {})
    assert "VM cluster starts: done" in capsys.readouterr().out
    for word in (*ACTIONS, *(key for keys in ACTIONS.values() for key in keys), "ram_host", "libfdt", "shared"):
        assert word in text


EVENTS = st.builds(
    Event,
    st.sampled_from(list(ACTIONS)),
    st.just(Origin("s")),
    st.sampled_from(["cluster", "media"]),
    st.sampled_from(["0000:00:03.0", "0000:02:01.0", "0000:00:09.0", "0:5.0", "0:1.0", "mem:0x1000", "ioapic:0"]),
    st.just("disk"),
    st.sampled_from([0, 0x40000000, 0x40100000, 0x40100800, 0x140000000, (1 << 64) - 4096, (1 << 64) - 1]),
    st.sampled_from([None, 0x40100000, 0x140000000, 0xFED90000, (1 << 64) - 4096]),
    st.sampled_from([1, 4096, 65536]),
    st.sampled_from(["r", "w", "rw", "x"]),
)


@settings(max_examples=80)
@given(st.booleans(), st.lists(EVENTS, min_size=1, max_size=10))
def test_events_in_any_order_are_done_or_refused(begun: bool, events: list[Event]) -> None:
    """None of them makes the story fail, and whatever became of them, reach is what was granted."""
    scenario = read_scenario(str(FIXTURES / "scenarios" / "two-vms.toml"))
    first = [Event(action, Origin("s"), "cluster") for action in ("start", "guest-start")] if begun else []
    told = play(VTD_BOARD, replace(scenario, events=(*first, *events)))
    assert len(list(told)) == len(first) + len(events)
    assert told.machine is not None
    assert told.manager is not None
    assert all(proof.holds for proof in prove(told.machine, told.manager))
