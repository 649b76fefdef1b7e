"""What changes mean for isolation, in literal words; and that what opens one way closes the other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from iommuman.topology import (
    Device,
    Fact,
    Grant,
    IdMap,
    Interrupt,
    MsiController,
    PciRoot,
    ReservedRegion,
    StreamRange,
    UnresolvedScope,
)

from tests.topology.diff.boards import (
    HERE,
    Record,
    function,
    meanings,
    picture_of,
    root,
    takes,
    unit,
)

TURNED = {"opens": "closes", "closes": "opens", "neutral": "neutral"}


def means(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[str, str]]:
    """Return what the changes between two boards mean."""
    return meanings(picture_of(*a), picture_of(*b))


def turns(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the same, when what opens one way closes the other way round."""
    there, back = means(a, b), means(b, a)
    assert sorted(TURNED[effect] for effect, _ in there) == sorted(effect for effect, _ in back)
    return there


def test_a_device_loses_its_iommu() -> None:
    """A device whose ID no map takes any more has lost its IOMMU; the other way round it gains one."""
    a, b = [root(), unit(), function(8), takes(0, 16)], [root(), unit(), function(8), takes(0, 8)]
    assert turns(a, b) == [
        ("opens", "this device loses its IOMMU: it reaches all of memory"),
        ("opens", "requester IDs 0x0008-0x000f (8): no IOMMU in use any more; known devices: 0000:00:01.0"),
    ]
    assert means(b, a) == [
        ("closes", "this device gains an IOMMU: it reached all of memory before"),
        (
            "closes",
            "requester IDs 0x0008-0x000f (8): an IOMMU now, and none in use before; known devices: 0000:00:01.0",
        ),
    ]


def test_a_unit_that_is_turned_off() -> None:
    """A unit that is not in use any more opens its devices."""
    a = [root(), unit(), function(8), takes(8)]
    b = [root(), unit(enabled=False), function(8), takes(8)]
    assert turns(a, b) == [
        ("opens", "the unit is no longer in use: nothing is translated; behind it is 0000:00:01.0"),
        ("opens", "this device loses its IOMMU: vtd@1000 is not enabled, and it reaches all of memory"),
        ("opens", "requester ID 0x0008: no IOMMU in use any more; known devices: 0000:00:01.0"),
    ]
    assert means(b, a)[0] == ("closes", "the unit is in use now; behind it is 0000:00:01.0")


def test_requests_that_go_round() -> None:
    """A device of which some requests meet no IOMMU any more is open, though it has an IOMMU."""
    through = IdMap("dt:/dma", "vtd@1000", 0, 1, 5, HERE, "iommus", single=True)
    round_it = IdMap("dt:/dma", None, 0, 1, 5, HERE, "iommus", single=True)
    a, b = [unit(), Device("dt:/dma", "dt", HERE), through], [unit(), Device("dt:/dma", "dt", HERE), through, round_it]
    assert turns(a, b) == [("opens", "some of its requests go round its IOMMU now, to all of memory")]
    assert means(b, a) == [("closes", "none of its requests goes round its IOMMU any more")]


def test_a_device_goes_to_another_unit() -> None:
    """A device behind another unit is neither open nor closed; both units are named."""
    stays: list[Record] = [root(), unit(), unit(0x2000), function(8)]
    assert turns([*stays, takes(8)], [*stays, takes(8, target="vtd@2000")]) == [
        ("neutral", "now behind vtd@2000, and before behind vtd@1000"),
        ("neutral", "requester ID 0x0008: behind another IOMMU now; known devices: 0000:00:01.0"),
    ]
    assert means([*stays, takes(8)], [*stays, takes(8, 1, 9)]) == [
        ("neutral", "its IOMMU knows it by other IDs: policies that name the old ones no longer hold it"),
        ("neutral", "requester ID 0x0008: the IOMMU sees other IDs; known devices: 0000:00:01.0"),
    ]


def test_two_devices_share_an_id() -> None:
    """Devices that come to have one ID cannot be told apart, and can be when they have it no longer."""
    stays: list[Record] = [root(), unit(), function(8), function(0x18), takes(0x18)]
    a, b = [*stays, takes(8)], [*stays, takes(8, 1, 0x18)]
    assert ("opens", "now shares ID 0x18 of vtd@1000 with 0000:00:03.0: they cannot be told apart by it") in means(a, b)
    assert ("closes", "no longer shares ID 0x18 of vtd@1000 with 0000:00:03.0") in means(b, a)


def test_a_device_more_shares_an_id() -> None:
    """A device that is new says with whom it shares, and one that is gone only with whom that stays."""
    alone: list[Record] = [root(), unit(), function(8), takes(8)]
    shared: list[Record] = [root(), unit(), function(8), function(9), takes(8, 1), takes(9, 1, 8)]
    assert means(alone, shared)[:2] == [
        ("closes", "before, a function there would have been behind no IOMMU"),
        ("opens", "shares ID 0x8 of vtd@1000 with 0000:00:01.0: they cannot be told apart by it"),
    ]
    assert means(shared, alone)[:2] == [
        ("opens", "no longer named; a function there would be behind no IOMMU"),
        ("closes", "no longer shares ID 0x8 of vtd@1000 with 0000:00:01.0"),
    ]
    assert all("share" not in text for _, text in means(shared, []))


def test_a_function_that_is_not_named_any_more() -> None:
    """A function that no source names any more would be where its requester ID leads."""
    a: list[Record] = [root(), unit(), unit(0x2000), function(8), takes(8)]
    b: list[Record] = [root(), unit(), unit(0x2000), takes(0, 32, target="vtd@2000")]
    assert means(a, b)[0] == ("neutral", "no longer named; a function there would be behind vtd@2000")
    assert means(b, a)[0] == ("neutral", "before, a function there would have been behind vtd@2000")
    same: list[Record] = [root(), unit(), unit(0x2000), takes(8)]
    assert means(a, same) == []
    assert means(same, a) == []


def test_a_device_without_iommu_more_or_less() -> None:
    """A device that nothing controls opens when it comes, and closes when it goes."""
    assert turns([unit()], [unit(), Device("dt:/dma", "dt", HERE)]) == [
        ("opens", "a device more that reaches all of memory: no IOMMU is in its way")
    ]
    assert means([root(), function(8)], [root()]) == [
        ("closes", "a device less that reaches all of memory"),
        ("neutral", "no longer named; a function there would be behind no IOMMU"),
    ]


def test_what_cannot_be_told() -> None:
    """That something can be told now, or no longer, opens and closes nothing."""
    scope = UnresolvedScope("vtd@1000", "vtd@1000", 0, 0, ((28, 0), (0, 0)), "sub-hierarchy", "unknown", HERE)
    device = function(0x100)
    known: list[Record] = [root(), unit(), device, takes(0x100)]
    unknown: list[Record] = [root(), unit(), device, scope]
    nothing: list[Record] = [root(), unit(), device]
    assert means(unknown, known)[:3] == [
        ("neutral", "which devices these are cannot be told without the PCI topology"),
        ("neutral", "it can be told now which IOMMU controls it"),
        ("neutral", "requester ID 0x0100: it can be told now: an IOMMU controls them; known devices: 0000:01:00.0"),
    ]
    assert ("neutral", "it cannot be told any more what it is behind") in means(known, unknown)
    assert ("neutral", "it is known now that no IOMMU is in its way") in means(unknown, nothing)
    assert ("neutral", "it cannot be told any more whether an IOMMU is in its way") in means(nothing, unknown)
    assert {effect for effect, _ in means(nothing, unknown)} == {"neutral"}


def test_units_come_and_go() -> None:
    """A unit that goes opens when a device of it has no IOMMU then; one that comes says who is behind it."""
    a = [root(), unit(), function(8), takes(8)]
    assert means(a, [root(), function(8)])[0] == (
        ("opens", "this IOMMU is gone; behind it was 0000:00:01.0; without an IOMMU now: 0000:00:01.0")
    )
    two = [root(), unit(), unit(0x2000), function(8), function(9), takes(8, 2)]
    assert means(two, [root(), unit(), function(8), function(9), takes(8, 2)]) == [
        ("neutral", "this IOMMU is gone; no device that is named was behind it")
    ]
    assert means([root(), unit(), function(8), function(9), takes(8, 2)], two) == [
        ("neutral", "one more IOMMU; no device that is named is behind it")
    ]


def test_a_unit_elsewhere() -> None:
    """A unit that moved says who stays behind it, and is programmed elsewhere; an MSI controller is just renamed."""
    a = [root(), unit(), function(8), function(9), takes(8, 2)]
    b = [root(), unit(0x9000), function(8), function(9), takes(8, 2, target="vtd@9000")]
    assert turns(a, b) == [
        ("neutral", "it is the same unit elsewhere; behind it are 0000:00:01.0, 0000:00:01.1 as before"),
        ("neutral", "it is programmed at another address"),
    ]
    assert means([MsiController("its:0", "its", HERE)], [MsiController("its:1", "its", HERE)]) == [
        ("neutral", "it is the same under another name")
    ]


def test_what_a_unit_does_with_other_ids() -> None:
    """A unit that lets unknown IDs through opens; one that refuses them closes."""
    assert turns([unit(bypass=False)], [unit(bypass=True)]) == [
        ("opens", "accesses with an ID that no device has pass now")
    ]
    assert means([unit(bypass=True)], [unit()]) == [
        ("closes", "accesses with an ID that no device has are refused now")
    ]
    assert means([unit(bypass=False)], [unit()]) == []
    assert means([unit()], [unit(interrupts=(Interrupt("event", 5),))]) == [
        ("neutral", "its faults and events are signalled by other interrupts")
    ]


def test_other_facts_of_a_device() -> None:
    """Another device at the same place, translated requests, and interrupts say what they mean; others say nothing."""
    stays: list[Record] = [root(), unit(), takes(0, 32)]
    assert means([*stays, function(8, "8086:1")], [*stays, function(8, "8086:2")]) == [
        ("neutral", "another device stands here: what was granted to the old one is the new one's")
    ]
    plain = Device("0000:00:01.0", "pci", HERE, 0, 8)
    ats = Device("0000:00:01.0", "pci", HERE, 0, 8, properties=(("ATS", "supported by the root port"),))
    assert turns([*stays, plain], [*stays, ats]) == [
        ("opens", "addresses that the device says are translated pass unchecked now")
    ]
    numa = Device("0000:00:01.0", "pci", HERE, 0, 8, properties=(("numa node", 1),))
    assert means([*stays, plain], [*stays, numa]) == []
    its = MsiController("its:0", "its", HERE)
    to_its = takes(0, 32, 0, "its:0", carries="msi")
    ended = "requester IDs 0x0000-0x001f (32)"
    assert means([*stays, plain, its], [*stays, plain, its, to_its]) == [
        ("neutral", "its interrupt messages are known by other IDs, or elsewhere"),
        ("neutral", f"interrupt messages of {ended}: known by other IDs, or elsewhere"),
    ]
    assert means([*stays, plain, its, to_its], [*stays, plain, its]) == [
        ("neutral", "no MSI controller is named for its interrupts any more"),
        ("neutral", f"interrupt messages of {ended}: no MSI controller is named any more"),
    ]
    assert means([root(), function(8, "8086:1")], [root(), function(16, "8086:1")])[0] == (
        ("neutral", "it is the same device elsewhere: what names it by its old place no longer does")
    )


@pytest.mark.parametrize(
    ("before", "after", "effect", "text"),
    [
        ([], [takes(0, 0x10000)], "closes", "an IOMMU now, and none in use before"),
        ([takes(0, 0x10000, target="vtd@2000")], [], "neutral", "no IOMMU in use, as before"),
        ([takes(0, 0x10000)], [takes(0, 0x10000, 8)], "neutral", "the IOMMU sees other IDs"),
    ],
)
def test_requester_ids_of_nobody(before: list[Record], after: list[Record], effect: str, text: str) -> None:
    """What becomes of requester IDs is told though no device is known to have them."""
    stays: list[Record] = [root(), unit(), unit(0x2000, enabled=False)]
    assert turns([*stays, *before], [*stays, *after]) == [
        (effect, f"requester IDs 0x0000-0xffff (65536): {text}; no device is known there")
    ]


def test_spaces_come_and_go() -> None:
    """A segment that is spoken of now, or no longer, says what becomes of its requester IDs."""
    host = PciRoot("dt:/host", HERE, None)
    numbers = "requester IDs 0x0000-0xffff (65536)"
    assert means([], [root()]) == [
        ("neutral", f"{numbers}: spoken of now: no IOMMU controls them; no device is known there")
    ]
    assert means([unit(), host, takes(0, 0x10000, source="dt:/host")], [unit()]) == [
        ("neutral", f"{numbers}: no longer spoken of; an IOMMU controlled them; no device is known there")
    ]
    assert means([root()], [root(properties=(("coherent", True),))]) == []


def region(start: int, length: int, meaning: str = "direct", **more: object) -> ReservedRegion:
    """Return a region for one device, or as the other arguments say."""
    owner: dict[str, object] = {"devices": ("a",)} | more
    return ReservedRegion("rmrr", start, length, HERE, meaning, **owner)  # type: ignore[arg-type]


def test_reserved_memory_comes_and_goes() -> None:
    """Memory that must stay open opens when it comes; memory that is not to be used neither opens nor closes."""
    assert turns([region(0x7B000000, 8 << 20)], []) == [
        (
            "closes",
            "reserved region 0x7b000000+8M no longer covered: accesses there are stopped unless the policy grants them",
        )
    ]
    assert means([], [region(0x7B000000, 8 << 20)]) == [
        ("opens", "reserved region 0x7b000000+8M newly covered: it stays open whatever the policy says")
    ]
    assert turns([region(0x1000, 0x1100, "avoid")], []) == [
        ("neutral", "reserved region 0x1000+0x1100 no longer covered")
    ]
    assert means([], [region(0x1000, 1 << 30, "memory")]) == [("neutral", "reserved region 0x1000+1G newly covered")]


def test_reserved_memory_moves_or_shrinks() -> None:
    """A region that moved whole says from where to where; one that lost a part says which."""
    assert turns([region(0x1000, 0x1000)], [region(0x9000, 0x1000)]) == [
        ("neutral", "reserved region 0x1000+4K moved to 0x9000+4K: what maps it must follow")
    ]
    assert means([region(0x1000, 0x3000)], [region(0x1000, 0x1000), region(0x3000, 0x1000)]) == [
        (
            "closes",
            "reserved region 0x2000+4K no longer covered: accesses there are stopped unless the policy grants them",
        )
    ]


def test_reserved_memory_of_ids() -> None:
    """Of a region that is for IDs, the IDs are named that come and go."""
    one, other = (
        region(0x1000, 0x1000, devices=(), streams=(StreamRange("vtd@1000", 4, length),)) for length in (1, 3)
    )
    assert turns([unit(), one], [unit(), other]) == [
        ("opens", "reserved region 0x1000+4K newly covered for IDs 0x5-0x6: it stays open whatever the policy says")
    ]


def test_grants() -> None:
    """What a device may reach is said for each permission; a set that nobody has opens nothing."""
    one = Grant("set", 0x80000000, 1 << 20, read=True, write=True, devices=("a",), origin=HERE)
    more = Grant("set", 0x80000000, 2 << 20, read=True, write=False, devices=("a",), origin=HERE)
    assert turns([one], [more]) == [
        ("closes", "the device may no longer write 0x80000000+1M"),
        ("opens", "the device may now read 0x80100000+1M"),
    ]
    assert means([], [Grant("set", 0, 16, read=True, write=False, devices=(), origin=HERE)]) == [
        ("neutral", "whoever is given the set may now read 0x0+0x10")
    ]


def test_the_machine() -> None:
    """Interrupt remapping and the wish for protection matter; other facts say nothing."""

    def fact(name: str, *, value: bool) -> list[Record]:
        return [Fact(name, value, HERE)]

    on, off = fact("interrupt remapping", value=True), fact("interrupt remapping", value=False)
    assert turns(on, off) == [("opens", "devices can write any interrupt")]
    assert means(off, on) == [("closes", "interrupts of devices can be checked")]
    assert means(off, []) == []
    wish = fact("DMA protection opt-in", value=True)
    assert turns(wish, fact("DMA protection opt-in", value=False)) == [
        ("opens", "firmware does not ask for protection from DMA before the system runs")
    ]
    assert means(wish, []) == []
    assert means(fact("x2APIC opt-out", value=True), []) == []
