"""Scenario files: virtual machines on a board, and what happens, in TOML (`docs/scenario.md`)."""

from __future__ import annotations

from .records import Action, Architecture, Dma, Event, GuestKind, GuestObject, Passed, Ram, Scenario, Vm, Window

__all__ = [
    "Action",
    "Architecture",
    "Dma",
    "Event",
    "GuestKind",
    "GuestObject",
    "Passed",
    "Ram",
    "Scenario",
    "Vm",
    "Window",
]
