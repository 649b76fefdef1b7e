"""A kernel's view beside firmware's: no difference on any captured board, and each difference where it is made."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from iommuman.base import Origin
from iommuman.parsers.kernel_iommu import KernelGroup, KernelRegion, KernelUnit, KernelView
from iommuman.topology import Device, IdMap, Iommu, ReservedRegion, Topology, load_topology
from iommuman.topology import kernel as module
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.draw.kernel import group_words, kernel_object, unit_words
from iommuman.topology.draw.tree import draw_tree
from iommuman.topology.groups import Group
from iommuman.topology.kernel import Difference, compare, device_names, unit_name

from tests.conftest import BOARDS, HANDMADE

HERE = Origin("sys")
NAMES = sorted(path.name for path in BOARDS.iterdir())


@cache
def board(name: str) -> Topology:
    """Return the topology of a captured board."""
    return load_topology([str(BOARDS / name)])


def captured(name: str) -> KernelView:
    """Return the kernel's view of a captured board, from what the capture wrote down."""
    verdict: dict[str, Any] = json.loads((BOARDS / name / "linux" / "verdict.json").read_text())
    groups = tuple(
        KernelGroup(
            int(number), HERE, tuple(one["devices"]), one["type"],
            tuple(KernelRegion(int(start, 16), int(last, 16), kind) for start, last, kind in one["reserved_regions"]),
        )
        for number, one in verdict["groups"].items()
    )  # fmt: skip
    units = tuple(
        KernelUnit(unit, HERE, tuple(one["devices"]), tuple(one["properties"].items()))
        for unit, one in verdict["iommus"].items()
    )
    return KernelView("sys", groups, units)


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_board_has_no_difference(name: str) -> None:
    """But that Linux leaves devices of a RISC-V board untranslated; every unit and device is matched."""
    view = captured(name)
    found = compare(board(name), view)
    assert {one.kind for one in found.differences} == ({"domain"} if name.startswith("riscv") else set())
    assert set(found.units) == {one.name for one in view.units}
    assert set(found.devices) == {device for one in view.groups for device in one.devices}


def changed(view: KernelView, number: int, **more: Any) -> KernelView:
    """Return the view with one group changed."""
    groups = tuple(replace(one, **more) if one.number == number else one for one in view.groups)
    return replace(view, groups=groups)


def said(topology: Topology, view: KernelView) -> list[tuple[str, str, str]]:
    """Return kind, place and text of each difference."""
    return [(one.kind, one.at, one.text) for one in compare(topology, view).differences]


def test_a_kernel_without_iommu_is_told_once() -> None:
    """Firmware has one, and the kernel does not use it."""
    text = "firmware declares vtd@fed90000, and the kernel runs no IOMMU: every device reaches all memory"
    assert said(board("q35-vtd"), KernelView("sys")) == [("off", "vtd@fed90000", text)]
    assert said(load_topology([str(HANDMADE / "dmar-segments" / "pci.json")]), KernelView("sys")) == []


def test_a_unit_that_the_kernel_does_not_run_is_told() -> None:
    """Its devices are in no group then."""
    view = captured("q35-vtd")
    other = replace(view.units[0], name="dmar1", attributes=(("address", "fed91000"),))
    kinds = [kind for kind, _, _ in said(board("q35-vtd"), replace(view, units=(other,)))]
    assert kinds == ["unit", "off"]


def test_a_device_behind_another_unit_is_told() -> None:
    """And one that firmware has behind none."""
    topology = load_topology([str(HANDMADE / "dmar-segments")])
    units = [one for one in topology.iommus.values() if one.kind == "vtd"]
    view = KernelView("sys", (), (KernelUnit("dmar0", HERE, ("0000:00:02.0",), (("address", f"{units[-1].base:x}"),)),))
    assert said(topology, view)[0][:2] == ("unit", "0000:00:02.0")
    scopes = captured("q35-vtd-scopes")
    wrong = replace(scopes.units[0], devices=(*scopes.units[0].devices, "0000:81:00.0", "not-known"))
    assert [(kind, at) for kind, at, _ in said(board("q35-vtd-scopes"), replace(scopes, units=(wrong,)))] == [
        ("no-unit", "0000:81:00.0")
    ]


def test_a_device_without_group_is_told() -> None:
    """Unless that was to be expected, which is said as such."""
    view = captured("q35-vtd")
    text = "firmware has it behind vtd@fed90000, and the kernel in no group: it is not translated"
    without = replace(view, groups=tuple(one for one in view.groups if one.number != 1))
    assert said(board("q35-vtd"), without) == [("no-group", "0000:00:03.0", text)]
    arm = compare(board("virt-smmuv3-acpi"), captured("virt-smmuv3-acpi"))
    assert [name for name, _ in arm.as_foretold] == ["0000:02:01.0", "0000:02:02.0"]


def test_other_partners_are_told() -> None:
    """More than ours: firmware has them apart. Fewer: they cannot be told apart, as behind pcie_acs_override."""
    view = captured("q35-vtd")
    wider = changed(changed(view, 1, devices=("0000:00:03.0", "0000:41:00.0")), 15, devices=())
    assert said(board("q35-vtd"), wider) == [
        ("partners", "group 1", "the kernel has 0000:41:00.0 in it as well; by firmware and ACS they are apart")
    ]
    split = changed(changed(view, 2, devices=("0000:00:04.0",)), 1, devices=("0000:00:03.0",))
    split = replace(split, groups=(*split.groups, KernelGroup(99, HERE, ("0000:00:04.1",), "DMA")))
    text = "by firmware and ACS {} cannot be told apart from {}, and the kernel has them elsewhere"
    assert said(board("q35-vtd"), split) == [
        ("partners", "group 2", text.format("0000:00:04.1", "0000:00:04.0")),
        ("partners", "group 99", text.format("0000:00:04.0", "0000:00:04.1")),
    ]


def test_memory_that_the_kernel_does_not_keep_is_told() -> None:
    """A region that firmware has mapped one to one, wholly inside one of the kernel's or not."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("vtd@1000", "vtd", HERE, 0x1000))
    builder.device(Device("dt:/soc/usb@2000", "dt", HERE))
    builder.maps.append(IdMap("dt:/soc/usb@2000", "vtd@1000", 0, 1, 7, HERE, "iommus", single=True))
    builder.reserved.append(ReservedRegion("rmrr", 0x8000, 0x1000, HERE, "direct", devices=("dt:/soc/usb@2000",)))
    builder.reserved.append(ReservedRegion("rmrr", 0x9000, 0x1000, HERE, "memory", devices=("dt:/soc/usb@2000",)))
    topology = Topology(builder)
    unit = KernelUnit("dmar0", HERE, ("2000.usb",), (("address", "1000"),))

    def region(last: int, kind: str) -> KernelView:
        return KernelView("sys", (KernelGroup(0, HERE, ("2000.usb",), "DMA", (KernelRegion(0, last, kind),)),), (unit,))

    assert said(topology, region(0x8FFF, "direct")) == said(topology, region(0xFFFF, "direct-relaxable")) == []
    text = "firmware reserves 0x8000-0x8fff (rmrr) for dt:/soc/usb@2000, and the kernel does not"
    assert said(topology, region(0x8FFE, "direct")) == [("region", "group 0", text)]
    assert said(topology, region(0x8FFF, "msi")) == [("region", "group 0", text)]


def test_domains_in_which_nothing_or_everything_is_refused_are_told() -> None:
    """Others are what firmware lets expect."""
    view = changed(changed(captured("q35-vtd"), 1, domain="identity"), 2, domain="blocked")
    assert said(board("q35-vtd"), changed(view, 3, domain="identity")) == [
        ("domain", "groups 1 and 3", "the domain is identity: nothing limits what the devices reach"),
        ("domain", "group 2", "the domain is blocked: the devices reach nothing"),
    ]


@pytest.mark.parametrize(
    ("unit", "name"),
    [
        (KernelUnit("dmar0", HERE, (), (("address", "fed90000"),)), "vtd@fed90000"),
        (KernelUnit("dmar0", HERE, (), (("address", "-1"),)), ""),
        (KernelUnit("dmar0", HERE, ()), ""),
        (KernelUnit("ivhd0", HERE, ()), "amdvi@9050000"),
        (KernelUnit("ivhd1", HERE, ()), ""),
        (KernelUnit("smmu3.0x00000000fed90000", HERE, ()), "vtd@fed90000"),
        (KernelUnit("fed90000.iommu", HERE, ()), "vtd@fed90000"),
        (KernelUnit("riscv-iommu@fed90000.iommu", HERE, ()), "vtd@fed90000"),
        (KernelUnit("0000:00:02.0", HERE, ()), "virtio-iommu@0000:00:02.0"),
        (KernelUnit("riscv-iommu@0000:00:02.0", HERE, ()), "virtio-iommu@0000:00:02.0"),
        (KernelUnit("other", HERE, ()), ""),
    ],
)
def test_units_are_known_by_their_addresses(unit: KernelUnit, name: str) -> None:
    """By the attribute of VT-d, the number of AMD-Vi, the address in the name, or the PCI function."""
    builder = TopologyBuilder()
    builder.iommus += [
        Iommu("vtd@fed90000", "vtd", HERE, 0xFED90000), Iommu("amdvi@9050000", "amdvi", HERE, 0x9050000),
        Iommu("virtio-iommu@0000:00:02.0", "virtio-iommu", HERE),
    ]  # fmt: skip
    assert unit_name(Topology(builder), unit) == name


def test_devices_of_a_platform_are_known_by_address_and_name() -> None:
    """Two of one name and address are nobody's; names of ACPI devices are Linux's own."""
    builder = TopologyBuilder()
    for name in ("dt:/soc/usb@a000", "dt:/one/net@1", "dt:/two/net@1", "0000:00:02.0"):
        builder.device(Device(name, "dt", HERE))
    topology = Topology(builder)
    found = device_names(topology, ("0000:00:02.0", "000a000.usb", "1.net", "ARMH0011:00"))
    assert found == {"0000:00:02.0": "0000:00:02.0", "000a000.usb": "dt:/soc/usb@a000"}


def test_devices_are_looked_up_in_time_in_proportion() -> None:
    """Thousands of names, and as many devices."""
    builder = TopologyBuilder()
    for number in range(5000):
        builder.device(Device(f"dt:/soc/x@{number:x}", "dt", HERE))
    topology = Topology(builder)
    started = time.process_time()
    assert len(device_names(topology, [f"{number:x}.x" for number in range(10000)])) == 5000
    assert time.process_time() - started < 1


def test_the_view_is_drawn_with_firmwares_names() -> None:
    """In the tree as a section of its own, differences marked; in JSON as the schema says."""
    view = changed(captured("q35-vtd-plain"), 1, domain="")
    found = compare(board("q35-vtd-plain"), view)
    assert unit_words(found, view.units[0]).startswith("vtd@fed90000, 7 devices, address fed90000, cap ")
    assert unit_words(found, KernelUnit("x", HERE, ("a",))) == "declared by no source, 1 device"
    assert group_words(found, view.groups[1]) == ("0000:00:02.0, domain not known, 0xfee00000-0xfeefffff (1 MiB) msi")
    assert kernel_object(found)["groups"][4]["reserved"][0] == {
        "start": "0x0", "last": "0xffffff", "kind": "direct-relaxable"
    }  # fmt: skip


def test_the_tree_marks_what_differs() -> None:
    """What may only be that something could not be read is marked as such."""
    topology = load_topology([str(BOARDS / "virt-smmuv3-acpi")])
    topology.kernel_views = (captured("virt-smmuv3-acpi"),)
    text = draw_tree(topology)
    assert "├─ as foretold  0000:02:01.0 is in no group: Linux's SMMUv3 driver gives" in text
    assert text.endswith("└─ no difference  from what firmware says\n")
    blind = load_topology([str(HANDMADE / "dmar-segments" / "pci.json")])
    blind.kernel_views = (KernelView("sys"),)
    assert draw_tree(blind).endswith("└─ nothing to compare  no source given declares an IOMMU\n")
    view = captured("virt-smmuv3-acpi")
    lost = replace(view.units[0], name="other")
    topology.kernel_views = (changed(replace(view, units=(*view.units, lost)), 0, domain="identity"),)
    text = draw_tree(topology)
    assert "├─ may differ  other: the kernel runs other, which no source given declares\n" in text
    assert "└─ DIFFERS  group 0: the domain is identity: nothing limits what the devices reach\n" in text
    assert Difference("domain", "group 0", "x").known


def test_a_large_group_takes_time_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of devices that firmware and kernel have in one group are held against each other once."""
    names = tuple(f"d{number}" for number in range(6000))
    monkeypatch.setattr(module, "isolation_groups", lambda *_: (Group(names, ("u",), left_out=(("d0", "why"),)),))
    started = time.process_time()
    assert said(board("q35-vtd"), KernelView("sys", (KernelGroup(0, HERE, names, "DMA"),)))[-1][0] != "partners"
    assert time.process_time() - started < 1
    (found,) = [
        text
        for kind, _, text in said(board("q35-vtd"), KernelView("sys", (KernelGroup(0, HERE, names[1:-1], "DMA"),)))
        if kind == "partners"
    ]
    assert found.startswith("by firmware and ACS d5999 cannot be told apart from d1, d10, d100")
