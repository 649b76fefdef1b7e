"""The JSON file that keeps a PCI topology: `{"format": "iommuman-pci", "version": 1, "functions": […]}`.

`docs/formats.md` describes it key by key. Unknown keys are passed by, so that later versions can add some.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ...base import Finding, Origin, parse_pci_address
from ..errors import ParseError
from .records import PCIE_TYPES, PciFunction, PciTopology, Resource

FORMAT = "iommuman-pci"
VERSION = 1
MAX_BUS = 255


def is_pci_file(data: bytes) -> bool:
    """Tell whether the bytes begin like a PCI topology file."""
    start = data[:512]
    return start.lstrip()[:1] == b"{" and f'"{FORMAT}"'.encode() in start


def parse_pci(data: bytes, source: str = "") -> PciTopology:
    """Read a PCI topology file; entries that cannot be are left out, with a finding each.

    Raises:
        ParseError: the bytes are no JSON object of this format and version.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _refused(source, f"this is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
        raise _refused(source, f"this is no JSON object with format {FORMAT!r} and version {VERSION}")
    entries = document.get("functions")
    if not isinstance(entries, list):
        raise _refused(source, "the key 'functions' does not hold a list")
    functions = []
    findings = []
    for index, entry in enumerate(entries):
        origin = Origin(source, f"functions[{index}]")
        try:
            functions.append(_function(entry, origin))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            text = f"no {error} in the entry" if isinstance(error, KeyError) else str(error)
            findings.append(
                Finding(
                    "PCI-ENTRY",
                    "error",
                    origin,
                    f"the function cannot be read: {text}",
                    advice="it is left out; capture the topology again",
                )
            )
    return PciTopology(tuple(functions), tuple(findings), source, len(data))


def _refused(source: str, message: str) -> ParseError:
    advice = "write it with 'iommuman capture'"
    return ParseError(Finding("PCI-FILE", "error", Origin(source), message, advice=advice))


def _function(entry: dict[str, Any], origin: Origin) -> PciFunction:
    """Return the function of one entry; raises what Python raises when a value is of the wrong kind."""
    address = parse_pci_address(entry["address"])
    if address is None:
        raise ValueError(f"{entry['address']!r} is no PCI address")
    secondary, subordinate = _buses(entry.get("bridge"))
    pcie_type = entry.get("pcie_type")
    if pcie_type is not None and pcie_type not in (*PCIE_TYPES.values(), "unknown"):
        raise ValueError(f"{pcie_type!r} is no PCI Express type")
    acs = entry.get("acs")
    numa_node = entry.get("numa_node")
    return PciFunction(
        segment=address[0],
        rid=address[1],
        origin=origin,
        vendor=_number(entry.get("vendor", "0xffff"), 16),
        device=_number(entry.get("device", "0xffff"), 16),
        class_code=_number(entry.get("class", "0x0"), 24),
        header_type=int(entry.get("header_type", 0)),
        multifunction=bool(entry.get("multifunction", False)),
        secondary=secondary,
        subordinate=subordinate,
        pcie_type=None if pcie_type == "unknown" else pcie_type,
        pcie_known=pcie_type != "unknown",
        ari=bool(entry.get("ari", False)),
        acs=(_number(acs["capability"], 16), _number(acs["control"], 16)) if acs else None,
        driver=_text(entry.get("driver")),
        physfn=_text(entry.get("physfn")),
        numa_node=None if numa_node is None else int(numa_node),
        resources=tuple(
            Resource(_number(one["start"], 64), _number(one["end"], 64), _number(one["flags"], 64))
            for one in entry.get("resources", ())
        ),
    )


def _buses(bridge: dict[str, Any] | None) -> tuple[int | None, int | None]:
    """Return the secondary and subordinate bus of a bridge; None for what is no bridge."""
    if bridge is None:
        return None, None
    secondary, subordinate = int(bridge["secondary"]), int(bridge["subordinate"])
    if not (0 <= secondary <= MAX_BUS and 0 <= subordinate <= MAX_BUS):
        raise ValueError(f"the bridge cannot lead to buses {secondary} to {subordinate}")
    return secondary, subordinate


def _number(text: str, bits: int) -> int:
    """Return the value of a hexadecimal number of at most so many bits."""
    number = int(text, 16)
    if number < 0 or number >> bits:
        raise ValueError(f"{text!r} is no number of {bits} bits")
    return number


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def build_pci(functions: Iterable[PciFunction]) -> bytes:
    """Return the file for these functions, sorted by address."""
    ordered = sorted(functions, key=lambda function: (function.segment, function.rid))
    topology = PciTopology(tuple(ordered))
    roots = {(function.segment, function.bus) for function in ordered if topology.parent(function) is None}
    document = {
        "format": FORMAT,
        "version": VERSION,
        "functions": [_entry(function, topology.parent(function)) for function in ordered],
        "root_buses": [{"segment": segment, "bus": bus} for segment, bus in sorted(roots)],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _entry(function: PciFunction, parent: PciFunction | None) -> dict[str, Any]:
    """Return the JSON object of one function."""
    return {
        "address": function.address,
        "vendor": f"0x{function.vendor:04x}",
        "device": f"0x{function.device:04x}",
        "class": f"0x{function.class_code:06x}",
        "header_type": function.header_type,
        "multifunction": function.multifunction,
        "parent": parent.address if parent else None,
        "bridge": None
        if function.secondary is None
        else {"secondary": function.secondary, "subordinate": function.subordinate},
        "pcie_type": function.pcie_type if function.pcie_known else "unknown",
        "ari": function.ari,
        "acs": None
        if function.acs is None
        else {"capability": f"0x{function.acs[0]:04x}", "control": f"0x{function.acs[1]:04x}"},
        "driver": function.driver,
        "physfn": function.physfn,
        "numa_node": function.numa_node,
        "resources": [
            {"start": f"0x{one.start:x}", "end": f"0x{one.end:x}", "flags": f"0x{one.flags:x}"}
            for one in function.resources
        ],
    }
