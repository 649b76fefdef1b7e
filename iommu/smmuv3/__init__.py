"""Arm SMMUv3, bit for bit: its layout, a driver that writes it, a model that reads it, and its event records."""

from __future__ import annotations

from .driver import Domain, Driver, Permission
from .layout.registers import REGISTERS_SIZE
from .model import Capabilities, Model, Outcome, Transaction, reach
from .records import EventRecord, decode_event

__all__ = [
    "REGISTERS_SIZE",
    "Capabilities",
    "Domain",
    "Driver",
    "EventRecord",
    "Model",
    "Outcome",
    "Permission",
    "Transaction",
    "decode_event",
    "reach",
]
