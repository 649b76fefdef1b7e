"""Devices: which of the board's each is, and what becomes of its maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from iommuman.base import Origin
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.parsers.smmu_config import Configuration, DeviceEntry, MmioSpec, NamedSpec, PciSpec, Use
from iommuman.topology import Device, IdMap, Iommu, MsiController, PciRoot, Topology, load_topology, routes
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS, HANDMADE

from .boards import HERE, configuration, found_ids, listed_board, merged, said, smmu_board, vtd_board

IGD = "smmu vtd\nunit igd 0xfed90000\nunit rest 0xfed91000\n"


def test_override_takes_the_place_of_all_maps() -> None:
    """A function that the user gives a unit has that one alone; the difference is a note with both origins."""
    found = merged(vtd_board, IGD + "device pci:0:20.0\nuse igd")
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed90000", 0xA0)]
    assert found_ids(found, "0000:00:02.0") == [("vtd@fed90000", 0x10)]
    text = "user.smmu:5:1: 0000:00:14.0 uses vtd@fed90000 here, and uses vtd@fed91000 by board"
    assert said(found) == [("CONFIG-CONFLICT", "note", f"{text}; the board's word is overridden")]
    assert str(routes(found, found.devices["0000:00:14.0"])[0].hops[0].origin) == "user.smmu:5:1"


def test_keep_adds_a_way() -> None:
    """With `keep` a function has the board's unit and the user's; the difference is a warning."""
    found = merged(vtd_board, IGD + "device pci:0:20.0 use igd", keep=True)
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed91000", 0xA0), ("vtd@fed90000", 0xA0)]
    assert [(rule, severity) for rule, severity, _ in said(found)] == [("CONFIG-CONFLICT", "warning")]
    assert said(found)[0][2].endswith("; both hold")


def test_what_both_say_stays_the_boards() -> None:
    """A use that the board agrees with changes nothing, and adds no device that no source lists."""
    text = IGD + "device pci:0:2.0 use igd\ndevice pci:0:20.0 use rest\ndevice pci:0:7.0 use rest"
    for keep in (False, True):
        found = merged(vtd_board, text, keep=keep)
        assert found.maps == Topology(vtd_board()).maps
        assert (said(found), list(found.devices)) == ([], ["0000:00:02.0", "0000:00:14.0"])


def test_a_function_that_nobody_lists_is_added() -> None:
    """A function of which the user says something new is a device; one without uses as well."""
    found = merged(vtd_board, IGD + "device pci:0:7.0 use igd\ndevice pci:3:0.0")
    assert found_ids(found, "0000:00:07.0") == [("vtd@fed90000", 0x38)]
    assert str(found.devices["0000:03:00.0"].origin) == "user.smmu:5:1"
    assert found_ids(found, "0000:03:00.0") == [("vtd@fed91000", 0x300)]


def test_uses_of_one_device_add_up() -> None:
    """A device that is named twice has all units that are said of it."""
    text = IGD + "device pci:0:20.0 use igd\ndevice pci:0:20.0 use rest"
    assert [unit for unit, _ in found_ids(merged(vtd_board, text), "0000:00:14.0")] == ["vtd@fed90000", "vtd@fed91000"]


def bridged() -> TopologyBuilder:
    """Return a board with a function behind a conventional bridge."""
    functions: list[dict[str, Any]] = [
        {"address": "0000:00:06.0", "header_type": 1, "bridge": {"secondary": 2, "subordinate": 2}},
        {"address": "0000:02:01.0"},
    ]
    builder = listed_board(functions, (0x1000, 0x30))
    root = builder.roots[0].name
    builder.maps.append(IdMap(root, "vtd@2000", 0, 0x10000, 0, HERE, "INCLUDE_PCI_ALL", fallback=True))
    return builder


def test_a_vtd_unit_sees_every_id_that_a_function_sends() -> None:
    """Without an ID, a use is of all requester IDs of a function, those that bridges give it as well."""
    found = merged(bridged, "smmu vtd\nunit u 0x1000\ndevice pci:2:1.0 use u")
    assert found_ids(found, "0000:02:01.0") == [("vtd@1000", 0x208), ("vtd@1000", 0x30)]
    assert found_ids(found, "0000:00:06.0") == [("vtd@1000", 0x30)]


def test_all_units_that_an_id_reaches_are_the_same() -> None:
    """The two units that a function's own ID and its bridge's reach are what the user says, when both are named."""
    text = "smmu vtd\nunit u 0x1000\nunit v 0x2000\ndevice pci:2:1.0 use u use v"
    found = merged(bridged, text)
    assert found_ids(found, "0000:02:01.0") == [("vtd@2000", 0x208), ("vtd@1000", 0x30)]
    assert said(found) == []


def test_a_component_keeps_the_way_of_its_interrupts() -> None:
    """A chain that carries accesses and messages stays for messages when a user's map takes the place of it."""
    found = merged(smmu_board, "smmu smmuv3\nunit s 0x2b400000\ndevice acpi:\\_SB.DEV\nuse s 7-9")
    routed = routes(found, found.devices["acpi:\\_SB.DEV"])
    assert [(route.iommu, route.stream, route.count) for route in routed] == [("smmuv3@2b400000", 7, 3)]
    assert [one.carries for one in found.maps if one.source == "acpi:\\_SB.DEV"] == ["msi", "dma"]
    text = (
        "user.smmu:4:1: acpi:\\_SB.DEV uses smmuv3@2b400000 IDs 0x7-0x9 here, and uses smmuv3@2b400000 ID 0x5 by board"
    )
    assert said(found)[0][2] == f"{text}; the board's word is overridden"
    kept = merged(smmu_board, "smmu smmuv3\nunit s 0x2b400000\ndevice acpi:\\_SB.DEV use s 5 use s 7", keep=True)
    assert found_ids(kept, "acpi:\\_SB.DEV") == [("smmuv3@2b400000", 5), ("smmuv3@2b400000", 7)]


def test_a_function_behind_an_smmu_has_the_ids_that_are_said() -> None:
    """IDs of a function are those of its uses, one by one and in ranges."""
    found = merged(smmu_board, "smmu smmuv3\nunit s 0x2b400000\ndevice pci:0:3.0 use s 4-5 use s 0x20")
    routed = routes(found, found.devices["0000:00:03.0"])
    assert [(route.stream, route.count, route.requester) for route in routed] == [(4, 2, 0x18), (0x20, 1, 0x18)]


def test_a_name_that_the_board_lacks_is_reported_and_added() -> None:
    """A device that no source names is added with a warning, which says what looks like it."""
    found = merged(smmu_board, "smmu smmuv3\nunit s 0x2b400000\ndevice acpi:\\_SB.DEW use s 7\ndevice dt:/x/y use s 8")
    assert found_ids(found, "acpi:\\_SB.DEW") == [("smmuv3@2b400000", 7)]
    assert found.devices["dt:/x/y"].kind == "dt"
    assert said(found) == [
        (
            "CONFIG-ABSENT",
            "warning",
            "user.smmu:3:1: no source names the device acpi:\\_SB.DEW; did you mean acpi:\\_SB.DEV?",
        ),
        ("CONFIG-ABSENT", "warning", "user.smmu:4:1: no source names the device dt:/x/y; it is added"),
    ]


def test_registers_name_a_device() -> None:
    """`mem:` is the board's device whose registers are there, once it is known by that, and else a new one."""

    def board() -> TopologyBuilder:
        builder = smmu_board()
        builder.device(Device("dt:/usb", "dt", HERE, base=0x5000))
        return builder

    found = merged(board, "smmu smmuv3\nunit s 0x2b400000\ndevice mem:0x5000 use s 1\ndevice mem:0x6000 use s 2")
    assert found_ids(found, "dt:/usb") == [("smmuv3@2b400000", 1)]
    assert found_ids(found, "mem:6000") == [("smmuv3@2b400000", 2)]
    assert (found.devices["mem:6000"].kind, found.devices["mem:6000"].base) == ("mmio", 0x6000)


def test_nodes_without_iommus_are_found_by_path_and_by_registers() -> None:
    """A node that nothing made a device is one when a configuration names it; units and host bridges are none."""
    board = str(BOARDS / "virt-smmuv3-dt" / "board.dtb")
    found = load_topology([board])
    assert "dt:/pl011@9000000" not in found.devices
    specs = (MmioSpec(0x9000000), NamedSpec("dt:/pl031@9010000"), MmioSpec(0x9050000), NamedSpec("dt:/pcie@10000000"))
    entries = tuple(DeviceEntry(spec, HERE) for spec in specs)

    from iommuman.parsers.sources import read_sources
    from iommuman.topology import assemble

    inputs = read_sources([board])
    inputs.configurations.append(Configuration("c", devices=entries))
    found = assemble(inputs)
    assert [name for name in ("dt:/pl011@9000000", "dt:/pl031@9010000") if name in found.devices] == [
        "dt:/pl011@9000000",
        "dt:/pl031@9010000",
    ]
    assert found.devices["dt:/pl011@9000000"].base == 0x9000000
    assert found.devices["mem:9050000"].kind == "mmio"  # a unit is no device
    assert "dt:/pcie@10000000" not in found.devices
    assert [one.rule for one in found.findings] == []


def test_registers_are_where_the_cpu_sees_them() -> None:
    """The address of a device's registers is what the buses above it make of its `reg`."""
    found = load_topology([str(HANDMADE / "dt-parents")])
    assert found.devices["dt:/soc@10000000/bus@4000000/dma@700000"].base == 0x14700000


def test_vtd_cannot_see_what_is_no_pci_function() -> None:
    """A device known by its registers cannot be behind a VT-d unit: an error, and nothing is added."""
    found = merged(vtd_board, IGD + "device mem:0x5000 use igd")
    assert found_ids(found, "mem:5000") == [(None, None)]
    text = "user.smmu:4:19: vtd@fed90000 controls PCI functions only; it cannot see this device; it is left out"
    assert said(found) == [("CONFIG-NOT-PCI", "error", text.replace("vtd@fed90000", "igd"))]


def test_a_namespace_device_keeps_its_id_at_another_vtd_unit() -> None:
    """A device whose source-id the board tells can be moved to another unit, where it has the same."""

    def board() -> TopologyBuilder:
        builder = vtd_board()
        builder.device(Device("acpi:\\_SB.I2C", "acpi", HERE))
        place = IdMap("acpi:\\_SB.I2C", "vtd@fed91000", 0, 1, 0xA8, HERE, "scope", "both", single=True)
        builder.maps.append(place)
        return builder

    found = merged(board, IGD + "device acpi:\\_SB.I2C use igd")
    assert found_ids(found, "acpi:\\_SB.I2C") == [("vtd@fed90000", 0xA8)]


def uses(*entries: Use) -> Configuration:
    """Return a configuration of one function, as an entry point could make it."""
    return Configuration("made", devices=(DeviceEntry(PciSpec(0, 0x18, 0x18), HERE, uses=entries),))


def test_uses_that_cannot_be_are_errors() -> None:
    """A unit that is not there, an ID too much and one too few are said; the board's word stays."""
    place = Origin("made", "use")
    found = merged(smmu_board, uses(Use("smmuv3@2b400001", place, 1), Use("smmuv3@2b400000", place)))
    assert found_ids(found, "0000:00:03.0") == [("smmuv3@2b400000", 0x10018)]
    needs = "made: use: smmuv3@2b400000 needs the ID under which it knows the device"
    assert said(found) == [
        ("CONFIG-UNIT", "error", "made: use: no unit is called 'smmuv3@2b400001'; did you mean smmuv3@2b400000?"),
        ("CONFIG-USE-ID", "error", f"{needs}; write the ID; it is left out"),
    ]
    found = merged(vtd_board, uses(Use("vtd@fed90000", place, 1), Use("x", place)))
    by_rid = "made: use: vtd@fed90000 knows devices by their requester IDs"
    assert [text for _, _, text in said(found)] == [
        f"{by_rid}, so `use` takes no ID; write no ID; it is left out",
        "made: use: no unit is called 'x'; it is left out",
    ]


def test_bits_that_a_unit_ignores_stay_or_are_said() -> None:
    """A mask of the board's stays where the user says the ID alone; a board module can say another."""

    def board() -> TopologyBuilder:
        builder = TopologyBuilder()
        builder.iommus.append(Iommu(builder.unique("smmuv2@1000"), "smmuv2", HERE, 0x1000))
        builder.device(Device("dt:/mmc", "dt", HERE, base=0x5000))
        builder.maps.append(IdMap("dt:/mmc", "smmuv2@1000", 0, 1, 17, HERE, "iommus", single=True, ignored_bits=0x7F80))
        return builder

    def with_bits(bits: int) -> Configuration:
        use = Use("smmuv2@1000", HERE, 17, ignored_bits=bits)
        return Configuration("made", devices=(DeviceEntry(MmioSpec(0x5000), HERE, uses=(use,)),))

    for bits, expected, findings in ((0, 0x7F80, 0), (0x7F80, 0x7F80, 0), (0xF, 0xF, 1)):
        found = merged(board, with_bits(bits))
        assert routes(found, found.devices["dt:/mmc"])[0].ignored_bits == expected
        assert len(found.findings) == findings


def test_a_host_bridge_named_by_its_node() -> None:
    """The IDs of a PCI host bridge that its node names are for all its functions; the same again changes nothing."""

    def board() -> TopologyBuilder:
        builder = TopologyBuilder()
        builder.roots.append(PciRoot(builder.unique("dt:/pcie"), HERE, None))
        builder.msi_controllers.append(MsiController("its", "its", HERE))
        builder.iommus.append(Iommu(builder.unique("smmuv3@1000"), "smmuv3", HERE, 0x1000))
        builder.maps.append(IdMap("dt:/pcie", "smmuv3@1000", 0, 0x100, 0x500, HERE, "iommu-map"))
        builder.maps.append(IdMap("dt:/pcie", "its", 0, 0x100, 0, HERE, "msi-map", "msi"))
        return builder

    text = "smmu smmuv3\nunit s 0x1000\ndevice dt:/pcie use s {}"
    found = merged(board, text.format("7"))
    made = [(one.rule, one.single, one.output) for one in found.maps]
    assert made == [("msi-map", False, 0), ("use", True, 7)]
    assert "dt:/pcie uses smmuv3@1000 ID 0x7 here, and uses smmuv3@1000 by board" in said(found)[0][2]
    assert len(merged(board, text.format("7"), keep=True).maps) == 3
    assert said(merged(board, text.format("0x500-0x5ff"))) == []
    assert merged(board, "device dt:/pcie").maps == Topology(board()).maps

    def bare() -> TopologyBuilder:
        builder = board()
        builder.maps.clear()
        return builder

    assert said(merged(bare, text.format("7"))) == []


def test_functions_of_several_topologies_are_known() -> None:
    """The parsers' own records name what a bridge does (guards the helper of these tests)."""
    known = bridged().pci[0]
    assert isinstance(known, PciTopology)
    assert isinstance(known.functions[0, 0x208], PciFunction)


def test_many_names_that_are_not_there_take_no_time_to_compare() -> None:
    """What looks like a missing name is looked for the first times only."""
    text = "".join(f"device acpi:\\_SB.DE{index}\n" for index in range(25))
    sentences = [one for _, _, one in said(merged(smmu_board, text))]
    assert sentences[0].endswith("; did you mean acpi:\\_SB.DEV?")
    assert sentences[24].endswith("; it is added")


def test_a_use_that_cannot_be_is_told_also_of_a_function_that_no_source_lists() -> None:
    """A unit that needs an ID and gets none, and one that takes none and gets what the board has anyway."""
    text = "smmu smmuv3 unit s 0x2b400000\n"
    use = (Use("s", HERE),)
    found = merged(
        smmu_board, replace(configuration(text), devices=(DeviceEntry(PciSpec(0, 0x28, 0x28), HERE, "", use),))
    )
    assert said(found) == [
        (
            "CONFIG-USE-ID",
            "error",
            "board: s needs the ID under which it knows the device; write the ID; it is left out",
        )
    ]
    use = (Use("v", HERE, 0x28),)
    config = replace(
        configuration("smmu vtd unit v 0xfed91000"), devices=(DeviceEntry(PciSpec(0, 0x28, 0x28), HERE, "", use),)
    )
    assert [(rule, severity) for rule, severity, _ in said(merged(vtd_board, config))] == [("CONFIG-USE-ID", "error")]


def test_a_unit_of_the_board_is_used_by_its_name() -> None:
    """No `unit` is needed; a name that no unit has is told with those that look like it; so is an ID that cannot be."""
    found = merged(vtd_board, "device pci:0:20.0 use vtd@fed90000")
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed90000", 0xA0)]
    assert said(found)[0][0] == "CONFIG-CONFLICT"
    found = merged(vtd_board, "device pci:0:20.0 use vtd@fed90001")
    text = "user.smmu:1:19: no unit is called 'vtd@fed90001'; did you mean vtd@fed91000 or vtd@fed90000?"
    assert said(found) == [("CONFIG-UNIT", "error", text)]
    assert [rule for rule, *_ in said(merged(vtd_board, "device pci:0:20.0 use vtd@fed90000 5"))] == ["CONFIG-USE-ID"]
    assert [rule for rule, *_ in said(merged(smmu_board, "device pci:0:3.0 use smmuv3@2b400000"))] == ["CONFIG-USE-ID"]


def test_an_id_that_the_unit_does_not_know_is_an_error() -> None:
    """The reader cannot tell what a unit of the board takes; an SMMUv2 has IDs of 16 bits."""

    def board() -> TopologyBuilder:
        builder = smmu_board()
        builder.iommus.append(Iommu(builder.unique("smmuv2@1000"), "smmuv2", HERE, 0x1000))
        builder.iommus.append(Iommu(builder.unique("virtio-iommu@2000"), "virtio-iommu", HERE, 0x2000))
        return builder

    text = "user.smmu:1:16: the IDs of smmuv2@1000 end at 0xffff; write one of them; it is left out"
    assert said(merged(board, "device mem:0x5 use smmuv2@1000 0xffff-0x10000")) == [("CONFIG-USE-ID", "error", text)]
    assert said(merged(board, "device mem:0x5 use smmuv2@1000 0xffff")) == []
    assert said(merged(board, "device mem:0x5 use virtio-iommu@2000 0xffffffff")) == []


def test_a_new_unit_has_the_segment_of_those_that_use_it_by_its_place() -> None:
    """A unit that a configuration defines may be used by the name that it has in the topology."""
    found = merged(TopologyBuilder, "smmu vtd unit v 0x1000 device pci:3:0:1.0 use vtd@1000")
    assert found.iommus["vtd@1000"].segment == 3
    assert found_ids(found, "0003:00:01.0") == [("vtd@1000", 8)]
