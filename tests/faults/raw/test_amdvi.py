"""AMD-Vi events and page requests, by words written out from the tables of AMD 48882 and from kernel logs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import amdvi
from iommuman.iommu.amdvi.layout.queues import EVENTS, GuestIoPageFault, PageRequest

from . import HERE, fields_of, quads, told, values_told

# Word 0 and word 1; device 0a:00.0 is 0x0a00. The `flags` of Linux's lines are bits 59:48 of word 0.
EVENT_WORDS: list[tuple[tuple[int, int], dict[str, Any]]] = [
    ((0x1080_0000_0000_0600, 0x1_3530_0000),  # Linux: device=06:00.0 pasid=0 address=0x135300000 flags=0x0080
     {"name": "ILLEGAL_DEV_TABLE_ENTRY", "identifier": 0x600, "address": 0x1_3530_0000, "access": "read",
      "facts": (("RZ", 1),), "substream": None}),
    ((0x2000_001D_0000_0A00, 0x0637_C000),  # Linux: device=0a:00.0 domain=0x001d address=0x637c000 flags=0x0000
     {"name": "IO_PAGE_FAULT", "domain": 0x1D, "address": 0x637C000, "access": "read", "facts": (),
      "reason": "the address is not mapped", "privileged": None}),
    ((0x2070_0043_0000_0200, 0xECDD_5004),  # Linux: domain=0x0043 address=0xecdd5004 flags=0x0070
     {"reason": "no permission to write", "domain": 0x43, "access": "write", "identifier": 0x200,
      "facts": (("PR", 1), ("PE", 1))}),
    ((0x2090_0001_0000_0A00, 0), {"reason": "a reserved bit is set in a table entry"}),
    ((0x2010_0001_0000_0A00, 0),
     {"reason": "a table entry has an invalid level, or the address is beyond the table"}),
    ((0x2008_0001_0000_0A00, 0xFEE0_0000),
     {"reason": "the interrupt remapping entry is not present", "access": "interrupt"}),
    ((0x2052_0001_0000_0A00, 0), {"reason": "no permission to execute", "access": "execute"}),
    ((0x2158_0001_0000_0A00, 0), {"reason": "no permission", "access": "interrupt"}),
    ((0x2015_0002_0003_0A00, 0x1000), {"domain": None, "substream": 0x3_0002, "privileged": False, "access": "read"}),
    ((0x3600_0000_0000_0A00, 0x8000_0020),
     {"name": "DEV_TAB_HARDWARE_ERROR", "address": None,
      "facts": (("Type", "DATA_ERROR"), ("TableAddress", 0x8000_0020))}),
    ((0x4200_0007_0000_0A00, 0x9000_0008),
     {"name": "PAGE_TAB_HARDWARE_ERROR", "domain": 7,
      "facts": (("Type", "MASTER_ABORT"), ("TableAddress", 0x9000_0008))}),
    ((0x4001_0007_0005_0A00, 0), {"domain": None, "substream": 0x5_0007}),
    ((0x5000_0000_0000_0000, 0x1000_0010),
     {"name": "ILLEGAL_COMMAND_ERROR", "identifier": None, "facts": (("CommandAddress", 0x1000_0010),)}),
    ((0x6400_0000_0000_0000, 0x1000_0020),
     {"name": "COMMAND_HARDWARE_ERROR", "facts": (("Type", "TARGET_ABORT"), ("CommandAddress", 0x1000_0020))}),
    ((0x7000_0000_0000_6300, 0x4_2B5B_01A0),  # Linux: device=63:00.0 address=0x42b5b01a0
     {"name": "IOTLB_INV_TIMEOUT", "identifier": 0x6300, "facts": (("CommandAddress", 0x4_2B5B_01A0),)}),
    ((0x8A01_0004_0000_0A00, 0x2000),
     {"name": "INVALID_DEVICE_REQUEST", "substream": 4, "address": 0x2000, "facts": (("GN", 1), ("Type", 5))}),
    ((0x9021_0425_0006_0A00, 0x3000),  # Linux: PASID from bits 45:42 and 31:16, tag from 41:32
     {"name": "INVALID_PPR_REQUEST", "substream": 0x1_0006, "facts": (("Tag", 0x25), ("Flags", 0x21))}),
    ((0xA000_0000_0000_0000, 0), {"name": "EVENT_COUNTER_ZERO", "identifier": None}),
    ((0xB000_0000_8000_0001, 0),
     {"name": "GUEST_EVENT_FAULT", "identifier": None, "facts": (("reserved bits", 0x8000_0001),)}),
    ((0xC000_0000_0000_0000, 0), {"name": "VIOMMU_HARDWARE_ERROR"}),
    ((0xD020_0009_0012_0A00, 0x5000),
     {"name": "RMP_PAGE_FAULT", "identifier": 0xA00, "address": 0x5000,
      "facts": (("FlagsRMP", 0x12), ("VMGTag", 9), ("Flags", 0x20))}),
    ((0xE000_0009_0000_0A00, 0x6008), {"name": "RMP_HARDWARE_ERROR", "facts": (("VMGTag", 9), ("SPA", 0x6008))}),
    ((0xF000_0000_0000_0000, 0), {"name": "", "code": 0xF, "reason": "event not defined by AMD 48882"}),
]  # fmt: skip


@pytest.mark.parametrize(("words", "expected"), EVENT_WORDS)
def test_every_event(words: tuple[int, int], expected: dict[str, Any]) -> None:
    """Each event code with the fields that it has."""
    fault = amdvi.decode(quads(*words), HERE, "ivhd0")
    told(fault, architecture="amdvi", iommu="ivhd0", code=words[0] >> 60, address_bits=0)
    told(fault, **expected)


def test_a_page_request() -> None:
    """2.6: device 01:00.0, PASID 0x2_0003, tag 0x15, a write by a user of page 0x7000."""
    fault = amdvi.decode_request(quads(0x1160_0815_0003_0100, 0x7000), HERE)
    told(fault, identifier=0x100, substream=0x2_0003, address=0x7000, privileged=False)
    assert fault.facts == (("Tag", 0x15), ("WRITE", 1))


@pytest.mark.parametrize("layout", [*EVENTS.values(), GuestIoPageFault])
@given(st.data())
def test_encode_and_decode_are_inverse(layout: Any, data: st.DataObject) -> None:
    """Every defined field of every event comes back from the bytes, and every number that has a meaning is told."""
    code = next((number for number, one in EVENTS.items() if one is layout), 2)
    fixed = {"EventCode": code} | ({"GN": int(layout is GuestIoPageFault)} if code == 2 else {})
    fields = data.draw(fields_of(layout, fixed))
    fault = amdvi.decode(amdvi.encode(**fields), HERE)
    assert dict(layout.from_bytes(fault.raw).items()) == fields
    skipped = {"US", "I", "RW", "NX", "TR", "GN", "PASID_19_16", "DomainID", "Type"}
    assert {value for name, value in fields.items() if name not in skipped} <= values_told(fault) | {0}


@given(fields_of(PageRequest))
def test_encode_and_decode_of_requests_are_inverse(fields: dict[str, int]) -> None:
    """The same for page requests."""
    fault = amdvi.decode_request(amdvi.encode_request(**fields), HERE)
    assert dict(PageRequest.from_bytes(fault.raw).items()) == fields
    assert {fields[name] for name in ("DeviceID", "PASID", "Tag", "Address")} <= values_told(fault) | {0}


@given(st.binary(min_size=16, max_size=16))
def test_any_bytes_decode(raw: bytes) -> None:
    """Noise is a fault."""
    assert amdvi.decode(raw, HERE).raw == raw


@pytest.mark.parametrize("decode", [amdvi.decode, amdvi.decode_request])
def test_another_length_is_refused(decode: Any) -> None:
    """A record that is cut short is one error."""
    with pytest.raises(FaultError, match="AMD-Vi"):
        decode(bytes(15), HERE)
