"""A suggested configuration: over the same board it changes nothing, and says what it cannot say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.parsers import ParseError
from iommuman.parsers.smmu_config import Configuration, parse_configuration
from iommuman.parsers.sources import Inputs, read_sources
from iommuman.topology import (
    Device,
    Grant,
    IdMap,
    Interrupt,
    Iommu,
    PciRoot,
    ReservedRegion,
    StreamRange,
    Topology,
    assemble,
    load_topology,
)
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.merge import merge
from iommuman.topology.suggest import suggest, suggestion_text

from tests.conftest import BOARDS, HANDMADE, corpus_files

from .merge.boards import meaning

HERE = Origin("board")
FOLDERS = sorted(
    path
    for path in (*BOARDS.iterdir(), *HANDMADE.iterdir(), *(HANDMADE / "damaged").iterdir())
    if path.is_dir() and path.name != "damaged"
)
REAL = corpus_files("DTB", "DMAR", "IORT")


def assert_changes_nothing(inputs: Inputs) -> None:
    """Write the suggestion of a board, read it, and lay it over the board in both ways."""
    board = assemble(inputs)
    text = suggestion_text(suggest(board))
    assert text == suggestion_text(suggest(assemble(inputs)))
    read = parse_configuration(text, "suggested.smmu")
    assert read.findings == ()
    for keep in (False, True):
        found = assemble(replace(inputs, configurations=[read]), keep=keep)
        assert meaning(found) == meaning(board)
        assert found.maps == board.maps
        assert [one for one in found.findings if one.rule.startswith("CONFIG")] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_over_the_same_board_it_changes_nothing(folder: Path) -> None:
    """For every fixture, the suggested text read back changes no fact, in either way of laying it over."""
    try:
        inputs = read_sources([str(folder)])
    except ParseError:
        return  # a damaged fixture that is nothing at all
    assert_changes_nothing(inputs)


@pytest.mark.skipif(not REAL, reason="no corpus beside this checkout")
def test_real_boards() -> None:
    """The same holds for every real table and tree."""
    for path in REAL:
        try:
            inputs = read_sources([str(path)])
        except ParseError:
            continue
        assert_changes_nothing(inputs)


def test_a_suggestion_stands_alone() -> None:
    """What is said is enough: without the firmware, the functions and components of a board have the same units."""
    for name in ("iort-e", "dmar-two-hop", "dmar-segments"):
        board = load_topology([str(HANDMADE / name)])
        text = suggestion_text(suggest(board))
        inputs = Inputs(pci=list(board.pci), configurations=[parse_configuration(text, "alone.smmu")])
        alone, whole = meaning(assemble(inputs))[0], meaning(board)[0]
        for device in board.devices.values():
            if device.kind == "pci" and whole[device.name][0][1] == "controlled" and device.name in alone:
                assert {one[2:4] for one in alone[device.name]} == {one[2:4] for one in whole[device.name]}, device.name


def test_the_text_of_a_board() -> None:
    """Units, ranges, components and reserved memory, each with where the firmware says so, then what cannot be said."""
    text = suggestion_text(suggest(load_topology([str(HANDMADE / "iort-e" / "IORT.bin")])))
    place = f"{HANDMADE}/iort-e/IORT.bin: IORT"
    assert (
        text
        == f"""\
smmu smmuv3
# smmuv3@2b400000, {place}+0x48 (108 bytes)
unit smmu0 0x2b400000,96,98
# smmuv3@2b600000, {place}+0xb4 (88 bytes)
unit smmu1 0x2b600000

# {place}+0x134 (20 bytes)
device pci:0:0.0-255:31.7
    use smmu0 0-0xffff

# {place}+0x170 (20 bytes)
device pci:1:0:0.0-255:31.7
    use smmu1 0-0xffff

# {place}+0x1ac (20 bytes)
device acpi:\\_SB.ACC0
    use smmu0 0x10000
    # {place}+0x1dc (20 bytes)
    reserved 0xf0000000,2M
    # {place}+0x1f0 (20 bytes)
    reserved 0xf8000000,64K

# A configuration cannot say:
#   reserved memory at 0xf0000000 ({place}+0x1dc (20 bytes)): smmuv3@2b400000 ID 0x100 cannot be named
#   reserved memory at 0xf8000000 ({place}+0x1f0 (20 bytes)): smmuv3@2b400000 ID 0x100 cannot be named
"""
    )


def remarks(*units: Iommu, maps: tuple[IdMap, ...] = (), devices: tuple[Device, ...] = ()) -> list[str]:
    """Return what cannot be said of a board."""
    builder = TopologyBuilder()
    builder.iommus += units
    builder.maps += maps
    for device in devices:
        builder.device(device)
    return suggest(Topology(builder)).remarks


def test_units_that_cannot_be_said() -> None:
    """What a unit lacks, or has too much, is said, and nothing behind it is."""
    wired = (Interrupt("context 0", 1), Interrupt("global 0", 2))
    smmu = Iommu("smmuv2@1000", "smmuv2", HERE, 0x1000, interrupts=wired)
    use = IdMap("dt:/a", "smmuv2@1000", 0, 1, 5, HERE, "iommus", single=True)
    device = Device("dt:/a", "dt", HERE)
    assert remarks(smmu, maps=(use,), devices=(device,)) == []
    lead = "smmuv2@1000, and what is behind it: "
    for unit, why in (
        (replace(smmu, kind="exynos-sysmmu"), "a unit of kind exynos-sysmmu has no type"),
        (replace(smmu, base=None), "its registers have no address"),
        (replace(smmu, enabled=False), "it is not enabled, and to name a unit is to use it"),
        (replace(smmu, interrupts=wired[:1]), "its context and global interrupts are not known"),
        (replace(smmu, kind="ipmmu"), "the fault bit of the main unit is not known (a board module can tell)"),
        (replace(smmu, kind="vtd", reserved_ids=(1,)), "it has reserved IDs"),
    ):
        assert remarks(unit, maps=(use,), devices=(device,)) == [f"{lead}{why} (board)"]
    twin = Iommu("vtd@1000#2", "vtd", HERE, 0x1000, segment=1)
    assert remarks(twin) == ["vtd@1000#2, and what is behind it: another unit has its address (board)"]
    main = Iommu(
        "ipmmu@2000", "ipmmu", HERE, 0x2000, interrupts=(Interrupt("fault", 9),), properties=(("fault bit", 3),)
    )
    assert remarks(main) == [
        "ipmmu@2000, and what is behind it: it has no bit in the interrupt status register (board)"
    ]


def test_ids_that_cannot_be_said() -> None:
    """IDs beyond what a type can say, masks of bits, devices without a word for a name: each is a remark."""
    unit = Iommu("smmuv3@1000", "smmuv3", HERE, 0x1000)

    def of(output: int | None, name: str = "dt:/a", length: int = 1, **more: object) -> list[str]:
        one = IdMap(name, "smmuv3@1000", 0, length, output, HERE, "iommus", single=length == 1, **more)  # type: ignore[arg-type]
        return remarks(unit, maps=(one,), devices=(Device(name, "dt", HERE),))

    assert of(5, ignored_bits=0xF) == ["dt:/a (board): bits 0xf of its ID are ignored"]
    assert of(1 << 32) == ["dt:/a (board): only a part of its IDs can be said"]
    assert of(None) == ["dt:/a (board): only a part of its IDs can be said"]
    assert of(5, length=0) == []  # a boot loader is to fill it in: it has no IOMMU yet
    assert of(5, "dt:/a b") == ["dt:/a b (board): a configuration has no name for it"]
    both = tuple(IdMap("dt:/a", name, 0, 1, 5, HERE, "iommus", single=True) for name in ("smmuv3@1000", "odd"))
    odd = Iommu("odd", "odd", HERE, 0x2000)
    found = remarks(unit, odd, maps=both, devices=(Device("dt:/a", "dt", HERE),))
    assert found[1:] == ["dt:/a (board): only a part of its IDs can be said"]


def test_ranges_are_as_few_as_can_be() -> None:
    """Two maps that go on where the other ends are one line; so are those that give all the same ID."""

    def lines(*maps: tuple[int, int, int | None], single: bool = False, first_bus: int = 0) -> list[str]:
        builder = TopologyBuilder()
        builder.roots.append(PciRoot("root", HERE, 0, first_bus))
        builder.iommus.append(Iommu("u@1000", "smmuv3", HERE, 0x1000))
        builder.maps += [IdMap("root", "u@1000", *one, HERE, "x", single=single) for one in maps]
        text = suggestion_text(suggest(Topology(builder)))
        return [line.strip() for line in text.splitlines() if line.strip().startswith(("device", "use"))]

    assert lines((0, 8, 0x100), (8, 8, 0x108)) == ["device pci:0:0.0-0:1.7", "use smmu0 0x100-0x10f"]
    assert lines((0, 8, 0x100), (8, 8, 0x109))[2:] == ["device pci:0:1.0-0:1.7", "use smmu0 0x109-0x110"]
    assert lines((0, 1, 5), (1, 1, 5), (2, 1, 5)) == ["device pci:0:0.0-0:0.2", "use smmu0 5"]
    assert lines((0, 1, 7), single=True) == ["device pci:0:0.0-255:31.7", "use smmu0 7"]
    assert lines((0, 1, 7), single=True, first_bus=255) == ["device pci:255:0.0-255:31.7", "use smmu0 7"]
    assert lines((0, 8, None), (8, 8, 8)) == ["device pci:0:1.0-0:1.7", "use smmu0 8-0xf"]
    assert lines((0, 8, 0)) == ["device pci:0:0.0-0:0.7", "use smmu0 0-7"]


def test_a_function_with_a_map_of_its_own_is_said_beside_its_range() -> None:
    """What the maps of a root say of a function is not all when it has one itself."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("root", HERE, 0))
    builder.iommus.append(Iommu("u@1000", "smmuv3", HERE, 0x1000))
    builder.device(Device("0000:00:01.0", "pci", HERE, 0, 8))
    builder.maps.append(IdMap("root", "u@1000", 0, 0x100, 0, HERE, "x"))
    builder.maps.append(IdMap("0000:00:01.0", "u@1000", 8, 1, 0x500, HERE, "x"))
    text = suggestion_text(suggest(Topology(builder)))
    assert "device pci:0:1.0\n    use smmu0 8\n    use smmu0 0x500\n" in text


def test_requester_ids_that_cannot_be_said() -> None:
    """Ranges that masks scatter, that scopes leave open, that a VT-d unit sees changed, or that have no segment."""

    def of(*maps: IdMap, segment: int | None = 0, kind: str = "vtd") -> list[str]:
        builder = TopologyBuilder()
        builder.roots.append(PciRoot("root", HERE, segment))
        builder.iommus.append(Iommu("u@1000", kind, HERE, 0x1000))
        builder.maps += maps
        return suggest(Topology(builder)).remarks

    one = IdMap("root", "u@1000", 0, 8, 0, HERE, "x")
    assert of(one) == []
    assert of(replace(one, mask=0xFF)) == ["requester IDs of segment 0000: masks scatter them"]
    assert of(replace(one, mask=0xFFFF)) == []
    assert of(replace(one, carries="msi", mask=0xFF)) == []
    assert of(one, segment=None) == ["requester IDs of root: it has no segment number (board)"]
    assert of(replace(one, output=4)) == ["0000:00:00.0 and on, at u@1000: these IDs cannot be said (board)"]
    assert of(replace(one, output=1 << 32), kind="smmuv3") == [
        "0000:00:00.0 and on, at u@1000: these IDs cannot be said (board)"
    ]
    assert len(of(one, kind="odd")) == 1
    blind = suggest(load_topology([str(HANDMADE / "dmar-two-hop-blind")])).remarks
    assert any("a scope that cannot be followed may hold some" in remark for remark in blind)


def test_segments_that_cannot_be_said() -> None:
    """IORT has segments of 32 bits, a configuration of 16: neither their ranges nor their functions have a name."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("root", HERE, 0x10000))
    builder.iommus.append(Iommu("u@1000", "smmuv3", HERE, 0x1000))
    builder.device(Device("10000:00:01.0", "pci", HERE, 0x10000, 8))
    builder.maps.append(IdMap("root", "u@1000", 0, 0x100, 0, HERE, "x"))
    found = suggest(Topology(builder))
    assert found.configuration.devices == ()
    assert found.remarks == [
        "requester IDs of segment 10000: a configuration has no name for it",
        "10000:00:01.0 (board): a configuration has no name for it",
    ]


def test_an_rcar_with_its_module() -> None:
    """Micro-TLBs are said one by one, and the main unit from what a board module says."""
    text = suggestion_text(suggest(load_topology([], board_module="rcar-h3")))
    assert text.startswith("smmu rcar3 0xe67b0000,228,18\n")
    assert "\nunit ipmmu1 0xe7740000,1\n" in text
    assert "device mem:0xe7310000\n    use ipmmu1 0x10\n    use ipmmu1 0x11\n" in text
    assert "# A configuration cannot say:\n#   ipmmu@e67b0000" in text  # it has no bit in its own status register
    read = parse_configuration(text)
    assert read.findings == ()


def test_reserved_memory_and_grants() -> None:
    """Regions go to every device that they concern, sets to the devices that have them; other meanings are remarks."""
    builder = TopologyBuilder()
    builder.roots.append(PciRoot("dt:/pcie", HERE, None))
    builder.device(Device("mem:5000", "mmio", HERE, base=0x5000))
    builder.device(Device("dt:/a", "dt", HERE))
    builder.grants.append(Grant("buf", 0x8000, 0x1000, True, False, ("dt:/a",), HERE))  # noqa: FBT003
    for start, meaning_, devices in ((0x1000, "direct", ("mem:5000", "dt:/pcie")), (0x2000, "avoid", ("dt:/a",))):
        builder.reserved.append(ReservedRegion("rmrr", start, 0x1000, HERE, meaning_, devices=devices))  # type: ignore[arg-type]
    builder.reserved.append(ReservedRegion("rmrr", 0x3000, 0x1000, HERE, "direct", devices=("ioapic:1",)))
    builder.reserved.append(ReservedRegion("rmr", 0x4000, 0x1000, HERE, "direct", streams=(StreamRange("u", 1, 1),)))
    builder.reserved.append(ReservedRegion("rmr", 0x6000, 0x1000, HERE, "direct", devices=("dt:/a",)))
    builder.reserved.append(ReservedRegion("ivmd", (1 << 64) - 0x1000, 0x1001, HERE, "direct", devices=("dt:/a",)))
    found = suggest(Topology(builder))
    assert [
        (one.spec, one.allow, [region.start for region in one.reserved]) for one in found.configuration.devices
    ] == [
        (found.configuration.devices[0].spec, "", [0x1000]),
        (found.configuration.devices[1].spec, "", [0x1000]),
        (found.configuration.devices[2].spec, "buf", [0x6000]),
    ]
    assert found.remarks == [
        "reserved memory at 0x2000 (board): it is not mapped one to one",
        "reserved memory at 0x3000 (board): ioapic:1 cannot be named",
        "reserved memory at 0x4000 (board): u ID 0x1 cannot be named",
        "reserved memory at 0xfffffffffffff000 (board): it goes past the last 64-bit address",
    ]
    assert [one.name for one in found.configuration.allows] == ["buf"]


def test_each_set_of_a_device_is_said() -> None:
    """Two sets are two lines; a device of which nothing else is said is named for its set, or remarked upon."""
    board = "smmu smmuv3 unit s 0x1000 device dt:/a x use s 5 device dt:/a y device dt:/b y device pci:0:1.0 x\n"
    builder = TopologyBuilder()
    for device in (Device("dt:/a", "dt", HERE), Device("dt:/b", "dt", HERE), Device("ioapic:1", "ioapic", HERE)):
        builder.device(device)
    merge(builder, parse_configuration(board + "allow x 0x5000,4K allow y 0x6000,4K allow y 0x8000,4K"))
    builder.grants.append(Grant("y", 0x9000, 0x1000, True, True, ("ioapic:1",), HERE))  # noqa: FBT003
    found = suggest(Topology(builder))
    lines = [line for line in suggestion_text(found).splitlines() if line.startswith("device")]
    assert lines == ["device dt:/a x", "device dt:/a y", "device pci:0:1.0 x", "device dt:/b y"]
    assert found.remarks == ["memory that ioapic:1 is granted (board): a configuration has no name for it"]


def test_nothing_is_said_of_nothing() -> None:
    """A board without IOMMUs has an empty configuration."""
    assert suggestion_text(suggest(Topology(TopologyBuilder()))) == ""
    builder = TopologyBuilder()
    merge(builder, Configuration("empty"))
    assert suggest(Topology(builder)).remarks == []
