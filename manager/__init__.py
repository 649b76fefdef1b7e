"""The manager: grants DMA devices memory through the board's IOMMUs, and records what they are refused."""

from __future__ import annotations

from .calls import ANY, Added, HeldObject, MmioId, NamedId, PciId, Verdict
from .client import Client
from .errors import ManagerError
from .guest import Guest, GuestManager
from .hypervisor import Hypervisor
from .incidents import Incident
from .machine import Machine, simulate
from .manager import Ability, Manager
from .mappings import Access, Granted, Mappings, Segment
from .ports import GRANULE, Port, Refusal
from .survey import Endpoint, Member, Survey
from .virtual_machine import VirtualMachine

__all__ = [
    "ANY",
    "GRANULE",
    "Ability",
    "Access",
    "Added",
    "Client",
    "Endpoint",
    "Granted",
    "Guest",
    "GuestManager",
    "HeldObject",
    "Hypervisor",
    "Incident",
    "Machine",
    "Manager",
    "ManagerError",
    "Mappings",
    "Member",
    "MmioId",
    "NamedId",
    "PciId",
    "Port",
    "Refusal",
    "Segment",
    "Survey",
    "Verdict",
    "VirtualMachine",
    "simulate",
]
