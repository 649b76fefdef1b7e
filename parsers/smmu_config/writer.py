"""Writes a configuration as text: one option a line, what belongs to a device indented below it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from .devices import format_spec
from .numbers import format_id, format_size
from .records import Allow, Configuration, DeviceEntry, MainUnit, Reserved, SmmuType, Unit, Use

INDENT = "    "
"""What stands before the options that belong to a device."""

Record = SmmuType | Unit | DeviceEntry | Use | Reserved | Allow


def write_configuration(configuration: Configuration, comment: Callable[[Record], str] | None = None) -> str:
    """Return the text of a configuration; reading it gives the same records, standing elsewhere.

    `comment` returns what is written above a record as `#` lines; empty: nothing.
    """
    parts = [
        [f"debug {configuration.debug}"] if configuration.debug else [],
        ["foreground"] if configuration.foreground else [],
        [line for allow in configuration.allows for line in _lines(allow, comment)],
        *([line for record in group for line in _lines(record, comment)] for group in _groups(configuration)),
        *(list(_device(device, comment)) for device in configuration.devices),
    ]
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts if part)


def _groups(configuration: Configuration) -> Iterator[list[SmmuType | Unit]]:
    """Yield each type with the units behind it; a type is repeated where the order of the units asks for it."""
    units = deque(configuration.units)
    kinds = {kind.type: kind for kind in configuration.types}
    for kind in configuration.types:
        yield [kind, *(_take(units, kind.type) if kind is kinds[kind.type] else ())]
    while units:
        kind = kinds.get(units[0].type) or SmmuType(units[0].type, units[0].origin)
        yield [kind, *_take(units, kind.type)]


def _take(units: deque[Unit], kind: str) -> Iterator[Unit]:
    """Take the units of a type off the front of a list."""
    while units and units[0].type == kind:
        yield units.popleft()


def _device(device: DeviceEntry, comment: Callable[[Record], str] | None) -> Iterator[str]:
    yield from _lines(device, comment)
    inner: tuple[Use | Reserved, ...] = (*device.uses, *device.reserved)
    for record in inner:
        yield from (f"{INDENT}{line}" for line in _lines(record, comment))


def _lines(record: Record, comment: Callable[[Record], str] | None) -> Iterator[str]:
    """Yield the comment of a record, and its option."""
    text = comment(record) if comment else ""
    yield from (f"# {line}".rstrip() for line in text.splitlines())
    yield format_option(record)


def format_option(record: Record) -> str:
    """Return a record as the option that tells it."""
    match record:
        case SmmuType():
            parameter = _main(record.main) if record.main else record.firmware
            return f"smmu {record.type} {parameter}".rstrip()
        case Unit():
            return f"unit {record.name} {','.join(_unit_fields(record))}"
        case DeviceEntry():
            return f"device {format_spec(record.spec)} {record.allow}".rstrip()
        case Use():
            return f"use {record.unit} {_ids(record)}".rstrip()
        case Reserved():
            return f"reserved {record.start:#x},{format_size(record.length)}"
        case Allow():
            letters = "" if record.read == record.write else ",s" if record.read else ",t"
            return f"allow {record.name} {record.start:#x},{format_size(record.length)}{letters}"


def _main(main: MainUnit) -> str:
    revisions = [f"{revision.soc:#x}.{revision.revision:#x}" for revision in main.revisions]
    return ",".join([f"{main.base:#x}", str(main.fault_interrupt), str(main.fault_bit), *revisions])


def _unit_fields(unit: Unit) -> Iterator[str]:
    """Yield the fields of a unit, up to the last that is told."""
    yield f"{unit.base:#x}"
    if unit.status_bit is not None:
        yield str(unit.status_bit)
    for interrupt in (unit.context_interrupt, unit.global_interrupt):
        if interrupt is not None:
            yield str(interrupt)
    if unit.bypass is not None:
        yield str(int(unit.bypass))
    if unit.reserved_ids or unit.board_module:
        yield ":".join(format_id(stream) for stream in unit.reserved_ids)
    if unit.board_module:
        yield unit.board_module


def _ids(use: Use) -> str:
    if use.first is None:
        return ""
    return format_id(use.first) + (f"-{format_id(use.first + use.count - 1)}" if use.count > 1 else "")
