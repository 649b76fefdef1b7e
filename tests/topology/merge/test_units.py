"""Units: the same registers are the same unit; what the user says replaces what the board says, or is listed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from iommuman.base import Origin
from iommuman.parsers.smmu_config import Configuration, MainUnit, SmmuType, SocRevision, Unit
from iommuman.topology import Device, IdMap, Interrupt, Iommu, ReservedRegion, StreamRange, UnresolvedScope
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.merge import ignored_tables, merge, type_of

from .boards import HERE, configuration, found_ids, merged, said, smmu_board, vtd_board

MMU500 = "smmu armsmmu\nunit mmu 0x51400000,64,66,{}\n"


def arm_board(**facts: object) -> TopologyBuilder:
    """Return a board with one SMMUv2."""
    builder = TopologyBuilder()
    unit = Iommu(builder.unique("smmuv2@51400000"), "smmuv2", HERE, 0x51400000)
    builder.iommus.append(replace(unit, **facts))  # type: ignore[arg-type]
    return builder


def test_a_unit_of_other_registers_is_new() -> None:
    """A unit that the board does not have has its origin in the configuration, and its kind by its type."""
    found = merged(TopologyBuilder, MMU500.format("1,4:5"))
    unit = found.iommus["smmuv2@51400000"]
    assert str(unit.origin) == "user.smmu:2:1"
    assert (unit.kind, unit.bypass, unit.reserved_ids) == ("smmuv2", True, (4, 5))
    assert unit.interrupts == (Interrupt("context", 64), Interrupt("global", 66))
    assert unit.properties == (("configured as", "mmu"),)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("smmu vtd\nunit u 0x1000", "vtd@1000"),
        ("smmu smmuv3\nunit u 0x1000", "smmuv3@1000"),
        ("smmu amdvi\nunit u 0x1000", "amdvi@1000"),
        ("smmu riscv\nunit u 0x1000", "riscv-iommu@1000"),
        ("smmu rcar3 0x2000,1,2\nunit u 0x1000,3", "ipmmu@1000"),
    ],
)
def test_types_have_kinds(text: str, name: str) -> None:
    """Each type of unit is a kind of the topology."""
    assert name in merged(TopologyBuilder, text).iommus
    assert type_of("smmuv1") == "armsmmu"
    assert type_of("exynos-sysmmu") == ""


def test_the_main_unit_of_an_rcar_is_a_unit() -> None:
    """The registers, interrupt and fault bit of `smmu rcar3` are those of a unit; a `unit` there is the same one."""
    found = merged(TopologyBuilder, "smmu rcar3 0xe67b0000,228,18,0x4f.0x20\nunit mm 0xe67b0000,5")
    unit = found.iommus["ipmmu@e67b0000"]
    assert unit.interrupts == (Interrupt("fault", 228),)
    assert unit.properties == (
        ("main memory", True),
        ("fault bit", 18),
        ("for SoC", "0x4f.0x20"),
        ("status bit", 5),
        ("configured as", "mm"),
    )
    bare = Configuration("c", types=(SmmuType("rcar3", HERE, main=MainUnit(0x1000, 1, 2)),))
    assert merged(TopologyBuilder, bare).iommus["ipmmu@1000"].properties == (("main memory", True), ("fault bit", 2))
    both = Configuration("c", types=(SmmuType("rcar3", HERE, main=MainUnit(0x1000, 1, 2, (SocRevision(1, 2),))),))
    assert ("for SoC", "0x1.0x2") in merged(TopologyBuilder, both).iommus["ipmmu@1000"].properties


def test_the_segment_of_a_new_vtd_unit_is_that_of_its_functions() -> None:
    """A unit has the segment of the functions that use it, when it is one."""
    text = "smmu vtd\nunit u 0x1000 unit v 0x2000 unit w 0x3000\ndevice pci:2:0:1.0 use u use v\ndevice pci:0:1.0 use v"
    found = merged(TopologyBuilder, text).iommus
    assert [found[name].segment for name in ("vtd@1000", "vtd@2000", "vtd@3000")] == [2, None, None]


def test_what_the_board_says_more_of_a_unit_stays() -> None:
    """An interrupt that is one of the board's, and a denial where the board says nothing, are no difference."""
    board = (Interrupt("global 0", 66, "level"), Interrupt("context 0", 64, "level"), Interrupt("context 1", 65))
    found = merged(lambda: arm_board(interrupts=board, size=0x40000), MMU500.format("0"))
    unit = found.iommus["smmuv2@51400000"]
    assert (unit.interrupts, unit.bypass, unit.size, unit.origin) == (board, None, 0x40000, HERE)
    assert said(found) == []
    unnamed = (Interrupt("interrupt 0", 66), Interrupt("interrupt 1", 64))
    assert merged(lambda: arm_board(interrupts=unnamed), MMU500.format("0")).findings == ()


def test_override_replaces_what_is_said() -> None:
    """Interrupts, bypass and reserved IDs are the user's, each difference a note with both origins."""
    board = (Interrupt("context 0", 1), Interrupt("context 1", 2), Interrupt("pmu 0", 3))
    found = merged(lambda: arm_board(interrupts=board, bypass=False, reserved_ids=(9,)), MMU500.format("1,4"))
    unit = found.iommus["smmuv2@51400000"]
    assert unit.interrupts == (Interrupt("context", 64), Interrupt("pmu 0", 3), Interrupt("global", 66))
    assert (unit.bypass, unit.reserved_ids) == (True, (4,))
    lead, tail = "user.smmu:2:1: the unit at 0x51400000 ", " by board; the board's word is overridden"
    assert said(found) == [
        ("CONFIG-CONFLICT", "note", f"{lead}has context interrupt 64 here, and has 1 2{tail}"),
        ("CONFIG-CONFLICT", "note", f"{lead}lets unknown IDs pass here, and denies unknown IDs{tail}"),
        ("CONFIG-CONFLICT", "note", f"{lead}reserves the IDs 0x4 here, and reserves 0x9{tail}"),
    ]


def test_keep_lists_differences_and_adds_the_rest() -> None:
    """With `keep` the board's word stays, reserved IDs add up, and what the board leaves open is the user's."""
    board = (Interrupt("context 0", 1),)
    found = merged(
        lambda: arm_board(interrupts=board, bypass=False, reserved_ids=(9,)), MMU500.format("1,4"), keep=True
    )
    unit = found.iommus["smmuv2@51400000"]
    assert unit.interrupts == (Interrupt("context 0", 1), Interrupt("global", 66))
    assert (unit.bypass, unit.reserved_ids) == (False, (9, 4))
    assert [(rule, severity) for rule, severity, _ in said(found)] == [("CONFIG-CONFLICT", "warning")] * 2
    assert all(text.endswith("; the board's word stays") for _, _, text in said(found))


def test_a_unit_that_is_named_is_used() -> None:
    """A unit that the board says is not enabled is, when a configuration names it; with `keep` it stays as it is."""
    assert merged(lambda: arm_board(enabled=False), MMU500.format("0")).iommus["smmuv2@51400000"].enabled
    kept = merged(lambda: arm_board(enabled=False), MMU500.format("0"), keep=True)
    assert not kept.iommus["smmuv2@51400000"].enabled
    assert "is used here, and is not enabled by board" in said(kept)[0][2]


def renamed_board() -> TopologyBuilder:
    """Return a board whose unit is referred to from everywhere."""
    builder = arm_board()
    builder.maps.append(IdMap("dt:/dev", "smmuv2@51400000", 0, 1, 7, HERE, "iommus", single=True))
    builder.maps.append(IdMap("smmuv2@51400000", "its:0", 0, 8, 0, HERE, "ID mapping", "msi"))
    builder.device(Device("dt:/dev", "dt", HERE))
    builder.device(Device("pmcg@1", "pmcg", HERE, properties=(("monitors", "smmuv2@51400000"), ("x", 1))))
    streams = (StreamRange("smmuv2@51400000", 7, 1), StreamRange("other", 1, 1))
    builder.reserved.append(ReservedRegion("rmr", 0x1000, 0x1000, HERE, "direct", streams=streams))
    for owner in ("smmuv2@51400000", "RMRR 0x1"):
        builder.unresolved.append(UnresolvedScope(owner, owner, 0, 0, ((1, 0),), "endpoint", "", HERE))
    return builder


def test_a_unit_of_another_kind_is_renamed_everywhere() -> None:
    """A unit whose kind the user corrects has a new name, and what refers to it follows."""
    found = merged(renamed_board, "smmu smmuv3\nunit s 0x51400000")
    assert list(found.iommus) == ["smmuv3@51400000"]
    assert found_ids(found, "dt:/dev") == [("smmuv3@51400000", 7)]
    assert found.maps[1].source == "smmuv3@51400000"
    assert [one.iommu for one in found.reserved[0].streams] == ["smmuv3@51400000", "other"]
    assert [one.owner for one in found.unresolved] == ["smmuv3@51400000", "RMRR 0x1"]
    assert found.devices["pmcg@1"].properties == (("monitors", "smmuv3@51400000"), ("x", 1))
    assert "is of type smmuv3 here, and is smmuv2 by board" in said(found)[0][2]
    kept = merged(renamed_board, "smmu smmuv3\nunit s 0x51400000", keep=True)
    assert list(kept.iommus) == ["smmuv2@51400000"]


def test_a_later_configuration_knows_the_units_of_an_earlier_one() -> None:
    """A name that one configuration gives a unit holds for those after it, as does the name in the topology."""
    late = Configuration("late", devices=configuration("smmu vtd unit u 1 device pci:0:20.0 use u").devices)
    found = merged(vtd_board, "smmu vtd\nunit u 0xfed90000", late)
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed90000", 0xA0)]
    uses = replace(late.devices[0], uses=(replace(late.devices[0].uses[0], unit="vtd@fed90000"),))
    found = merged(vtd_board, replace(late, devices=(uses,)))
    assert found_ids(found, "0000:00:14.0") == [("vtd@fed90000", 0xA0)]


def test_a_type_that_nobody_knows_is_passed_over() -> None:
    """A unit of a type that is none, which an entry point could make, does nothing."""
    unit = Unit("u", "martian", 0x1000, HERE)
    assert merged(TopologyBuilder, Configuration("c", types=(SmmuType("martian", HERE),), units=(unit,))).iommus == {}


def test_require_asks_for_a_unit_in_firmware() -> None:
    """`require` is an error where no source declares a unit of the type, whatever the configuration adds."""
    assert said(merged(vtd_board, "smmu vtd require\nunit u 0x1000")) == []
    found = merged(smmu_board, "smmu vtd require\nunit u 0x1000")
    text = "user.smmu:1:1: firmware is required to declare units of type vtd, and no source declares one"
    assert said(found) == [("CONFIG-REQUIRE", "error", f"{text}, expected DMAR; give the table, or write no `require`")]


def test_ignore_drops_units_with_their_maps_and_regions() -> None:
    """`ignore` takes away all that a DMAR says: units, maps, scopes, regions, facts, and devices it alone names."""

    def board() -> TopologyBuilder:
        builder = vtd_board()
        place = Origin("DMAR.bin", "DMAR", 4)
        builder.device(Device("ioapic:2", "ioapic", place))
        builder.reserved.append(ReservedRegion("rmrr", 0x1000, 0x1000, place, "direct", devices=("0000:00:02.0",)))
        builder.unresolved.append(UnresolvedScope("RMRR 0x1", None, 0, 0, ((1, 0),), "endpoint", "", place))
        return builder

    found = merged(board, "smmu vtd ignore\nunit own 0xfed80000\ndevice pci:0:2.0 use own")
    assert list(found.iommus) == ["vtd@fed80000"]
    assert found_ids(found, "0000:00:02.0") == [("vtd@fed80000", 0x10)]
    assert found_ids(found, "0000:00:14.0") == [(None, None)]
    assert (found.reserved, found.unresolved, "ioapic:2" in found.devices) == ((), (), False)


def test_ignore_leaves_interrupts_and_other_units_alone() -> None:
    """Messages that pass a unit that is ignored still arrive; regions for other units, and devices, stay."""

    def board() -> TopologyBuilder:
        builder = smmu_board()
        streams = (StreamRange("smmuv3@2b400000", 5, 1), StreamRange("other", 5, 1))
        for some in (streams, streams[:1], ()):
            builder.reserved.append(ReservedRegion("rmr", 0x1000, 0x1000, HERE, "direct", streams=some))
        builder.maps.append(IdMap("dt:/x", "smmuv3@2b400000", 0, 1, 6, HERE, "iommus", single=True))
        return builder

    found = merged(board, "smmu smmuv3 ignore")
    assert [one.carries for one in found.maps] == ["msi", "msi"]
    assert [len(one.streams) for one in found.reserved] == [1, 0]
    assert found_ids(found, "acpi:\\_SB.DEV") == [(None, None)]


def test_a_table_is_ignored_when_nothing_in_it_is_needed() -> None:
    """The IORT speaks of two types of unit: it is out of use when both are ignored."""
    one, two = configuration("smmu smmuv3 ignore"), configuration("smmu vtd ignore smmu amdvi ignore")
    assert ignored_tables([one, two]) == {"DMAR", "IVRS"}
    both = Configuration("c", types=(*one.types, replace(one.types[0], type="armsmmu")))
    assert ignored_tables([both]) == {"IORT"}


def test_findings_of_a_configuration_are_the_topologys() -> None:
    """What is wrong with a configuration is among the findings of the topology."""
    from iommuman.parsers.smmu_config import parse_configuration

    builder = TopologyBuilder()
    merge(builder, parse_configuration("smmu vtdd", "bad.smmu"))
    assert [one.rule for one in builder.findings] == ["CONFIG-TYPE"]
