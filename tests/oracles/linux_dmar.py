"""How Linux finds the DMA remapping unit of a PCI function (drivers/iommu/intel/dmar.c), worked out anew on raw bytes.

The PCI topology is the content of a `pci.json` (`{"format": "iommuman-pci", "functions": [...]}`), read as plain JSON.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_ADDRESS = re.compile(r"^(?:([0-9A-Fa-f]{4,8}):)?([0-9A-Fa-f]{2}):([0-9A-Fa-f]{2})\.([0-7])$")
_ENDPOINT, _BRIDGE = 1, 2
_BRIDGE_CLASS = 0x06
_FIRST_STRUCTURE = 48
_NARROWEST_WIDTH = 11

Place = tuple[int, int, int]
"""Segment, bus, device << 3 | function."""


@dataclass(slots=True)
class _Unit:
    segment: int
    base: int
    include_all: bool
    scopes: list[tuple[int, int, list[int]]]
    devices: set[Place] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Function:
    place: Place
    header_type: int
    base_class: int
    secondary: int | None
    physfn: Place | None


def unit_for(dmar_bytes: bytes, pci: Mapping[str, Any], address: str) -> int | None:
    """Return the register base of the unit that Linux takes for a function (`ssss:bb:dd.f`); None for none."""
    functions = _functions(pci)
    units = _bound(dmar_bytes, functions)
    place = _place(address)
    function = functions.get(place)
    if function is not None and function.physfn is not None:
        place = function.physfn
    chain = _chain(functions, place)
    for unit in units:
        if unit.include_all and unit.segment == place[0]:
            return unit.base
        if any(one in unit.devices for one in chain):
            return unit.base
    return None


def _place(address: str) -> Place:
    match = _ADDRESS.match(address)
    if match is None:
        raise ValueError(f"{address!r} is no PCI address")
    segment, bus, device, function = (int(part or "0", 16) for part in match.groups())
    return segment, bus, device << 3 | function


def _functions(pci: Mapping[str, Any]) -> dict[Place, _Function]:
    found = {}
    for entry in pci["functions"]:
        place = _place(entry["address"])
        bridge = entry.get("bridge") or {}
        found[place] = _Function(
            place,
            int(entry.get("header_type", 0)) & 0x7F,
            int(entry.get("class", "0x0"), 16) >> 16,
            bridge.get("secondary"),
            _place(entry["physfn"]) if entry.get("physfn") else None,
        )
    return found


def _chain(functions: Mapping[Place, _Function], place: Place) -> list[Place]:
    """Return the function and the bridges above it, the root bus's last."""
    bridges = {(one.place[0], one.secondary): one.place for one in functions.values() if one.secondary}
    chain = [place]
    while (above := bridges.get(chain[-1][:2])) is not None and above not in chain:
        chain.append(above)
    return chain


def _structures(dmar: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the remapping structures: a zero length ends them, one past the end makes Linux refuse the table."""
    data = dmar[: struct.unpack_from("<I", dmar, 4)[0]]
    offset = _FIRST_STRUCTURE
    while offset + 4 <= len(data):
        kind, length = struct.unpack_from("<HH", data, offset)
        if length == 0:
            return
        if offset + length > len(data):
            raise ValueError("record passes table end")
        yield kind, data[offset : offset + length]
        offset += length


def _scopes(drhd: bytes) -> list[tuple[int, int, list[int]]]:
    """Return (type, start bus, path as device << 3 | function) of the scopes."""
    found = []
    offset = 16
    while offset + 6 <= len(drhd):
        kind, length = drhd[offset], drhd[offset + 1]
        if length == 0:
            break
        path = drhd[offset + 6 : offset + length]
        found.append((kind, drhd[offset + 5], [path[i] << 3 | path[i + 1] for i in range(0, len(path) - 1, 2)]))
        offset += length
    return found


def _units(dmar: bytes) -> list[_Unit]:
    """Return the units in the order Linux searches them.

    Units with INCLUDE_PCI_ALL are added at the end of its list, all others at the *front*: of two units that name one
    function, the later in the table has it.
    """
    units: list[_Unit] = []
    if len(dmar) < _FIRST_STRUCTURE or dmar[36] < _NARROWEST_WIDTH:
        return units
    try:
        for kind, drhd in _structures(dmar):
            if kind != 0 or len(drhd) < 16:
                continue
            flags, _, segment, base = struct.unpack_from("<BBHQ", drhd, 4)
            if base == 0:
                return []  # "Your BIOS is broken": no unit is used at all
            if any((unit.segment, unit.base) == (segment, base) for unit in units):
                continue
            unit = _Unit(segment, base, bool(flags & 1), _scopes(drhd))
            units.insert(len(units) if unit.include_all else 0, unit)
    except ValueError:
        return []
    return units


def _bound(dmar: bytes, functions: Mapping[Place, _Function]) -> list[_Unit]:
    """Return the units, each with the functions its scopes matched: the first unit that matches takes a function."""
    units = _units(dmar)
    for function in functions.values():
        if function.physfn is not None:
            continue
        chain = _chain(functions, function.place)
        root_bus = chain[-1][1]
        path = [place[2] for place in reversed(chain)]
        for unit in units:
            if unit.include_all or unit.segment != function.place[0]:
                continue
            found = next((scope for scope in unit.scopes if _matches(scope, function, root_bus, path)), None)
            if found is None:
                continue
            bridge = function.header_type != 0
            if not (bridge if found[0] == _ENDPOINT else not bridge and function.base_class != _BRIDGE_CLASS):
                unit.devices.add(function.place)
            break  # also when type and header disagree: Linux gives up on this function then
    return units


def _matches(scope: tuple[int, int, list[int]], function: _Function, root_bus: int, path: list[int]) -> bool:
    kind, bus, wanted = scope
    if kind not in (_ENDPOINT, _BRIDGE):
        return False
    if bus == root_bus and wanted == path:
        return True
    return len(wanted) == 1 and (bus, wanted[0]) == function.place[1:]
