"""Device trees to topologies."""

from __future__ import annotations

from pathlib import Path

import pytest
from iommuman.parsers import ParseError
from iommuman.parsers.devicetree import Node, read_devicetree
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.from_devicetree import add_devicetree
from iommuman.topology.model import Interrupt

from tests.conftest import corpus_files
from tests.damage import mutants
from tests.parsers.devicetree.build import Value, blob, node, tree

PCI: dict[str, Value] = {"device_type": "pci", "#address-cells": 3, "#size-cells": 2}
GIC = node("gic", {"compatible": "arm,gic-v3", "#interrupt-cells": 3, "phandle": 9})
ITS = node("its@8000", {"compatible": "arm,gic-v3-its", "#msi-cells": 1, "phandle": 8, "reg": (0, 0x8000, 0, 0x1000)})


def smmu(name: str = "iommu@2b400000", phandle: int = 1, /, **more: Value) -> Node:
    """Return an SMMUv3, or what the further properties make of it."""
    properties: dict[str, Value] = {
        "compatible": "arm,smmu-v3",
        "reg": (0, int(name.partition("@")[2], 16), 0, 0x20000),
        "#iommu-cells": 1,
        "phandle": phandle,
    }
    return node(name, properties | {key.replace("_", "-"): value for key, value in more.items()})


def built(*children: Node) -> TopologyBuilder:
    """Return the builder after a tree of these children."""
    builder = TopologyBuilder()
    add_devicetree(builder, tree(*children))
    return builder


def rules(builder: TopologyBuilder) -> list[str]:
    """Return the rules of the findings."""
    return [finding.rule for finding in builder.findings]


def maps(builder: TopologyBuilder) -> list[tuple[object, ...]]:
    """Return what each map says, in short."""
    return [(one.source, one.target, one.base, one.length, one.output, one.single) for one in builder.maps]


def test_a_master_behind_an_smmu() -> None:
    """`iommus` gives an IOMMU named after kind and address, a device named after its path, and a map with origin."""
    found = built(
        GIC,
        node("soc", {"#address-cells": 1, "#size-cells": 1, "ranges": (0, 0, 0x2B000000, 0x1000000)},
             node("iommu@400000", {"compatible": "arm,smmu-v3", "reg": (0x400000, 0x20000), "#iommu-cells": 1,
                                   "phandle": 1, "interrupts": (0, 5, 1, 0, 6, 4), "interrupt-parent": 9,
                                   "interrupt-names": b"eventq\0other\0", "dma-coherent": None})),
        node("usb@1000", {"compatible": "example,usb", "iommus": (1, 0x42), "pasid-num-bits": 20,
                          "dma-can-stall": None, "dma-coherent": None}),
    )  # fmt: skip
    (unit,) = found.iommus
    assert (unit.name, unit.kind, unit.base, unit.size, unit.enabled) == (
        "smmuv3@2b400000", "smmuv3", 0x2B400000, 0x20000, True,
    )  # fmt: skip
    assert unit.interrupts == (Interrupt("event", 37, "edge"), Interrupt("other", 38, "level"))
    assert ("coherent walk", True) in unit.properties
    assert ("node", "/soc/iommu@400000") in unit.properties
    device = found.devices["dt:/usb@1000"]
    assert device.kind == "dt"
    assert device.properties == (
        ("compatible", "example,usb"), ("substream bits", 20), ("may stall", True), ("coherent", True),
    )  # fmt: skip
    assert maps(found) == [("dt:/usb@1000", "smmuv3@2b400000", 0, 1, 0x42, True)]
    assert str(found.maps[0].origin) == "board.dtb: /usb@1000 iommus+0x0 (8 bytes)"
    assert found.findings == []


@pytest.mark.parametrize(
    ("cells", "mask", "specifier", "output", "ignored"),
    [(1, None, (5,), 5, 0), (1, 0x7C00, (5,), 5, 0x7C00), (2, 0x7C00, (5, 0x30), 5, 0x30)],
)
def test_stream_match_masks(cells: int, mask: Value, specifier: tuple[int, ...], output: int, ignored: int) -> None:
    """Bits that an SMMUv2 ignores are in the second cell, or with one cell in the SMMU's `stream-match-mask`."""
    more: dict[str, Value] = {"compatible": "arm,mmu-500", "#iommu-cells": cells}
    unit = smmu(**more) if mask is None else smmu(**more, stream_match_mask=mask)
    found = built(unit, node("dev", {"iommus": (1, *specifier)}))
    (one,) = found.maps
    assert (one.output, one.ignored_bits, one.cells) == (output, ignored, specifier)


def test_single_master_units_have_no_ids() -> None:
    """An IOMMU with no cells has maps without output; several units may serve one master."""
    unit = {"#iommu-cells": 0}
    found = built(
        smmu("iommu@1000", 1, compatible="rockchip,iommu", **unit),
        smmu("iommu@2000", 2, compatible="example,unknown", **unit),
        node("vop", {"iommus": (1, 2)}),
    )
    assert [one.name for one in found.iommus] == ["rockchip-iommu@1000", "iommu@2000"]
    assert maps(found) == [
        ("dt:/vop", "rockchip-iommu@1000", 0, 1, None, True),
        ("dt:/vop", "iommu@2000", 0, 1, None, True),
    ]


def test_what_cannot_be_resolved_has_no_target() -> None:
    """A reference that leads nowhere is a map without target, and a finding."""
    found = built(smmu(), node("dev", {"iommus": (77, 5)}), node("pcie", {**PCI, "iommu-map": (0, 77, 0, 8)}))
    assert maps(found) == [("dt:/dev", None, 0, 1, None, True), ("dt:/pcie", None, 0, 8, 0, False)]
    assert rules(found) == ["DT-PHANDLE", "DT-PHANDLE"]


def test_a_disabled_iommu_is_named_and_reported() -> None:
    """Maps to a disabled IOMMU stay, the unit is not enabled, and each master in use is reported once."""
    found = built(
        smmu(status="disabled"),
        node("dev", {"iommus": (1, 5, 1, 6)}),
        node("off", {"iommus": (1, 7), "status": "disabled"}),
    )
    assert [one.enabled for one in found.iommus] == [False]
    assert [one.target for one in found.maps] == ["smmuv3@2b400000"] * 3
    assert [one.enabled for one in found.devices.values()] == [True, False]
    assert rules(found) == ["DT-IOMMU-DISABLED"]


def test_a_host_bridge_and_its_maps() -> None:
    """A host bridge is a root; `iommu-map` and `msi-map` carry requester IDs through the mask."""
    host: dict[str, Value] = {
        "compatible": "pci-host-ecam-generic", "iommu-map": (0, 1, 0x100, 0x80, 0x80, 1, 0x200, 0),
        "iommu-map-mask": 0xFF, "msi-map": (0, 8, 0x4000, 0x10000), "bus-range": (0, 15), "ats-supported": None,
        "dma-noncoherent": None,
    }  # fmt: skip
    found = built(smmu(), ITS, node("bus", {"dma-coherent": None}, node("pcie@10000000", PCI | host)))
    (root,) = found.roots
    assert (root.name, root.segment, root.first_bus, root.last_bus) == ("dt:/bus/pcie@10000000", 0, 0, 15)
    assert root.properties == (("compatible", "pci-host-ecam-generic"), ("ats-supported", True))
    assert maps(found) == [
        (root.name, "smmuv3@2b400000", 0, 0x80, 0x100, False),
        (root.name, "smmuv3@2b400000", 0x80, 0, 0x200, False),
        (root.name, "dt:/its@8000", 0, 0x10000, 0x4000, False),
    ]
    assert [(one.mask, one.carries, one.rule) for one in found.maps] == [
        (0xFF, "dma", "iommu-map"), (0xFF, "dma", "iommu-map"), (0xFFFFFFFF, "msi", "msi-map"),
    ]  # fmt: skip
    (controller,) = found.msi_controllers
    assert (controller.name, controller.kind, controller.base) == ("dt:/its@8000", "gic-its", 0x8000)
    assert rules(found) == ["DT-MAP-EMPTY"]


def test_iommus_of_a_host_bridge_are_for_the_bridge() -> None:
    """`iommus` of a host bridge do not speak of the functions behind it, so they belong to a device of their own."""
    found = built(smmu(), node("pcie", {**PCI, "iommus": (1, 5), "dma-coherent": None}))
    assert [one.name for one in found.roots] == ["dt:/pcie"]
    assert ("coherent", True) in found.roots[0].properties
    assert maps(found) == [("dt:/pcie#2", "smmuv3@2b400000", 0, 1, 5, True)]
    assert ("host bridge", "dt:/pcie") in found.devices["dt:/pcie#2"].properties


@pytest.mark.parametrize(
    ("hosts", "segments", "found"),
    [
        (({},), [0], []),
        (({"linux,pci-domain": 3},), [3], []),
        (({}, {"status": "disabled"}), [0, None], []),
        (({"status": "disabled"},), [0], []),
        (({}, {"linux,pci-domain": 3}), [None, 3], ["DT-PCI-DOMAIN"]),
    ],
)
def test_segments(hosts: tuple[dict[str, Value], ...], segments: list[int | None], found: list[str]) -> None:
    """A segment is what `linux,pci-domain` says; the only bridge in use is 0; of others nobody knows."""
    builder = built(*(node(f"pcie@{index}", PCI | host) for index, host in enumerate(hosts)))
    assert [root.segment for root in builder.roots] == segments
    assert rules(builder) == found


def test_an_iommu_on_the_pci_bus() -> None:
    """A virtio-iommu that is a PCI function has its place on the bus instead of an address."""
    unit = node(
        "iommu@1", {"compatible": "virtio,pci-iommu", "reg": (0x800, 0, 0, 0, 0), "#iommu-cells": 1, "phandle": 1}
    )
    found = built(node("pcie", {**PCI, "iommu-map": (0, 1, 0, 8, 9, 1, 9, 0xFFF7)}, unit))
    (one,) = found.iommus
    assert (one.name, one.base, one.segment) == ("virtio-iommu@0000:00:01.0", None, 0)
    unknown = built(node("pcie@1", PCI, unit), node("pcie@2", PCI))
    assert [one.name for one in unknown.iommus] == ["virtio-iommu@00:01.0"]


def test_units_without_registers() -> None:
    """A unit without `reg` is named by the address in its name or its path; one that no bus shows has no base."""
    plain: dict[str, Value] = {"compatible": "qcom,msm-iommu-v1", "#iommu-cells": 1}
    found = built(
        node("iommu@1F08000", plain),
        node("grant", {"compatible": "xen,grant-dma", "#iommu-cells": 1}),
        node("bus", {"#address-cells": 1, "#size-cells": 1}, node("iommu@30", {**plain, "reg": (0x30, 1)})),
    )
    assert [(one.name, one.base) for one in found.iommus] == [
        ("qcom-iommu@1f08000", None), ("xen-grant-dma@dt:/grant", None), ("qcom-iommu@30", None),
    ]  # fmt: skip
    assert rules(found) == ["DT-RANGES"]


def test_global_and_context_interrupts() -> None:
    """Of an SMMUv2 the first `#global-interrupts` are global and the rest belong to context banks in order."""
    more: dict[str, Value] = {"#global-interrupts": 1, "interrupts": (0, 1, 4, 0, 2, 4, 0, 3, 4), "interrupt-parent": 9}
    found = built(GIC, smmu("iommu@1000", 1, compatible="arm,smmu-v2", **more))
    assert [one.purpose for one in found.iommus[0].interrupts] == ["global 0", "context 0", "context 1"]
    unnamed = built(GIC, smmu("iommu@1000", 1, interrupts=(0, 1, 4), interrupt_parent=9))
    assert [one.purpose for one in unnamed.iommus[0].interrupts] == ["interrupt 0"]


def test_legacy_masters() -> None:
    """`mmu-masters` gives one map an ID; a host bridge's requester IDs are its stream IDs, whatever is written."""
    found = built(
        node("smmu@1000", {"compatible": "arm,mmu-401", "reg": (0, 0x1000, 0, 1), "mmu-masters": (5, 1, 2, 6, 9)}),
        node("dma", {"phandle": 5, "#stream-id-cells": 2}),
        node("pcie", {**PCI, "phandle": 6, "#stream-id-cells": 1}),
    )
    assert maps(found) == [
        ("dt:/dma", "smmuv1@1000", 0, 1, 1, True),
        ("dt:/dma", "smmuv1@1000", 0, 1, 2, True),
        ("dt:/pcie", "smmuv1@1000", 0, 0x10000, 0, False),
    ]
    assert rules(found) == ["DT-MMU-MASTERS"]
    mixed = built(
        smmu(), node("smmu@1000", {"mmu-masters": (5, 1), "status": "disabled"}),
        node("dma", {"phandle": 5, "#stream-id-cells": 1, "iommus": (1, 1)}),
    )  # fmt: skip
    assert "mmu-masters alone" in mixed.findings[0].message
    assert rules(mixed) == ["DT-MMU-MASTERS", "DT-IOMMU-DISABLED"]


def test_interrupts_by_message() -> None:
    """`msi-parent` of a device or IOMMU has its device ID; a host bridge inherits it and keeps requester IDs."""
    found = built(
        ITS,
        node("v2m", {"phandle": 7}),
        smmu(msi_parent=(8, 0xFF)),
        node("bus", {"compatible": "simple-bus", "msi-parent": (8, 0x20)}, node("pcie", PCI)),
        node("dev", {"msi-parent": (8, 0x30, 7)}),
        node("lost", {"msi-parent": (70, 1)}),
        node("none", {"msi-parent": 0}),
        node("mc", {"msi-map": (0, 8, 0, 4)}),
    )
    assert maps(found) == [
        ("smmuv3@2b400000", "dt:/its@8000", 0, 1, 0xFF, True),
        ("dt:/bus/pcie", "dt:/its@8000", 0, 0x10000, 0, False),
        ("dt:/dev", "dt:/its@8000", 0, 1, 0x30, True),
        ("dt:/dev", "dt:/v2m", 0, 1, None, True),
        ("dt:/lost", None, 0, 1, None, True),
        ("dt:/mc", "dt:/its@8000", 0, 4, 0, False),
    ]
    assert {one.carries for one in found.maps} == {"msi"}
    assert "dt:/bus" not in found.devices
    lost = built(node("pcie", {**PCI, "msi-parent": 70}))
    assert maps(lost) == [("dt:/pcie", None, 0, 0x10000, 0, False)]
    assert rules(built(node("pcie", PCI))) == []


def test_buses_with_ids_of_their_own() -> None:
    """`iommu-map` on a bus that is not PCI makes it a device whose IDs are looked up."""
    found = built(smmu(), node("fsl-mc", {"iommu-map": (0x17, 1, 0x23, 4)}))
    assert maps(found) == [("dt:/fsl-mc", "smmuv3@2b400000", 0x17, 4, 0x23, False)]


def test_reserved_memory() -> None:
    """Reserved memory is direct, mapped, to be avoided, or just there; what Linux does not see is reported."""
    fixed: dict[str, Value] = {"reg": (0, 0x9000, 0, 0x100)}
    found = built(
        node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": None},
             node("a", {**fixed, "phandle": 11, "iommu-addresses": (5, 0, 0x9000, 0, 0x100), "no-map": None}),
             node("b", {**fixed, "phandle": 12, "iommu-addresses": (5, 0, 0xA000, 0, 0x100, 5, 0, 0, 0, 0)}),
             node("c", {"iommu-addresses": (5, 0, 0xB000, 0, 0x100)}),
             node("d", {**fixed, "phandle": 13, "reusable": None}),
             node("e", {"size": 0x100})),
        node("dev", {"phandle": 5, "memory-region": (11, 12)}),
        node("pcie", {**PCI, "memory-region": 13}),
    )  # fmt: skip
    assert [(one.meaning, one.start, one.length, one.physical, one.devices) for one in found.reserved] == [
        ("direct", 0x9000, 0x100, None, ("dt:/dev",)),
        ("mapped", 0xA000, 0x100, 0x9000, ("dt:/dev",)),
        ("avoid", 0xB000, 0x100, None, ("dt:/dev",)),
        ("memory", 0x9000, 0x100, None, ("dt:/pcie",)),
    ]
    assert found.reserved[0].properties == (("node", "/reserved-memory/a"), ("no-map", True))
    assert found.reserved[3].properties == (("node", "/reserved-memory/d"), ("reusable", True))
    assert rules(found) == ["DT-IOMMU-ADDRESSES", "DT-IOMMU-ADDRESSES"]


@pytest.mark.parametrize("child", [node("__fixups__"), node("fragment@0", {}, node("__overlay__"))])
def test_overlays_are_left_out(child: Node) -> None:
    """An overlay's references are open, so it adds nothing but a finding."""
    found = built(smmu(), child)
    assert (found.iommus, rules(found)) == ([], ["DT-OVERLAY"])


def test_findings_of_the_tree_come_along() -> None:
    """What is wrong with the blob itself is among the builder's findings."""
    assert rules(built(node("a", {"phandle": 0}))) == ["DT-PHANDLE"]


def test_mutants_become_topologies() -> None:
    """Whatever a wrong byte makes of a tree, what can be read of it can be added, and names stay unique."""
    data = blob(
        smmu(), ITS, GIC,
        node("bus", {"#address-cells": 1, "#size-cells": 1, "ranges": None, "interrupt-parent": 9},
             node("dev@1", {"iommus": (1, 5), "interrupts": (0, 1, 4), "msi-parent": (8, 1), "phandle": 5})),
        node("pcie", {**PCI, "iommu-map": (0, 1, 0, 8), "iommu-map-mask": 0xFF, "msi-map": (0, 8, 0, 8)}),
        node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": None},
             node("a", {"reg": (0, 9, 0, 1), "iommu-addresses": (5, 9, 1)})),
    )  # fmt: skip
    for mutant in mutants(data, count=3000):
        builder = TopologyBuilder()
        try:
            add_devicetree(builder, read_devicetree(mutant))
        except ParseError:
            continue
        names = [one.name for one in builder.iommus]
        names += [one.name for one in builder.roots]
        names += [one.name for one in builder.msi_controllers]
        assert len(set(names)) == len(names)
        targets = {one.target for one in builder.maps} - {None}
        assert targets <= set(names)


@pytest.mark.parametrize("path", corpus_files("DTB"), ids=lambda path: path.stem)
def test_real_boards_have_no_errors(path: Path) -> None:
    """Device trees of real boards are read without a finding of severity error."""
    builder = TopologyBuilder()
    add_devicetree(builder, read_devicetree(path.read_bytes()))
    assert [finding for finding in builder.findings if finding.severity == "error"] == []


def test_an_ipmmu_has_a_bit_in_its_main_units_status_register() -> None:
    """The second cell of `renesas,ipmmu-main` is the bit for this unit's faults; the main unit itself has none."""
    found = built(
        node("mmu@e67b0000", {"compatible": "renesas,ipmmu-r8a7795", "reg": (0xE67B0000, 0x1000), "phandle": 1}),
        node("mmu@e6740000", {"compatible": "renesas,ipmmu-r8a7795", "reg": (0xE6740000, 0x1000), "phandle": 2,
                              "renesas,ipmmu-main": (1, 7)}),
    )  # fmt: skip
    bits = [dict(unit.properties).get("status bit") for unit in found.iommus]
    assert [unit.name for unit in found.iommus] == ["ipmmu@e67b0000", "ipmmu@e6740000"]
    assert bits == [None, 7]
