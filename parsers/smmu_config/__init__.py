"""The configuration of smmuman: `.smmu` files and option words."""

from __future__ import annotations

from .files import read_text
from .layout import format_configuration
from .reader import parse_configuration, parse_words, read_configuration, syntax_errors
from .recognise import is_configuration
from .records import (
    Allow,
    Configuration,
    DeviceEntry,
    DeviceSpec,
    Firmware,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    SocRevision,
    Unit,
    Use,
)
from .writer import write_configuration

__all__ = [
    "Allow",
    "Configuration",
    "DeviceEntry",
    "DeviceSpec",
    "Firmware",
    "MainUnit",
    "MmioSpec",
    "NamedSpec",
    "PciSpec",
    "Reserved",
    "SmmuType",
    "SocRevision",
    "Unit",
    "Use",
    "format_configuration",
    "is_configuration",
    "parse_configuration",
    "parse_words",
    "read_configuration",
    "read_text",
    "syntax_errors",
    "write_configuration",
]
