"""RISC-V IOMMU fault records and page requests, by words written out from the specification."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import riscv
from iommuman.iommu.riscv.layout.queues import FaultRecord, PageRequest
from iommuman.iommu.riscv.names import cause_words

from . import HERE, fields_of, quads, told, values_told

# 3.2, table of CAUSE encodings.
CAUSES = {
    1: "the memory cannot be fetched from",
    4: "the address of a read is misaligned",
    5: "the memory cannot be read",
    6: "the address of a write is misaligned",
    7: "the memory cannot be written",
    12: "the address is not mapped, or not for execution",
    13: "the address is not mapped, or not for reading",
    15: "the address is not mapped, or not for writing",
    20: "the guest's address is not mapped, or not for execution",
    21: "the guest's address is not mapped, or not for reading",
    23: "the guest's address is not mapped, or not for writing",
    256: "all inbound transactions are disallowed",
    257: "a device directory entry could not be read",
    258: "the device directory entry is not valid",
    259: "the device directory entry is misconfigured",
    260: "the type of transaction is disallowed",
    261: "an MSI page table entry could not be read",
    262: "the MSI page table entry is not valid",
    263: "the MSI page table entry is misconfigured",
    264: "a memory-resident interrupt file could not be accessed",
    265: "a process directory entry could not be read",
    266: "the process directory entry is not valid",
    267: "the process directory entry is misconfigured",
    268: "data of the device directory is corrupt",
    269: "data of the process directory is corrupt",
    270: "data of the MSI page table is corrupt",
    271: "data of a memory-resident interrupt file is corrupt",
    272: "error on an internal data path",
    273: "the unit's own interrupt could not be written",
    274: "data of a page table is corrupt",
}


@pytest.mark.parametrize(("cause", "reason"), CAUSES.items())
def test_every_cause(cause: int, reason: str) -> None:
    """An untranslated read (TTYP 2) by device 0x100 at 0x80001000, for each cause."""
    fault = riscv.decode(quads(0x0001_0008_0000_0000 | cause, 0, 0x8000_1000, 0), HERE, "riscv-iommu@3010000")
    told(fault, architecture="riscv-iommu", reason=reason, code=cause, name="", identifier=0x100, access="read")
    told(fault, address=0x8000_1000, address_bits=0, substream=None, facts=(("TTYP", "2 (untranslated read)"),))


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(2, "reserved cause"), (275, "reserved cause"), (2048, "cause that the implementation defines")],
)
def test_causes_that_are_not_named(cause: int, reason: str) -> None:
    """Reserved and custom causes are said to be that."""
    assert cause_words(cause) == reason


@pytest.mark.parametrize(
    ("kind", "access"),
    [
        (1, "execute"),
        (2, "read"),
        (3, "write"),
        (5, "execute"),
        (6, "read"),
        (7, "write"),
        (8, "translation"),
        (10, ""),
    ],
)
def test_every_type_of_transaction(kind: int, access: str) -> None:
    """TTYP in bits 39:34 says what was tried."""
    assert riscv.decode(quads(0x0000_0100_0000_000D | kind << 34, 0, 0, 0), HERE).access == access


def test_a_guest_page_fault() -> None:
    """Cause 21 has the guest physical address in iotval2, and says of an implicit access whether it wrote."""
    # DID 0x18, TTYP 2, PV, PRIV, PID 0x45
    fault = riscv.decode(quads(0x0000_180B_0004_5015, 0, 0x4000, 0x9000_0003), HERE)
    told(fault, stage=2, ipa=0x9000_0000, substream=0x45, privileged=True, identifier=0x18)
    assert fault.facts[1:] == (("the write of an implicit access", 1), ("implicit access", 1))


def test_a_fault_of_no_transaction() -> None:
    """With TTYP 0 there is no device, and iotval is what the cause makes of it."""
    fault = riscv.decode(quads(0x111, 0, 0x55, 0), HERE)
    told(fault, identifier=None, address=None, access="", code=273, facts=(("iotval", 0x55),))


def test_a_message_request() -> None:
    """TTYP 9 has a message code in iotval."""
    fault = riscv.decode(quads(0x0001_0024_0000_0104, 0, 4, 0), HERE)
    told(fault, address=None, code=260, facts=(("TTYP", "9 (message request)"), ("message code", 4)))


def test_a_page_request_and_a_stop_marker() -> None:
    """3.3: a write to page 0x7000 of process 3, group 5; and no access with L set."""
    fault = riscv.decode_request(quads(0x0001_0001_0000_3000, 0x702A), HERE)
    told(fault, identifier=0x100, substream=3, address=0x7000, name="page request", facts=(("W", 1), ("PRGI", 5)))
    assert riscv.decode_request(quads(0x0001_0001_0000_3000, 4), HERE).name == "stop marker"


@given(fields_of(FaultRecord))
def test_encode_and_decode_are_inverse(fields: dict[str, int]) -> None:
    """Every defined field comes back from the bytes, and every number that has a meaning is told."""
    fault = riscv.decode(riscv.encode(**fields), HERE)
    read = dict(FaultRecord.from_bytes(fault.raw).items())
    assert {name: read[name] for name in fields} == fields
    assert {fields[name] for name in ("CAUSE", "PID", "DID", "iotval")} <= values_told(fault) | {0}
    assert fields["iotval2"] & ~3 in values_told(fault) | {0} or fields["iotval2"] in values_told(fault)
    assert fields["TTYP"] == 0 or str(fault.facts[0][1]).startswith(f"{fields['TTYP']} (")


@given(fields_of(PageRequest))
def test_encode_and_decode_of_requests_are_inverse(fields: dict[str, int]) -> None:
    """The same for page requests."""
    fault = riscv.decode_request(riscv.encode_request(**fields), HERE)
    assert dict(PageRequest.from_bytes(fault.raw).items()) == fields
    assert {fields[name] for name in ("DID", "PID", "ADDR", "PRGI")} <= values_told(fault) | {0}


@given(st.binary(min_size=32, max_size=32))
def test_any_bytes_decode(raw: bytes) -> None:
    """Noise is a fault, and its reserved and custom bits are told."""
    facts = dict(riscv.decode(raw, HERE).facts)
    assert facts.get("custom", 0) == int.from_bytes(raw[8:12], "little")
    assert facts.get("reserved bits", 0) == int.from_bytes(raw[12:16], "little") << 96


@pytest.mark.parametrize("decode", [riscv.decode, riscv.decode_request])
def test_another_length_is_refused(decode: Any) -> None:
    """A record that is cut short is one error."""
    with pytest.raises(FaultError, match="RISC-V IOMMU"):
        decode(bytes(33), HERE)
