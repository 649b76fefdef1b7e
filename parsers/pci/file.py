"""The JSON file that keeps a PCI topology: `{"format": "iommuman-pci", "version": 1, "functions": […]}`.

`docs/formats.md` describes it key by key. Unknown keys are passed by, so that later versions can add some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from ...base import Finding, Origin, parse_pci_address
from ..errors import ParseError
from .records import PCIE_TYPES, PciFunction, PciTopology, Resource

FORMAT = "iommuman-pci"
VERSION = 1
MAX_BUS = 255
MAX_NODE = (1 << 31) - 1
MAX_FINDINGS = 1000
"""Findings after which further entries that cannot be read are only counted."""
MAX_SHOWN = 64
"""Characters of a wrong value that a message repeats."""
UNKNOWN = "unknown"
ENTRY = "entry"

_HEX = re.compile(r"(?:0[xX])?[0-9a-fA-F]{1,32}")


def is_pci_file(data: bytes) -> bool:
    """Tell whether the bytes begin like a PCI topology file."""
    start = data[:512]
    return start.lstrip()[:1] == b"{" and f'"{FORMAT}"'.encode() in start


def parse_pci(data: bytes, source: str = "") -> PciTopology:
    """Read a PCI topology file; entries that cannot be are left out, with a finding each.

    Raises:
        ParseError: the bytes are no JSON object of this format and version.
    """
    document = _document(data, source)
    if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
        raise _refused(Origin(source), f"this is no JSON object with format {FORMAT!r} and version {VERSION}")
    entries = document.get("functions")
    if not isinstance(entries, list):
        raise _refused(Origin(source), f"'functions' is {_shown(entries)}, expected a list")
    functions = []
    findings = []
    wrong = 0
    for index, entry in enumerate(entries):
        origin = Origin(source, f"functions[{index}]")
        try:
            functions.append(_function(entry, origin))
        except _EntryError as error:
            wrong += 1
            if wrong <= MAX_FINDINGS:
                findings.append(
                    Finding(
                        "PCI-ENTRY",
                        "error",
                        origin,
                        "the function cannot be read",
                        field=error.key,
                        found=error.found,
                        expected=error.expected,
                        advice="it is left out; capture the topology again",
                    )
                )
    if wrong > MAX_FINDINGS:
        text = f"{wrong - MAX_FINDINGS} more functions that cannot be read are not listed"
        findings.append(Finding("PCI-MORE", "error", Origin(source), text, advice="capture the topology again"))
    return PciTopology(tuple(functions), tuple(findings), source, len(data))


def _document(data: bytes, source: str) -> object:
    """Return what the JSON holds."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        origin, reason = Origin(source, line=error.lineno), f"{error.msg} at column {error.colno}"
    except UnicodeDecodeError:
        origin, reason = Origin(source), "it is not UTF-8 text"
    except RecursionError:
        origin, reason = Origin(source), "it is nested too deeply"
    except ValueError:
        origin, reason = Origin(source), "a number has too many digits"
    raise _refused(origin, f"this is no JSON that can be read: {reason}")


def _refused(origin: Origin, message: str) -> ParseError:
    advice = "write it with 'iommuman capture'"
    return ParseError(Finding("PCI-FILE", "error", origin, message, advice=advice))


class _EntryError(Exception):
    """A value of an entry that cannot be: its key, and what was found and expected there, in words."""

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(key)
        self.key = key
        self.found = _shown(value)
        self.expected = expected


def _shown(value: object) -> str:
    """Return a JSON value in so few words that a sentence can hold it."""
    if value is None:
        return "missing or null"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


class _Object:
    """A JSON object of an entry, read key by key."""

    def __init__(self, value: object, key: str) -> None:
        if not isinstance(value, dict):
            raise _EntryError(key, value, "an object")
        self.value: dict[str, Any] = value
        self.path = f"{key}." if key != ENTRY else ""

    def get(self, key: str, default: object = None) -> Any:
        """Return the value of a key; null is as good as no key."""
        value = self.value.get(key)
        return default if value is None else value

    def hexadecimal(self, key: str, bits: int, default: str | None = None) -> int:
        """Return the value of a hexadecimal number of at most so many bits."""
        text = self.get(key, default)
        if not isinstance(text, str) or not _HEX.fullmatch(text) or int(text, 16) >> bits:
            raise _EntryError(self.path + key, text, f"a hexadecimal number of {bits} bits, in quotes")
        return int(text, 16)

    def number(self, key: str, last: int, default: int | None = None) -> int:
        """Return the value of a number from 0 to `last`."""
        value = self.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= last:
            raise _EntryError(self.path + key, value, f"a number from 0 to {last}")
        return value

    def flag(self, key: str) -> bool:
        """Return the value of a flag."""
        value = self.get(key, default=False)
        if not isinstance(value, bool):
            raise _EntryError(self.path + key, value, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """Return a text, or None."""
        value = self.get(key)
        if value is not None and not isinstance(value, str):
            raise _EntryError(self.path + key, value, "a text or null")
        return value


def _function(value: object, origin: Origin) -> PciFunction:
    """Return the function of one entry; raises _EntryError when a value cannot be."""
    entry = _Object(value, ENTRY)
    text = entry.get("address")
    address = parse_pci_address(text) if isinstance(text, str) else None
    if address is None:
        raise _EntryError("address", text, "a PCI address such as '0000:02:01.0'")
    bridge = None if entry.get("bridge") is None else _Object(entry.get("bridge"), "bridge")
    pcie_type = entry.text("pcie_type")
    if pcie_type not in (*PCIE_TYPES.values(), UNKNOWN, None):
        raise _EntryError("pcie_type", pcie_type, f"one of {', '.join(PCIE_TYPES.values())}, {UNKNOWN}, or null")
    acs = None if entry.get("acs") is None else _Object(entry.get("acs"), "acs")
    return PciFunction(
        segment=address[0],
        rid=address[1],
        origin=origin,
        vendor=entry.hexadecimal("vendor", 16, "0xffff"),
        device=entry.hexadecimal("device", 16, "0xffff"),
        class_code=entry.hexadecimal("class", 24, "0x0"),
        header_type=entry.number("header_type", 0x7F, 0),
        multifunction=entry.flag("multifunction"),
        secondary=bridge.number("secondary", MAX_BUS) if bridge else None,
        subordinate=bridge.number("subordinate", MAX_BUS) if bridge else None,
        pcie_type=None if pcie_type == UNKNOWN else pcie_type,
        pcie_known=pcie_type != UNKNOWN,
        ari=entry.flag("ari"),
        acs=(acs.hexadecimal("capability", 16), acs.hexadecimal("control", 16)) if acs else None,
        driver=entry.text("driver"),
        physfn=entry.text("physfn"),
        numa_node=None if entry.get("numa_node") is None else entry.number("numa_node", MAX_NODE),
        resources=_resources(entry.get("resources", [])),
    )


def _resources(value: object) -> tuple[Resource, ...]:
    if not isinstance(value, list):
        raise _EntryError("resources", value, "a list")
    windows = [_Object(one, f"resources[{index}]") for index, one in enumerate(value)]
    return tuple(
        Resource(one.hexadecimal("start", 64), one.hexadecimal("end", 64), one.hexadecimal("flags", 64))
        for one in windows
    )


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
        "pcie_type": function.pcie_type if function.pcie_known else UNKNOWN,
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
