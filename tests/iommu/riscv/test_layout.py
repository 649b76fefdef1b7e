"""The layout, bit by bit against words written by hand, and the words for numbers."""

from __future__ import annotations

import pytest
from iommuman.iommu import Bits
from iommuman.iommu.riscv import names
from iommuman.iommu.riscv.layout import (
    DC,
    PC,
    BaseDC,
    DirectoryEntry,
    FaultRecord,
    MsiPte,
    MsiPteMrif,
    PageRequest,
    PageTableEntry,
)
from iommuman.iommu.riscv.layout import queues as q
from iommuman.iommu.riscv.layout import registers as regs
from iommuman.iommu.riscv.records import decode_fault


def test_capabilities_of_qemu() -> None:
    """The capabilities register of QEMU 10's `riscv-iommu-sys` device, as it reads."""
    found = regs.CAPABILITIES(0x78_E2CF_0F10)
    assert (found.version, found.Sv32, found.Sv39, found.Sv48, found.Sv57) == (0x10, 1, 1, 1, 1)
    assert (found.Sv32x4, found.Sv39x4, found.Sv48x4, found.Sv57x4) == (1, 1, 1, 1)
    assert (found.MSI_FLAT, found.MSI_MRIF, found.AMO_MRIF, found.AMO_HWAD) == (1, 1, 0, 0)
    assert (found.ATS, found.T2GPA, found.END, found.IGS, found.HPM, found.DBG) == (1, 0, 0, 2, 1, 1)
    assert (found.PAS, found.PD8, found.PD17, found.PD20) == (56, 1, 0, 0)


CAPABILITY_BITS = {
    8: "Sv32", 9: "Sv39", 10: "Sv48", 11: "Sv57", 14: "Svrsw60t59b", 15: "Svpbmt", 16: "Sv32x4", 17: "Sv39x4",
    18: "Sv48x4", 19: "Sv57x4", 21: "AMO_MRIF", 22: "MSI_FLAT", 23: "MSI_MRIF", 24: "AMO_HWAD", 25: "ATS", 26: "T2GPA",
    27: "END", 30: "HPM", 31: "DBG", 38: "PD8", 39: "PD17", 40: "PD20", 41: "QOSID", 42: "NL", 43: "S",
}  # fmt: skip


@pytest.mark.parametrize("bit", range(64))
def test_every_bit_of_capabilities(bit: int) -> None:
    """Each bit is one field, of several bits, the implementation's own, or reserved."""
    found = regs.CAPABILITIES(1 << bit)
    expected = {CAPABILITY_BITS.get(bit)} if bit in CAPABILITY_BITS else set()
    if bit < 8:
        expected = {"version"}
    elif bit in (28, 29):
        expected = {"IGS"}
    elif 32 <= bit < 38:
        expected = {"PAS"}
    elif bit >= 56:
        expected = {"custom"}
    assert {name for name, value in found.items() if value} == expected
    assert bool(found.reserved) == (not expected)


OFFSETS = {
    regs.CAPABILITIES: (0x000, 8), regs.FCTL: (0x008, 4), regs.DDTP: (0x010, 8), regs.CQB: (0x018, 8),
    regs.CQH: (0x020, 4), regs.CQT: (0x024, 4), regs.FQB: (0x028, 8), regs.FQH: (0x030, 4), regs.FQT: (0x034, 4),
    regs.PQB: (0x038, 8), regs.PQH: (0x040, 4), regs.PQT: (0x044, 4), regs.CQCSR: (0x048, 4), regs.FQCSR: (0x04C, 4),
    regs.PQCSR: (0x050, 4), regs.IPSR: (0x054, 4), regs.TR_REQ_IOVA: (0x258, 8), regs.TR_REQ_CTL: (0x260, 8),
    regs.TR_RESPONSE: (0x268, 8), regs.IOMMU_QOSID: (0x270, 4), regs.ICVEC: (0x2F8, 8), regs.MSI_ADDR: (0x300, 8),
    regs.MSI_DATA: (0x308, 4), regs.MSI_VEC_CTL: (0x30C, 4),
}  # fmt: skip


@pytest.mark.parametrize("register", OFFSETS)
def test_offsets_and_sizes(register: type[Bits]) -> None:
    """Registers are where chapter 5 has them."""
    assert (register.offset, register.size) == OFFSETS[register]


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (regs.FCTL(BE=1, WSI=0, GXL=1), 5),
        (regs.DDTP(iommu_mode=4, PPN=0x12345_6789_A000), 0x12345_6789_A000 >> 2 | 4),
        (regs.DDTP(busy=1), 0x10),
        (regs.CQB(LOG2SZ=7, PPN=0x8000_1000), 0x2000_0407),
        (regs.FQB(LOG2SZ=31), 31),
        (regs.PQB(PPN=(1 << 56) - 4096), (1 << 54) - 1024),
        (regs.CQCSR(cqen=1, cie=1, cqmf=1, cmd_to=1, cmd_ill=1, fence_w_ip=1, cqon=1, busy=1), 0x3_0F03),
        (regs.FQCSR(fqen=1, fie=1, fqmf=1, fqof=1, fqon=1, busy=1), 0x3_0303),
        (regs.PQCSR(pqen=1, pie=1, pqmf=1, pqof=1, pqon=1, busy=1), 0x3_0303),
        (regs.IPSR(cip=1, pip=1), 9),
        (regs.IPSR(fip=1, pmip=1), 6),
        (regs.TR_REQ_CTL(go=1, Priv=1, Exe=1, NW=1, PID=0xABCDE, PV=1, DID=0x123456), 0x123456_01_ABCDE_00F),
        (regs.TR_RESPONSE(fault=1, PBMT=2, S=1, PPN=0x1000), 0x701),
        (regs.ICVEC(civ=1, fiv=2, pmiv=3, piv=4), 0x4321),
        (regs.IOMMU_QOSID(RCID=0xABC, MCID=0x123), 0x0123_0ABC),
        (regs.MSI_ADDR(ADDR=0x28000004), 0x28000004),
    ],
)
def test_registers_by_hand(made: Bits, word: int) -> None:
    """Fields lie where chapter 5 has them."""
    assert made.value == word


def test_a_device_context_by_hand() -> None:
    """Eight doublewords of the extended format; the base format is its first half."""
    words = (
        0xAB00_0FFF,
        0x9_1234_00000080_123,
        0x123_456_00_ABCDE_000,
        0x8_0000_00000090_001,
        0x1_0000_00000000_777,
        0x0_0000_0000_0000_FF,
        0x0_0000_0000_0002_8000,
        0,
    )
    value = sum(word << 64 * index for index, word in enumerate(words))
    made = DC(value)
    assert made.reserved == 0
    flags = ("V", "EN_ATS", "EN_PRI", "T2GPA", "DTF", "PDTV", "PRPR", "GADE", "SADE", "DPE", "SBE", "SXL")
    for bit, name in enumerate(flags):
        assert [key for key, held in DC(1 << bit).items() if held] == [name]
        assert getattr(made, name) == 1
    assert (made.custom, made.iohgatp_MODE, made.GSCID, made.iohgatp_PPN) == (0xAB, 9, 0x1234, 0x80123000)
    assert (made.PSCID, made.RCID, made.MCID) == (0xABCDE, 0x456, 0x123)
    assert (made.fsc_MODE, made.fsc_PPN) == (8, 0x90001000)
    assert (made.msiptp_MODE, made.msiptp_PPN) == (1, 0x777000)
    assert (made.msi_addr_mask, made.msi_addr_pattern) == (0xFF, 0x28000)
    base = BaseDC(value & (1 << 256) - 1)
    assert dict(base.items()) == {key: held for key, held in made.items() if "msi" not in key}


def test_reserved_bits_of_a_device_context() -> None:
    """Reserved are tc 23:12, 63:32; ta 11:0, 39:32; fsc and msiptp 59:44; mask and pattern 63:52; the last word."""
    ranges = [(12, 23), (32, 63), (128, 139), (160, 167), (236, 251), (300, 315), (372, 383), (436, 447), (448, 511)]
    expected = sum((1 << high + 1) - (1 << low) for low, high in ranges)
    assert DC.reserved_mask == expected
    assert BaseDC.reserved_mask == expected & (1 << 256) - 1


def test_entries_by_hand() -> None:
    """Directory entries, process contexts, page-table entries and MSI page table entries."""
    assert DirectoryEntry(V=1, PPN=0x8000_1000).value == 0x2000_0401
    assert DirectoryEntry.reserved_mask == 0xFFC0_0000_0000_03FE
    made = PC(V=1, ENS=1, SUM=1, PSCID=0xABCDE, fsc_MODE=10, fsc_PPN=0x1234_5000)
    assert made.words == (0xABCDE007, 0xA000_0000_0001_2345)
    assert PC.reserved_mask == 0x0FFF_F000_0000_0000 << 64 | 0xFFFF_FFFF_0000_0FF8
    entry = PageTableEntry(V=1, R=1, W=1, X=1, U=1, G=1, A=1, D=1, RSW=3, PPN=0x1000, PBMT=2, N=1)
    assert entry.value == 0xC000_0000_0000_07FF
    assert PageTableEntry.reserved_mask == 0x1FC0_0000_0000_0000
    assert MsiPte(V=1, M=3, PPN=0x2800_1000, C=1).words == (0x8000_0000_0A00_0407, 0)
    assert MsiPte.reserved_mask == (1 << 64) - 1 << 64 | 0x7FC0_0000_0000_03F8
    made2 = MsiPteMrif(V=1, M=1, MRIF_Address=0x1234_5600, NID=0x7FF, NPPN=0x1000)
    assert made2.words == (0x1234_5600 >> 2 | 3, 0x1000_0000_0000_07FF)
    assert MsiPteMrif.reserved_mask == 0xEFC0_0000_0000_0000 << 64 | 0x7FC0_0000_0000_0078


@pytest.mark.parametrize(
    ("command", "low", "high"),
    [
        (q.IotInval(func=1), 1, 0),
        (q.IotInval(func=0x81, AV=1, GV=1, GSCID=0xABCD, ADDR=0x1234_5000), 0x0ABC_D002_0000_0481, 0x48D_1400),
        (q.IotInval(func=1, PSCV=1, PSCID=0xABCDE), 0x1_ABCDE_001, 0),
        (q.IotInval(func=1, NL=1, S=1), 4 << 32 | 1, 1 << 9),
        (q.IoFence(func=2, AV=1, WSI=1, PR=1, PW=1, DATA=0x12345678, ADDR=0x1000), 0x12345678_00003C02, 0x400),
        (q.IoDir(func=3, DV=1, DID=0x123456), 0x12345602_00000003, 0),
        (q.IoDir(func=0x83, DV=1, DID=1, PID=0xABCDE), 0x00000102_ABCDE083, 0),
        (q.AtsInval(func=4, PV=1, PID=5, DSV=1, RID=0x18, DSEG=2, G=1, S=1, ADDR=0x5000), 0x02001803_00005004, 0x5801),
        (q.AtsPrgr(func=0x84, RID=0x18, PRGI=0x1FF, response=0xF), 0x00001800_00000084, 0xF1FF_0000_0000),
    ],
)
def test_commands_by_hand(command: q.Command, low: int, high: int) -> None:
    """Fields lie where 3.1 has them, and nothing of a command is reserved that it uses."""
    assert command.words == (low, high)
    assert command.reserved == 0
    assert isinstance(command, q.COMMANDS[low & 0x3FF])


def test_queue_entries_by_hand() -> None:
    """Fault records and page requests."""
    record = FaultRecord(CAUSE=0x117, PID=0xABCDE, PV=1, PRIV=1, TTYP=0x3F, DID=0x123456, iotval=1, iotval2=2)
    assert record.words == (0x123456_FF_ABCDE_117, 0, 1, 2)
    assert FaultRecord.reserved_mask == 0xFFFF_FFFF << 96
    request = PageRequest(PID=1, PV=1, PRIV=1, EXEC=1, DID=0x18, R=1, W=1, L=1, PRGI=0x1FF, ADDR=0x1000)
    assert request.words == (0x1807_0000_1000, 0x1FFF)
    assert request.words[0] == 0x000018_07_00001000


def test_fault_records_for_people() -> None:
    """A record says who did what, and why it was refused, in one line."""
    raw = bytes(FaultRecord(CAUSE=21, TTYP=2, DID=0x18, iotval=0x1000, iotval2=0x8000_1001))
    found = decode_fault(raw)
    assert (found.name, found.gpa, found.implicit, found.implicit_write) == (
        "READ_GUEST_PAGE_FAULT", 0x8000_1000, True, False,
    )  # fmt: skip
    assert not found.write
    assert not found.execute
    assert str(found) == (
        "device 0x18 untranslated read of 0x1000: the guest's address is not mapped, or not for reading while walking "
        "the first stage (READ_GUEST_PAGE_FAULT, cause 21)"
    )
    found = decode_fault(bytes(FaultRecord(CAUSE=1, TTYP=5, DID=1, PV=1, PID=9, PRIV=1, iotval=8)))
    assert found.execute
    assert (found.process_id, found.privileged, found.gpa) == (9, True, None)
    assert str(found).startswith("device 0x1 process 0x9 translated read for execute of 0x8: ")
    found = decode_fault(bytes(FaultRecord(CAUSE=273, iotval=0x2800_0000)))
    assert (found.device_id, found.address, found.value) == (None, None, 0x2800_0000)
    assert str(found) == "the unit: the unit's own interrupt could not be written (MSI_WRITE_FAULT, cause 273)"
    found = decode_fault(bytes(FaultRecord(CAUSE=3000, TTYP=40, DID=1)))
    assert str(found) == "device 0x1 transaction of type 40: cause that the implementation defines (3000, cause 3000)"
    assert names.cause_words(300) == "reserved cause"
    with pytest.raises(ValueError, match="32 bytes"):
        decode_fault(bytes(31))


def test_every_cause_has_words() -> None:
    """No cause or transaction type is without a meaning."""
    assert set(names.CAUSES) == set(names.Cause)
    assert set(names.TTYPS) == set(names.TransactionType) - {0}
