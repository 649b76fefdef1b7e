"""A topology as a table: one line for each ID that a device sends, columns parted by two spaces or more.

At the end, PCI roots have one for each range of requester IDs that goes somewhere, whether or not functions are listed.
An isolation group has the name of the first of its devices.
"""

from __future__ import annotations

from ...base import Origin, format_rid, printable
from ..groups import isolation_groups
from ..model import IdMap
from ..resolve import Route
from ..topology import Topology
from ..view import Attachment, attachments, root_maps

COLUMNS = ("DEVICE", "REQUESTER", "IOMMU", "ID", "MSI", "VERDICT", "BY", "GROUP")


def draw_table(topology: Topology, *, provenance: bool = False) -> str:
    """Return the table; with `provenance` a last column says where the last step is known from."""
    rows = [(*COLUMNS, *(("FROM",) if provenance else ()))]
    attached = attachments(topology)
    groups = {name: group.name for group in isolation_groups(topology, attached) for name in group.devices}
    for one in attached:
        group = groups.get(one.device.name, "-")
        rows += [_row(one, route, group, provenance) for route in one.routes]
    rows += [_range_row(topology, one, provenance) for one in root_maps(topology)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _range_row(topology: Topology, one: IdMap, provenance: bool) -> tuple[str, ...]:  # noqa: FBT001
    """Return the line of a map of a PCI root."""
    several = "" if one.length == 1 else "-"
    requesters = "any" if one.single else "rest" if one.fallback else format_rid(one.base)
    if several and not (one.single or one.fallback):
        requesters += several + format_rid(one.base + one.length - 1)
    stream = "-"
    if one.output is not None and not one.fallback:
        last = one.output if one.single or one.merges else one.output + one.length - 1
        stream = f"0x{one.output:x}" + (f"-0x{last:x}" if last > one.output else "")
    unit = topology.iommus.get(one.target or "")
    verdict = "no-iommu" if unit is None else "controlled" if unit.enabled else "disabled"
    msi = one.target if one.target in topology.msi_controllers else None
    if msi is not None:
        msi, stream = (msi if stream == "-" else f"{msi}={stream}"), "-"
    cells = (one.source, requesters, unit.name if unit else "-", stream, msi or "-", verdict, one.rule, "-")
    row = tuple(printable(cell) for cell in cells)
    return (*row, printable(str(one.origin))) if provenance else row


def _row(one: Attachment, route: Route, group: str, provenance: bool) -> tuple[str, ...]:  # noqa: FBT001
    requester = "-"
    if route.requester is not None:
        is_pci = one.device.rid is not None
        requester = format_rid(route.requester) if is_pci else f"0x{route.requester:x}"
    stream = "-"
    if route.stream is not None:
        stream = f"0x{route.stream:x}" + (f"-0x{route.stream + route.count - 1:x}" if route.count > 1 else "")
        stream += f"/0x{route.ignored_bits:x}" if route.ignored_bits else ""
    msi = "-"
    if route.msi_hops:
        last = route.msi_hops[-1]
        msi = last.target + ("" if last.target_id is None else f"=0x{last.target_id:x}")
    rule = route.hops[-1].rule if route.hops else "-"
    cells = (one.device.name, requester, route.iommu or "-", stream, msi, route.verdict, rule, group)
    row = tuple(printable(cell) for cell in cells)
    if not provenance:
        return row
    origin: Origin = route.hops[-1].origin if route.hops else one.device.origin
    return (*row, printable(str(origin)))
