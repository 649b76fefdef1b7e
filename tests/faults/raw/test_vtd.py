"""VT-d fault recording registers and page requests, by bytes written out from the tables of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import vtd
from iommuman.iommu.vtd.layout import FRCD, PageRequest

from . import HERE, fields_of, quads, told, values_told

# VT-d 4.1, chapter 7: legacy, interrupt remapping, scalable mode.
REASONS = {
    0x01: "LRT.2", 0x02: "LCT.2", 0x03: "LCT.4", 0x04: "LGN.1", 0x05: "LGN.2", 0x06: "LGN.3", 0x07: "LSL.1",
    0x08: "LRT.1", 0x09: "LCT.1", 0x0A: "LRT.3", 0x0B: "LCT.3", 0x0C: "LSL.2", 0x0D: "LCT.5", 0x0E: "LGN.4",
    0x30: "RTA.1", 0x31: "RTA.2", 0x32: "RTA.3", 0x33: "RTA.4", 0x38: "SRT.1", 0x39: "SRT.2", 0x3A: "SRT.3",
    0x40: "SCT.1", 0x41: "SCT.2", 0x42: "SCT.3", 0x43: "SCT.4", 0x44: "SCT.5", 0x45: "SCT.6", 0x46: "SCT.7",
    0x47: "SCT.8", 0x48: "SCT.9", 0x50: "SPD.1", 0x51: "SPD.2", 0x52: "SPD.3", 0x58: "SPT.1", 0x59: "SPT.2",
    0x5A: "SPT.3", 0x5B: "SPT.4", 0x5C: "SPT.5", 0x5D: "SPT.6", 0x70: "SFL.1", 0x71: "SFL.2", 0x72: "SFL.3",
    0x73: "SFL.4", 0x74: "SFL.5", 0x75: "SFL.6", 0x76: "SFL.7", 0x77: "SFL.8", 0x78: "SSL.1", 0x79: "SSL.2",
    0x7A: "SSL.3", 0x7B: "SSL.4", 0x7C: "SSL.5", 0x7D: "SSL.6", 0x80: "SGN.1", 0x81: "SGN.2", 0x82: "SGN.3",
    0x83: "SGN.4", 0x84: "SGN.5", 0x85: "SGN.6", 0x86: "SGN.7", 0x87: "SGN.8", 0x90: "SFL.9", 0x91: "SFL.10",
}  # fmt: skip
INTERRUPT_REASONS = {
    0x20: "IR.REQUEST.RSVD", 0x21: "IR.INDEX", 0x22: "IR.NOT.PRESENT", 0x23: "IR.READ", 0x24: "IR.RSVD",
    0x25: "IR.COMPATIBILITY", 0x26: "IR.SOURCE", 0x27: "IR.POSTED.READ", 0x28: "IR.POSTED.RSVD", 0x29: "IR.MODE",
}  # fmt: skip


@pytest.mark.parametrize(("code", "name"), REASONS.items())
def test_every_reason_of_a_memory_access(code: int, name: str) -> None:
    """A read by 00:03.0 of the page at 0x11110000, refused for each reason of chapter 7."""
    raw = quads(0x0000_0000_1111_0000, 0xC000_0000_0000_0018 | code << 32)
    fault = vtd.decode(raw, HERE, "dmar0")
    told(fault, architecture="vtd", iommu="dmar0", name=name, code=code, identifier=0x18, address=0x11110000)
    told(fault, address_bits=12, access="read", substream=None, privileged=None, facts=(), raw=raw)


@pytest.mark.parametrize(("code", "name"), INTERRUPT_REASONS.items())
def test_every_reason_of_an_interrupt(code: int, name: str) -> None:
    """Interrupt index 0x26 of source f0:1f.0; the index stands where the address would."""
    fault = vtd.decode(quads(0x0026_0000_0000_0000, 0x8000_0000_0000_F0F8 | code << 32), HERE)
    told(fault, name=name, code=code, identifier=0xF0F8, address=0x26, address_bits=0, access="interrupt")
    assert fault.facts == ()


@pytest.mark.parametrize(
    ("high", "access", "facts"),
    [
        (0x8000_0005_0000_0018, "write", ()),
        (0xC000_0006_0000_0018, "read", ()),
        (0x8000_0005_1000_0018, "translation", (("type", "page request"),)),
        (0xC000_0005_1000_0018, "atomic", ()),
        (0xD000_000D_0000_0018, "translation", (("type", "read"), ("AT", "TRANSLATION"))),
    ],
)
def test_types_of_requests(high: int, access: str, facts: object) -> None:
    """T1, T2 and AT (11.4.7.6) say what was tried."""
    told(vtd.decode(quads(0x1000, high), HERE), access=access, facts=facts)


def test_a_record_with_pasid() -> None:
    """PV, PRIV and EXE count when PP is set: PASID 0x12345, privileged, a fetch."""
    # F, T1 | PV 0x12345 in 123:104 | FR 0x82 | PP, EXE, PRIV in 95:93 | SID
    fault = vtd.decode(quads(0x7FFF_F000, 0xC123_4582_E000_0100), HERE)
    told(fault, name="SGN.3", substream=0x12345, privileged=True, access="execute", identifier=0x100, facts=())


def test_fields_without_their_enabling_bit_are_shown_as_they_are() -> None:
    """PASID bits with PP clear mean nothing, and are not lost; nor are reserved bits, nor an empty F."""
    fault = vtd.decode(quads(0x1234, 0x4000_0106_0001_0018), HERE)
    told(fault, substream=None, privileged=None, address=0x1000)
    assert fault.facts == (("F", 0), ("PV", 1), ("reserved bits", 0x10000_00000000_00000234))


def test_a_reason_that_is_none() -> None:
    """An unknown number has no name, and says so."""
    told(vtd.decode(quads(0, 0x8000_00EE_0000_0018), HERE), name="", reason="reason not defined by VT-d 4.1")


def test_a_page_request() -> None:
    """Write wanted by 01:00.0 with PASID 5 for page 0x2000, group 3, last of it (7.4.1)."""
    fault = vtd.decode_request(quads(0x0000_0005_0100_0101, 0x201E, 0, 0), HERE)
    told(fault, name="page request", identifier=0x100, substream=5, privileged=False, address=0x2000)
    assert fault.facts == (("W", 1), ("LPIG", 1), ("PRGI", 3))


@given(fields_of(FRCD))
def test_encode_and_decode_are_inverse(fields: dict[str, int]) -> None:
    """Every defined field comes back from the bytes, and every number that has a meaning is told."""
    raw = vtd.encode(**fields)
    fault = vtd.decode(raw, HERE)
    assert dict(FRCD.from_bytes(fault.raw).items()) == fields
    assert (fault.code, fault.identifier) == (fields["FR"], fields["SID"])
    interrupt = 0x20 <= fields["FR"] < 0x30
    assert fault.address == (fields["FI"] >> 48 if interrupt else fields["FI"])
    assert fields["PV"] in values_told(fault) | {0}
    assert fault.substream == (fields["PV"] if fields["PP"] else None)


@given(fields_of(PageRequest))
def test_encode_and_decode_of_requests_are_inverse(fields: dict[str, int]) -> None:
    """The same for page requests."""
    fault = vtd.decode_request(vtd.encode_request(**fields), HERE)
    assert dict(PageRequest.from_bytes(fault.raw).items()) == fields
    assert {fields["RID"], fields["ADDR"], fields["PRGI"], fields["DATA"]} <= values_told(fault) | {0}


@given(st.binary(min_size=16, max_size=16))
def test_any_bytes_decode(raw: bytes) -> None:
    """Sixteen bytes of noise are a fault, and its reserved bits are told."""
    fault = vtd.decode(raw, HERE)
    reserved = FRCD.from_bytes(raw).reserved
    assert dict(fault.facts).get("reserved bits", 0) == reserved


@pytest.mark.parametrize("decode", [vtd.decode, vtd.decode_request])
def test_another_length_is_refused(decode: object) -> None:
    """A record that is cut short is one error that says both lengths."""
    with pytest.raises(
        FaultError, match=r"queue\.bin: fault\+0x0: this is no VT-d .*found 15 bytes, expected \d+ bytes"
    ):
        decode(bytes(15), HERE)  # type: ignore[operator]
