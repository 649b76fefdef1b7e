"""The manager: grants DMA devices memory through the board's IOMMUs, and records what they are refused."""

from __future__ import annotations

from .errors import ManagerError
from .guest import Guest, GuestManager
from .hypervisor import Hypervisor
from .incidents import Incident
from .machine import Machine, simulate
from .manager import Ability, Granted, Manager
from .mappings import Access, Mappings, Segment
from .ports import GRANULE, Port, Refusal
from .survey import Endpoint, Member, Survey
from .virtual_machine import VirtualMachine

__all__ = [
    "GRANULE",
    "Ability",
    "Access",
    "Endpoint",
    "Granted",
    "Guest",
    "GuestManager",
    "Hypervisor",
    "Incident",
    "Machine",
    "Manager",
    "ManagerError",
    "Mappings",
    "Member",
    "Port",
    "Refusal",
    "Segment",
    "Survey",
    "VirtualMachine",
    "simulate",
]
