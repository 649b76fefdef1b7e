"""Stream mapping of the model: which entry a stream matches, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.iommu.smmuv2.model import PRIVILEGED, READ, WRITE

from .rig import BANK, CB, GR1, INDEXED, IPA, PA, PLAIN, SID, Rig, capabilities, mapped

VALID = 1 << 31


def test_a_stream_goes_to_the_bank_of_its_entry() -> None:
    """The one that matches is translated; nobody else is."""
    rig = mapped()
    assert rig.send().address == PA
    assert (rig.send().result, rig.send().bank) == ("done", BANK)
    for other in (0, SID ^ 1, SID | 1 << 14, SID | 1 << 16):
        assert (rig.send(stream_id=other).result, rig.send(stream_id=other).reason) == ("abort", "USF")


@given(st.integers(0, 0x7FFF), st.integers(0, 0x7FFF), st.integers(0, 0x7FFF))
def test_bits_of_the_mask_do_not_count(identifier: int, mask: int, stream: int) -> None:
    """A stream matches when it agrees with the ID in all bits that the mask has not got."""
    rig = Rig(PLAIN)
    rig.write(0x80C, VALID | mask << 16 | identifier)
    assert rig.read(0x80C) == VALID | mask << 16 | identifier
    rig.write(0xC0C, 0x1_0000)
    assert (rig.send(stream_id=stream).result == "done") == all(
        mask >> bit & 1 or (stream ^ identifier) >> bit & 1 == 0 for bit in range(15)
    )


def test_sixteen_bits_with_exidenable() -> None:
    """The top bits of SMR belong to mask and ID then, and S2CR says whether it is valid."""
    rig = Rig()
    rig.write(0, 0x40A)
    rig.write(0x80C, 0x8000_7123)
    rig.write(0xC0C, 0x1_0000)
    assert rig.send(stream_id=0x7123).reason == "USF"
    rig.write(0xC0C, 0x1_0400)
    assert rig.send(stream_id=0x7123).result == rig.send(stream_id=0xF123).result == "done"
    assert rig.send(stream_id=0x7122).reason == rig.send(stream_id=0x1_7123).reason == "USF"
    plain = Rig(PLAIN)
    plain.write(0, 0x8000_040A)
    plain.write(0xC0C, 0x400)
    assert (plain.read(0), plain.read(0xC0C)) == (0x8000_0402, 0), "no EXIDENABLE, no EXIDVALID"


def test_bits_of_ids_that_the_unit_has_not_got_stay_clear() -> None:
    """With ID0.NUMSIDB 6 an SMR keeps six bits of ID and mask."""
    rig = Rig(capabilities(EXIDS=0, NUMSIDB=6))
    rig.write(0x800, 0xFFFF_FFFF)
    assert rig.read(0x800) == VALID | 0x3F << 16 | 0x3F
    rig.write(0x800 + 4 * 128, 1)
    rig.write(0xC00 + 4 * 128, 1)
    assert rig.read(0x800 + 4 * 128) == rig.read(0xC00 + 4 * 128) == 0


def test_two_entries_that_match_are_a_conflict() -> None:
    """sGFSR.SMCF, whatever the two say."""
    rig = mapped()
    rig.write(0x810, VALID | 1 << 16 | SID | 1)
    rig.write(0xC10, 0x1_0000)
    assert rig.send().reason == "SMCF"
    assert rig.send(stream_id=SID | 1).result == "done"
    fault = rig.global_fault()
    assert fault is not None
    assert (fault.name, fault.stream_id, fault.address, fault.more) == ("SMCF", SID, IPA, False)


def test_indexing() -> None:
    """Without ID0.SMS the n-th entry is stream n's, and there are no SMRs."""
    rig = mapped(INDEXED)
    assert rig.read(0x80C) == 0
    assert rig.send(stream_id=3).address == PA
    rig.write(0xC00 + 4 * 63, 0x1_0000)
    assert rig.send(stream_id=63).address == IPA
    assert rig.send(stream_id=64).reason == "USF"


@pytest.mark.parametrize(("control", "result"), [(0x402, "abort"), (0x400, "raz_wi"), (0, "done"), (0x403, "done")])
def test_what_nobody_matches(control: int, result: str) -> None:
    """USFCFG faults it, as GFRE says; without it passes by. CLIENTPD lets everything pass by."""
    rig = Rig()
    rig.write(0, control)
    found = rig.send(stream_id=0x99)
    assert (found.result, found.address) == (result, IPA if result == "done" else None)
    assert bool(rig.read(0x48)) == (result != "done")


def test_a_unit_after_reset_lets_everything_pass() -> None:
    """CLIENTPD is set; what is beyond the address size does not get anywhere, and leaves no record."""
    rig = Rig(capabilities(OAS=2))
    rig.write(0, 1)
    assert rig.model.translate(1, 0xFF_FFFF_FFFF) == 0xFF_FFFF_FFFF
    assert rig.model.translate(1, 0x100_0000_0000) == -1
    assert rig.read(0x48) == 0


@pytest.mark.parametrize(
    ("target", "flag"),
    [(0x1_0000, ""), (0x2_0000, "ICF"), (0x3_0000, "ICF"), (64, "UCBF"), (255, "UCBF"), (BANK, "")],
)
def test_types_of_targets(target: int, flag: str) -> None:
    """Bypass and translation go through; fault and the reserved type do not, nor banks that are not there."""
    rig = mapped()
    rig.write(0xC0C, target)
    assert rig.send().reason == flag
    fault = rig.global_fault()
    assert (fault.name if fault else "") == flag


@pytest.mark.parametrize(
    ("attributes", "wide", "caps"),
    [
        (0x2_0000, 1, {}),
        (0x3_0000, 1, {}),
        (0x1_0000, 0, {}),
        (0x1_0000, 1, {"S1TS": 0}),
        (0x1_0000, 1, {"NUMS2CB": BANK + 1}),
        (0, 1, {"S2TS": 0}),
        (0, 0, {"PTFS_NO_AARCH32": 1}),
        (0, 1, {"PTFS_4K": 0, "PTFS_16K": 0, "PTFS_64K": 0}),
    ],
)
def test_banks_that_the_unit_cannot_translate_by(attributes: int, wide: int, caps: dict[str, int]) -> None:
    """Stage 2 fault, nested stages, AArch32 stage 1, and what identification registers do not offer: ICF."""
    rig = mapped(capabilities(**caps))
    rig.write(GR1 + 4 * BANK, attributes)
    rig.write(GR1 + 0x800 + 4 * BANK, wide)
    assert rig.send().reason == "ICF"


def test_a_bank_that_does_not_translate_passes_on() -> None:
    """SCTLR.M = 0."""
    rig = mapped()
    rig.write(CB, 0x120)
    assert rig.send().address == IPA


@pytest.mark.parametrize(("privcfg", "granted"), [(0, (0, 1)), (1, (0, 1)), (2, (0, 0)), (3, (1, 1))])
def test_privilege_is_replaced(privcfg: int, granted: tuple[int, int]) -> None:
    """S2CR.PRIVCFG, seen by a page of stage 1 for privileged accesses alone."""
    rig = Rig(tcr=0x80_3510)
    rig.write(GR1 + 4 * BANK, 0x1_0000)
    rig.write(CB + 0x10, 5)
    rig.leaf(IPA & ~0xFFF, PA & ~0xFFF, 1 | 1 << 10)
    rig.write(0xC0C, privcfg << 24 | BANK)
    found = (rig.model.translate(SID, IPA, READ), rig.model.translate(SID, IPA, WRITE | PRIVILEGED))
    assert tuple(int(address == PA) for address in found) == granted
