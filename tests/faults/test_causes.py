"""The sort of a fault by its code, and the rule that holds for it."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.causes import RULES, find_cause, sort_of
from iommuman.faults.fault import Architecture
from iommuman.faults.raw import amdvi, formats

HERE = Origin("here")


@pytest.mark.parametrize(
    ("architecture", "code", "name", "sort"),
    [
        ("vtd", 0x01, "LRT.2", "not-set-up"),
        ("vtd", 0x06, "LGN.3", "unmapped"),
        ("vtd", 0x0B, "LCT.3", "tables"),
        ("vtd", 0x25, "IR.COMPATIBILITY", "interrupt-compatibility"),
        ("vtd", 0x26, "IR.SOURCE", "interrupt-source"),
        ("vtd", 0x71, "SFL.2", "unmapped"),
        ("vtd", 0xEE, "", ""),
        ("vtd", None, "PFO", "lost"),
        ("vtd", None, "IQE", "queue"),
        ("vtd", None, "ITE", "invalidation"),
        ("vtd", None, "page request", "page-request"),
        ("smmuv3", 0x02, "C_BAD_STREAMID", "unknown-id"),
        ("smmuv3", 0x07, "F_TRANSL_FORBIDDEN", "translated"),
        ("smmuv3", 0x13, "F_PERMISSION", "permission"),
        ("smmuv3", 0x24, "E_PAGE_REQUEST", "page-request"),
        ("smmuv2", 0x2, "USF", "unknown-id"),
        ("smmuv2", 0xA, "TF PF", "unmapped"),
        ("smmuv2", 0x80, "CAF", ""),
        ("amdvi", 1, "ILLEGAL_DEV_TABLE_ENTRY", "tables"),
        ("amdvi", 7, "IOTLB_INV_TIMEOUT", "invalidation"),
        ("riscv-iommu", 256, "", "all-blocked"),
        ("riscv-iommu", 13, "", "unmapped"),
        ("virtio-iommu", 1, "VIRTIO_IOMMU_FAULT_R_DOMAIN", "not-set-up"),
        ("", 5, "", ""),
    ],
)
def test_sorts(architecture: Architecture, code: int | None, name: str, sort: str) -> None:
    """What is wrong is the same thing under many numbers."""
    assert sort_of(Fault(HERE, architecture, code=code, name=name)) == sort


@pytest.mark.parametrize(
    ("flags", "sort"),
    [
        ({}, "unmapped"),
        ({"I": 1}, "interrupt-missing"),
        ({"PR": 1, "PE": 1}, "permission"),
        ({"PR": 1, "RZ": 1}, "tables"),
        ({"PR": 1}, "tables"),
    ],
)
def test_sorts_of_an_io_page_fault(flags: dict[str, int], sort: str) -> None:
    """One AMD-Vi event for many things, told apart by its flags."""
    assert sort_of(amdvi.decode(amdvi.encode(EventCode=2, **flags), HERE)) == sort


def test_every_rule_says_both_and_only_known_words() -> None:
    """Each has a cause and an advice, a clause each, and names only what can be filled in."""
    for rule in RULES:
        for text in (rule.cause, rule.advice):
            filled = text.format_map({"who": "x", "place": "y", "near": "z"})
            assert filled
            assert not filled.endswith(".")
            assert "{" not in filled


def test_every_rule_can_be_reached() -> None:
    """No rule is hidden behind an earlier one that always holds when it does."""
    for index, rule in enumerate(RULES):
        for earlier in RULES[:index]:
            hides = (
                set(rule.sorts) <= set(earlier.sorts)
                and (not earlier.tags or (bool(rule.tags) and set(rule.tags) <= set(earlier.tags)))
                and (not earlier.known or (bool(rule.known) and set(rule.known) <= set(earlier.known)))
                and (
                    not earlier.architectures
                    or (bool(rule.architectures) and set(rule.architectures) <= set(earlier.architectures))
                )
            )
            assert not hides, (rule.cause, earlier.cause)


@pytest.mark.parametrize(
    ("tags", "start"),
    [
        (set(), "02:00.0 uses an address that its driver has not mapped"),
        ({"own-reserved", "ram"}, "firmware still has 02:00.0 use memory that is reserved for it"),
        ({"other-reserved"}, "02:00.0 reaches for memory that is reserved for something else"),
        ({"msi"}, "02:00.0 accesses the window of interrupts"),
        ({"registers"}, "02:00.0 accesses the registers of an IOMMU"),
        ({"own-grant"}, "a grant covers the address"),
        ({"window"}, "02:00.0 accesses another device directly"),
        ({"past-end"}, "02:00.0 runs over the end of the ring"),
        ({"before-start"}, "02:00.0 begins before the start of the ring"),
        ({"first-page"}, "02:00.0 was given no address at all"),
        ({"ram"}, "02:00.0 was given a physical address of memory"),
    ],
)
def test_what_an_address_is_decides(tags: set[str], start: str) -> None:
    """The same refused read has another likely cause by where it went."""
    fault = Fault(HERE, "vtd", code=6, name="LGN.3")
    cause = find_cause(
        fault, frozenset(tags), words={"who": "02:00.0", "near": "the ring", "place": "there"}, known="listed"
    )
    assert cause is not None
    assert cause.text.startswith(start)


def test_nothing_is_said_of_what_is_not_known() -> None:
    """A code of no architecture has no cause."""
    assert find_cause(Fault(HERE, "", code=5)) is None


def test_every_defined_code_has_a_cause() -> None:
    """What the specifications define can be explained, whatever the board; but lost records and counters."""
    assert {one.architecture for one in formats()} == {
        "vtd", "smmuv3", "smmuv2", "amdvi", "riscv-iommu", "virtio-iommu",
    }  # fmt: skip
    vtd_codes = [*range(0x01, 0x0F), *range(0x20, 0x2A), *range(0x30, 0x34), *range(0x70, 0x7E), *range(0x80, 0x88)]
    for code in vtd_codes:
        assert find_cause(Fault(HERE, "vtd", code=code)), code
    for code in [*range(1, 0xC), 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x24, 0x25]:
        assert find_cause(Fault(HERE, "smmuv3", code=code)), code
    for code in [1, 3, 4, 5, 6, 7, 8, 9, 0xD, 0xE]:
        assert find_cause(Fault(HERE, "amdvi", code=code)), code
    for code in [1, 5, 7, 12, 13, 15, 20, 21, 23, *range(256, 273), 274]:
        assert find_cause(Fault(HERE, "riscv-iommu", code=code)), code
