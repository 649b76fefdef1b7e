"""What the properties that matter for IOMMUs say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from iommuman.parsers.devicetree import (
    IommuBinding,
    Region,
    bus_cells,
    id_map,
    inherited_msi_route,
    interrupts,
    iommu_binding,
    iommus,
    is_pci_host,
    mmu_masters,
    msi_controller_kind,
    msi_route,
    pci_function,
    pci_host,
    references,
    reg,
    reserved_memory,
    translate,
)

from .build import Value, at, node, tree

if TYPE_CHECKING:
    from iommuman.base import Finding


def rules(findings: list[Finding]) -> list[str]:
    """Return the rules of findings."""
    return [finding.rule for finding in findings]


SMMU = node("smmu@1", {"#iommu-cells": 1, "phandle": 1})
SMMU2 = node("smmu@2", {"#iommu-cells": 2, "phandle": 2})
SINGLE = node("iommu@3", {"#iommu-cells": 0, "phandle": 3})
ITS = node("its@4", {"#msi-cells": 1, "phandle": 4, "compatible": "arm,gic-v3-its"})
V2M = node("v2m@5", {"phandle": 5})


def test_iommus_entries_take_their_size_from_each_target() -> None:
    """Entries of one list may name IOMMUs of different `#iommu-cells`."""
    found = tree(SMMU, SMMU2, SINGLE, node("dev", {"iommus": (1, 7, 2, 8, 9, 3, 1, 10)}))
    findings: list[Finding] = []
    entries = iommus(found, at(found, "/dev"), findings)
    assert [(entry.target, entry.cells) for entry in entries] == [
        (at(found, "/smmu@1"), (7,)),
        (at(found, "/smmu@2"), (8, 9)),
        (at(found, "/iommu@3"), ()),
        (at(found, "/smmu@1"), (10,)),
    ]
    assert str(entries[1].origin) == "board.dtb: /dev iommus+0x8 (12 bytes)"
    assert findings == []


@pytest.mark.parametrize(
    ("value", "rule", "read"),
    [
        ((1, 7, 9, 1), "DT-PHANDLE", [(1,), (9,)]),
        ((1, 7, 6, 1), "DT-CELLS", [(1,), (6,)]),
        ((1, 7, 2, 8), "DT-LENGTH", [(1,), (2,)]),
        ((1, 7, 0, 1, 8), "DT-PHANDLE", [(1,)]),
        (b"\0\0\0\1\0\0\0\7\0", "DT-LENGTH", [(1,)]),
    ],
)
def test_iommus_stop_at_the_first_entry_that_cannot_be_read(value: Value, rule: str, read: list[tuple[int]]) -> None:
    """An unknown phandle, a target without cells, a cut-off or empty entry ends the list with a finding."""
    found = tree(SMMU, SMMU2, node("none", {"phandle": 6}), node("dev", {"iommus": value}))
    findings: list[Finding] = []
    entries = iommus(found, at(found, "/dev"), findings)
    assert [(entry.phandle,) for entry in entries] == read
    assert rules(findings) == [rule]
    assert all((entry.target is None) == (entry.phandle != 1) for entry in entries)


def test_a_node_without_the_list_has_no_references() -> None:
    """A list that is not there has no entries, and a phandle list needs no cell counts."""
    found = tree(SMMU, node("dev", {"memory-region": (1, 1)}))
    assert iommus(found, found.root, []) == ()
    assert len(references(found, at(found, "/dev"), "memory-region", [])) == 2


def table(value: Value, **extra: Value) -> tuple[list[tuple[object, ...]], list[str]]:
    """Return the entries of an iommu-map of a host, and the rules of the findings."""
    properties = {key.replace("_", "-"): mask for key, mask in extra.items()}
    found = tree(SMMU, SMMU2, SINGLE, node("bare", {"phandle": 6}), node("pcie", {"iommu-map": value, **properties}))
    findings: list[Finding] = []
    read = id_map(found, at(found, "/pcie"), "iommu", findings)
    assert read is not None
    return [(one.base, one.length, one.target and one.target.name, one.cells) for one in read.entries], rules(findings)


@pytest.mark.parametrize(
    ("value", "entries", "found"),
    [
        ((0, 1, 0x100, 0x10000), [(0, 0x10000, "smmu@1", (0x100,))], []),
        ((0, 3, 8, 8, 3, 8), [(0, 8, "iommu@3", ()), (8, 8, "iommu@3", ())], []),
        ((0, 2, 5, 6, 1, 8, 1, 9, 2), [(0, 1, "smmu@2", (5, 6)), (8, 2, "smmu@1", (9,))], []),
        ((0, 2, 5, 1, 8, 2, 6, 1), [(0, 1, "smmu@2", (5,)), (8, 1, "smmu@2", (6,))], ["DT-MAP-CELLS"]),
        ((0, 2, 5, 1), [(0, 1, "smmu@2", (5,))], ["DT-MAP-CELLS"]),
        ((0, 2, 5, 6, 7), [(0, 7, None, (5, 6))], ["DT-MAP-RANGE"]),
        ((0, 2, 5, 8), [], ["DT-MAP-LENGTH"]),
        ((0, 1, 5, 0), [(0, 0, "smmu@1", (5,))], ["DT-MAP-EMPTY"]),
        ((0, 6, 5, 2), [(0, 2, "bare", (5,))], ["DT-CELLS"]),
        ((0, 1, 5, 2, 8, 9, 6, 7), [(0, 2, "smmu@1", (5,)), (8, 7, None, (6,))], ["DT-PHANDLE"]),
        ((0, 1, 5, 2, 8, 9, 6), [(0, 2, "smmu@1", (5,))], ["DT-PHANDLE"]),
        ((0, 1, 5, 2, 8), [(0, 2, "smmu@1", (5,))], ["DT-MAP-LENGTH"]),
        ((0, 1, 5, 2, 8, 1, 9), [(0, 2, "smmu@1", (5,))], ["DT-MAP-LENGTH"]),
        (b"", [], ["DT-MAP-LENGTH"]),
        (b"\0" * 17, [], ["DT-MAP-LENGTH"]),
    ],
)
def test_id_maps_are_read_as_linux_reads_them(value: Value, entries: list[object], found: list[str]) -> None:
    """Specifier sizes of the target, the one-cell pattern, and what ends a map, as in `of_map_id`."""
    assert table(value) == (entries, found)


def test_a_finding_about_an_entry_names_that_entry_alone() -> None:
    """An entry without IDs is pointed at by its own bytes, whatever follows it."""
    found = tree(SMMU, node("pcie", {"iommu-map": (0, 1, 0, 0, 0, 1, 0, 0xFFFF)}))
    findings: list[Finding] = []
    id_map(found, at(found, "/pcie"), "iommu", findings)
    assert [str(one.origin).partition(": ")[2] for one in findings] == ["/pcie iommu-map+0x0 (16 bytes)"]


def test_a_mask_may_not_hide_bits_of_a_base() -> None:
    """Entries before one whose base the mask hides hold; from there on the map is not read."""
    entries, found = table((0, 1, 5, 2, 0x100, 1, 6, 2, 0, 1, 7, 2), iommu_map_mask=0xFF)
    assert (entries, found) == ([(0, 2, "smmu@1", (5,))], ["DT-MAP-MASK"])


def test_msi_maps_have_cells_of_their_own() -> None:
    """`msi-map` counts `#msi-cells`; a controller that does not say is read with one cell, without a finding."""
    found = tree(ITS, V2M, node("pcie", {"msi-map": (0, 4, 9, 1, 1, 5, 0, 8), "msi-map-mask": 0xFF}))
    findings: list[Finding] = []
    read = id_map(found, at(found, "/pcie"), "msi", findings)
    assert read is not None
    assert (read.mask, [one.cells for one in read.entries], findings) == (0xFF, [(9,), (0,)], [])
    assert id_map(found, found.root, "msi", findings) is None


def test_mmu_masters_list_their_stream_ids() -> None:
    """An old SMMU node names masters with as many IDs as each says."""
    found = tree(
        node("smmu", {"mmu-masters": (7, 1, 2, 8, 3)}),
        node("a", {"phandle": 7, "#stream-id-cells": 2}),
        node("b", {"phandle": 8, "#stream-id-cells": 1}),
    )
    masters = mmu_masters(found, at(found, "/smmu"), [])
    assert [(one.master.name, one.stream_ids) for one in masters] == [("a", (1, 2)), ("b", (3,))]


def test_pci_hosts_and_functions() -> None:
    """A host bridge is a PCI bus that sits on no other; a child's `reg` has its bus, device and function."""
    pci: dict[str, Value] = {"device_type": "pci", "#address-cells": 3, "#size-cells": 2}
    found = tree(
        node(
            "pcie@1",
            {**pci, "linux,pci-domain": 2, "bus-range": (1, 9)},
            node(
                "pci@0", {**pci, "reg": (0x800, 0, 0, 0, 0)}, node("nic@1", {"reg": (0x10A00, 0, 0, 0, 0)}), node("x")
            ),
        ),
        node("pcie@2", {"#address-cells": 3, "ranges": None}),
        node("memory", {"device_type": "memory", "reg": (0, 1, 0, 1)}),
    )
    assert [one.path for one in found.nodes if is_pci_host(one)] == ["/pcie@1", "/pcie@2"]
    first, second = pci_host(at(found, "/pcie@1")), pci_host(at(found, "/pcie@2"))
    assert (first.domain, first.first_bus, first.last_bus) == (2, 1, 9)
    assert (second.domain, second.first_bus, second.last_bus) == (None, 0, 255)
    assert pci_function(at(found, "/pcie@1/pci@0")) == 8
    assert pci_function(at(found, "/pcie@1/pci@0/nic@1")) == 0x10A
    assert pci_function(at(found, "/pcie@1/pci@0/x")) is None
    assert pci_function(at(found, "/memory")) is None
    assert pci_function(found.root) is None


def test_msi_routes() -> None:
    """`msi-map` wins over `msi-parent`; without either a host bridge takes the nearest above it."""
    found = tree(
        ITS,
        V2M,
        node("bus", {"msi-parent": (4, 9)}, node("pcie"), node("mapped", {"msi-map": (0, 4, 0, 1), "msi-parent": 5})),
        node("plain", {"msi-parent": 5}),
        node("empty", {"msi-parent": 0}),
    )
    mapped = msi_route(found, at(found, "/bus/mapped"), [])
    assert mapped is not None
    assert mapped.table is not None
    assert mapped.parents == ()
    plain = msi_route(found, at(found, "/plain"), [])
    assert plain is not None
    assert [(one.target and one.target.name, one.cells) for one in plain.parents] == [("v2m@5", ())]
    assert msi_route(found, at(found, "/empty"), []) is None
    inherited = inherited_msi_route(found, at(found, "/bus/pcie"), [])
    assert inherited is not None
    assert (inherited.owner.name, inherited.parents[0].cells) == ("bus", (9,))
    assert inherited_msi_route(found, at(found, "/empty"), []) is None


GIC: dict[str, Value] = {"compatible": "arm,gic-v3", "#interrupt-cells": 3, "phandle": 9, "interrupt-controller": None}


def test_interrupts_of_a_gic_have_intids() -> None:
    """SPI, PPI and extended numbers become INTIDs; flags tell edge from level; names run parallel."""
    found = tree(
        node("gic", GIC),
        node("soc", {"interrupt-parent": 9}, node("dev", {
            "interrupts": (0, 5, 1, 1, 3, 4, 2, 1, 0, 3, 1, 8),
            "interrupt-names": b"eventq\0gerror\0",
        })),
    )  # fmt: skip
    assert [(one.name, one.number, one.trigger) for one in interrupts(found, at(found, "/soc/dev"), [])] == [
        ("eventq", 37, "edge"),
        ("gerror", 19, "level"),
        ("", 4097, ""),
        ("", 1057, "level"),
    ]


def test_interrupts_extended_wins_and_skips_empty_entries() -> None:
    """`interrupts-extended` names its controllers; an empty entry keeps its place among the names."""
    found = tree(
        node("gic", GIC),
        node("gpio", {"#interrupt-cells": 1, "phandle": 8}),
        node("dev", {"interrupts-extended": (8, 4, 0, 9, 0, 1, 4), "interrupts": 1, "interrupt-names": b"a\0b\0c\0"}),
    )
    read = interrupts(found, at(found, "/dev"), [])
    assert [(one.name, one.number, one.trigger) for one in read] == [("a", 4, ""), ("c", 33, "level")]


@pytest.mark.parametrize(
    ("properties", "rule"),
    [
        ({"interrupts": 1}, "DT-INTERRUPTS"),
        ({"interrupts": (1, 2), "interrupt-parent": 9}, "DT-INTERRUPTS"),
        ({"interrupts": 1, "interrupt-parent": 77}, "DT-INTERRUPTS"),
        ({"interrupts": 1, "interrupt-parent": 6}, "DT-INTERRUPTS"),
    ],
)
def test_interrupts_that_cannot_be_read(properties: dict[str, Value], rule: str) -> None:
    """No parent, a parent that is not there, a circle of parents, a length that does not fit: a finding each."""
    circle = node("circle", {"phandle": 6, "interrupt-parent": 6})
    found = tree(node("gic", GIC), circle, node("dev", properties))
    findings: list[Finding] = []
    assert interrupts(found, at(found, "/dev"), findings) == ()
    assert rules(findings) == [rule]
    assert interrupts(found, found.root, findings) == ()


def test_reg_has_the_cells_of_the_parent() -> None:
    """Sizes of `reg` come from the parent, 2 and 1 when it does not say, and no size cells mean no size."""
    found = tree(
        node("dev", {"reg": (1, 2, 0, 3, 0, 4, 0, 5)}),
        node("bus", {}, node("dev", {"reg": (1, 2, 3)})),
        node("i2c", {"#address-cells": 1, "#size-cells": 0}, node("dev", {"reg": (0x50, 0x51)})),
    )
    findings: list[Finding] = []
    assert reg(found, at(found, "/dev"), findings) == (Region(0x100000002, 3), Region(4, 5))
    assert reg(found, at(found, "/bus/dev"), findings) == (Region(0x100000002, 3),)
    assert reg(found, at(found, "/i2c/dev"), findings) == (Region(0x50, None), Region(0x51, None))
    assert (bus_cells(at(found, "/bus")), findings) == ((2, 1), [])
    assert reg(found, found.root, findings) == ()


@pytest.mark.parametrize(
    ("bus", "value"),
    [
        ({}, (1, 2)),
        ({}, None),
        ({"#address-cells": 0}, 1),
        ({"#address-cells": 0xFFFFFFFF}, 1),
        ({"#size-cells": 9}, 1),
    ],
)
def test_reg_that_does_not_fit_is_a_finding(bus: dict[str, Value], value: Value) -> None:
    """A `reg` that is no list of entries has no entries."""
    found = tree(node("bus", bus, node("dev", {"reg": value})))
    findings: list[Finding] = []
    assert reg(found, found.nodes[2], findings) == ()
    assert rules(findings) == ["DT-REG"]


@pytest.mark.parametrize(
    ("properties", "address", "physical"),
    [
        ({"ranges": None}, 0x10, 0x10),
        ({}, 0x10, None),
        ({"ranges": (0x1000, 0x8, 0x2000, 0x100)}, 0x1010, 0x800002010),
        ({"ranges": (0x1000, 0x8, 0x2000, 0x100)}, 0x1100, None),
        ({"ranges": (0x1000, 0x8, 0x2000, 0x100)}, 0xFFF, None),
        ({"ranges": (0, 0, 0, 0x10, 0x1000, 0, 0x5000, 0x10)}, 0x100F, 0x500F),
        ({"ranges": (0x1000, 0x8, 0x2000)}, 0x1000, None),
        ({"ranges": 1, "#address-cells": 9}, 0, None),
    ],
)
def test_translation_through_ranges(properties: dict[str, Value], address: int, physical: int | None) -> None:
    """A bus shows its addresses by `ranges`: the same, others, or not at all."""
    found = tree(node("bus", {"#address-cells": 1, "#size-cells": 1, **properties}, node("dev")))
    assert translate(found.nodes[2], address) == physical


def test_translation_climbs_every_bus() -> None:
    """Each bus on the way adds its own; `dma-ranges` that is not there means the same addresses; the root has none."""
    one: dict[str, Value] = {"#address-cells": 1, "#size-cells": 1}
    inner = node("inner", {**one, "ranges": (0, 0x100, 0x100)}, node("dev"))
    found = tree(node("outer", {**one, "ranges": (0x100, 0, 0x4000, 0x100), "dma-ranges": (0, 1, 0, 0x1000)}, inner))
    device = at(found, "/outer/inner/dev")
    assert translate(device, 5) == 0x4005
    assert translate(device, 5, "dma-ranges") == 0x100000005
    assert translate(found.root, 5) == 5


def test_address_spaces_of_three_cells_are_told_apart() -> None:
    """With three address cells, what stands above 64 bits (PCI: the kind of space) has to be the same."""
    found = tree(
        node(
            "pci",
            {"#address-cells": 3, "#size-cells": 2, "ranges": (0x2000000, 0, 0x10, 0, 0x9000, 0, 0x100)},
            node("d"),
        )
    )
    assert translate(found.nodes[2], 0x2000000 << 64 | 0x20) == 0x9010
    assert translate(found.nodes[2], 0x1000000 << 64 | 0x20) is None


def test_reserved_memory_and_its_users() -> None:
    """Children of `/reserved-memory` have their place, flags, users, and what IOMMUs must do for them."""
    found = tree(
        node(
            "reserved-memory",
            {"#address-cells": 2, "#size-cells": 2, "ranges": None},
            node(
                "fb@9",
                {"reg": (0, 0x9000, 0, 0x100), "no-map": None, "phandle": 20, "iommu-addresses": (21, 0, 9, 0, 5)},
            ),
            node("pool", {"size": (0, 5), "reusable": None}),
        ),
        node("display", {"phandle": 21, "memory-region": 20}),
    )
    findings: list[Finding] = []
    first, second = reserved_memory(found, findings)
    assert first.regions == (Region(0x9000, 0x100),)
    assert [one.name for one in first.users] == ["display"]
    assert [(one.device.name, one.start, one.length) for one in first.iommu_addresses] == [("display", 9, 5)]
    assert (first.no_map, first.reusable, second.no_map, second.reusable) == (True, False, False, True)
    assert (second.regions, second.users, findings) == ((), (), [])
    assert reserved_memory(tree(), findings) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((77, 0, 9, 0, 5), "no device has phandle 0x4d"),
        ((23, 0, 9, 0, 5), "no device has phandle 0x17"),
        ((21, 0, 9, 0), "cut off"),
        ((22, 0, 9, 0, 5), "has no addresses of memory"),
    ],
)
def test_iommu_addresses_that_cannot_be_read(value: Value, text: str) -> None:
    """An entry whose device or size is unknown ends the list; memory without `ranges` above keeps its address."""
    found = tree(
        node("reserved-memory", {"#address-cells": 2, "#size-cells": 2},
             node("fb", {"reg": (0, 9, 0, 9), "iommu-addresses": (21, 0, 1, 0, 1, *value)})),  # type: ignore[misc]
        node("display", {"phandle": 21}),
        node("i2c", {"#size-cells": 0}, node("chip", {"phandle": 22})),
    )  # fmt: skip
    if value == (23, 0, 9, 0, 5):
        from dataclasses import replace

        found = replace(found, phandles={**found.phandles, 23: found.root})
    findings: list[Finding] = []
    (memory,) = reserved_memory(found, findings)
    assert len(memory.iommu_addresses) == 1
    assert memory.regions == (Region(9, 9),)
    assert [text in str(finding) for finding in findings] == [True]


@pytest.mark.parametrize(
    ("compatible", "kind"),
    [
        (b"nvidia,tegra264-smmu\0arm,smmu-v3\0", "smmuv3"),
        (b"arm,mmu-401\0", "smmuv1"),
        (b"vendor,thing\0qcom,sc7180-smmu-500\0", "smmuv2"),
        (b"apple,t8103-dart\0", "dart"),
        (b"renesas,ipmmu-r8a7795\0", "ipmmu"),
        (b"mediatek,mt8195-iommu-vdo\0", "mediatek-iommu"),
        (b"mediatek,mt8183-m4u\0", "mediatek-iommu"),
        (b"virtio,mmio\0", None),
        (b"example,device\0", None),
    ],
)
def test_kinds_of_iommu(compatible: bytes, kind: str | None) -> None:
    """The first string of `compatible` that is known decides; families of chips are known by a pattern."""
    binding = iommu_binding(node("x", {"compatible": compatible}))
    assert (binding and binding.kind) == kind


def test_a_virtio_transport_is_an_iommu_only_with_cells() -> None:
    """`virtio,mmio` with `#iommu-cells` is a virtio-iommu; MSI controllers have a kind, known or not."""
    assert iommu_binding(node("v", {"compatible": "virtio,mmio", "#iommu-cells": 1})) == IommuBinding(
        "virtio-iommu", ("endpoint ID",)
    )
    assert msi_controller_kind(node("x", {"compatible": b"a,b\0arm,gic-v2m-frame\0"})) == "gic-v2m"
    assert msi_controller_kind(node("x", {"compatible": "a,b"})) == "a,b"
    assert msi_controller_kind(node("x")) == "msi-controller"
