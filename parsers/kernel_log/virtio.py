"""Lines of `drivers/iommu/virtio-iommu.c` of Linux."""

from __future__ import annotations

import re

from ...base.quick import quick
from .joiner import Family, Kind, Part
from .records import LogRecord, VirtioFault

_FAULT = re.compile(
    r"(domain|page|unknown) fault from EP (\d{1,10})(?: at (?:0x)?([0-9a-f]{1,16}) \[(R?)(W?)(X?)\]|\s*$)"
)

_fault = quick(VirtioFault)


def _build(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    name, endpoint, address, read, write, execute = parts[0].match.groups()
    line = parts[0].line
    if address is None:
        return _fault(line, line.text, driver, unit, name, int(endpoint), None, "")
    return _fault(line, line.text, driver, unit, name, int(endpoint), int(address, 16), read + write + execute)


VIRTIO = Family((Kind("fault", _FAULT, _build),))
"""Lines behind `virtio_iommu <unit>: `."""
