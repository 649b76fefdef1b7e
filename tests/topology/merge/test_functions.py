"""Ranges of PCI functions: laid over the maps of roots, in the parts that nothing more exact takes."""

from __future__ import annotations

from iommuman.parsers.smmu_config import Configuration, DeviceEntry, PciSpec, Use
from iommuman.topology import Device, IdMap, Iommu, PciRoot, Topology, route_rid
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.draw.tree import draw_tree

from .boards import HERE, found_ids, listed_board, merged, said, smmu_board, vtd_board
from .test_devices import IGD, bridged


def virtual() -> TopologyBuilder:
    """Return a board with a virtual function that has a unit only by its physical function's ID."""
    functions = [{"address": "0000:01:00.0"}, {"address": "0000:01:10.0", "physfn": "0000:01:00.0"}]
    return listed_board(functions, (0x1000, 0x100))


ALL = "device pci:0:0.0-255:31.7 use {}\n"


def unit_of(topology: Topology, rid: int) -> tuple[str | None, int | None]:
    """Return the unit and ID of a requester ID of segment 0."""
    route = route_rid(topology, 0, rid)
    return route.iommu, route.stream


def test_a_range_holds_for_functions_that_nobody_lists() -> None:
    """A range goes before what the board's root says, for every requester ID in it and for none beside it."""
    found = merged(vtd_board, IGD + "device pci:0:1.0-0:20.7 use igd")
    assert [unit_of(found, rid)[0] for rid in (7, 8, 0xA7, 0xA8)] == [
        "vtd@fed91000",
        "vtd@fed90000",
        "vtd@fed90000",
        "vtd@fed91000",
    ]
    text = "user.smmu:4:25: 0000:00:01.0-00:14.7 uses vtd@fed90000 here, and 2 parts use vtd@fed91000 by board"
    assert said(found) == [("CONFIG-CONFLICT", "note", f"{text}; the board's word is overridden")]
    one = merged(vtd_board, IGD + "device pci:0:3.0-0:4.0 use igd")
    assert "and 1 part uses vtd@fed91000" in said(one)[0][2]


def test_a_range_that_the_board_agrees_with_changes_nothing() -> None:
    """A range of which the board says the same leaves the board's maps as they are."""
    text = IGD + "device pci:0:0.0-0:1.7 use rest\ndevice pci:0:2.0 use igd\ndevice pci:0:2.1-255:31.7 use rest"
    for keep in (False, True):
        found = merged(vtd_board, text, keep=keep)
        assert (found.maps, said(found)) == (Topology(vtd_board()).maps, [])


def test_one_device_goes_before_a_range_and_a_later_range_before_an_earlier() -> None:
    """What is more exact holds, then what comes last; also where a part of it is what the board says."""
    text = (
        IGD
        + ALL.format("igd")
        + "device pci:1:0.0-1:31.7 use rest\ndevice pci:0:20.0 use rest\ndevice pci:0:21.0 use rest"
    )
    found = merged(vtd_board, text)
    assert [unit_of(found, rid)[0] for rid in (0xFF, 0x100, 0x1FF, 0x200)] == [
        "vtd@fed90000",
        "vtd@fed91000",
        "vtd@fed91000",
        "vtd@fed90000",
    ]
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed91000", 0xA0)]
    assert unit_of(found, 0xA8) == ("vtd@fed91000", 0xA8)  # 00:15.0, which no source lists
    assert unit_of(found, 0xB0) == ("vtd@fed90000", 0xB0)


def test_ids_of_a_range() -> None:
    """Functions of a range have IDs in the same order, or all the same one."""
    text = "smmu smmuv3\nunit s 0x2b400000\ndevice pci:0:0.0-0:31.7 use s 0x500-0x5ff\ndevice pci:1:0.3-1:31.4 use s 9"
    found = merged(smmu_board, text)
    assert [unit_of(found, rid)[1] for rid in (0, 0xFF, 0x102, 0x103, 0x110, 0x1FC, 0x1FD)] == [
        0x500,
        0x5FF,
        0x10102,
        9,
        9,
        9,
        0x101FD,
    ]
    assert len([one for one in found.maps if one.rule == "use"]) == 13  # aligned blocks, not 250 functions
    assert "requester IDs 0x0140-0x0140 → 0x9-0x9 (of which the bits 0xffc0 count)" in draw_tree(found)
    whole = merged(smmu_board, "smmu smmuv3\nunit s 0x2b400000\n" + ALL.format("s 9"))
    assert [unit_of(whole, rid)[1] for rid in (0, 0x18, 0xFFFF)] == [9, 9, 9]


def test_numbers_of_ids_and_functions_that_differ_are_an_error() -> None:
    """Three IDs cannot be those of 256 functions; a second unit of a range is not taken."""
    text = "smmu smmuv3\nunit s 0x2b400000\ndevice pci:0:0.0-0:31.7 use s 1-3"
    found = merged(smmu_board, text)
    assert found.maps == Topology(smmu_board()).maps
    assert [(rule, severity) for rule, severity, _ in said(found)] == [("CONFIG-RANGE-USE", "error")]
    two = merged(vtd_board, IGD + "device pci:3:0.0-3:31.7 use rest use igd")
    assert unit_of(two, 0x300)[0] == "vtd@fed90000"
    assert (two.findings[0].rule, two.findings[0].severity) == ("CONFIG-RANGE-USE", "warning")


def test_a_range_without_a_use_that_can_be_changes_nothing() -> None:
    """A range whose unit is not there, or that has none, leaves the board as it is."""
    wrong = DeviceEntry(PciSpec(0, 0, 0xFF), HERE, uses=(Use("no", HERE),))
    for entry in (wrong, DeviceEntry(PciSpec(0, 0, 0xFF), HERE)):
        assert merged(vtd_board, Configuration("made", devices=(entry,))).maps == Topology(vtd_board()).maps


def test_keep_fills_the_gaps_of_the_board() -> None:
    """With `keep` a range holds where the board says nothing, and known functions get a further way."""

    def board() -> TopologyBuilder:
        builder = TopologyBuilder()
        root = builder.add_root(0, HERE)
        for base in (0x1000, 0x2000):
            builder.iommus.append(Iommu(builder.unique(f"vtd@{base:x}"), "vtd", HERE, base))
        builder.maps.append(IdMap(root, "vtd@1000", 0x10, 8, 0x10, HERE, "device scope"))
        builder.device(Device("0000:00:02.0", "pci", HERE, 0, 0x10))
        builder.device(Device("0000:00:03.0", "pci", HERE, 0, 0x18))
        return builder

    found = merged(board, "smmu vtd\nunit u 0x2000\ndevice pci:0:0.0-0:31.7 use u", keep=True)
    assert [unit_of(found, rid)[0] for rid in (0, 0x10, 0x17, 0x18, 0xFF, 0x100)] == [
        "vtd@2000",
        "vtd@1000",
        "vtd@1000",
        "vtd@2000",
        "vtd@2000",
        None,
    ]
    assert found_ids(found, "0000:00:02.0") == [("vtd@1000", 0x10), ("vtd@2000", 0x10)]
    assert found_ids(found, "0000:00:03.0") == [("vtd@2000", 0x18)]
    assert said(found)[0][2].endswith("; the board's word stays, and what it leaves open is taken from here")


def test_keep_leaves_a_virtual_function_with_its_physical_one() -> None:
    """A function that has its unit by another's ID keeps it, though the board has no map of its own ID."""
    text = "smmu vtd\nunit u 0x2000\ndevice pci:1:1.0-1:31.7 use u"
    assert found_ids(merged(virtual, text), "0000:01:10.0") == [("vtd@2000", 0x180)]
    assert found_ids(merged(virtual, text, keep=True), "0000:01:10.0") == [("vtd@1000", 0x180), ("vtd@2000", 0x180)]


def test_ids_that_bridges_make_follow_the_function() -> None:
    """A function of a range whose bridge's ID is outside of it goes to the named unit with that ID as well."""
    found = merged(bridged, "smmu vtd\nunit v 0x2000\nunit w 0x3000\ndevice pci:2:0.0-2:31.7 use v")
    assert found_ids(found, "0000:02:01.0") == [("vtd@2000", 0x208), ("vtd@2000", 0x30)]
    found = merged(bridged, "smmu vtd\nunit w 0x3000\ndevice pci:2:0.0-2:31.7 use w")
    assert found_ids(found, "0000:02:01.0") == [("vtd@3000", 0x208), ("vtd@3000", 0x30)]
    found = merged(bridged, "smmu vtd\nunit w 0x3000\n" + ALL.format("w"))
    assert found_ids(found, "0000:02:01.0") == [("vtd@3000", 0x208), ("vtd@3000", 0x30)]
    assert not any(one.overrides for one in found.maps)


def test_roots_are_given_their_parts_and_made_where_there_is_none() -> None:
    """A range over several roots is cut at their buses; what no root has gets one."""

    def board() -> TopologyBuilder:
        builder = TopologyBuilder()
        builder.roots.append(PciRoot(builder.unique("dt:/a"), HERE, 0, 0, 0))
        builder.roots.append(PciRoot(builder.unique("dt:/b"), HERE, 0, 2, 3))
        return builder

    found = merged(board, "smmu smmuv3\nunit s 0x1000\ndevice pci:0:16.0-2:31.7 use s 0-0x27f")
    assert [(one.source, one.base, one.length, one.output) for one in found.maps] == [
        ("dt:/a", 0x80, 0x80, 0),
        ("dt:/b", 0x200, 0x100, 0x180),
        ("pci:0000", 0x100, 0x100, 0x80),
    ]
    assert [unit_of(found, rid)[1] for rid in (0x80, 0x100, 0x2FF)] == [0, 0x80, 0x27F]

    def backwards() -> TopologyBuilder:
        builder = board()
        builder.roots[1] = PciRoot("dt:/b", HERE, 0, 3, 2)  # a bus range that ends before it begins
        return builder

    odd = merged(backwards, "smmu smmuv3\nunit s 0x1000\ndevice pci:2:0.0-2:31.7 use s 0-0xff")
    assert unit_of(odd, 0x201) == ("smmuv3@1000", 1)
    kept = merged(board, "smmu smmuv3\nunit s 0x1000\ndevice pci:1:0.0-1:31.7 use s 0-0xff", keep=True)
    assert unit_of(kept, 0x101) == ("smmuv3@1000", 1)


def test_masks_of_the_board_are_no_agreement() -> None:
    """Where masks scatter the board's IDs, nobody tells whether a range says the same: it is laid over them."""

    def board() -> TopologyBuilder:
        builder = TopologyBuilder()
        builder.roots.append(PciRoot(builder.unique("dt:/a"), HERE, 0))
        builder.iommus.append(Iommu(builder.unique("smmuv3@1000"), "smmuv3", HERE, 0x1000))
        builder.maps.append(IdMap("dt:/a", "smmuv3@1000", 0, 0x100, 0, HERE, "iommu-map", mask=0xFF))
        return builder

    text = "smmu smmuv3\nunit s 0x1000\n" + ALL.format("s 0-0xffff")
    assert unit_of(merged(board, text), 0x101) == ("smmuv3@1000", 0x101)
    assert unit_of(merged(board, text, keep=True), 0x101) == ("smmuv3@1000", 1)


def test_a_range_that_takes_a_bridges_id_does_not_take_the_function_behind_it() -> None:
    """A function that the user leaves where the board has it stays there with all its IDs, also when one is moved."""
    text = "smmu vtd\nunit u 0x1000\nunit v 0x2000\nunit w 0x3000\ndevice pci:0:0.0-0:31.7 use w\n"
    found = merged(bridged, text + "device pci:2:1.0 use v use u")
    assert {unit for unit, _ in found_ids(found, "0000:02:01.0")} == {"vtd@1000", "vtd@2000"}
    found = merged(bridged, text + "device pci:2:0.0-2:31.7 use v")
    assert found_ids(found, "0000:02:01.0") == [("vtd@2000", 0x208), ("vtd@2000", 0x30)]


def test_a_virtual_function_stays_when_a_range_takes_its_physical_one() -> None:
    """A function that has its unit by another's ID keeps what the user says when that ID is moved."""
    text = "smmu vtd\nunit u 0x1000\nunit v 0x2000\ndevice pci:1:0.0-1:1.7 use v\ndevice pci:1:16.0 use u"
    found = merged(virtual, text)
    assert found_ids(found, "0000:01:00.0") == [("vtd@2000", 0x100)]
    assert found_ids(found, "0000:01:10.0") == [("vtd@1000", 0x180)]
