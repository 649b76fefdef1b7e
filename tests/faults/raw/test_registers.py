"""Registers as text, in the words of kernel logs and of people."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.raw import from_registers

from . import told


def test_vtd_registers_in_any_order() -> None:
    """Records as one number, as two words, as halves; the status register says that others were lost."""
    text = """
        FRCD1_HI: 0x8000000500000020   FRCD1_LO: 0x22220000
        FSTS=0x00000003
        FRCD0 = 0xC000000600000018_0000000011110000
        FRCD2 0x33330000 0xC000000600000028
        FRCD[3] = 0x0
    """.replace("_0000000011110000", "0000000011110000")
    faults = from_registers(text, source="regs.txt", iommu="dmar0").faults
    assert [(one.identifier, one.address, one.access, one.iommu, one.lost) for one in faults] == [
        (0x20, 0x22220000, "write", "dmar0", False),
        (0x18, 0x11110000, "read", "dmar0", False),
        (0x28, 0x33330000, "read", "dmar0", False),
        (None, None, "", "dmar0", True),
    ]
    assert [str(one.origin) for one in faults] == [f"regs.txt: {part}" for part in ("FRCD1", "FRCD0", "FRCD2", "FSTS")]


def test_a_status_register_tells_of_the_invalidation_queue() -> None:
    """FSTS.IQE, ICE and ITE, with the sources that IQERCD names."""
    faults = from_registers("FSTS: 0x70, IQERCD: 0x0108010000000003").faults
    assert [(one.name, one.identifier) for one in faults] == [("IQE", None), ("ITE", 0x100), ("ICE", 0x108)]
    assert faults[0].facts == (("IQEI", "TYPE"),)
    assert from_registers("FSTS 40").faults[0].identifier is None


def test_a_line_of_the_arm_smmu_driver() -> None:
    """The context fault of Linux's driver, decimal bank and hexadecimal rest."""
    text = "Unhandled context fault: fsr=0x402, iova=0x9d4bb500, fsynr=0x170021, cbfrsynra=0xc88, cb=11"
    (fault,) = from_registers(text, iommu="15000000.iommu").faults
    told(fault, name="TF", identifier=0xC88, address=0x9D4BB500, domain=11, privileged=True, access="read")


def test_banks_by_their_names() -> None:
    """CB3_FSR belongs to bank 3; a bank whose FSR is 0 has no fault, and without FAR there is no address."""
    text = "SMMU_CB3_FSR 0x8 SMMU_CB3_FSYNR0 0x10 SMMU_CB3_FAR 0x1000 CB4_FSR 0 CB5_FSR 0x2"
    faults = from_registers(text).faults
    assert [(one.domain, one.name, one.address, one.identifier) for one in faults] == [
        (3, "PF", 0x1000, None),
        (5, "TF", None, None),
    ]


def test_global_registers() -> None:
    """As Linux prints them, without GFAR; and with it."""
    text = "\tGFSR 0x00000002, GFSYNR0 0x00000002, GFSYNR1 0x00000043, GFSYNR2 0x00000000"
    (fault,) = from_registers(text).faults
    told(fault, name="USF", identifier=0x43, access="write", address=None)
    (fault,) = from_registers(f"sGFAR=0x5000 {text}").faults
    told(fault, address=0x5000)


def test_event_queue_words() -> None:
    """Four words after the name, or each with its index; the PRI queue has two."""
    text = "EVTQ 0x0000410000000010 0x0000020800000000 0x0000000011110000 0x0"
    told(from_registers(text).faults[0], name="F_TRANSLATION", identifier=0x4100)
    text = "evt[3]=0 evt[2]=0x11110000 evt[1]=0x20800000000 evt[0]=0x410000000010"
    told(from_registers(text).faults[0], name="F_TRANSLATION", identifier=0x4100)
    text = "PRIQ: 0xE000000700000100 0x123451FF"
    told(from_registers(text).faults[0], name="page request", substream=7)


def test_an_event_that_linux_does_not_know() -> None:
    """AMD-Vi's four words of 32 bits, as Linux prints an unknown event."""
    text = (
        "AMD-Vi: Event logged [UNKNOWN event[0]=0x80000001 event[1]=0xb0000000 event[2]=0x00000000 event[3]=0x00000000"
    )
    told(from_registers(text).faults[0], name="GUEST_EVENT_FAULT", architecture="amdvi")


def test_riscv_fields() -> None:
    """As Linux prints them: the cause is decimal and says what was tried; with a TTYP it is a whole record."""
    (fault,) = from_registers("cause 21 devid: 0x100 iotval: 80001000 iotval2: 90000003", iommu="x").faults
    told(fault, code=21, reason="the guest's address is not mapped, or not for reading", identifier=0x100)
    told(fault, address=0x80001000, ipa=0x90000000, access="read", stage=2, raw=b"", iommu="x")
    told(from_registers("cause 258 devid: 0x100").faults[0], access="", stage=None)
    (fault,) = from_registers("CAUSE=13 TTYP=3 DID=256 PID=7 IOTVAL=0x1000").faults
    told(fault, access="write", identifier=256, substream=7, address=0x1000)


@pytest.mark.parametrize(
    "text", ["", "nothing here", "fsr=0x0", "GFSR 0", "EVTQ 1 2 3", "event[0]=1", "cause=zz", "FRCD0 0", "cause=1f"]
)
def test_no_fault_is_one_error(text: str) -> None:
    """Text without a register that is known, or whose registers hold no fault."""
    with pytest.raises(FaultError, match="no fault register that is known is there, or none tells of a fault"):
        from_registers(text)


@pytest.mark.parametrize(
    "text", ["fsr=0x123456789", "cause=5000", "EVTQ 0x1ffffffffffffffff 0 0 0", "cause=1 pid=0x100000"]
)
def test_values_that_are_too_large(text: str) -> None:
    """A value that its register cannot hold."""
    with pytest.raises(FaultError, match="a value is too large for its register"):
        from_registers(text)


WORDS = [
    "FSTS",
    "FRCD0",
    "fsr",
    "GFSR",
    "EVTQ",
    "event[0]",
    "event[1]",
    "cause",
    "0x",
    "=",
    ":",
    " ",
    ",",
    "12",
    "0xff",
    "zz",
]


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_gives_faults_or_the_one_error(text: str) -> None:
    """Nothing else leaves the function."""
    with suppress(FaultError):
        assert from_registers(text).faults


@pytest.mark.parametrize(
    "text", ["g" + "a" * 400_000 + "g", "x" + " " * 400_000, "x 1" + " 1" * 200_000, "fsr" * 100_000, "a[1" * 100_000]
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    """Long runs of what could be a name, a gap or a number are gone through once."""
    started = time.perf_counter()
    with pytest.raises(FaultError):
        from_registers(text)
    assert time.perf_counter() - started < 10
