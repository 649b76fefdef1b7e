"""What makes device and process contexts misconfigured: each condition of 2.1.4 and 2.2.4, and every reserved bit."""

from __future__ import annotations

import pytest

from .rig import DDT, DID, G_ROOT, PA, PDT, RWX_U, S_ROOT, VA, Rig, capabilities, nested, second

SV39X4 = 8 << 60 | G_ROOT >> 12
EN_ATS, EN_PRI, T2GPA, DTF, PDTV, PRPR, GADE, SADE, DPE, SBE, SXL = (1 << bit for bit in range(1, 12))
RESERVED = [
    *((0, bit) for bit in (*range(12, 24), *range(32, 64))),
    *((2, bit) for bit in (*range(12), *range(32, 40))),
    *((3, bit) for bit in range(44, 60)),
    *((4, bit) for bit in range(44, 60)),
    *((5, bit) for bit in range(52, 64)),
    *((6, bit) for bit in range(52, 64)),
    *((7, bit) for bit in range(64)),
]


@pytest.mark.parametrize(("word", "bit"), RESERVED)
def test_each_reserved_bit_of_a_device_context(word: int, bit: int) -> None:
    """A reserved bit is cause 259; the bits of the implementation in tc 31:24 are not."""
    rig = Rig()
    words = [0xFF00_0001, SV39X4, 0, 0, 0, 0, 0, 0]
    rig.leaf(G_ROOT, VA, PA, RWX_U)
    rig.dc(*words)
    assert rig.send().address == PA
    words[word] |= 1 << bit
    rig.dc(*words)
    rig.command((3, 0), (2, 0))
    assert rig.cause() == 259
    assert rig.faults()[0].cause == 259


@pytest.mark.parametrize(("word", "bit"), [one for one in RESERVED if one[0] < 4])
def test_reserved_bits_in_base_format(word: int, bit: int) -> None:
    """Without MSI_FLAT a context has 32 bytes, and 7 bits of a device ID index it."""
    rig = Rig(capabilities(MSI_FLAT=0, MSI_MRIF=0))
    words = [1, SV39X4, 0, 0]
    rig.leaf(G_ROOT, VA, PA, RWX_U)
    rig.put(DDT + 32 * 0x7F, *words)
    assert rig.send(device_id=0x7F).address == PA
    words[word] |= 1 << bit
    rig.put(DDT + 32 * 0x7F, *words)
    rig.command((3, 0))
    assert rig.cause(device_id=0x7F) == 259
    assert rig.cause(device_id=0x80) == 260


BAD = {
    "EN_ATS without ATS": ({"ATS": 0}, (1 | EN_ATS, SV39X4, 0, 0)),
    "EN_PRI without EN_ATS": ({}, (1 | EN_PRI, SV39X4, 0, 0)),
    "PRPR without EN_PRI": ({}, (1 | EN_ATS | PRPR, SV39X4, 0, 0)),
    "T2GPA without EN_ATS": ({}, (1 | T2GPA, SV39X4, 0, 0)),
    "T2GPA without capability": ({"T2GPA": 0}, (1 | EN_ATS | T2GPA, SV39X4, 0, 0)),
    "T2GPA with a Bare second stage": ({}, (1 | EN_ATS | T2GPA, 0, 0, 0)),
    "pdtp mode 4": ({}, (1 | PDTV, SV39X4, 0, 4 << 60)),
    "pdtp mode 15": ({}, (1 | PDTV, SV39X4, 0, 15 << 60)),
    "PD8": ({"PD8": 0}, (1 | PDTV, SV39X4, 0, 1 << 60)),
    "PD17": ({"PD17": 0}, (1 | PDTV, SV39X4, 0, 2 << 60)),
    "PD20": ({"PD20": 0}, (1 | PDTV, SV39X4, 0, 3 << 60)),
    **{f"iosatp mode {mode}": ({}, (1, SV39X4, 0, mode << 60)) for mode in (*range(1, 8), *range(11, 16))},
    "Sv39": ({"Sv39": 0}, (1, SV39X4, 0, 8 << 60)),
    "Sv48": ({"Sv48": 0}, (1, SV39X4, 0, 9 << 60)),
    "Sv57": ({"Sv57": 0}, (1, SV39X4, 0, 10 << 60)),
    "DPE without PDTV": ({}, (1 | DPE, SV39X4, 0, 0)),
    **{f"iohgatp mode {mode}": ({}, (1, mode << 60 | G_ROOT >> 12, 0, 0)) for mode in (*range(1, 8), *range(11, 16))},
    "Sv39x4": ({"Sv39x4": 0}, (1, SV39X4, 0, 0)),
    "Sv48x4": ({"Sv48x4": 0}, (1, 9 << 60 | G_ROOT >> 12, 0, 0)),
    "Sv57x4": ({"Sv57x4": 0}, (1, 10 << 60 | G_ROOT >> 12, 0, 0)),
    **{f"msiptp mode {mode}": ({}, (1, SV39X4, 0, 0, mode << 60)) for mode in range(2, 16)},
    **{f"root {page} pages off": ({}, (1, SV39X4 + page, 0, 0)) for page in (1, 2, 3)},
    "SADE": ({"AMO_HWAD": 0}, (1 | SADE, SV39X4, 0, 0)),
    "GADE": ({"AMO_HWAD": 0}, (1 | GADE, SV39X4, 0, 0)),
    "SBE": ({}, (1 | SBE, SV39X4, 0, 0)),
    "SXL": ({}, (1 | SXL, SV39X4, 0, 0)),
    "RCID without QOSID": ({}, (1, SV39X4, 1 << 40, 0)),
    "MCID without QOSID": ({}, (1, SV39X4, 1 << 52, 0)),
    "RCID too wide": ({"QOSID": 1, "qos_bits": 4}, (1, SV39X4, 16 << 40, 0)),
    "MCID too wide": ({"QOSID": 1, "qos_bits": 4}, (1, SV39X4, 16 << 52, 0)),
}


@pytest.mark.parametrize("name", BAD)
def test_each_condition_of_a_device_context(name: str) -> None:
    """What contradicts itself or the capabilities is cause 259, and is not remembered: mended, it works."""
    caps, words = BAD[name]
    rig = Rig(capabilities(**caps))
    rig.dc(*words)
    assert rig.cause() == 259
    rig.dc(1)
    assert rig.send().address == VA


GOOD = {
    "all flags": ({}, (1 | EN_ATS | EN_PRI | T2GPA | DTF | PRPR | GADE | SADE, SV39X4, 0xFFFFF << 12, 0)),
    "Bare": ({}, (1, 0xFFFF << 44 | 3, 0, 7)),
    "QoS": ({"QOSID": 1, "qos_bits": 4}, (1, SV39X4, 15 << 40 | 15 << 52, 0)),
    "PDTV with Bare": ({}, (1 | PDTV | DPE, SV39X4, 0, 0)),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_no_misconfiguration(name: str) -> None:
    """Values that do not count, and everything at once, are legal."""
    caps, words = GOOD[name]
    rig = Rig(capabilities(**caps))
    rig.leaf(G_ROOT, VA, PA, RWX_U)
    rig.dc(*words)
    assert rig.send().address in (PA, VA)


def with_process(first: int, low: int, mode: int = 1, **caps: int) -> Rig:
    """Return a rig with a process directory whose process 3 has the context (`low`, `first`)."""
    rig = Rig(capabilities(**caps))
    rig.dc(1 | PDTV, 0, 0, mode << 60 | PDT >> 12)
    rig.put(PDT + 16 * 3, low, first)
    rig.leaf(S_ROOT, VA, PA, RWX_U)
    return rig


SV39 = 8 << 60 | S_ROOT >> 12


@pytest.mark.parametrize("bit", [*range(3, 12), *range(32, 64), *(64 + bit for bit in range(44, 60))])
def test_each_reserved_bit_of_a_process_context(bit: int) -> None:
    """A reserved bit is cause 267."""
    assert with_process(SV39, 7 | 5 << 12).send(process_id=3).address == PA
    low, high = 7 | 5 << 12 | (1 << bit) % (1 << 64), SV39 | 1 << bit >> 64
    assert with_process(high, low).cause(process_id=3) == 267


@pytest.mark.parametrize("mode", [*range(1, 8), *range(11, 16)])
def test_modes_of_a_process_context(mode: int) -> None:
    """Reserved modes are cause 267; Bare is the first stage Bare."""
    assert with_process(mode << 60 | S_ROOT >> 12, 1).cause(process_id=3) == 267
    assert with_process(0, 1).send(process_id=3).address == VA


@pytest.mark.parametrize(("name", "mode"), [("Sv39", 8), ("Sv48", 9), ("Sv57", 10)])
def test_modes_that_a_process_context_cannot_have(name: str, mode: int) -> None:
    """What capabilities do not have is cause 267."""
    rig = with_process(mode << 60 | S_ROOT >> 12, 1, **{name: 0})
    assert rig.cause(process_id=3) == 267
    rig.put(PDT + 16 * 3, 1, 0)
    assert rig.send(process_id=3).address == VA, "it is not remembered"


@pytest.mark.parametrize("bit", [*range(1, 10), *range(54, 64)])
def test_reserved_bits_of_non_leaf_entries(bit: int) -> None:
    """In a device directory they are cause 259, in a process directory 267."""
    rig = Rig(mode=3)
    table = rig.page()
    rig.put(DDT, table >> 2 | 1)
    rig.dc(1, at=table)
    assert rig.send().address == VA
    rig.put(DDT, table >> 2 | 1 | 1 << bit)
    rig.command((3, 0))
    assert rig.cause() == 259
    rig = with_process(0, 0, mode=2)
    rig.put(PDT, rig.page() >> 2 | 1 | 1 << bit)
    assert rig.cause(process_id=3) == 267


def test_a_context_that_is_not_valid_may_hold_anything() -> None:
    """V clear is cause 258 (266 for a process) whatever the rest says."""
    rig = Rig()
    rig.put(DDT + 64 * DID, *([(1 << 64) - 2] * 8))
    assert rig.cause() == 258
    assert with_process((1 << 64) - 1, (1 << 64) - 2).cause(process_id=3) == 266


def test_capabilities_that_are_not_modelled() -> None:
    """A model cannot be made with them, and says which."""
    for name, value in (("END", 1), ("HPM", 1), ("IGS", 3), ("version", 0x11)):
        with pytest.raises(ValueError, match=f"capabilities.{name} is not modelled"):
            second(capabilities(**{name: value}))
    assert nested().send().address == PA
