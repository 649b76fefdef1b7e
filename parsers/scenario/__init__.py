"""Scenario files: virtual machines on a board, and what happens, in TOML (`docs/scenario.md`)."""

from __future__ import annotations

from .reader import parse_scenario, read_scenario
from .records import Action, Architecture, Event, GuestKind, GuestObject, Passed, Ram, Scenario, Vm, Window

__all__ = [
    "Action",
    "Architecture",
    "Event",
    "GuestKind",
    "GuestObject",
    "Passed",
    "Ram",
    "Scenario",
    "Vm",
    "Window",
    "parse_scenario",
    "read_scenario",
]
