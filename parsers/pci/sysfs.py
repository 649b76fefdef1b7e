"""PCI functions from a Linux `/sys` tree, or a copy of one."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TypeVar

from ...base import Finding, Origin, parse_pci_address
from ..files import DISK, Files, text_of
from .records import PCIE_TYPES, PciFunction, PciTopology, Resource

HEADER_BYTES = 64
LEGACY_BYTES = 256
CONFIG_BYTES = 4096
TEXT_BYTES = 4096

MAX_NODE = (1 << 31) - 1
MAX_FUNCTIONS = 1 << 16
"""Most functions that are read: as many as one segment has requester IDs."""

# Offsets in configuration space (PCI Local Bus Specification 3.0 §6.1, PCI Express Base Specification 6.0 §7; for
# CardBus, PC Card Standard 8.0 volume 7).
_CLASS, _HEADER_TYPE, _SECONDARY, _SUBORDINATE, _CAPABILITIES, _STATUS = 0x09, 0x0E, 0x19, 0x1A, 0x34, 0x06
_CARDBUS, _CARDBUS_CAPABILITIES = 2, 0x14
_HAS_CAPABILITIES = 0x10
_PCIE_CAPABILITY, _ACS_CAPABILITY = 0x10, 0x000D
_EXTENDED = 0x100

_Value = TypeVar("_Value")


def read_sysfs_pci(root: str, source: str = "/sys", files: Files = DISK) -> PciTopology:
    """Read all PCI functions below `root`, which is `/sys` or a copy of it, on disk or in other `files`.

    What cannot be read is left out, with a finding. Without privileges Linux shows only the first 64 bytes of
    configuration space: then `pcie_type` is not known.
    """
    folder = os.path.join(root, "bus/pci/devices")
    where = Origin(source, "bus/pci/devices")
    findings: list[Finding] = []
    names: list[str] = []
    try:
        names = [name for name in files.names(folder) if parse_pci_address(name)]
    except FileNotFoundError:
        pass  # a machine without PCI
    except OSError as error:
        text = f"the functions cannot be listed: {error.strerror}"
        findings.append(Finding("PCI-SYSFS", "warning", where, text, advice="read or copy /sys as root"))
    if len(names) > MAX_FUNCTIONS:
        findings.append(
            Finding(
                "PCI-MANY",
                "warning",
                where,
                "there are too many functions",
                found=str(len(names)),
                expected=f"at most {MAX_FUNCTIONS}",
                advice="only the first by name are read",
            )
        )
    functions = []
    for name in names[:MAX_FUNCTIONS]:
        function = _read_function(
            files, os.path.join(folder, name), Origin(source, f"bus/pci/devices/{name}"), findings
        )
        if function is not None:
            functions.append(function)
    if any(not function.pcie_known for function in functions):
        findings.append(
            Finding(
                "PCI-CAPABILITIES",
                "note",
                where,
                "the capabilities of some functions cannot be read, so bridges of PCI Express and of conventional PCI "
                "cannot be told apart",
                advice="read or copy /sys as root: others see only the first 64 bytes of configuration space",
            )
        )
    return PciTopology(tuple(functions), tuple(findings), source)


def _read_function(files: Files, entry: str, origin: Origin, findings: list[Finding]) -> PciFunction | None:
    """Read one function from its folder, whose name is its address; None when its configuration space is not there."""
    segment, rid = parse_pci_address(os.path.basename(entry)) or (0, 0)
    config = _read_config(files, os.path.join(entry, "config"), origin, findings)
    if config is None:
        return None

    def attribute(name: str, read: Callable[[str], _Value], otherwise: _Value, expected: str) -> _Value:
        """Return what `read` makes of a text file beside the configuration space."""
        text = ""
        try:
            text = text_of(files.read(os.path.join(entry, name), TEXT_BYTES)).strip()
            return read(text)
        except FileNotFoundError:
            return otherwise
        except OSError as error:
            found = f"not readable ({error.strerror or error})"
        except ValueError:
            found = repr(text[:40])
        findings.append(
            Finding(
                "PCI-SYSFS",
                "warning",
                origin,
                "an attribute of the function cannot be read",
                field=name,
                found=found,
                expected=expected,
                advice="the function is read without it",
            )
        )
        return otherwise

    vendor, device = struct.unpack_from("<HH", config)
    code = int.from_bytes(config[_CLASS : _CLASS + 3], "little")
    header_type = config[_HEADER_TYPE] & 0x7F
    is_bridge = header_type in (1, _CARDBUS)
    pcie = _find_capability(config, _PCIE_CAPABILITY)
    pcie_type = PCIE_TYPES.get(config[pcie + 2] >> 4) if pcie else None
    acs = _find_extended(config, _ACS_CAPABILITY)
    return PciFunction(
        segment=segment,
        rid=rid,
        origin=origin,
        # The configuration space of a virtual function has no IDs; Linux knows them from its physical function.
        vendor=attribute("vendor", _hexadecimal(16), vendor, "a hexadecimal number of 16 bits"),
        device=attribute("device", _hexadecimal(16), device, "a hexadecimal number of 16 bits"),
        class_code=attribute("class", _hexadecimal(24), code, "a hexadecimal number of 24 bits"),
        header_type=header_type,
        multifunction=bool(config[_HEADER_TYPE] & 0x80),
        secondary=config[_SECONDARY] if is_bridge else None,
        subordinate=config[_SUBORDINATE] if is_bridge else None,
        pcie_type=pcie_type,
        pcie_known=pcie_type is not None if pcie else len(config) > HEADER_BYTES,
        ari=attribute("ari_enabled", int, 0, "0 or 1") != 0,
        acs=struct.unpack_from("<HH", config, acs + 4) if acs else None,
        driver=_link(files, os.path.join(entry, "driver")),
        physfn=_link(files, os.path.join(entry, "physfn")),
        numa_node=attribute("numa_node", _numa_node, None, "a decimal number"),
        resources=attribute("resource", _resources, (), "lines of three hexadecimal numbers"),
    )


def _read_config(files: Files, path: str, origin: Origin, findings: list[Finding]) -> bytes | None:
    """Return the configuration space as far as it can be read; None when not even its header can."""
    try:
        config = files.read(path, CONFIG_BYTES)
    except OSError as error:
        found = f"not readable ({error.strerror or error})"
    else:
        if len(config) >= HEADER_BYTES:
            # tar fills up with zeros what only root may read.
            hidden = config[_STATUS] & _HAS_CAPABILITIES and not any(config[HEADER_BYTES:])
            return config[:HEADER_BYTES] if hidden else config
        found = f"{len(config)} bytes long"
    findings.append(
        Finding(
            "PCI-SYSFS",
            "warning",
            origin,
            "the configuration space of the function cannot be read",
            field="config",
            found=found,
            expected=f"at least {HEADER_BYTES} bytes",
            clause="PCI Local Bus Specification 3.0 §6.1",
            advice="the function is left out; read or copy /sys as root",
        )
    )
    return None


def _find_capability(config: bytes, wanted: int) -> int:
    """Return the offset of a capability, whose first 4 bytes are there; 0 when there is none."""
    pointer = _CARDBUS_CAPABILITIES if config[_HEADER_TYPE] & 0x7F == _CARDBUS else _CAPABILITIES
    place = config[pointer] & 0xFC if config[_STATUS] & _HAS_CAPABILITIES else 0
    for _ in range((LEGACY_BYTES - HEADER_BYTES) // 4):  # no more fit: a list that is longer loops
        if place < HEADER_BYTES or place + 4 > len(config):
            return 0
        if config[place] == wanted:
            return place
        place = config[place + 1] & 0xFC
    return 0


def _find_extended(config: bytes, wanted: int) -> int:
    """Return the offset of an extended capability, whose first 8 bytes are there; 0 when there is none."""
    place = _EXTENDED
    for _ in range((CONFIG_BYTES - _EXTENDED) // 4):  # as above
        if place < _EXTENDED or place + 8 > len(config):
            return 0
        header = int.from_bytes(config[place : place + 4], "little")
        if header & 0xFFFF == wanted:
            return place
        place = header >> 20 & 0xFFC
    return 0


def _link(files: Files, path: str) -> str | None:
    """Return the name that a symbolic link leads to; in a copy without links, the text of the file."""
    try:
        return os.path.basename(files.link(path))
    except OSError:  # it is no link, or not there
        pass
    try:
        return text_of(files.read(path, 64)).strip() or None
    except OSError:
        return None


def _hexadecimal(bits: int) -> Callable[[str], int]:
    """Return a reader of hexadecimal numbers of at most so many bits."""

    def read(text: str) -> int:
        number = int(text, 16)
        if number < 0 or number >> bits:
            raise ValueError(text)
        return number

    return read


def _numa_node(text: str) -> int | None:
    """Return the NUMA node; Linux writes -1 for none."""
    node = int(text)
    if node > MAX_NODE:
        raise ValueError(text)
    return None if node < 0 else node


def _resources(text: str) -> tuple[Resource, ...]:
    """Return the windows in use; a line is `start end flags`, all 0 for none."""
    found = []
    for line in text.splitlines():
        start, end, flags = map(_hexadecimal(64), line.split())
        if flags:
            found.append(Resource(start, end, flags))
    return tuple(found)
