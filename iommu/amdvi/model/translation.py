"""A request's way from device ID and address to a host address, AMD 48882 2.2.

`Translator.translate` follows the order in which the specification checks. With `cached`, what the unit remembers is
looked up before memory and filled on the way; without, every step reads memory and nothing is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...platform import Memory
from ..layout.registers import DevTabBase
from .caches import Caches
from .device import Context, Request, fetch_context
from .hardware import Hardware
from .requests import INTERRUPT_RANGE, Fault
from .walk import walk


@dataclass(slots=True)
class Tables:
    """What registers say of translation.

    Attributes:
        translating: Control.IommuEn.
        devices: the device table.
        exclusion: `(start, end)` of the exclusion range, empty while it is off.
        everybody: the exclusion range is for all devices.
    """

    translating: bool = False
    devices: DevTabBase = field(default_factory=DevTabBase)
    exclusion: tuple[int, int] = (0, 0)
    everybody: bool = False

    def excludes(self, context: Context, address: int) -> bool:
        """Tell whether an access of a device goes round translation."""
        start, end = self.exclusion
        return start <= address < end and (self.everybody or context.excluded)


class Translator:
    """The translating part of a unit."""

    def __init__(self, memory: Memory, hardware: Hardware, caches: Caches, tables: Tables) -> None:
        """Translate with the tables in `memory` that `tables` points to."""
        self.memory = memory
        self.hardware = hardware
        self.caches = caches
        self.tables = tables

    def context(self, request: Request, *, cached: bool) -> Context:
        """Return what the device table says of a device. Raises `Fault`."""
        found = self.caches.devices.get(request.device) if cached else None
        if found is None:
            found = fetch_context(self.memory, self.hardware, self.tables.devices, request)
            if cached:
                self.caches.keep(self.caches.devices, request.device, found)
        return found

    def translate(self, request: Request, *, cached: bool) -> int:
        """Return the host address of a request. Raises `Fault`."""
        address = request.address
        # 1. A unit that is off lets everything pass.
        if not self.tables.translating:
            return address
        # 2. The interrupt range is no memory.
        if address >> 20 == INTERRUPT_RANGE:
            raise Fault(None)
        context = self.context(request, cached=cached)
        try:
            return self._in_context(request, context, cached=cached)
        except Fault as fault:
            fault.silent = fault.silent or context.silent
            raise

    def _in_context(self, request: Request, context: Context, *, cached: bool) -> int:
        address, need = request.address, request.need
        # 3. What is not valid does not translate.
        if not context.valid:
            return address
        context.refuse_illegal(request)
        # 4. The exclusion range goes round translation.
        if self.tables.excludes(context, address):
            return address
        # 5. Without valid tables there is no translation, without levels it is the address itself.
        if not context.translates:
            raise Fault(request.page_fault())
        if need & ~context.granted:
            raise Fault(request.page_fault(context.domain, PR=1, PE=1))
        if not context.mode:
            return address
        # 6. Host page tables.
        if not cached:
            page, shift = walk(self.memory, context, request)
            return (page & -1 << shift) | (address & (1 << shift) - 1)
        tlb = self.caches.tlb(context.domain)
        found = tlb.find(address, need)
        if found is None:
            page, shift = walk(self.memory, context, request, self.caches)
            self.caches.keep(tlb.pages.setdefault(shift, {}), address >> shift, page)
            found = (page & -1 << shift) | (address & (1 << shift) - 1)
        return found
