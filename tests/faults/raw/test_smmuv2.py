"""SMMUv2 fault registers, by values from kernel logs and from the manual's tables."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import smmuv2
from iommuman.iommu.smmuv2.layout import ContextFault, GlobalFault

from . import HERE, fields_of, told, values_told


def bank(status: int, address: int, syndrome: int, second: int = 0, who: int | None = None, other: int = 0) -> bytes:
    """Return the window of a context bank: FSR, FSRRESTORE, FAR, FSYNR0, FSYNR1, IPAFAR, and CBFRSYNRA."""
    raw = struct.pack("<IIQIIQ", status, 0, address, syndrome, other, second)
    return raw if who is None else raw + struct.pack("<I", who)


def test_a_context_fault_from_a_public_log() -> None:
    """fsr=0x402, iova=0x9d4bb500, fsynr=0x170021, cbfrsynra=0xc88: S1CBNDX=23 PNU PLVL=1, SID=0xc88."""
    fault = smmuv2.decode(bank(0x402, 0x9D4BB500, 0x170021, who=0xC88), HERE, "15000000.iommu", 11)
    told(fault, name="TF", reason="the address is not mapped", code=0x402, identifier=0xC88, address=0x9D4BB500)
    told(fault, access="read", privileged=True, domain=11, iommu="15000000.iommu", lost=False, ipa=None)
    assert fault.facts == (("FORMAT", 2), ("PLVL", 1), ("S1CBNDX", 23))


@pytest.mark.parametrize(
    ("flag", "name"),
    [(1, "TF"), (2, "AFF"), (3, "PF"), (4, "EF"), (5, "TLBMCF"), (6, "TLBLKF"), (7, "ASF"), (8, "UUT")],
)
def test_every_flag_of_a_context_bank(flag: int, name: str) -> None:
    """The flags of FSR by their bit; a fetch, with nobody known to have sent it."""
    fault = smmuv2.decode(bank(1 << flag, 0x1000, 0x40), HERE)
    told(fault, name=name, code=1 << flag, access="execute", privileged=False, identifier=None, facts=())


def test_several_flags_and_lost_faults() -> None:
    """TF and PF at once, MULTI and SS: more faults came while these registers were full."""
    fault = smmuv2.decode(bank(0xC000000A, 0, 0x10, 0x5000, 0x0002_0007), HERE)
    told(fault, name="TF PF", reason="the address is not mapped; no permission", lost=True, access="write", ipa=0x5000)
    assert fault.facts == (("SS", 1), ("SSD_Index", 2))


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        (0, "ICF"), (1, "USF"), (2, "SMCF"), (3, "UCBF"), (4, "UCIF"), (5, "CAF"), (6, "EF"), (7, "PF"), (8, "UUT"),
    ],
)  # fmt: skip
def test_every_flag_of_the_global_registers(flag: int, name: str) -> None:
    """The flags of sGFSR by their bit; a read by stream 0x43 at 0x2000."""
    raw = struct.pack("<QIIIIII", 0x2000, 1 << flag, 0, 0, 0x43, 0, 0)
    told(smmuv2.decode_global(raw, HERE), name=name, code=1 << flag, identifier=0x43, address=0x2000, access="read")


def test_a_global_fault_from_a_public_log() -> None:
    """GFSR 0x2, GFSYNR0 0x2, GFSYNR1 0x43: an unidentified stream wrote."""
    raw = struct.pack("<QIIIIII", 0, 2, 0, 2, 0x43, 0, 0)
    fault = smmuv2.decode_global(raw, HERE)
    told(fault, name="USF", identifier=0x43, access="write", privileged=False, lost=False, facts=())


def test_flags_that_contradict_each_other_are_told() -> None:
    """An address translation operation that writes and fetches keeps all three; reserved bits too."""
    raw = struct.pack("<QIIIIII", 0, 0x80000200, 0, 0x4A | 0x80, 0, 5, 6)
    fault = smmuv2.decode_global(raw, HERE)
    told(fault, access="translation", reason="no fault flag is set", name="", lost=True)
    assert set(fault.facts) == {
        ("reserved bits", 0x200), ("reserved bits", 0x80), ("GFSYNR2", 5), ("reserved bits", 6 << 224), ("WNR", 1),
        ("IND", 1),
    }  # fmt: skip


@given(fields_of(ContextFault))
def test_encode_and_decode_are_inverse(fields: dict[str, int]) -> None:
    """Every register comes back from the bytes; addresses, status and stream are told."""
    fault = smmuv2.decode(smmuv2.encode(**fields), HERE)
    assert dict(ContextFault.from_bytes(fault.raw).items()) == fields
    expected = {fields[name] for name in ("FSR", "FAR", "IPAFAR", "FSYNR1", "FSRRESTORE")}
    expected |= {fields["CBFRSYNRA"] & 0xFFFF, fields["CBFRSYNRA"] >> 16, fields["FSYNR0"] >> 16 & 0xFF}
    assert expected <= values_told(fault) | {0}


@given(fields_of(GlobalFault))
def test_encode_and_decode_of_global_registers_are_inverse(fields: dict[str, int]) -> None:
    """The same for the global registers."""
    fault = smmuv2.decode_global(smmuv2.encode_global(**fields), HERE)
    assert dict(GlobalFault.from_bytes(fault.raw).items()) == fields
    assert {fields["GFAR"], fields["GFSR"], fields["GFSYNR1"] & 0xFFFF} <= values_told(fault) | {0}


def test_a_window_without_stream_is_shorter() -> None:
    """Without CBFRSYNRA the window has 32 bytes, and nobody is named."""
    raw = smmuv2.encode(FSR=2, FAR=0x1000)
    assert (len(raw), smmuv2.decode(raw, HERE).identifier) == (32, None)


@given(st.binary(min_size=36, max_size=36))
def test_any_bytes_decode(raw: bytes) -> None:
    """Noise is a fault."""
    assert smmuv2.decode(raw, HERE).raw == raw


@pytest.mark.parametrize("decode", [smmuv2.decode, smmuv2.decode_global])
def test_another_length_is_refused(decode: Any) -> None:
    """A window that is cut short is one error."""
    with pytest.raises(FaultError, match="SMMUv2"):
        decode(bytes(31), HERE)
