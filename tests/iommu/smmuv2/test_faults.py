"""Fault registers: what is recorded, what is not, stalls, and how they are cleared."""

from __future__ import annotations

import pytest
from iommuman.iommu.platform import Memory
from iommuman.iommu.smmuv2.model import Capabilities, Model

from .rig import AF, BANK, CB, GR1, IPA, LEAF, PA, SID, Rig, capabilities, mapped

FSR, FSRRESTORE, FAR, FSYNR0, RESUME = CB + 0x58, CB + 0x5C, CB + 0x60, CB + 0x68, CB + 0x08


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("flag", "status"), [("TF", 0x402), ("AFF", 0x404), ("PF", 0x408), ("EF", 0x410), ("ASF", 0x480)]
)
def test_each_fault_at_each_level(flag: str, status: int, level: int) -> None:
    """FSR, FAR, FSYNR0 and CBFRSYNRA of a privileged write."""
    rig = Rig(tcr=0x8002_3590)
    leaf = max(level, 1) if flag in ("AFF", "PF") else 3
    places = rig.leaf(IPA & -1 << 12 + 9 * (3 - leaf), 0, LEAF, leaf)
    place = places[level]
    if flag == "EF":
        rig.memory.inject(place)
    elif flag == "ASF":
        rig.memory.write_u64(place, rig.memory.read_u64(place) | 1 << 40)
    elif flag == "TF":
        rig.memory.write_u64(place, 0)
    elif level == 0:
        return  # no leaf can be there
    else:
        rig.memory.write_u64(place, rig.memory.read_u64(place) & ~(AF if flag == "AFF" else 0xC0))
    found = rig.send(write=True, privileged=True)
    assert (found.result, found.reason, found.bank) == ("abort", flag, BANK)
    assert rig.read(FSR) == status
    assert rig.read(FAR, 8) == IPA
    assert rig.read(FSYNR0) == level | 1 << 4 | 1 << 5 | (1 << 10 if flag == "EF" else 0)
    assert rig.read(GR1 + 0x400 + 4 * BANK) == SID


def test_a_block_where_none_may_be() -> None:
    """Level 0 of 4 KiB tables has no blocks, and level 3 none at all."""
    rig = Rig()
    rig.leaf(0, 0, LEAF, 0)
    assert rig.send(0).reason == "TF"
    rig = mapped()
    place = rig.leaf(IPA & ~0xFFF, PA & ~0xFFF)[-1]
    rig.memory.write_u64(place, PA & ~0xFFF | LEAF)
    assert rig.send().reason == "TF"


def test_a_root_beyond_the_output_range() -> None:
    """TTBR0 is an address like others."""
    rig = mapped(tcr=0x8000_3590)
    rig.write(CB + 0x20, 1 << 32, 8)
    assert rig.send().reason == "ASF"


def test_access_flag_faults_can_be_switched_off() -> None:
    """SCTLR.AFFD."""
    rig = mapped(bits=LEAF & ~AF)
    assert rig.send().reason == "AFF"
    rig.write(CB, 0x129)
    assert rig.send().address == PA


def test_a_second_fault_leaves_only_multi() -> None:
    """The first one's registers stay; a write of 1 clears, flag by flag, and FORMAT goes with the last."""
    rig = mapped()
    rig.send(0x1000, instruction=True)
    rig.send(0x2000, write=True)
    assert rig.read(FSR) == 0x8000_0402
    assert (rig.read(FAR, 8), rig.read(FSYNR0)) == (0x1000, 1 << 6 | 1)
    rig.write(FSR, 0x8000_0000)
    assert rig.read(FSR) == 0x402
    rig.write(FSR, 0x400)
    assert rig.read(FSR) == 0x402
    rig.write(FSR, 2)
    assert rig.read(FSR) == 0
    rig.write(FSRRESTORE, 0xFFFF_FFFF)
    assert rig.read(FSR) == 0xC000_07FE


@pytest.mark.parametrize(("sctlr", "result"), [(0x121, "abort"), (0x101, "raz_wi"), (0x181, "stall")])
def test_what_the_device_sees(sctlr: int, result: str) -> None:
    """CFRE, or CFCFG."""
    rig = mapped(sctlr=sctlr)
    assert rig.send(0x1000).result == result
    assert rig.send().address == PA, "HUPCF: others go on"


def test_a_fault_holds_others_up() -> None:
    """Without HUPCF everything of the bank ends, or waits, until FSR is clear."""
    rig = mapped(sctlr=0x21)
    rig.send(0x1000)
    assert (rig.send().result, rig.send().reason) == ("abort", "SCTLR.HUPCF")
    assert rig.read(FSR) == 0x402, "which is no further fault"
    rig.write(FSR, 0x402)
    assert rig.send().address == PA


def test_stalled_transactions_are_tried_again_or_ended() -> None:
    """RESUME 0 and 1; SS goes with it, and not by writing FSR."""
    rig = mapped(sctlr=0xA1)
    assert rig.send(0x1000).result == "stall"
    assert rig.read(FSR) == 0x4000_0402
    assert rig.send().result == "stall"
    rig.write(FSR, 0xFFFF_FFFF)
    assert rig.read(FSR) == 0x4000_0400
    rig.leaf(0x1000, 0x9000)
    rig.write(RESUME, 0)
    assert [(one.address, outcome.address) for one, outcome in rig.model.resumed] == [(0x1000, 0x9000), (IPA, PA)]
    assert rig.read(FSR) == 0
    rig.model.resumed.clear()
    rig.send(0x2000)
    rig.write(RESUME, 1)
    assert [outcome.result for _, outcome in rig.model.resumed] == ["abort"]
    assert rig.read(FSR) == 0x402
    rig.write(CB, 0x181)
    rig.send(0x2000)
    rig.write(RESUME, 1)
    assert rig.model.resumed[-1][1].result == "raz_wi"


def test_global_faults() -> None:
    """sGFSR, sGFAR and syndromes of the first; MULTI for the next; write 1 to clear; the restore register."""
    rig = Rig()
    rig.send(0x1_2345_6789, stream_id=0x43, write=True, privileged=True)
    rig.send(0x2000, stream_id=0x44)
    assert (rig.read(0x48), rig.read(0x40, 8), rig.read(0x50), rig.read(0x54)) == (0x8000_0002, 0x1_2345_6789, 6, 0x43)
    rig.write(0x48, 2)
    assert rig.read(0x48) == 0x8000_0000
    rig.write(0x48, 0x8000_0000)
    rig.send(stream_id=1, instruction=True)
    assert (rig.read(0x48), rig.read(0x50)) == (2, 8)
    rig.write(0x4C, 0xFFFF_FFFF)
    assert rig.read(0x48) == 0x8000_01FF
    rig.write(0x54, 0x77)
    assert rig.read(0x54) == 0x77


def test_registers_that_are_none() -> None:
    """They read as zeros and keep nothing; identification registers cannot be written."""
    rig = Rig()
    none = (0x4, 0x20, 0x7C, 0x1404 + 4 * 70, 0x1C00, 0x2000, 0x4000, CB + 0x100, CB + 0x7F4, 0x7_F100, 0x8_0000)
    for at in none:
        before = rig.read(at)
        rig.write(at, 0xFFFF_FFFF)
        assert rig.read(at) == before
    assert [rig.read(at) for at in (0x20, 0x24, 0x28, 0x3C)] == [0x6D40_5F80, 0x5000_0040, 0xF555, 0x20]
    rig.write(0x10, 0x0400_0000)
    rig.write(GR1 + 0x400, 5)
    rig.write(CB + 0x38, 0x44)
    assert (rig.read(0x10), rig.read(GR1 + 0x400), rig.read(CB + 0x38)) == (0x0400_0000, 5, 0x44)
    assert (rig.read(GR1 + 4 * BANK), rig.read(GR1 + 0x800 + 4 * BANK)) == (7, 1)
    rig.write(GR1 + 4 * 64, 5)
    assert rig.read(GR1 + 4 * 64) == 0


@pytest.mark.parametrize(
    "fields",
    [{"NTS": 1}, {"ATOSNS": 0}, {"PTFS_NO_AARCH32S": 0}, {"NUMSMRG": 129}, {"NUMCB": 65}, {"OAS": 6}, {"IAS": 6}],
)
def test_what_is_not_modelled_is_refused(fields: dict[str, int]) -> None:
    """Nested stages, address translation operations, short descriptors, more than there is room for."""
    with pytest.raises(ValueError, match=f"{next(iter(fields))} is not modelled"):
        Model(Memory([(0, 0x1000)]), capabilities(**fields))
    assert Capabilities().unmodelled() == ""
