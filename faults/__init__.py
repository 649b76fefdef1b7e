"""Faults of any origin as one record, attributed to devices, explained and summed up.

Here is the record, which takes little to import. What makes and uses it has modules of its own:

- `from_log.from_log`: faults of the records that `parsers.kernel_log` reads
- `raw`: faults of queues, registers and pasted words
- `attribute.attribute` and `attribute.Attributor`: which unit and device it was, what it hit, and why, by a topology
- `explain.explain`: all that in a few plain lines
- `causes.find_cause`: the likely cause where no topology is at hand
- `report`: many faults in one report
"""

from __future__ import annotations

from .errors import FaultError
from .fault import Access, Architecture, Clock, Fault

__all__ = ["Access", "Architecture", "Clock", "Fault", "FaultError"]
