"""PCI functions from a Linux `/sys` tree, or a copy of one."""

from __future__ import annotations

import struct
from pathlib import Path

from ...base import Finding, Origin, parse_pci_address
from .records import PCIE_TYPES, PciFunction, PciTopology, Resource

HEADER_BYTES = 64
CONFIG_BYTES = 4096

# Offsets in configuration space (PCI Local Bus Specification 3.0 §6.1, PCI Express Base Specification 6.0 §7).
_CLASS, _HEADER_TYPE, _SECONDARY, _SUBORDINATE, _CAPABILITIES, _STATUS = 0x09, 0x0E, 0x19, 0x1A, 0x34, 0x06
_HAS_CAPABILITIES = 0x10
_PCIE_CAPABILITY, _ACS_CAPABILITY = 0x10, 0x000D
_EXTENDED = 0x100
_DEVICE_CONTROL_2, _ARI_FORWARDING = 0x28, 1 << 5


def read_sysfs_pci(root: Path, source: str = "/sys") -> PciTopology:
    """Read all PCI functions below `root`, which is `/sys` or a copy of it.

    Without privileges Linux shows only the first 64 bytes of configuration space: then `pcie_type` is not known.
    """
    folder = root / "bus" / "pci" / "devices"
    functions = []
    findings: list[Finding] = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        address = parse_pci_address(entry.name)
        if address is None:
            continue
        origin = Origin(source, f"bus/pci/devices/{entry.name}")
        try:
            functions.append(_read_function(entry, address, origin))
        except (OSError, ValueError) as error:
            text = f"the function cannot be read: {error}"
            findings.append(Finding("PCI-SYSFS", "warning", origin, text, advice="it is left out"))
    if any(not function.pcie_known for function in functions):
        findings.append(
            Finding(
                "PCI-CAPABILITIES",
                "note",
                Origin(source, "bus/pci/devices"),
                "only the first 64 bytes of configuration space can be read, so bridges of PCI Express and of "
                "conventional PCI cannot be told apart",
                advice="read it as root for exact requester IDs",
            )
        )
    return PciTopology(tuple(functions), tuple(findings), source)


def _read_function(entry: Path, address: tuple[int, int], origin: Origin) -> PciFunction:
    """Read one function from its folder."""
    with (entry / "config").open("rb") as file:
        config = file.read(CONFIG_BYTES)
    if len(config) < HEADER_BYTES:
        raise ValueError(f"{len(config)} bytes of configuration space, expected at least {HEADER_BYTES}")
    vendor, device = struct.unpack_from("<HH", config)
    header_type = config[_HEADER_TYPE] & 0x7F
    is_bridge = header_type in (1, 2)
    pcie = _find_capability(config, _PCIE_CAPABILITY)
    acs = _find_extended(config, _ACS_CAPABILITY)
    return PciFunction(
        segment=address[0],
        rid=address[1],
        origin=origin,
        vendor=vendor,
        device=device,
        class_code=int.from_bytes(config[_CLASS : _CLASS + 3], "little"),
        header_type=header_type,
        multifunction=bool(config[_HEADER_TYPE] & 0x80),
        secondary=config[_SECONDARY] if is_bridge else None,
        subordinate=config[_SUBORDINATE] if is_bridge else None,
        pcie_type=PCIE_TYPES.get(config[pcie + 2] >> 4) if pcie else None,
        pcie_known=bool(pcie) or len(config) > HEADER_BYTES,
        ari=bool(pcie and config[pcie + _DEVICE_CONTROL_2] & _ARI_FORWARDING),
        acs=struct.unpack_from("<HH", config, acs + 4) if acs else None,
        driver=_link(entry / "driver"),
        physfn=_link(entry / "physfn"),
        numa_node=_numa_node(entry / "numa_node"),
        resources=_resources(entry / "resource"),
    )


def _find_capability(config: bytes, wanted: int) -> int:
    """Return the offset of a capability, with at least 48 bytes after it; 0 when there is none."""
    place = config[_CAPABILITIES] & 0xFC if config[_STATUS] & _HAS_CAPABILITIES else 0
    for _ in range(48):  # more capabilities than fit: a list that loops
        if place < HEADER_BYTES or place + 2 > len(config):
            return 0
        if config[place] == wanted:
            return place if place + 0x30 <= len(config) else 0
        place = config[place + 1] & 0xFC
    return 0


def _find_extended(config: bytes, wanted: int) -> int:
    """Return the offset of an extended capability; 0 when there is none."""
    place = _EXTENDED
    for _ in range(1024):
        if place < _EXTENDED or place + 8 > len(config):
            return 0
        header = int.from_bytes(config[place : place + 4], "little")
        if header & 0xFFFF == wanted:
            return place
        place = header >> 20 & 0xFFC
    return 0


def _link(path: Path) -> str | None:
    """Return the name that a symbolic link leads to; in a copy without links, the text of the file."""
    if path.is_symlink():
        return path.readlink().name
    if path.is_file():
        return path.read_text("ascii", "replace").strip()[:64] or None
    return None


def _numa_node(path: Path) -> int | None:
    """Return the NUMA node; Linux writes -1 for none."""
    text = path.read_text("ascii", "replace")[:16].strip() if path.is_file() else "-1"
    node = int(text)
    return None if node < 0 else node


def _resources(path: Path) -> tuple[Resource, ...]:
    """Return the windows in use; a line is `start end flags`, all 0 for none."""
    if not path.is_file():
        return ()
    found = []
    for line in path.read_text("ascii", "replace").splitlines()[:32]:
        start, end, flags = (int(word, 16) for word in line.split())
        if flags:
            found.append(Resource(start, end, flags))
    return tuple(found)
