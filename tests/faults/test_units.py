"""Which unit a fault is of, by the names that Linux and others give."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults.fault import Architecture
from iommuman.faults.units import find_unit
from iommuman.topology import Device, Iommu, Topology, load_topology
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("here")


def board(name: str) -> Topology:
    """Return the topology of a fixture board."""
    return load_topology([str(BOARDS / name if (BOARDS / name).is_dir() else HANDMADE / name)])


@pytest.mark.parametrize(
    ("path", "architecture", "name", "unit", "why"),
    [
        ("iort-smmuv3", "smmuv3", "smmuv3@50000000", "smmuv3@50000000", "its name says so"),
        ("iort-smmuv3", "smmuv3", "50000000.iommu", "smmuv3@50000000",
         "50000000.iommu has its base address in its name"),
        ("virt-smmuv3-dt", "smmuv3", "9050000.smmuv3", "smmuv3@9050000",
         "9050000.smmuv3 has its base address in its name"),
        ("virt-smmuv3-acpi", "smmuv3", "arm-smmu-v3.0.auto", "smmuv3@9050000", "the board has no other smmuv3"),
        ("q35-vtd", "vtd", "dmar0", "vtd@fed90000",
         "Linux numbers units in the order of the table, and this is dmar0"),
        ("dmar-segments", "vtd", "dmar3", "vtd@fbffc000",
         "Linux numbers units in the order of the table, and this is dmar3"),
        ("ivrs-segments", "amdvi", "ivhd0", "amdvi@fd000000",
         "Linux numbers units in the order of the table, and this is ivhd0"),
        ("ivrs-segments", "amdvi", "ivhd2", "amdvi@fd200000",
         "Linux numbers units in the order of the table, and this is ivhd2"),
        ("ivrs-hid", "amdvi", "ivhd7", "amdvi@fe000000", "the board has no other amdvi"),
        ("q35-vtd", "", "", "vtd@fed90000", "the board has no other unit"),
        ("riscv-virt-dt", "riscv-iommu", "0000:00:02.0", "riscv-iommu@0000:00:02.0", "its name says so"),
    ],
)  # fmt: skip
def test_names(path: str, architecture: Architecture, name: str, unit: str, why: str) -> None:
    """The name of the topology, a base address, a number, or the only one."""
    found = find_unit(Fault(HERE, architecture, iommu=name), board(path))
    assert (found.name, found.why, found.possible) == (unit, why, (unit,))
    assert str(found.origin)


@pytest.mark.parametrize("name", ["", "dmar9", "arm-smmu-v3.1.auto", "5000000.iommu", "eth0"])
def test_a_name_that_tells_nothing(name: str) -> None:
    """Then all units of the kind come into question."""
    found = find_unit(Fault(HERE, "vtd", iommu=name), board("dmar-satc-sidp"))
    assert (found.name, found.possible) == ("", ("vtd@fc810000", "vtd@fed91000"))


def test_another_kind_of_unit_is_not_meant() -> None:
    """A fault of a VT-d unit is not put to an SMMU."""
    assert find_unit(Fault(HERE, "vtd"), board("virt-smmuv3-acpi")).possible == ()


def test_platform_devices_are_numbered_over_smmus_and_counters() -> None:
    """Linux gives the SMMUs and PMCGs of an IORT one row of numbers, in the order of the table."""
    builder = TopologyBuilder()
    builder.iommus += [
        Iommu("smmuv3@1000", "smmuv3", Origin("IORT", "IORT", 0x48), 0x1000),
        Iommu("smmuv3@3000", "smmuv3", Origin("IORT", "IORT", 0xC8), 0x3000),
        Iommu("smmuv3@5000", "smmuv3", Origin("IORT", "IORT", 0x148), 0x5000),
    ]
    builder.devices["pmcg@2000"] = Device("pmcg@2000", "pmcg", Origin("IORT", "IORT", 0x98))
    topology = Topology(builder)
    names = {n: find_unit(Fault(HERE, "smmuv3", iommu=f"arm-smmu-v3.{n}.auto"), topology).name for n in range(5)}
    assert names == {0: "smmuv3@1000", 1: "", 2: "smmuv3@3000", 3: "smmuv3@5000", 4: ""}


def test_units_without_a_block_of_the_first_type_have_no_number() -> None:
    """Linux takes the blocks of an IVRS that have the type of the first unit, and counts these in their order."""
    builder = TopologyBuilder()
    for base, offset, kind in ((0x3000, 0x30, "11h"), (0x2000, 0x60, "10h"), (0x1000, 0x90, "11h")):
        origin = Origin("IVRS", "IVRS", offset)
        builder.iommus.append(Iommu(f"amdvi@{base:x}", "amdvi", origin, base, properties=(("IVHD type", kind),)))
    topology = Topology(builder)
    names = [find_unit(Fault(HERE, "amdvi", iommu=f"ivhd{number}"), topology).name for number in range(3)]
    assert names == ["amdvi@3000", "amdvi@1000", ""]
