"""Single accesses by devices of a simulated board, as its units see them."""

from __future__ import annotations

from ..topology import routes
from .errors import ManagerError
from .machine import Machine
from .manager import Manager
from .ports import GRANULE


def access(manager: Manager, machine: Machine, name: str, address: int, *, write: bool) -> int | None:
    """Let a device access one byte, and return the physical address that it got to; None when it was refused.

    The unit records what it refuses. A device of several IDs uses the first that it can; one that no unit controls
    reaches all.

    Raises ManagerError (`ENOENT`): no source names the device.
    """
    member = manager.survey.members.get(name)
    if member is not None:
        sent = machine.sent
        able = [place for place in member.endpoints if sent is None or place.identifier in sent]
        return machine.dma((able or member.endpoints)[0], address, write)
    device = manager.topology.devices.get(name)
    if device is None:
        raise ManagerError("ENOENT", "MANAGER-NO-DEVICE", "no source names this device", name)
    for place in manager.survey.at:
        # A bridge is no member, but what it sends arrives somewhere.
        if name in manager.survey.at[place]:
            return machine.dma(place, address, write)
    return None if any(route.verdict == "unresolved" for route in routes(manager.topology, device)) else address


def pages(address: int, length: int) -> list[int]:
    """Return the address, and the starts of further granules that a range touches."""
    first = address // GRANULE * GRANULE + GRANULE
    return [address, *range(first, address + length, GRANULE)]
