"""SMMU objects: devices that are granted the same memory, and the address spaces that make it so.

An object's devices may stand behind several units, and some have memory of their own that the others of the object must
not reach (reserved regions, start-up grants). So an object has one address space for each unit and each set of such
memory: devices with the same set share it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..iommu import IommuError
from .errors import ManagerError, Reason
from .mappings import Mappings, Segment, differing
from .ports import Port, Space
from .survey import Endpoint, Member

Own = tuple[Segment, ...]
"""Memory that a device has beside what its object grants."""
_EXHAUSTED = ("MEMORY-EXHAUSTED", "SMMU-BANKS", "SMMU-STREAM-ENTRIES")
"""Rules of drivers that say: there is no more of it."""


@dataclass(slots=True)
class Slot:
    """An address space of one unit, for the devices of an object that have the same memory of their own.

    Attributes:
        port: the unit.
        own: that memory.
        space: the unit's address space.
        programmed: what the unit has been told, which is what its devices reach.
        endpoints: the IDs attached to it.
    """

    port: Port
    own: Own
    space: Space
    programmed: Mappings = field(default_factory=Mappings)
    endpoints: set[Endpoint] = field(default_factory=set)


class SmmuObject:
    """One object. It changes units only through the methods here; on an error nothing has changed, or all is denied.

    Attributes:
        number: its identifier, unique in the manager.
        owner: identifier of the client that owns it; None for what the configuration grants from start.
        manual: the client maps reserved regions itself (libsmmu: `SOCF_RESERVED_MANUAL`).
        mappings: what it grants, as it was asked for in whole granules.
        members: its devices, by name.
    """

    __slots__ = ("_ports", "_slots", "manual", "mappings", "members", "number", "owner")

    def __init__(self, number: int, owner: int | None, ports: dict[str, Port], *, manual: bool = False) -> None:
        """Make an object without devices and mappings."""
        self.number = number
        self.owner = owner
        self.manual = manual
        self.mappings = Mappings()
        self.members: dict[str, Member] = {}
        self._ports = ports
        self._slots: dict[tuple[str, Own], Slot] = {}

    def units(self) -> set[str]:
        """Return the names of the units that its devices are behind."""
        return {unit for unit, _ in self._slots}

    def own(self, member: Member) -> Own:
        """Return the memory that a device would have of its own in this object."""
        return (*member.startup, *(() if self.manual else member.reserved))

    def granted(self, member: Member) -> Mappings:
        """Return what a device of this object is to reach: what the object grants, and its own memory."""
        return Mappings(self._effective(self.own(member), 0, 1 << 64))

    # --- Devices

    def attach(self, members: Iterable[Member]) -> None:
        """Take devices in, from whatever object they were in: the caller tells that one with `forget`.

        Raises ManagerError: their own memory contradicts the mappings, or a unit refuses.
        """
        members = list(members)
        made: list[Slot] = []
        try:
            slots = [
                (place, self._slot(self._ports[place.unit], self.own(member), made))
                for member in members
                for place in member.endpoints
            ]
        except (IommuError, ManagerError):
            self._drop(made)
            raise
        done: list[Endpoint] = []
        try:
            for place, slot in slots:
                done.append(place)
                slot.port.attach(place.identifier, slot.space)
                slot.endpoints.add(place)
        except IommuError as error:
            self._deny(done)
            self._drop(made)
            raise refused(error, "EIO") from error
        self.members |= {member.device.name: member for member in members}

    def forget(self, member: Member) -> None:
        """Note that a device is attached elsewhere now, or denied; address spaces without devices are given back."""
        self.members.pop(member.device.name, None)
        kept = {place for other in self.members.values() for place in other.endpoints}
        for place in member.endpoints:
            if place not in kept:
                for slot in self._slots.values():
                    slot.endpoints.discard(place)
        self._drop([slot for slot in self._slots.values() if not slot.endpoints])

    def detach(self, member: Member) -> None:
        """Deny a device everything, and let it go. IDs that it shares with others of the object stay theirs."""
        kept = {
            place for name, other in self.members.items() if name != member.device.name for place in other.endpoints
        }
        self._deny([place for place in member.endpoints if place not in kept])
        self.forget(member)

    def _slot(self, port: Port, own: Own, made: list[Slot]) -> Slot:
        """Return the address space for a unit and own memory, with all mappings in it; new ones are noted in `made`."""
        found = self._slots.get((port.name, own))
        if found is not None:
            return found
        segments = self._effective(own, 0, 1 << 64)
        try:
            slot = Slot(port, own, port.create())
        except IommuError as error:
            raise refused(error, "ENOSPC") from error
        made.append(slot)
        self._slots[port.name, own] = slot
        try:
            for segment in segments:
                self._map(slot, segment)
        except IommuError as error:
            raise refused(error, "EINVAL") from error
        return slot

    def _drop(self, slots: list[Slot]) -> None:
        for slot in slots:
            self._slots.pop((slot.port.name, slot.own), None)
            slot.port.destroy(slot.space)

    def _deny(self, places: Iterable[Endpoint]) -> None:
        for place in places:
            self._ports[place.unit].block(place.identifier)
            for slot in self._slots.values():
                slot.endpoints.discard(place)

    # --- Mappings

    def change(self, start: int, length: int, new: Segment | None) -> None:
        """Grant a segment, or with None nothing, from `start` on; both are whole granules.

        Raises ManagerError: it contradicts memory of a device's own, or a unit refuses; then everything is as it was.
        """
        before = self.mappings.within(start, length)
        self._put(start, length, new)
        done: list[Slot] = []
        try:
            # What contradicts itself is found before any unit is touched.
            plans = [(slot, self._effective(slot.own, start, length)) for slot in self._slots.values()]
            for slot, after in plans:
                done.append(slot)
                self._program(slot, start, length, after)
        except (IommuError, ManagerError) as error:
            self._put(start, length, None)
            for segment in before:
                self.mappings.put(segment)
            self._restore(done, start, length)
            raise (refused(error, "EINVAL") if isinstance(error, IommuError) else error) from error

    def restore(self, start: int, length: int, before: Iterable[Segment]) -> None:
        """Let a range mean what it did before a change; where a unit refuses even that, deny the devices everything."""
        self._put(start, length, None)
        for segment in before:
            self.mappings.put(segment)
        self._restore(list(self._slots.values()), start, length)

    def _put(self, start: int, length: int, new: Segment | None) -> None:
        if new is None:
            self.mappings.remove(start, length)
        else:
            self.mappings.put(new)

    def _restore(self, slots: list[Slot], start: int, length: int) -> None:
        """Program again what was there before; where even that fails, deny the devices everything."""
        for slot in slots:
            try:
                self._program(slot, start, length, self._effective(slot.own, start, length))
            except IommuError:
                self._deny(list(slot.endpoints))

    def _effective(self, own: Own, start: int, length: int) -> list[Segment]:
        """Return what devices with this own memory are to reach in a range.

        Raises ManagerError (`EINVAL`): the same device address would mean two places in memory.
        """
        end = start + length
        found = Mappings(self.mappings.within(start, length))
        for region in own:
            low, high = max(region.start, start), min(region.end, end)
            if low >= high:
                continue
            kept = region.part(low, high)
            overlapped = found.within(low, high - low)
            for there in overlapped:
                if there.physical - there.start != kept.physical - kept.start:
                    raise ManagerError(
                        "EINVAL", "MANAGER-CONFLICT", "the mapping takes the place of memory that a device must keep",
                        found=f"0x{there.start:x} mapped to 0x{there.physical:x}",
                        expected=f"0x{region.start:x}-0x{region.end - 1:x} at 0x{region.physical:x}",
                        advice="map around it, or create the object with manual reserved regions",
                    )  # fmt: skip
            found.put(kept)
            for there in overlapped:
                found.put(there._replace(access=there.access | kept.access))
        return list(found)

    def _program(self, slot: Slot, start: int, length: int, after: list[Segment]) -> None:
        """Make a unit's address space hold `after` in a range; what stays as it is is not touched."""
        wanted = Mappings(one._replace(access=slot.port.widened(one.access)) for one in after)
        for old in slot.programmed.within(start, length):
            for gone in differing(old, wanted):
                # First, since where it fails the unit may hold a part of it.
                slot.programmed.remove(gone.start, gone.length)
                slot.port.unmap(slot.space, gone.start, gone.length)
        for new in list(wanted):
            for piece in differing(new, slot.programmed):
                self._map(slot, piece)

    def _map(self, slot: Slot, segment: Segment) -> None:
        segment = segment._replace(access=slot.port.widened(segment.access))
        try:
            slot.port.map(slot.space, segment)
        except IommuError:
            # How far the driver got is not known: nothing of it may stay.
            try:
                slot.port.unmap(slot.space, segment.start, segment.length)
            except IommuError:
                self._deny(list(slot.endpoints))
            raise
        slot.programmed.put(segment)


def refused(error: IommuError, reason: Reason) -> ManagerError:
    """Return the manager's error for one of a unit's driver."""
    finding = error.finding
    kind: Reason = "ENOSPC" if finding.rule in _EXHAUSTED else reason
    return ManagerError(
        kind, finding.rule, finding.message, finding.origin.part, field=finding.field, found=finding.found,
        expected=finding.expected, clause=finding.clause, advice=finding.advice,
    )  # fmt: skip
