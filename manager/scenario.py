"""Plays scenarios on simulated boards: VMs start, guests narrow, devices access memory, and each step is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..base import Origin, format_pci_address, printable
from ..parsers.scenario import Action, Event, GuestObject, Ram, Scenario, Vm
from .errors import ManagerError
from .guest import Guest, GuestManager
from .hypervisor import Hypervisor, access_of, guest_name
from .incidents import Incident
from .machine import Machine, simulate
from .manager import Manager
from .ports import GRANULE

if TYPE_CHECKING:
    from ..topology import Topology

Result = Literal["done", "refused", "allowed", "denied"]
"""What became of an event: of an access `allowed` or `denied`, of all else `done` or `refused`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One event, and what became of it.

    Attributes:
        event: what happened.
        text: the same in words.
        result: see `Result`.
        reason: why it was refused, or where an access went.
        incidents: what the host's manager recorded of it.
        told: what others learned: a monitor or a guest's manager, and its record.
        notes: what else there is to know, such as that a unity-mapped VM runs without protection.
    """

    event: Event
    text: str
    result: Result
    reason: str = ""
    incidents: tuple[Incident, ...] = ()
    told: tuple[tuple[str, Incident], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def as_expected(self) -> bool:
        """Whether the result is the one that the scenario expects, or it expects none."""
        return self.event.expect in ("", self.result)


@dataclass(slots=True)
class _Running:
    """A guest's manager, its one client, and that one's objects by name."""

    guest: GuestManager
    client: int
    objects: dict[str, int] = field(default_factory=dict)


class Story:
    """A scenario on a board. Iterate over it once: each step is played when it is asked for.

    Attributes:
        topology: of the board.
        scenario: what is played.
        machine: the simulated board; None when the host has no manager, and nobody programs a unit.
        manager: the host's.
        hypervisor: the VMs that run.
        guests: managers of guests that run, by the name of the VM.
    """

    def __init__(
        self, topology: Topology, scenario: Scenario, *, degraded: bool = False, machine: Machine | None = None
    ) -> None:  # fmt: skip
        """Start the host's manager, if it has one; see `play`."""
        self.topology = topology
        self.scenario = scenario
        self.machine: Machine | None = None
        self.manager: Manager | None = None
        if scenario.manager:
            self.machine = machine or simulate(topology)
            self.manager = Manager(topology, self.machine.ports, self.machine.private, degraded=degraded)
        self.hypervisor = Hypervisor(self.manager)
        self._vms = {vm.name: vm for vm in scenario.vms}
        self._guests: dict[str, _Running] = {}
        self._monitors = [(name, _watching(self.manager, name)) for name in scenario.monitors if self.manager]
        self._notes: list[str] = []

    @property
    def guests(self) -> dict[str, Manager]:
        """The managers of guests that run, by the name of the VM."""
        return {name: one.guest.manager for name, one in self._guests.items()}

    def __iter__(self) -> Iterator[Step]:
        """Play the events; those of a scenario without any are that all VMs start, and then their managers."""
        for event in self.scenario.events or self._usual():
            yield self._step(event)

    def _usual(self) -> list[Event]:
        vms, origin = self.scenario.vms, Origin(self.scenario.source)
        return [
            *(Event("start", origin, vm.name) for vm in vms),
            *(Event("guest-start", origin, vm.name) for vm in vms if vm.manager is not None),
        ]

    # --- Steps

    def _step(self, event: Event) -> Step:
        self._notes = []
        result: Result
        try:
            if event.action in ("read", "write"):
                result, reason = self._access(event)
            else:
                result, reason = "done", self._do(event) or ""
        except ManagerError as error:
            result, reason = "refused", str(error)
        incidents = tuple(self.manager.poll()) if self.manager is not None else ()
        told = self._told(everyone=event.action == "poll")
        return Step(event, _words(event), result, reason, incidents, told, tuple(self._notes))

    def _told(self, *, everyone: bool) -> tuple[tuple[str, Incident], ...]:
        """Return what guests' managers have recorded, and, when they are asked, what monitors have."""
        found = [
            (f"{name} (guest)", one) for name, running in self._guests.items() for one in running.guest.manager.poll()
        ]
        if everyone and self.manager is not None:
            for name, client in self._monitors:
                while (one := self.manager.read_incident(client)) is not None:
                    found.append((name, one))
        return tuple(found)

    def _do(self, event: Event) -> str | None:
        """Do what is no access; returns what there is to say of it. Raises ManagerError when it is refused."""
        name = event.vm
        match event.action:
            case "start":
                self._start(self._vms[name])
            case "stop" | "kill":
                self._end(name, clean=event.action == "stop")
            case "map":
                host = event.address if event.target is None else event.target
                self.hypervisor.give(name, Ram(event.address, host, event.length, event.access))
            case "unmap":
                self.hypervisor.take(name, event.address, event.length)
            case "withdraw":
                gone = self.hypervisor.machine(name).withdraw(device_named(self.topology, event.device))
                return "gone: " + ", ".join(gone)
            case "guest-start":
                self._start_guest(self._vms[name])
            case "guest-stop" | "guest-kill":
                running = self._guest(name)
                del self._guests[name]
                running.guest.stop() if event.action == "guest-stop" else running.guest.die()
            case "guest-map" | "guest-unmap" | "guest-move":
                self._guest_request(event)
        return None

    def _start(self, vm: Vm) -> None:
        devices = []
        for one in vm.devices:
            try:
                devices.append(type(one)(device_named(self.topology, one.device), one.dma, one.guest))
            except ManagerError as error:
                if error.reason != "ENOENT":
                    raise
                # What the board does not have the manager does not know either: the hypervisor judges.
                devices.append(one)
        machine = self.hypervisor.start(vm.name, vm.memory, devices, unity=vm.unity)
        self._notes += [f"{problem}; the VM starts without protection from it" for problem in machine.problems]

    def _end(self, name: str, *, clean: bool) -> None:
        running = self._guests.pop(name, None)
        if running is not None and clean:
            running.guest.stop()
        self.hypervisor.end(name)

    def _start_guest(self, vm: Vm) -> None:
        guest = GuestManager(self.hypervisor.machine(vm.name), Guest(vm.guest, vm.arch, vm.libfdt))
        client = guest.manager.attach(vm.name, ("attach", "target"))
        guest.manager.watch(client, lambda: None)
        running = self._guests[vm.name] = _Running(guest, client)
        for one in vm.manager or ():
            self._add_object(running, one)

    def _add_object(self, running: _Running, wanted: GuestObject) -> None:
        manager, client = running.guest.manager, running.client
        number = running.objects[wanted.name] = manager.create_object(client)
        for one in wanted.windows:
            manager.map(client, number, one.start, one.length, access_of(one.access), target=one.target)
        for device in wanted.devices:
            manager.add_device(client, number, guest_name(device), together=True)

    def _guest_request(self, event: Event) -> None:
        running = self._guest(event.vm)
        manager, client, number = running.guest.manager, running.client, running.objects[event.object]
        if event.action == "guest-map":
            manager.map(
                client, number, event.address, event.length, access_of(event.access), target=event.target
            )  # fmt: skip
        elif event.action == "guest-unmap":
            manager.unmap(client, number, event.address, event.length)
        else:
            manager.add_device(client, number, guest_name(event.device), together=True)

    def _guest(self, name: str) -> _Running:
        found = self._guests.get(name)
        if found is None:
            raise ManagerError("ENOENT", "GUEST-NONE", "no manager runs in this guest", name)
        return found

    # --- Accesses

    def _access(self, event: Event) -> tuple[Result, str]:
        """Let a device access memory, page by page; it ends at the first that is refused."""
        name = device_named(self.topology, event.device)
        if self.manager is None or self.machine is None:
            return "allowed", "no manager runs, and no unit stands in the way"
        survey = self.manager.survey
        open_to = dict((*survey.unrestricted, *survey.unknown))
        if name not in survey.members and name in open_to:
            return "allowed", f"no unit stands in the way: {open_to[name]}"
        # A bridge puts an ID in place of the device's own: the one that most devices have.
        place = max(self.manager.member(name).endpoints, key=lambda one: len(survey.at.get(one, ())))
        reached: list[tuple[int, int]] = []
        at, end = event.address, event.address + event.length
        while at < end:
            size = min(end, at // GRANULE * GRANULE + GRANULE) - at
            physical = self.machine.dma(place, at, event.action == "write")
            if physical is None:
                return "denied", f"0x{at:x} is refused"
            if reached and sum(reached[-1]) == physical:
                reached[-1] = (reached[-1][0], reached[-1][1] + size)
            else:
                reached.append((physical, size))
            at += size
        return "allowed", "physical " + ", ".join(f"0x{start:x}-0x{start + size - 1:x}" for start, size in reached)


def _watching(manager: Manager, name: str) -> int:
    """Return a client that owns nothing, and is told of incidents."""
    client = manager.attach(name, ())
    manager.watch(client, lambda: None)
    return client


def play(
    topology: Topology, scenario: Scenario, *, degraded: bool = False, machine: Machine | None = None
) -> Story:  # fmt: skip
    """Return the story of a scenario on a board: its steps are played as they are asked for.

    Args:
        topology: of the board; its units are simulated.
        scenario: what happens.
        degraded: see `Manager`.
        machine: the simulated board, when it is to be another than `simulate` makes.

    Raises ManagerError: the scenario has errors, or the manager does not start on this board.
    """
    wrong = [finding for finding in scenario.findings if finding.severity == "error"]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise ManagerError("EINVAL", "SCENARIO-WRONG", f"the scenario is not to be played: {wrong[0]}{more}")
    return Story(topology, scenario, degraded=degraded, machine=machine)


def device_named(topology: Topology, place: str) -> str:
    """Return the name of a device that is given by its name, or by its place as a qvm configuration writes it.

    Raises ManagerError: `ENOENT` the board has no such device, `EINVAL` it has several.
    """
    if place in topology.devices:
        return place
    kind, _, where = place.partition(":")
    found: list[str] = []
    vendor, slash, device = where.partition("/")
    if kind == "pci" and slash:
        numbers = _number(vendor, 10), _number(device, 10)
        found = [
            format_pci_address(one.segment, one.rid)
            for tree in topology.pci
            for one in tree.functions.values()
            if (one.vendor, one.device) == numbers
        ]
    elif kind == "pci":
        found = [guest_name(where)]
    elif kind == "mem":
        base = _number(where, 16)
        found = [one.name for one in topology.devices.values() if one.base is not None and one.base == base]
    found = [name for name in found if name in topology.devices]
    if len(found) == 1:
        return found[0]
    if found:
        raise ManagerError(
            "EINVAL", "SCENARIO-DEVICE", "the board has several such devices", printable(place),
            found=", ".join(found), advice="name the one that is meant",
        )  # fmt: skip
    raise ManagerError("ENOENT", "SCENARIO-DEVICE", "the board has no such device", printable(place))


def _number(text: str, base: int) -> int | None:
    try:
        return int(text, 0 if text[:2].lower() == "0x" else base) if len(text) <= 20 else None  # noqa: PLR2004
    except ValueError:
        return None


def draw_step(step: Step) -> Iterator[str]:
    """Yield the lines that show a step: what happened, what became of it, and who learned what."""
    wrong = "" if step.as_expected else f" - EXPECTED {step.event.expect}"
    reason = f": {step.reason}" if step.reason else ""
    yield f"{step.text}: {step.result}{reason}{wrong}"
    yield from (f"  note: {note}" for note in step.notes)
    yield from (f"  incident: {incident}" for incident in step.incidents)
    yield from (f"  {who} is told: {incident}" for who, incident in step.told)


_WORDS: dict[Action, str] = {
    "start": "VM {vm} starts",
    "stop": "VM {vm} stops",
    "kill": "VM {vm} dies",
    "map": "the host gives VM {vm} {where}{to} ({access})",
    "unmap": "the host takes {where} from VM {vm}",
    "withdraw": "the host takes {device} from VM {vm}",
    "guest-start": "the manager in VM {vm} starts",
    "guest-stop": "the manager in VM {vm} stops",
    "guest-kill": "the manager in VM {vm} dies",
    "guest-map": "the manager in VM {vm} grants {object} {where}{to} ({access})",
    "guest-unmap": "the manager in VM {vm} takes {where} from {object}",
    "guest-move": "the manager in VM {vm} puts {device} into {object}",
    "read": "{device} reads {where}",
    "write": "{device} writes {where}",
    "poll": "those who watch read what was recorded",
}


def _words(event: Event) -> str:
    """Say what happens."""
    return _WORDS[event.action].format(
        vm=event.vm,
        device=event.device,
        object=event.object,
        access=event.access,
        where=f"0x{event.address:x}, {event.length} byte{'' if event.length == 1 else 's'}",
        to="" if event.target is None else f" at 0x{event.target:x}",
    )
