"""Asks the models, page by page and without their caches, what a device reaches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iommuman.iommu.amdvi.model import Unit
from iommuman.iommu.smmuv3.model import READ as STREAM_READ
from iommuman.iommu.smmuv3.model import WRITE as STREAM_WRITE
from iommuman.iommu.vtd.model import READ, WRITE, RemappingUnit
from iommuman.manager import GRANULE, Access, Endpoint, Machine, Mappings

Reached = dict[int, tuple[int, Access]]
"""Device address of a page to its physical address and what may be done there."""


def reached(machine: Machine, place: Endpoint, pages: Iterable[int]) -> Reached:
    """Return what an ID reaches at the pages of these device addresses."""
    model = machine.models[place.unit]
    found = {}
    for address in pages:
        read, write = (
            (_walk(model, place.identifier, address, READ), _walk(model, place.identifier, address, WRITE))
            if isinstance(model, RemappingUnit | Unit)
            else (
                _translated(model, place.identifier, address, STREAM_READ),
                _translated(model, place.identifier, address, STREAM_WRITE),
            )
        )
        access = (Access.NONE if read is None else Access.READ) | (Access.NONE if write is None else Access.WRITE)
        if access:
            physical = read if read is not None else write
            assert physical is not None
            assert read is None or write is None or read == write
            found[address] = (physical, access)
    return found


def _walk(unit: RemappingUnit | Unit, source: int, address: int, access: int) -> int | None:
    found = unit.walk(source, address, access)
    return found if isinstance(found, int) else None


def _translated(model: Any, identifier: int, address: int, access: int) -> int | None:
    """Ask an SMMU or a RISC-V IOMMU, whose access codes are the same."""
    found = model.translate(identifier, address, access)
    return None if found < 0 else int(found)


def by_page(mappings: Mappings, pages: Iterable[int]) -> Reached:
    """Return what mappings say of the pages of these device addresses; execution is left out."""
    found = {}
    for address in pages:
        for one in mappings.within(address, GRANULE):
            access = one.access & (Access.READ | Access.WRITE)
            if access:
                found[address] = (one.physical, access)
    return found
