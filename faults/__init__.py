"""Faults of any origin as one record, attributed to devices, explained and summed up."""

from __future__ import annotations

from .errors import FaultError
from .fault import Access, Architecture, Clock, Fault

__all__ = ["Access", "Architecture", "Clock", "Fault", "FaultError"]
