"""A line of a log and the raw record that it was printed of are the same fault."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.from_log import from_log
from iommuman.faults.raw import amdvi, format_of, riscv, smmuv2, smmuv3, virtio
from iommuman.parsers.kernel_log import read_kernel_log

from .raw import quads

HERE = Origin("here")
PRINTED = {"origin": HERE, "driver": "", "iommu": "", "time": None, "clock": "", "text": "", "raw": b""}
"""What only a line has, or only a record."""


def of_log(text: str) -> Fault:
    """Return the one fault of some lines without what only a line has."""
    (fault,) = from_log(read_kernel_log(io.BytesIO(text.encode()), name="log"))
    return replace(fault, **PRINTED)  # type: ignore[arg-type]


def of_record(fault: Fault) -> Fault:
    """Return the fault of a record without what only a record has."""
    return replace(fault, **PRINTED)  # type: ignore[arg-type]


# Lines of fixtures/boards/*/linux and tests/parsers/kernel_log/lines; the words are those that drivers print them of.
VTD = [
    (
        (
            "DMAR: [DMA Read NO_PASID] Request device [00:03.0] "
            "fault addr 0x11110000 [fault reason 0x06] PTE Read access is not set"
        ),
        (0x1111_0000, 0xC000_0006_0000_0018),
    ),
    (
        (
            "DMAR: [DMA Write NO_PASID] Request device [00:1f.2] "
            "fault addr 0x7f6ab000 [fault reason 0x0c] non-zero reserved fields in PTE"
        ),
        (0x7F6A_B000, 0x8000_000C_0000_00FA),
    ),
    (
        (
            "DMAR: [DMA Read] Request device [6a:01.0] PASID 1f "
            "fault addr 7fffe000 [fault reason 88] SM: Present bit in PASID Table Entry is clear"
        ),
        (0x7FFF_E000, 0xC000_1F58_8000_6A08),
    ),
    (
        (
            "DMAR: [INTR-REMAP] Request device [f0:1f.0] "
            "fault index 26 [fault reason 38] Blocked an interrupt request due to source-id verification failure"
        ),
        (0x26_0000_0000_0000, 0x8000_0026_0000_F0F8),
    ),
]


@pytest.mark.parametrize(("line", "words"), VTD)
def test_vtd(line: str, words: tuple[int, int]) -> None:
    """A fault recording register; whether it was privileged no line says."""
    record = format_of("vtd").decode(quads(*words), HERE, "")
    assert of_log(line) == replace(of_record(record), privileged=None)


SMMUV3 = [
    (0x0000_0020_0000_0010, 0x0000_0208_0000_0000, 0x1222_0000, 0),
    (0x0000_0011_0000_3813, 0x0000_028A_8000_0012, 0xDEAD_1000, 0x1234_5000),
    (0x0000_0005_0000_0002, 0, 0, 0),
    (0x0000_0005_0000_000B, 0x0000_0208_0000_0000, 0x1000, 0x8_0000_0040),
    (0x0000_0005_0000_0024, 0, 0x1000, 0),
    (0x0000_0005_0000_0002, 0, 0x77, 0x5000),
    (0, 0, 0, 0),
]


@pytest.mark.parametrize("words", SMMUV3)
def test_smmuv3(words: tuple[int, int, int, int]) -> None:
    """An event, of which the driver prints all the words."""
    lines = [f"event 0x{words[0] & 0xFF:02x} received:", *(f"\t0x{word:016x}" for word in words)]
    text = "".join(f"arm-smmu-v3 x.iommu: {line}\n" for line in lines)
    assert of_log(text) == of_record(smmuv3.decode(quads(*words), HERE))


def test_smmuv3_page_request() -> None:
    """An entry of the PRI queue, which the driver prints field by field; only the driver says that nobody asked."""
    text = (
        "arm-smmu-v3 x: unexpected PRI request received:\n"
        "arm-smmu-v3 x: \tsid 0x00000100.0x00005: [12L] unprivileged RW access at iova 0x0000000000001000\n"
    )
    raw = smmuv3.encode_request(StreamID=0x100, SubstreamID=5, SSV=1, PRGIndex=12, Last=1, R=1, W=1, Addr=0x1000)
    log, record = of_log(text), of_record(smmuv3.decode_request(raw, HERE))
    assert set(log.facts) == set(record.facts)
    assert replace(log, facts=(), reason="") == replace(record, facts=(), reason="")


SMMUV2 = [
    ("fsr=0x402, iova=0x9d4bb500, fsynr=0x170021, cbfrsynra=0xc88, cb=11", 0x402, 0x9D4BB500, 0x170021, 0xC88, 11),
    ("fsr=0xc0000408, iova=0x1000, fsynr=0x13, cbfrsynra=0x12, cb=3", 0xC0000408, 0x1000, 0x13, 0x12, 3),
    ("fsr=0x6, iova=0x0, fsynr=0x50, cbfrsynra=0x1, cb=0", 0x6, 0, 0x50, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fsr", "far", "fsynr0", "stream", "bank"), SMMUV2)
def test_smmuv2(line: str, fsr: int, far: int, fsynr0: int, stream: int, bank: int) -> None:
    """A context bank's registers."""
    raw = smmuv2.encode(FSR=fsr, FAR=far, FSYNR0=fsynr0, CBFRSYNRA=stream)
    log = of_log(f"arm-smmu 15000000.iommu: Unhandled context fault: {line}")
    assert log == of_record(smmuv2.decode(raw, HERE, bank=bank))


def test_smmuv2_global() -> None:
    """The global registers, of which no address is printed."""
    text = (
        "arm-smmu 5000000.iommu: Unexpected global fault, this could be serious\n"
        "arm-smmu 5000000.iommu: \tGFSR 0x80000002, GFSYNR0 0x00000042, GFSYNR1 0x00010043, GFSYNR2 0x00000001\n"
    )
    raw = smmuv2.encode_global(GFSR=0x80000002, GFSYNR0=0x42, GFSYNR1=0x10043, GFSYNR2=1)
    assert of_log(text) == replace(of_record(smmuv2.decode_global(raw, HERE)), address=None)


AMDVI = [
    ("IO_PAGE_FAULT device=0a:00.0 domain=0x001d address=0x000000000637c000 flags=0x0000",
     (0x2000_001D_0000_0A00, 0x0637_C000)),
    ("IO_PAGE_FAULT device=02:00.0 domain=0x0043 address=0xecdd5004 flags=0x0070",
     (0x2070_0043_0000_0200, 0xECDD_5004)),
    ("IO_PAGE_FAULT device=02:00.0 domain=0x30002 address=0x1000 flags=0x0015", (0x2015_0002_0003_0200, 0x1000)),
    ("IO_PAGE_FAULT device=02:00.0 domain=0x0000 address=0xfee00000 flags=0x0008",
     (0x2008_0000_0000_0200, 0xFEE0_0000)),
    ("ILLEGAL_DEV_TABLE_ENTRY device=06:00.0 pasid=0x00000 address=0x135300000 flags=0x0080",
     (0x1080_0000_0000_0600, 0x1_3530_0000)),
    ("DEV_TAB_HARDWARE_ERROR device=63:00.0 address=0x100000 flags=0x0200", (0x3200_0000_0000_6300, 0x10_0000)),
    ("PAGE_TAB_HARDWARE_ERROR device=63:00.0 domain=0x0005 address=0x100000 flags=0x0400",
     (0x4400_0005_0000_6300, 0x10_0000)),
    ("ILLEGAL_COMMAND_ERROR address=0x1000a0", (0x5000_0000_0000_0000, 0x10_00A0)),
    ("COMMAND_HARDWARE_ERROR address=0x1000a0 flags=0x0600", (0x6600_0000_0000_0000, 0x10_00A0)),
    ("IOTLB_INV_TIMEOUT device=63:00.0 address=0x42b5b01a0", (0x7000_0000_0000_6300, 0x4_2B5B_01A0)),
    ("INVALID_DEVICE_REQUEST device=02:00.0 pasid=0x00007 address=0xfffffffdf8000000 flags=0x0a00",
     (0x8A00_0007_0000_0200, 0xFFFF_FFFD_F800_0000)),
    ("INVALID_PPR_REQUEST device=02:00.0 pasid=0x00007 address=0x1000 flags=0x0001 tag=0x1ff",
     (0x9001_01FF_0007_0200, 0x1000)),
    ("RMP_PAGE_FAULT device=02:00.0, vmg_tag=0x0001, gpa=0x12345000, flags_rmp=0x0010, flags=0x0020",
     (0xD020_0001_0010_0200, 0x1234_5000)),
    ("RMP_HW_ERROR device=02:00.0, vmg_tag=0x0001, spa=0x12345000, flags=0x0020",
     (0xE020_0001_0000_0200, 0x1234_5000)),
    ("UNKNOWN event[0]=0x00000200 event[1]=0xb0000000 event[2]=0x00001000 event[3]=0x00000000",
     (0xB000_0000_0000_0200, 0x1000)),
]  # fmt: skip


@pytest.mark.parametrize(("line", "words"), AMDVI)
def test_amdvi(line: str, words: tuple[int, int]) -> None:
    """An entry of the event log; values that are printed in another order than the entry's are the same."""
    log, record = of_log(f"iommu ivhd0: AMD-Vi: Event logged [{line}]"), of_record(amdvi.decode(quads(*words), HERE))
    assert set(log.facts) == set(record.facts)
    assert replace(log, facts=()) == replace(record, facts=())


RISCV = [
    ("Fault 13 devid: 0x18 iotval: 11110000 iotval2: 0", 13, 2, 0x18, 0x1111_0000, 0),
    ("Fault 12 devid: 0x18 iotval: 11110000 iotval2: 0", 12, 1, 0x18, 0x1111_0000, 0),
    ("Fault 23 devid: 0x18 iotval: 11110000 iotval2: 80001003", 23, 3, 0x18, 0x1111_0000, 0x8000_1003),
    ("Fault 273 devid: 0x0 iotval: 28000000 iotval2: 0", 273, 0, 0, 0x2800_0000, 0),
]


@pytest.mark.parametrize(("line", "cause", "kind", "device", "iotval", "iotval2"), RISCV)
def test_riscv(line: str, cause: int, kind: int, device: int, iotval: int, iotval2: int) -> None:
    """An entry of the fault queue; the type of the transaction is not printed, and only the cause tells the access."""
    raw = riscv.encode(CAUSE=cause, TTYP=kind, DID=device, iotval=iotval, iotval2=iotval2)
    record = of_record(riscv.decode(raw, HERE))
    facts = tuple(fact for fact in record.facts if fact[0] != "TTYP")
    assert of_log(f"riscv,iommu 3010000.iommu: {line}") == replace(record, facts=facts)


VIRTIO = [
    ("page fault from EP 24 at 0x11110000 [R]", {"reason": 2, "READ": 1, "ADDRESS": 1, "address": 0x1111_0000}),
    ("page fault from EP 24 at 0x11110000 []", {"reason": 2, "ADDRESS": 1, "address": 0x1111_0000}),
    ("domain fault from EP 24 at 0x1000 [RW]",
     {"reason": 1, "READ": 1, "WRITE": 1, "ADDRESS": 1, "address": 0x1000}),
    ("unknown fault from EP 24", {"reason": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "fields"), VIRTIO)
def test_virtio(line: str, fields: dict[str, int]) -> None:
    """A fault report."""
    raw = virtio.encode(endpoint=24, **fields)
    assert of_log(f"virtio_iommu virtio0: {line}") == of_record(virtio.decode(raw, HERE))
