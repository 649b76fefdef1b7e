"""One client's calls, carried out: the one place where a call becomes what the manager does.

The embedded client and the service both hand calls to a `Session`, so that they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import get_args

from .accesses import access, pages
from .calls import (
    MOST_NAMES,
    VERSION,
    AddDevice,
    Added,
    Attach,
    Attached,
    Call,
    Created,
    CreateObject,
    DestroyObject,
    DmaAccess,
    Done,
    Entry,
    GrantedEntry,
    HeldObject,
    MapEntries,
    Mapped,
    ReadIncident,
    RemoveDevice,
    ReportReserved,
    Reserved,
    Result,
    Status,
    StatusRecord,
    Verdict,
    Watch,
)
from .errors import ManagerError
from .incidents import Notice
from .machine import Machine
from .manager import Ability, Manager
from .mappings import Access, Segment
from .naming import names_of
from .objects import SmmuObject
from .state import ObjectRecord

_SIZES = (1 << 30, 1 << 21, 1 << 12)
"""Pages that units map, the largest first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may have, so that it leaves something to the others.

    Attributes:
        objects: SMMU objects.
        mappings: stretches of memory in all its objects.
        pages: pages of 4 KiB, 2 MiB or 1 GiB that its objects need in tables, as large ones as addresses allow.
    """

    objects: int = 256
    mappings: int = 16384
    pages: int = 1 << 22


@dataclass(slots=True)
class _Use:
    """Pages that objects need at most; what they need is counted again before a request is refused."""

    pages: dict[int, int] = field(default_factory=dict)


class Session:
    """A client of a manager.

    Attributes:
        manager: the manager.
        client: the client's identifier there.
        changed: called after each call that changed what is granted.
    """

    def __init__(
        self, manager: Manager, attach: Attach, notice: Notice, *, machine: Machine | None = None,
        limits: Limits | None = None, changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Take a client in (libsmmu: `smmu_init`).

        Args:
            manager: of the board.
            attach: the client's name and the abilities that it asks for, which it has been found to have.
            notice: called when there is a record to read, once for each `Watch`.
            machine: the simulated board, whose devices may be made to access memory.
            limits: what the client may have.
            changed: see the class.

        Raises ManagerError (`EPROTO`): another version of the protocol, an ability that is none, or no name.
        """
        if attach.version != VERSION:
            raise ManagerError(
                "EPROTO", "PROTOCOL-VERSION", "the client speaks another version of the protocol", attach.name,
                found=str(attach.version), expected=str(VERSION),
            )  # fmt: skip
        known: tuple[Ability, ...] = get_args(Ability)
        abilities = [one for one in known if one in attach.abilities]
        if len(abilities) != len(set(attach.abilities)) or not attach.name:
            raise ManagerError(
                "EINVAL", "MANAGER-ATTACH", "a client needs a name, and abilities that there are", attach.name,
                found=", ".join(attach.abilities), expected=", ".join(known),
            )  # fmt: skip
        self.manager = manager
        self.changed = changed
        self._abilities = frozenset(abilities)
        self._machine = machine
        self._limits = limits or Limits()
        self._use = _Use()
        self._notice = notice
        self.client = manager.attach(attach.name, abilities)

    def handle(self, call: Call) -> Result:  # noqa: PLR0911 - one case a call
        """Carry a call out. Raises ManagerError: it was refused, and nothing has changed."""
        match call:
            case CreateObject():
                return self._create(call)
            case DestroyObject():
                self.manager.destroy_object(self.client, call.object)
                self._use.pages.pop(call.object, None)
                return self._done(Done())
            case AddDevice():
                return self._add(call)
            case RemoveDevice():
                return self._remove(call)
            case ReportReserved():
                return self._reserved(call)
            case MapEntries():
                return self._map(call)
            case Watch():
                self.manager.watch(self.client, self._notice)
                return Done()
            case ReadIncident():
                found = self.manager.read_incident(self.client)
                return Status(None if found is None else StatusRecord.of(found))
            case DmaAccess():
                return self._dma(call)
            case _:
                raise ManagerError("EINVAL", "MANAGER-ATTACHED", "the client is attached already", call.name)

    def end(self) -> None:
        """Let the client go: its devices are denied, its records forgotten."""
        self.manager.detach(self.client)
        self.changed()

    def resume(self, objects: Sequence[ObjectRecord]) -> Attached:
        """Make objects anew that the client had, and grant what they did.

        Raises ManagerError: it cannot be granted again, in part or at all; the client is gone then.
        """
        held = []
        try:
            for one in objects:
                made = self.manager.create_object(self.client, manual_reserved=one.manual_reserved)
                for start, length, physical, access in (segment.segment() for segment in one.mappings):
                    target = None if physical == start else physical
                    self.manager.map(self.client, made, start, length, access, target=target)
                self.manager.add_devices(self.client, made, one.devices)
                self._use.pages[made] = sum(_pages(segment.segment()) for segment in one.mappings)
                held.append(HeldObject(made, one.devices, len(one.mappings)))
        except ManagerError:
            self.manager.detach(self.client)
            raise
        return Attached(tuple(held))

    def granted(self) -> tuple[ObjectRecord, ...]:
        """Return what the client's objects grant, for `resume`."""
        return tuple(ObjectRecord.of(one) for one in self.manager.objects_of(self.client))

    def _done(self, result: Result) -> Result:
        self.changed()
        return result

    # --- Objects and devices

    def _create(self, call: CreateObject) -> Result:
        if len(self.manager.objects_of(self.client)) >= self._limits.objects:
            raise _too_many("objects", self._limits.objects)
        number = self.manager.create_object(self.client, manual_reserved=call.manual_reserved)
        return self._done(Created(number))

    def _add(self, call: AddDevice) -> Result:
        names = names_of(self.manager, call.device)
        before = self._devices(call.object)
        remap = self.manager.add_devices(self.client, call.object, names, together=call.together)
        after = self._devices(call.object)
        joined = tuple(name for name in after if name in names or name not in before)
        return self._done(Added(joined[:MOST_NAMES], remap))

    def _devices(self, number: int) -> list[str]:
        return [name for one in self.manager.objects_of(self.client) if one.number == number for name in one.members]

    def _remove(self, call: RemoveDevice) -> Result:
        names = names_of(self.manager, call.device)
        if len(names) > 1:
            # Of several that are meant, those are taken out that are the client's; none is an error.
            owned = [name for name in names if self._owns(name)]
            names = owned or names[:1]
        if call.together:
            names += [
                other
                for name in names
                if name in self.manager.survey.members
                for other in self.manager.survey.members[name].sharers
                if self._owns(other) and self.manager.object_of(other) is self.manager.object_of(name)
            ]
        names = list(dict.fromkeys(names))
        self.manager.remove_devices(self.client, names)
        return self._done(Added(tuple(names[:MOST_NAMES])))

    def _owns(self, name: str) -> bool:
        place = self.manager.object_of(name)
        return place is not None and place.owner == self.client

    def _reserved(self, call: ReportReserved) -> Result:
        names = names_of(self.manager, call.device)
        if len(names) != 1:
            raise ManagerError(
                "EINVAL", "MANAGER-REQUEST", "reserved memory is reported for one device at a time",
                found=f"{len(names)} devices",
            )  # fmt: skip
        regions = self.manager.reserved(names[0])
        shown = regions[call.offset : call.offset + call.most]
        return Reserved(len(regions), tuple(Entry(one.start, one.length) for one in shown))

    # --- Memory

    def _map(self, call: MapEntries) -> Result:
        if not call.access:
            ranges = [(one.start, one.length) for one in call.entries]
            gone = self.manager.unmap_entries(self.client, call.object, ranges)
            return self._done(Mapped(tuple(GrantedEntry.of(one) for one in gone)))
        found = next((one for one in self.manager.objects_of(self.client) if one.number == call.object), None)
        if found is not None:
            self._require_room(found, call)
        granted = self.manager.map_entries(
            self.client, call.object, [(one.start, one.length) for one in call.entries], Access(call.access),
            target=call.target,
        )  # fmt: skip
        return self._done(Mapped(tuple(GrantedEntry.of(one) for one in granted)))

    def _require_room(self, found: SmmuObject, call: MapEntries) -> None:
        """Refuse what would be more than one client may have, before any unit is touched."""
        objects = self.manager.objects_of(self.client)
        if sum(len(one.mappings) for one in objects) + 2 * len(call.entries) > self._limits.mappings:
            raise _too_many("mappings", self._limits.mappings)
        shift = 0 if call.target is None else call.target - call.entries[0].start
        asked = sum(page_count(one.start, one.length, one.start + shift) for one in call.entries)
        used = self._use.pages
        if sum(used.values()) + asked > self._limits.pages:
            # What was replaced or taken away since has been counted too.
            used.clear()
            used |= {one.number: _pages_of(one) for one in objects}
            if sum(used.values()) + asked > self._limits.pages:
                raise _too_many("pages of mapped memory", self._limits.pages)
        used[found.number] = used.get(found.number, 0) + asked

    # --- Accesses

    def _dma(self, call: DmaAccess) -> Result:
        if "dma" not in self._abilities:
            raise ManagerError(
                "EACCES", "MANAGER-ABILITY", "the client lacks an ability", self.manager.client_name(self.client),
                found="dma", advice="give it the ability in the access list",
            )  # fmt: skip
        if self._machine is None:
            raise ManagerError("EINVAL", "MANAGER-NOT-SIMULATED", "devices of a real board are not at our command")
        names = names_of(self.manager, call.device)
        if len(names) != 1 or call.address + call.length > 1 << 64:
            raise ManagerError("EINVAL", "MANAGER-REQUEST", "an access is by one device, and of addresses there are")
        verdict = self._access(names[0], call, self._machine)
        self.manager.poll()
        return verdict

    def _access(self, name: str, call: DmaAccess, machine: Machine) -> Verdict:
        first = None
        for address in pages(call.address, call.length):
            physical = access(self.manager, machine, name, address, write=call.write)
            if physical is None:
                return Verdict(allowed=False, physical=first, refused=address)
            first = physical if first is None else first
        return Verdict(allowed=True, physical=first)


def page_count(start: int, length: int, physical: int) -> int:
    """Return how many pages a stretch takes in tables when they are as large as both addresses allow."""
    end = start + length
    for size in _SIZES[:-1]:
        low, high = -(-start // size) * size, end // size * size
        if (start - physical) % size == 0 and low < high:
            edges = page_count(start, low - start, physical) + page_count(high, end - high, physical + high - start)
            return (high - low) // size + edges
    return -(-end // _SIZES[-1]) - start // _SIZES[-1] if length else 0


def _pages_of(one: SmmuObject) -> int:
    return sum(_pages(segment) for segment in one.mappings)


def _pages(segment: Segment) -> int:
    return page_count(segment.start, segment.length, segment.physical)


def _too_many(what: str, most: int) -> ManagerError:
    return ManagerError(
        "EDQUOT", "SERVICE-LIMIT", f"one client has no more than {most} {what}", advice="give some back, or raise it"
    )
