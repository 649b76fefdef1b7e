"""The manager's incidents as faults, for logs and reports: the two layers know nothing of each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..base import Origin

if TYPE_CHECKING:
    from ..faults import Fault
    from ..manager import Incident


def fault_of(incident: Incident, kind: str) -> Fault:
    """Return the fault of an incident: what its raw record holds, and the devices that the manager attributed it to.

    Args:
        incident: from `Manager.poll` or a sink.
        kind: of its unit, as the topology has it: `vtd`, `smmuv3`, `riscv-iommu` or `amdvi`.
    """
    from ..faults.raw import amdvi, riscv, smmuv3, vtd

    refusal = incident.refusal
    decode = {"vtd": vtd.decode, "smmuv3": smmuv3.decode, "riscv-iommu": riscv.decode, "amdvi": amdvi.decode}[kind]
    found = decode(refusal.raw, Origin(""), refusal.unit)
    told = (("object", incident.object),) if incident.object is not None else ()
    several = (("devices", " ".join(incident.devices)),) if len(incident.devices) > 1 else ()
    return replace(
        found,
        time=incident.time,
        clock="utc",
        device=incident.devices[0] if len(incident.devices) == 1 else "",
        facts=(*found.facts, *several, *told),
    )
