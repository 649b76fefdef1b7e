"""From the identifiers that clients give to the names of devices."""

from __future__ import annotations

from ..base import format_pci_address
from ..topology import Topology
from ..topology.query import TopologyError, ask
from ..topology.view import is_bridge
from .calls import DeviceId, MmioId, PciId
from .errors import ManagerError
from .manager import Manager


def names_of(manager: Manager, device: DeviceId) -> list[str]:
    """Return the names of the devices that are meant, in the order of the topology; there is at least one.

    Of PCI functions, `ANY` leaves bridges out: they send nothing of their own. A name that no source has is returned
    too where it is plain, so that the manager says what it lacks.

    Raises ManagerError (`ENOENT`): nothing is meant, or nobody can tell what.
    """
    if isinstance(device, PciId):
        return _functions(manager.topology, device)
    if isinstance(device, MmioId):
        return _at_registers(manager.topology, device)
    if device.name in manager.topology.devices:
        return [device.name]
    try:
        return [ask(manager.topology, device.name).device.name]
    except TopologyError as error:
        raise ManagerError(
            "ENOENT", "MANAGER-NO-DEVICE", error.finding.message, device.name, advice=error.finding.advice
        ) from None


def _functions(topology: Topology, wanted: PciId) -> list[str]:
    fields = (wanted.bus, wanted.device, wanted.function)
    if None not in fields:
        bus, device, function = (field or 0 for field in fields)
        return [format_pci_address(wanted.segment, bus << 8 | device << 3 | function)]
    found = [
        one.name
        for one in topology.devices.values()
        if one.rid is not None and one.segment == wanted.segment and not is_bridge(one) and _matches(one.rid, fields)
    ]
    if not found:
        shown = [f"{field:x}" if field is not None else "*" for field in fields]
        raise ManagerError(
            "ENOENT", "MANAGER-NO-DEVICE", "no source names a PCI function that sends anything at this address",
            f"{wanted.segment:04x}:{shown[0]}:{shown[1]}.{shown[2]}",
        )  # fmt: skip
    return found


def _matches(rid: int, fields: tuple[int | None, ...]) -> bool:
    return all(wanted in (None, has) for wanted, has in zip(fields, (rid >> 8, rid >> 3 & 31, rid & 7), strict=True))


def _at_registers(topology: Topology, wanted: MmioId) -> list[str]:
    found = [one.name for one in topology.devices.values() if one.base == wanted.phys]
    if found:
        return found
    units = [unit for unit in topology.iommus.values() if unit.enabled]
    part = f"mem:{wanted.phys:x}"
    if units and all(unit.kind == "vtd" for unit in units):
        raise ManagerError(
            "ENOENT", "MANAGER-MMIO-VTD", "VT-d units control devices that have a PCI requester ID, and a device that "
            "is known by its registers alone has none", part, advice="nothing here limits what it reaches",
        )  # fmt: skip
    raise ManagerError(
        "ENOENT", "MANAGER-NO-DEVICE", "no source names a device with registers at this address", part,
        advice="name it as the sources do, or name its unit in the configuration",
    )  # fmt: skip
