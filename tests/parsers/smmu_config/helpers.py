"""What the tests of the configuration language share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from iommuman.base import Origin
from iommuman.parsers.smmu_config import (
    Allow,
    Configuration,
    DeviceEntry,
    Reserved,
    SmmuType,
    Unit,
    Use,
    parse_configuration,
)

Placed = TypeVar("Placed", SmmuType, Unit, Allow, Use, Reserved)
NOWHERE = Origin("")


def no_files(path: str) -> bytes:
    """Stand for a place without any file."""
    raise FileNotFoundError(2, "No such file or directory", path)


def files(contents: dict[str, str]) -> Callable[[str], bytes]:
    """Return an opener of files that are not on disk."""

    def opener(path: str) -> bytes:
        return contents[path].encode() if path in contents else no_files(path)

    return opener


def allow(name: str, start: int, length: int, letters: str) -> Allow:
    """Return a region with permissions written as letters."""
    return Allow(name, start, length, "s" in letters, "t" in letters, NOWHERE)


def read(text: str) -> Configuration:
    """Read a text that must have no errors, and forget where things stand."""
    configuration = parse_configuration(text, "a.smmu", no_files)
    assert [str(finding) for finding in configuration.findings] == []
    return without_origins(configuration)


def messages(text: str) -> list[str]:
    """Return what is said of a text."""
    return [str(finding) for finding in parse_configuration(text, "a.smmu", no_files).findings]


def without_origins(configuration: Configuration) -> Configuration:
    """Return the same configuration, standing nowhere."""

    def placeless(records: tuple[Placed, ...]) -> tuple[Placed, ...]:
        return tuple(replace(record, origin=NOWHERE) for record in records)

    devices = tuple(
        DeviceEntry(device.spec, NOWHERE, device.allow, placeless(device.uses), placeless(device.reserved))
        for device in configuration.devices
    )
    return replace(
        configuration,
        source="",
        types=placeless(configuration.types),
        units=placeless(configuration.units),
        allows=placeless(configuration.allows),
        devices=devices,
    )
