"""Reserved memory and grants of a configuration."""

from __future__ import annotations

from iommuman.parsers.smmu_config import Allow, Configuration, DeviceEntry, PciSpec, Reserved
from iommuman.topology import Device, Grant, ReservedRegion, StreamRange, Topology
from iommuman.topology.builder import TopologyBuilder

from .boards import HERE, merged, said, smmu_board, vtd_board

USER = "device pci:0:2.0 reserved 0x7000000,1M"


def regions(topology: Topology) -> list[tuple[str, int, int, tuple[str, ...]]]:
    """Return kind, start, length and devices of the regions."""
    return [(one.kind, one.start, one.length, one.devices) for one in topology.reserved]


def rmrr_board() -> TopologyBuilder:
    """Return a board with a region for two devices."""
    builder = vtd_board()
    names = ("0000:00:02.0", "0000:00:14.0")
    builder.reserved.append(ReservedRegion("rmrr", 0x5000, 0x1000, HERE, "direct", devices=names))
    return builder


def test_override_replaces_the_regions_of_a_device() -> None:
    """A device has the user's regions in place of the board's, which stay for its other devices."""
    found = merged(rmrr_board, USER)
    assert regions(found) == [
        ("rmrr", 0x5000, 0x1000, ("0000:00:14.0",)),
        ("configured", 0x7000000, 0x100000, ("0000:00:02.0",)),
    ]
    text = "user.smmu:1:1: 0000:00:02.0 reserves 0x7000000 (1 MiB) here, and reserves 0x5000 (4 KiB) by board"
    assert said(found) == [("CONFIG-CONFLICT", "note", f"{text}; the board's word is overridden")]
    both = merged(rmrr_board, USER + "\ndevice pci:0:20.0 reserved 0x7000000,1M")
    assert [kind for kind, *_ in regions(both)] == ["configured", "configured"]


def test_keep_adds_regions() -> None:
    """With `keep` the board's regions stay, and those that it has are not there twice."""
    found = merged(rmrr_board, USER + " reserved 0x5000,4K", keep=True)
    assert regions(found) == [
        ("rmrr", 0x5000, 0x1000, ("0000:00:02.0", "0000:00:14.0")),
        ("configured", 0x7000000, 0x100000, ("0000:00:02.0",)),
    ]


def test_the_same_regions_change_nothing_and_neither_do_none() -> None:
    """A device whose regions both say alike, or of which the user says none, keeps the board's."""
    for text in ("device pci:0:2.0 reserved 0x5000,4K", "device pci:0:2.0"):
        found = merged(rmrr_board, text)
        assert (found.reserved, said(found)) == (tuple(rmrr_board().reserved), [])


def test_regions_of_other_meanings_stay() -> None:
    """Addresses to avoid, and memory set aside, are no word on what is mapped one to one."""

    def board() -> TopologyBuilder:
        builder = vtd_board()
        builder.reserved.append(ReservedRegion("reserved-memory", 1, 2, HERE, "avoid", devices=("0000:00:02.0",)))
        return builder

    assert [kind for kind, *_ in regions(merged(board, USER))] == ["reserved-memory", "configured"]


def rmr_board() -> TopologyBuilder:
    """Return a board with a region for IDs: those of a component, and more."""
    builder = smmu_board()
    streams = (StreamRange("smmuv3@2b400000", 4, 4), StreamRange("other", 5, 1))
    builder.reserved.append(ReservedRegion("rmr", 0x5000, 0x1000, HERE, "direct", streams=streams))
    return builder


def test_a_region_for_ids_is_cut() -> None:
    """A device leaves a region by its ID; the other IDs stay."""
    found = merged(rmr_board, "device acpi:\\_SB.DEV reserved 0x7000000,1M")
    assert found.reserved[0].streams == (
        StreamRange("smmuv3@2b400000", 4, 1),
        StreamRange("smmuv3@2b400000", 6, 2),
        StreamRange("other", 5, 1),
    )
    assert found.reserved[1].devices == ("acpi:\\_SB.DEV",)


def test_an_id_that_others_send_stays() -> None:
    """A region for an ID that two devices send is not taken from the other; a note says so."""

    def board() -> TopologyBuilder:
        builder = rmr_board()
        builder.device(Device("acpi:TWIN", "acpi", HERE))
        builder.maps.append(builder.maps[1].__class__("acpi:TWIN", "smmuv3@2b400000", 0, 1, 5, HERE, "x", single=True))
        return builder

    found = merged(board, "device acpi:\\_SB.DEV reserved 0x7000000,1M")
    assert found.reserved[0].streams == rmr_board().reserved[0].streams
    text = "board: the region at 0x5000 stays for ID 0x5, which acpi:TWIN sends as well"
    assert ("CONFIG-SHARED", "note", text) in said(found)


def test_regions_of_a_range_are_for_its_known_functions_or_its_ids() -> None:
    """A range gives its regions to the functions that are known, or where there is none, to its IDs."""
    found = merged(rmrr_board, "device pci:0:2.0-0:31.7 reserved 0x5000,4K reserved 0x9000,4K")
    assert regions(found) == [
        ("configured", 0x5000, 0x1000, ("0000:00:02.0", "0000:00:14.0")),
        ("configured", 0x9000, 0x1000, ("0000:00:02.0", "0000:00:14.0")),
    ]
    text = "smmu smmuv3\nunit s 0x2b400000\ndevice pci:5:0.0-5:0.1 use s 8-9 reserved 0x9000,4K"
    found = merged(smmu_board, text)
    assert found.reserved[0].streams == (StreamRange("smmuv3@2b400000", 8, 2),)
    assert merged(vtd_board, "device pci:5:0.0-5:0.1 reserved 0x9000,4K").reserved == ()


def test_a_region_that_is_gone_already_is_no_trouble() -> None:
    """Two entries that let go of the same region let go of it once."""
    again = DeviceEntry(PciSpec(0, 0x10, 0x20), HERE, reserved=(Reserved(0x9000, 0x1000, HERE),))
    first = DeviceEntry(PciSpec(0, 0x10, 0x10), HERE, reserved=(Reserved(0x8000, 0x1000, HERE),))

    def board() -> TopologyBuilder:
        builder = vtd_board()
        builder.reserved.append(ReservedRegion("rmrr", 0x5000, 0x1000, HERE, "direct", devices=("0000:00:02.0",)))
        return builder

    found = merged(board, Configuration("made", devices=(first, again)))
    assert [(start, names) for _, start, _, names in regions(found)] == [
        (0x8000, ("0000:00:02.0",)),
        (0x9000, ("0000:00:02.0",)),
    ]


def test_grants_name_their_devices() -> None:
    """Each region of an `allow` set is granted to the devices that have the set; a set may be no device's."""
    text = "allow buf 0x80000000,1M,s allow buf 0x90000000,4K allow idle 0,1\n"
    found = merged(vtd_board, text + "device pci:0:2.0 buf\ndevice pci:0:16.0-0:31.7 buf")
    names = ("0000:00:02.0", "0000:00:14.0")
    assert [(one.name, one.start, one.length, one.read, one.write, one.devices) for one in found.grants] == [
        ("buf", 0x80000000, 0x100000, True, False, names),
        ("buf", 0x90000000, 0x1000, True, True, names),
        ("idle", 0, 1, True, True, ()),
    ]
    assert str(found.grants[1].origin) == "user.smmu:1:27"


def test_sets_of_one_device_add_up() -> None:
    """A device that is named again with another set has both, also as one of a range; and twice the same is once."""
    text = "allow a 0x80000000,4K allow b 0x90000000,4K allow c 0xa0000000,4K\n"
    devices = "device pci:0:2.0 a device pci:0:2.0 b device pci:0:2.0 a device pci:0:2.0 device pci:0:0.0-0:31.7 c"
    found = merged(vtd_board, text + devices)
    assert [(one.name, one.devices) for one in found.grants] == [
        ("a", ("0000:00:02.0",)),
        ("b", ("0000:00:02.0",)),
        ("c", ("0000:00:02.0", "0000:00:14.0")),
    ]
    wide = "device pci:0:0.0-0:31.7 a device pci:0:0.0-0:31.7 b"
    both = ("0000:00:02.0", "0000:00:14.0")
    assert [one.devices for one in merged(vtd_board, text + wide).grants] == [both, both, ()]


def test_a_set_that_nobody_declares_is_an_error() -> None:
    """A set that no configuration declares is said; one that an earlier configuration declares is not granted twice."""
    entry = DeviceEntry(PciSpec(0, 0x10, 0x10), HERE, allow="bug")
    found = merged(vtd_board, Configuration("made", devices=(entry,), allows=(Allow("buf", 1, 1, True, True, HERE),)))  # noqa: FBT003
    assert said(found) == [("CONFIG-SET", "error", "board: no `allow` declares the set 'bug'; did you mean buf?")]
    assert isinstance(found.grants[0], Grant)
