"""Raw records: golden bytes of every code, and what the decoders promise for all others."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.iommu.bits import Bits, Ignored

HERE = Origin("queue.bin", "fault", 0)


def quads(*words: int) -> bytes:
    """Return 64-bit words as they lie in memory."""
    return struct.pack(f"<{len(words)}Q", *words)


def told(fault: Fault, **expected: Any) -> None:
    """Hold a fault's attributes to literal values."""
    assert {name: getattr(fault, name) for name in expected} == expected


def fields_of(layout: type[Bits], fixed: Mapping[str, int] | None = None) -> st.SearchStrategy[dict[str, int]]:
    """Return a strategy for values of all defined fields of a layout."""
    fixed = fixed or {}
    each: dict[str, st.SearchStrategy[int]] = {}
    for field in layout.fields:
        if field.name in fixed:
            each[field.name] = st.just(fixed[field.name])
        elif not isinstance(field, Ignored):
            # Shifted, as an address is told with its low bits zero; and zero often, as flags enable other fields.
            each[field.name] = st.builds(int.__lshift__, st.just(0) | st.integers(0, field.limit), st.just(field.low))
    return st.fixed_dictionaries(each)


def values_told(fault: Fault) -> set[int]:
    """Return every number that a fault tells, by its attributes and facts, but not by its raw bytes."""
    attributes = (fault.code, fault.identifier, fault.substream, fault.address, fault.ipa, fault.domain)
    found = {value for value in attributes if value is not None}
    return found | {value for _, value in fault.facts if isinstance(value, int)}
