"""The manager: grants devices memory for its clients, through the IOMMUs of one board, and nothing that is not granted.

It begins with every device that a unit controls denied. Clients make objects, put devices into them and map memory;
what a unit refuses is attributed and told to clients. When it ends, everything is denied again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from ..base import RangeSet
from ..iommu import IommuError
from ..topology import Topology
from ..topology.view import is_bridge
from .errors import ManagerError, owned, senseless, shared, unsafe
from .incidents import Inbox, Incident
from .mappings import Access, Granted, Segment
from .objects import SmmuObject, refused
from .ports import GRANULE, Port, Refusal, undriven
from .survey import Endpoint, Member, Survey, survey

Ability = Literal["attach", "target", "dma"]
"""What a client may do: `attach` to make objects and grant memory one to one, `target` to grant memory at another
device address than its own (libsmmu: `smmu/attach`, `smmu/target`); `dma` to let a device of a simulated board access
memory."""

Sink = Callable[[Incident], None]
"""Takes every incident as it is recorded: a log."""


@dataclass(slots=True)
class _Client:
    name: str
    abilities: frozenset[Ability]
    inbox: Inbox = field(default_factory=Inbox)
    objects: set[int] = field(default_factory=set)


class Manager:
    """The manager of one board. One thread at a time may use it.

    Attributes:
        topology: of the board.
        survey: what it controls, and what it cannot.
        ports: its units, by name.
        sinks: take every incident.
    """

    def __init__(
        self, topology: Topology, ports: Mapping[str, Port], private: Iterable[tuple[int, int]] = (), *,
        degraded: bool = False,
    ) -> None:  # fmt: skip
        """Take over units that ports have taken over: every device is denied; then grant what the configuration does.

        Args:
            topology: of the board.
            ports: units that can be programmed, by their names in the topology.
            private: `(start, length)` of physical memory that no client may be granted: tables, registers of units.
            degraded: go on where it is not known of every device what controls it; such devices may reach anything.

        Raises ManagerError: it is not safe to start, and what would have to be known or mended.
        """
        self.topology = topology
        self.ports = dict(ports)
        self.sinks: list[Sink] = []
        self._private = RangeSet(private)
        self._clients: dict[int, _Client] = {}
        self._objects: dict[int, SmmuObject] = {}
        self._places: dict[str, SmmuObject] = {}
        self._next = 1
        self._startup: SmmuObject | None = None
        self.survey: Survey = survey(topology, self.ports)
        if not degraded:
            self._require_safe()
        self._grant_startup()

    def _require_safe(self) -> None:
        """Refuse to start while anything is unknown, contradictory or cannot be programmed."""
        for unit in self.topology.iommus.values():
            if unit.enabled and unit.name not in self.ports:
                raise unsafe(unit.name, undriven(unit))
        for finding in self.topology.findings:
            if finding.severity == "error":
                raise unsafe(str(finding.origin), f"the sources are damaged: {finding.message} ({finding.rule})")
        for name, reason in self.survey.unknown:
            raise unsafe(name, f"it cannot be told what controls it: {reason}")

    def _grant_startup(self) -> None:
        """Put devices with memory granted by the configuration into an object of the manager's own."""
        startup = [member for member in self.survey.members.values() if member.startup]
        for member in startup:
            self._require_same_startup(member, startup)
        if startup:
            self._startup = self._make_object(None, manual=False)
            self._move(startup, self._startup)

    def _require_same_startup(self, member: Member, startup: list[Member]) -> None:
        """Refuse to start when devices that share an ID are not granted the same memory."""
        granted = {one.device.name: one.startup for one in startup}
        for other in member.sharers:
            if granted.get(other) != member.startup:
                raise unsafe(
                    member.device.name,
                    f"it shares an ID with {other}, which the configuration does not grant the same memory",
                )

    # --- Clients

    def attach(self, name: str, abilities: Iterable[Ability] = ("attach",)) -> int:
        """Take a client in, and return its identifier (libsmmu: `smmu_init`)."""
        number = self._number()
        self._clients[number] = _Client(name, frozenset(abilities))
        return number

    def detach(self, client: int) -> None:
        """Let a client go: its devices are denied, its records forgotten (libsmmu: `smmu_fini`, or the client died).

        Raises ManagerError (`EIO`): a unit failed to deny a device; everything else is denied and forgotten.
        """
        one = self._client(client)
        members = [member for number in one.objects for member in self._objects[number].members.values()]
        try:
            self._release_all(members)
        finally:
            for number in one.objects:
                del self._objects[number]
            del self._clients[client]

    def client_name(self, client: int) -> str:
        """Return the name that a client gave itself."""
        return self._client(client).name

    # --- Objects

    def create_object(self, client: int, *, manual_reserved: bool = False) -> int:
        """Make an object and return its identifier (libsmmu: `smmu_obj_create`, `SOCF_RESERVED_MANUAL`).

        Raises ManagerError (`EACCES`): the client lacks the ability `attach`.
        """
        self._require(client, "attach")
        made = self._make_object(client, manual=manual_reserved)
        self._client(client).objects.add(made.number)
        return made.number

    def destroy_object(self, client: int, number: int) -> None:
        """Deny the object's devices everything, and forget it (libsmmu: `smmu_obj_destroy`)."""
        found = self._object(client, number)
        try:
            self._release_all(list(found.members.values()))
        finally:
            del self._objects[number]
            self._client(client).objects.discard(number)

    def objects_of(self, client: int) -> list[SmmuObject]:
        """Return the objects of a client, in the order of their making."""
        return [self._objects[number] for number in sorted(self._client(client).objects)]

    # --- Devices

    def add_device(self, client: int, number: int, name: str, *, together: bool = False) -> bool:
        """Put a device into an object (libsmmu: `smmu_device_add_*`); it gets the object's mappings at once.

        Args:
            client: who asks; the same client may move a device between its objects.
            number: the object.
            name: the device, by its name in the topology.
            together: put the devices that share its ID into the object with it, which is the only way they can be.

        Returns whether the object had no device behind its unit before (libsmmu: +1): the mappings have been
        made there too, and making them again does no harm.

        Raises ManagerError: `ENOENT` no unit is known to control it; `EBUSY` it, or a device that shares its ID, is
        another client's, or would be left out; `EINVAL`, `ENOSPC`, `EIO` from its unit.
        """
        return self.add_devices(client, number, (name,), together=together)

    def add_devices(self, client: int, number: int, names: Iterable[str], *, together: bool = False) -> bool:
        """Put several devices into an object as `add_device` does, all or none; whole groups are taken as such."""
        target = self._object(client, number)
        members = [self.member(name) for name in names]
        if together:
            members = list({one.device.name: one for member in members for one in self._group(member)}.values())
        for one in members:
            self._require_free(client, one)
        for one in members:
            self._require_whole_group(one, target, members)
        units = target.units()
        self._move(members, target)
        return any(place.unit not in units for one in members for place in one.endpoints)

    def remove_device(self, client: int, name: str) -> None:
        """Take a device out of the client's object: it is denied everything (libsmmu: `sop` NULL).

        Raises ManagerError: `ENOENT` the client does not own it; `EBUSY` a device that shares its ID would stay.
        """
        self.remove_devices(client, (name,))

    def remove_devices(self, client: int, names: Iterable[str]) -> None:
        """Take several devices out of the client's objects as `remove_device` does, all or none."""
        members = {name: self.member(name) for name in names}
        for name, member in members.items():
            place = self._places.get(name)
            if place is None or place.owner != client:
                raise ManagerError(
                    "ENOENT", "MANAGER-NOT-OWNED", "the device is in no object of this client", name,
                    advice="only the client that added a device removes it",
                )  # fmt: skip
            staying = [one for one in member.sharers if one not in members and self._places.get(one) is place]
            if staying:
                raise shared(name, staying, "remove them together, or destroy the object")
        self._release_all(list(members.values()))

    # --- Memory

    def map(
        self, client: int, number: int, start: int, length: int, access: Access, *, target: int | None = None
    ) -> Granted:
        """Grant an object's devices memory (libsmmu: `smmu_mapping_add`, one entry); it replaces what was there.

        Args:
            client: who asks.
            number: the object.
            start: device address; rounded down to whole granules of 4 KiB.
            length: bytes, rounded up.
            access: at least one of READ, WRITE, EXEC.
            target: physical address of it, when that is another one (`SMF_TARGET`; needs the ability `target`).

        Raises ManagerError: `EINVAL` the range cannot be, `EPERM` it is the manager's own, `EACCES`, or the units'.
        """
        return self.map_entries(client, number, ((start, length),), access, target=target)[0]

    def map_entries(
        self, client: int, number: int, entries: Iterable[tuple[int, int]], access: Access, *, target: int | None = None
    ) -> list[Granted]:
        """Grant several `(start, length)` as `map` does, all or none (libsmmu: `smmu_mapping_add`).

        With a target, each entry has to begin where the one before ends, so that it is plain where each of them lies.
        """
        if target is not None:
            self._require(client, "target")
        if not access:
            raise senseless("no access at all; to take memory away, unmap it")
        found = self._object(client, number)
        asked = list(entries)
        if target is not None and any(sum(one) != after[0] for one, after in pairwise(asked)):
            raise senseless("entries with one target do not follow each other")
        segments = [self._segment(found, start, length, access, asked[0][0], target) for start, length in asked]
        self._change(found, [(one.start, one.length, one) for one in segments])
        widened = Access.NONE
        for unit in found.units():
            widened |= self.ports[unit].widened(access) & ~access
        return [Granted.of(one, *pair, widened) for one, pair in zip(segments, asked, strict=True)]

    def _segment(
        self, found: SmmuObject, start: int, length: int, access: Access, first: int, target: int | None
    ) -> Segment:
        """Return what a request is in whole granules; `target` is the physical address of `first`."""
        low, high = self._rounded(start, length)
        physical = low if target is None else target + low - first
        if physical % GRANULE or physical < 0:
            raise senseless(f"the page offsets of 0x{first:x} and of its target 0x{target or 0:x} differ")
        segment = Segment(low, high - low, physical, access)
        self._require_not_private(segment, f"object {found.number}")
        for port in (self.ports[unit] for unit in found.units()):
            if high > 1 << port.address_bits:
                raise senseless(f"0x{high - 1:x} has more than the {port.address_bits} bits that {port.name} takes")
        return segment

    def unmap(self, client: int, number: int, start: int, length: int) -> Granted:
        """Take memory away (libsmmu: `smmu_mapping_add` with `SMF_NONE`), in whole granules as `map` rounds them."""
        return self.unmap_entries(client, number, ((start, length),))[0]

    def unmap_entries(self, client: int, number: int, entries: Iterable[tuple[int, int]]) -> list[Granted]:
        """Take several `(start, length)` away as `unmap` does, all or none."""
        found = self._object(client, number)
        ranges = [self._rounded(start, length) for start, length in entries]
        self._change(found, [(low, high - low, None) for low, high in ranges])
        return [Granted(low, high - low) for low, high in ranges]

    def reserved(self, name: str) -> tuple[Segment, ...]:
        """Return the memory that a device must keep reaching (libsmmu: `smmu_device_report_reserved`).

        Raises ManagerError (`ENOENT`): no unit is known to control it.
        """
        return self.member(name).reserved

    # --- Refused accesses

    def watch(self, client: int, notice: Callable[[], None]) -> None:
        """Have `notice` called once, at the next incident of the board (libsmmu: `smmu_xfer_notify`)."""
        self._client(client).inbox.arm(notice)

    def read_incident(self, client: int) -> Incident | None:
        """Return the client's oldest incident and forget it; None when there is none (libsmmu: `smmu_xfer_status`)."""
        return self._client(client).inbox.take()

    def poll(self) -> list[Incident]:
        """Take what the units have recorded: hand it to sinks and clients, and return it."""
        found = []
        for port in self.ports.values():
            refusals, lost = port.refusals()
            found += [self._incident(refusal) for refusal in refusals]
            if lost:
                for client in self._clients.values():
                    client.inbox.lose()
        for incident in found:
            for sink in self.sinks:
                sink(incident)
            for client in list(self._clients.values()):
                client.inbox.deliver(incident)
        return found

    def _incident(self, refusal: Refusal) -> Incident:
        devices: tuple[str, ...] = ()
        number = None
        if refusal.identifier is not None:
            devices = self.survey.at.get(Endpoint(refusal.unit, refusal.identifier), ())
            number = next((self._places[name].number for name in devices if name in self._places), None)
        return Incident(time.time_ns(), refusal, devices, number)

    # --- What is so

    def has_client(self, client: int) -> bool:
        """Tell whether a client is attached."""
        return client in self._clients

    def group(self, name: str) -> tuple[Member, ...]:
        """Return a device and all that no unit can tell from it; raises as `member` does."""
        return tuple(self._group(self.member(name)))

    def object_of(self, name: str) -> SmmuObject | None:
        """Return the object that a device is in."""
        return self._places.get(name)

    def member(self, name: str) -> Member:
        """Return the device of this name. Raises ManagerError (`ENOENT`): no unit is known to control it, and why."""
        found = self.survey.members.get(name)
        if found is not None:
            return found
        reasons = dict((*self.survey.unknown, *self.survey.unrestricted))
        device = self.topology.devices.get(name)
        silent = "no source names it" if device is None else "it sends nothing"
        if device is not None and is_bridge(device):
            silent = "it is a bridge, which passes requests on and sends none of its own"
        reason = reasons.get(name, silent)
        raise ManagerError(
            "ENOENT", "MANAGER-NO-UNIT", f"no unit is known to control this device: {reason}", name,
            advice="give the board's tables, or name its unit in the configuration",
        )  # fmt: skip

    def stop(self) -> None:
        """Deny every device everything; clients and objects are gone.

        Raises ManagerError (`EIO`): a unit failed to deny a device; all others are denied.
        """
        self._startup = None
        try:
            self._release_all([one for one in self.survey.members.values() if one.device.name in self._places])
        finally:
            self._objects.clear()
            self._clients.clear()

    # --- Inner workings

    def _number(self) -> int:
        number, self._next = self._next, self._next + 1
        return number

    def _make_object(self, owner: int | None, *, manual: bool) -> SmmuObject:
        made = SmmuObject(self._number(), owner, self.ports, manual=manual)
        self._objects[made.number] = made
        return made

    def _client(self, number: int) -> _Client:
        found = self._clients.get(number)
        if found is None:
            raise ManagerError("EINVAL", "MANAGER-CLIENT", "there is no such client", found=str(number))
        return found

    def _object(self, client: int, number: int) -> SmmuObject:
        self._client(client)
        found = self._objects.get(number)
        if found is None or found.owner != client:
            raise ManagerError("EINVAL", "MANAGER-OBJECT", "the client has no such object", found=str(number))
        return found

    def _require(self, client: int, ability: Ability) -> None:
        one = self._client(client)
        if ability not in one.abilities:
            raise ManagerError(
                "EACCES", "MANAGER-ABILITY", "the client lacks an ability", one.name, found="smmu/" + ability,
                advice="give it the ability in the access list",
            )  # fmt: skip

    def _group(self, member: Member) -> list[Member]:
        """Return a device and all that share an ID with it, or with those, and so on."""
        found = {member.device.name: member}
        waiting = [member]
        while waiting:
            for other in waiting.pop().sharers:
                if other not in found:
                    found[other] = self.survey.members[other]
                    waiting.append(found[other])
        return list(found.values())

    def _require_free(self, client: int, member: Member) -> None:
        """Refuse a device that is another client's, or in one isolation group with one that is."""
        for name in (member.device.name, *member.partners):
            place = self._places.get(name)
            if place is not None and place.owner is not None and place.owner != client:
                raise owned(member.device.name, name, self.client_name(place.owner))

    def _change(self, found: SmmuObject, changes: list[tuple[int, int, Segment | None]]) -> None:
        """Change an object's ranges one after another; where one is refused, put back those before it."""
        done: list[tuple[int, int, list[Segment]]] = []
        try:
            for start, length, new in changes:
                before = found.mappings.within(start, length)
                found.change(start, length, new)
                done.append((start, length, before))
        except ManagerError:
            for start, length, before in reversed(done):
                found.restore(start, length, before)
            raise

    def _require_whole_group(self, member: Member, target: SmmuObject, members: list[Member]) -> None:
        """Refuse to give a device memory that others which share its ID would reach as well, if they stay outside."""
        joining = {one.device.name for one in members}
        outside = [one for one in member.sharers if one not in joining and self._places.get(one) is not target]
        if outside:
            raise shared(member.device.name, outside, "grant them together")

    def _require_not_private(self, segment: Segment, part: str) -> None:
        overlap = self._private.overlapping(segment.physical, segment.length)
        if overlap:
            start, length = overlap[0]
            raise ManagerError(
                "EPERM", "MANAGER-PRIVATE", "this memory is the manager's or a unit's: who writes it decides what "
                "devices reach", part, found=f"0x{start:x}-0x{start + length - 1:x}", advice="leave it out",
            )  # fmt: skip

    def _rounded(self, start: int, length: int) -> tuple[int, int]:
        low, high = start // GRANULE * GRANULE, -(-(start + length) // GRANULE) * GRANULE
        if start < 0 or length <= 0 or high > 1 << 64:
            raise senseless(f"0x{max(start, 0):x} and {length} bytes are no range of addresses")
        return low, high

    def _move(self, members: list[Member], target: SmmuObject) -> None:
        """Attach devices to an object; when this returns they reach what it grants, and nothing else."""
        for member in members:
            for segment in target.own(member):
                self._require_not_private(segment, member.device.name)
        target.attach(members)
        for member in members:
            before = self._places.get(member.device.name)
            if before is not None and before is not target:
                before.forget(member)
            self._places[member.device.name] = target

    def _release_all(self, members: list[Member]) -> None:
        """Take devices out of their objects; where a unit fails at one, go on with the others, and then say so."""
        failures: list[ManagerError | IommuError] = []
        for member in members:
            try:
                self._release(member)
            except (ManagerError, IommuError) as error:
                failures.append(error)
        if failures:
            first = failures[0]
            raise first if isinstance(first, ManagerError) else refused(first, "EIO")

    def _release(self, member: Member) -> None:
        """Take a device out of its object; one with start-up grants goes back to them."""
        place = self._places.pop(member.device.name)
        try:
            place.detach(member)
        except IommuError as error:
            raise refused(error, "EIO") from error
        if member.startup and self._startup is not None and place is not self._startup:
            self._move([member], self._startup)
