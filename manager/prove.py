"""Proof: what every device reaches, read back from the programmed bits, beside what it was granted.

What is granted comes from the manager's own account; what is reached from the tables and registers that the units hold,
enumerated without the drivers (`iommu/*/model/reach.py`). The two are held to each other address by address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .machine import Machine
from .manager import Manager
from .mappings import Access, Mappings, Segment, differing
from .models import reach
from .ports import Port
from .survey import Endpoint, Member


@dataclass(frozen=True, slots=True)
class Proof:
    """What one ID of a device reaches.

    Attributes:
        device: name of the device.
        endpoint: unit and ID.
        object: number of the object that it is in; None: it is granted nothing.
        owner: name of the client that owns the object; empty: the configuration, or nobody.
        granted: what it is to reach, with the permissions that the unit can express.
        reached: what it reaches.
        beyond: what it reaches and was not granted: each is a hole.
        missing: what it was granted and does not reach.
    """

    device: str
    endpoint: Endpoint
    object: int | None
    owner: str
    granted: tuple[Segment, ...]
    reached: tuple[Segment, ...]
    beyond: tuple[Segment, ...]
    missing: tuple[Segment, ...]

    @property
    def holds(self) -> bool:
        """Whether it reaches exactly what it was granted."""
        return not self.beyond and not self.missing


def prove(machine: Machine, manager: Manager) -> Iterator[Proof]:
    """Yield a proof for every ID of every device that units control, in the order of the topology.

    Raises `IommuError` (`REACH-LIMIT`) when tables map so many runs that they must be damaged.
    """
    for member in manager.survey.members.values():
        for endpoint in member.endpoints:
            yield _prove(machine, manager, member, endpoint)


def _prove(machine: Machine, manager: Manager, member: Member, endpoint: Endpoint) -> Proof:
    port = machine.ports[endpoint.unit]
    place = manager.object_of(member.device.name)
    wanted = Mappings() if place is None else place.granted(member)
    granted = Mappings(one._replace(access=port.widened(one.access)) for one in wanted)
    reached = Mappings(_segments(machine, port, endpoint))
    beyond = [_excess(one, granted) for one in reached]
    missing = [_excess(one, reached) for one in granted]
    owner = "" if place is None or place.owner is None else manager.client_name(place.owner)
    return Proof(
        member.device.name,
        endpoint,
        None if place is None else place.number,
        owner,
        tuple(granted),
        tuple(reached),
        tuple(part for parts in beyond for part in parts),
        tuple(part for parts in missing for part in parts),
    )


def _segments(machine: Machine, port: Port, endpoint: Endpoint) -> Iterator[Segment]:
    """Yield what an ID reaches; execution counts only at units that can tell it from reading."""
    known = Access.READ | Access.WRITE | port.widened(Access.EXEC)
    for run in reach(machine, endpoint):
        access = (
            (Access.READ if run.read else Access.NONE)
            | (Access.WRITE if run.write else Access.NONE)
            | (Access.EXEC if run.execute else Access.NONE)
        )
        yield Segment(run.address, run.length, run.output, access & known)


def _excess(segment: Segment, others: Mappings) -> list[Segment]:
    """Return the parts of a segment that others do not have, with the permissions that these lack there."""
    found = []
    for part in differing(segment, others):
        for piece in _split(part, others):
            same = others.within(piece.start, 1)
            has = Access.NONE
            if same and same[0].physical == piece.physical:
                has = same[0].access
            if piece.access & ~has:
                found.append(piece._replace(access=piece.access & ~has))
    return found


def _split(segment: Segment, others: Mappings) -> Iterator[Segment]:
    """Yield a segment in pieces that others have wholly or not at all."""
    place = segment.start
    for other in others.within(segment.start, segment.length):
        if other.start > place:
            yield segment.part(place, other.start)
        yield segment.part(other.start, other.end)
        place = other.end
    if place < segment.end:
        yield segment.part(place, segment.end)
