"""The models of a board, asked in one way whatever their architecture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from .ports import BEFORE_SMMUV3

if TYPE_CHECKING:
    from ..iommu.amdvi.model import Unit as AmdviUnit
    from ..iommu.reach import Reach
    from ..iommu.riscv.model import Model as RiscvModel
    from ..iommu.smmuv2.model import Model as SmmuV2Model
    from ..iommu.smmuv3.model import Model as SmmuModel
    from ..iommu.vtd.model import RemappingUnit
    from .machine import Machine
    from .survey import Endpoint

    Model = AmdviUnit | RemappingUnit | RiscvModel | SmmuModel | SmmuV2Model


def send(model: Model, kind: str, identifier: int, address: int, *, write: bool) -> int | None:
    """Let a device access one byte.

    Args:
        model: of its unit.
        kind: of its unit, as a topology says it.
        identifier: ID that the device sends.
        address: device address.
        write: whether it writes.

    Returns:
        The physical address; None when the unit refuses, which it records.
    """
    if kind == "vtd":
        from ..iommu.vtd import model as vtd

        found = cast("RemappingUnit", model).translate(identifier, address, vtd.WRITE if write else vtd.READ)
        return found if isinstance(found, int) else None
    if kind == "amdvi":
        from ..iommu.amdvi import model as amdvi

        told = cast("AmdviUnit", model).translate(identifier, address, amdvi.WRITE if write else amdvi.READ)
        return told if isinstance(told, int) else None
    if kind == "riscv-iommu":
        from ..iommu.riscv import model as riscv

        physical = cast("RiscvModel", model).translate(
            identifier, address, riscv.WRITE if write else riscv.READ
        )  # fmt: skip
    elif kind in BEFORE_SMMUV3:
        from ..iommu.smmuv2 import model as smmuv2

        physical = cast("SmmuV2Model", model).translate(identifier, address, smmuv2.WRITE if write else smmuv2.READ)
    else:
        from ..iommu.smmuv3 import model as smmuv3

        physical = cast("SmmuModel", model).translate(
            identifier, address, smmuv3.WRITE if write else smmuv3.READ
        )  # fmt: skip
    return None if physical < 0 else physical


def reach(machine: Machine, place: Endpoint) -> Iterator[Reach]:
    """Yield all that an ID reaches, from the tables and registers of its unit, without the drivers.

    Raises `IommuError` (`REACH-LIMIT`) when tables map so many runs that they must be damaged.
    """
    model, kind = machine.models[place.unit], machine.kinds[place.unit]
    if kind == "vtd":
        from ..iommu.vtd.model.reach import reach as source_reach

        return source_reach(cast("RemappingUnit", model), place.identifier)
    if kind == "amdvi":
        from ..iommu.amdvi.model.reach import reach as device_id_reach

        return device_id_reach(cast("AmdviUnit", model), place.identifier)
    if kind == "riscv-iommu":
        from ..iommu.riscv.model.reach import reach as device_reach

        return device_reach(cast("RiscvModel", model), place.identifier)
    if kind in BEFORE_SMMUV3:
        from ..iommu.smmuv2.model.reach import reach as stream_id_reach

        return stream_id_reach(cast("SmmuV2Model", model), place.identifier)
    from ..iommu.smmuv3.model.reach import reach as stream_reach

    return stream_reach(cast("SmmuModel", model), place.identifier)
