"""Device trees: for each rule a tree that breaks it, and one that barely does not."""

from __future__ import annotations

from functools import partial

import pytest
from iommuman.parsers.devicetree import Node, read_devicetree
from iommuman.parsers.sources import Inputs
from iommuman.topology.check import Board, devicetree

from tests.parsers.devicetree.build import Value, blob, node

from .boards import Case, assert_complete, said

RULES = devicetree.RULES
PCI: dict[str, Value] = {"device_type": "pci", "#address-cells": 3, "#size-cells": 2}
ITS = node("its@8000", {"compatible": "arm,gic-v3-its", "#msi-cells": 1, "phandle": 8, "reg": (0, 0x8000, 0, 0x1000)})

V2 = "arm,mmu-500"


def trees(*children: Node) -> Board:
    """Return the board of a tree of these children of the root."""
    inputs = Inputs(trees=[read_devicetree(blob(*children), "board.dtb")])
    return Board.of(inputs)


def smmu(compatible: str = "arm,smmu-v3", cells: int | None = 1, /, **more: Value) -> Node:
    """Return an SMMU of phandle 1 at 0x2b400000."""
    properties: dict[str, Value] = {"compatible": compatible, "reg": (0, 0x2B400000, 0, 0x20000), "phandle": 1}
    if cells is not None:
        properties["#iommu-cells"] = cells
    return node("iommu@2b400000", properties | {key.replace("_", "-"): value for key, value in more.items()})


def host(*entries: tuple[int, ...], name: str = "pcie@0", **more: Value) -> Node:
    """Return a PCI host bridge with an `iommu-map` of these entries."""
    cells = tuple(cell for entry in entries for cell in entry)
    properties = {key.replace("__", ",").replace("_", "-"): value for key, value in more.items()}
    return node(name, {**PCI, "iommu-map": cells, **properties})


def buses(cells: tuple[int, ...]) -> Board:
    """Return the board of a host bridge with this `bus-range`."""
    return trees(host(bus_range=cells))


def master(name: str, *cells: int, **more: Value) -> Node:
    """Return a master with these entries of `iommus`."""
    return node(name, {"iommus": cells, **more})


def memory(reserved: int, size: int, start: int, length: int) -> Board:
    """Return the board of a device that sees reserved memory at another place."""
    device = node("dma@0", {"phandle": 5, "memory-region": 6})
    region = node(f"r@{reserved:x}", {"reg": (0, reserved, 0, size), "phandle": 6,
                                      "iommu-addresses": (5, 0, start, 0, length)})  # fmt: skip
    return trees(device, node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": None}, region))


ELSEWHERE = ", which the entry for 0x0 leads elsewhere"


def ram(start: int, length: int, memory: int = 0x2000) -> Board:
    """Return the board of reserved memory beside memory that begins at 0x8000."""
    region = node(f"r@{start:x}", {"reg": (0, start, 0, length)})
    reserved = node("reserved-memory", {"#address-cells": 2, "#size-cells": 2, "ranges": None}, region)
    return trees(node("memory@8000", {"device_type": "memory", "reg": (0, 0x8000, 0, memory)}), reserved)


CASES = (
    Case(
        "DT-MAP-GAP",
        lambda: trees(smmu(), host((0, 1, 0, 0x200), bus_range=(0, 3))),
        (("note", None, "the map takes no ID of buses 0x02-0x03"),),
        lambda: trees(smmu(), host((0, 1, 0, 0x101), bus_range=(0, 1))),
    ),
    Case(
        "DT-MAP-GAP",
        lambda: trees(smmu(), host((0x10, 1, 0, 0x100), bus_range=(1, 2))),
        (("note", None, "the map takes no ID of bus 0x02"),),
        lambda: trees(smmu(), host((0x10, 1, 0, 0x100), bus_range=(1, 2), iommu_map_mask=0xFF)),
    ),
    Case(
        "DT-MAP-GAP",
        lambda: trees(smmu(), host(*((bus << 8, 1, bus << 8, 1) for bus in range(0, 12, 2)), bus_range=(0, 11))),
        (("note", None, "the map takes no ID of buses 0x01, 0x03, 0x05, 0x07 and 2 ranges more"),),
        # Nothing is said of a host bridge that is not in use, or whose map a boot loader is to fill in.
        lambda: trees(smmu(), host((0, 1, 0, 1), status="disabled"), host((0, 1, 0, 0), name="pcie@1")),
    ),
    Case(
        "DT-MAP-OVERLAP",
        lambda: trees(smmu(), host((0, 1, 0, 0x200), (0x1FF, 1, 0x5000, 0x10))),
        (("error", 16, f"an entry of iommu-map takes IDs from 0x1ff to 0x1ff{ELSEWHERE}"),),
        lambda: trees(smmu(), host((0, 1, 0, 0x200), (0x200, 1, 0x5000, 0x10), (0x1FF, 1, 0x1FF, 1), (0, 1, 7, 0))),
    ),
    Case(
        "DT-MAP-OVERLAP",
        lambda: trees(ITS, node("pcie@0", {**PCI, "msi-map": (0, 8, 0, 2, 1, 8, 0x10, 1)})),
        (("error", 16, "an entry of msi-map takes IDs from 0x1 to 0x1, which the entry for 0x0 leads elsewhere"),),
        lambda: trees(ITS, node("pcie@0", {**PCI, "msi-map": (0, 8, 0, 2, 2, 8, 0x10, 1)})),
    ),
    Case(
        "DT-MAP-OVERLAP",
        lambda: trees(smmu(V2, 2), host((0, 1, 5, 0, 1), (0, 1, 5, 1, 1))),
        (("error", 20, "an entry of iommu-map takes IDs from 0x0 to 0x0, which the entry for 0x0 leads elsewhere"),),
        lambda: trees(smmu(V2, 2), host((0, 1, 5, 1, 1), (0, 1, 5, 1, 1))),
    ),
    Case(
        "DT-MSI-GAP",
        lambda: trees(smmu(), ITS, host((0, 1, 0, 0x10000), msi_map=(0, 8, 0, 0xFFFF))),
        (("note", None, "the IOMMU takes IDs from 0xffff to 0xffff, and msi-map does not"),),
        lambda: trees(smmu(), ITS, host((0, 1, 0, 0x10000), msi_map=(0, 8, 0, 0x10000))),
    ),
    Case(
        "DT-MSI-GAP",
        lambda: trees(smmu(), ITS, host((0, 1, 0, 2), msi_map=(1, 8, 1, 1))),
        (("note", None, "the IOMMU takes IDs from 0x0 to 0x0, and msi-map does not"),),
        # Under another mask these are other IDs; and `msi-parent` takes all.
        lambda: trees(smmu(), ITS, host((0, 1, 0, 2), msi_map=(1, 8, 1, 1), msi_map_mask=1),
                      host((0, 1, 0, 2), name="pcie@1", msi_parent=(8, 0)), host((0, 1, 0, 2), name="pcie@2")),
    ),
    Case(
        "DT-IOMMU-CELLS",
        lambda: trees(smmu("arm,smmu-v3", 2)),
        (("warning", None, "an IOMMU has another number of cells than its binding gives"),),
        lambda: trees(smmu("arm,smmu-v3", 1)),
    ),
    Case(
        "DT-IOMMU-CELLS",
        lambda: trees(smmu(V2, 3)),
        (("warning", None, "an IOMMU has another number of cells than its binding gives"),),
        lambda: trees(smmu(V2, 2)),
    ),
    Case(
        "DT-IOMMU-CELLS",
        lambda: trees(smmu(V2, None)),
        (("warning", None, "an IOMMU has another number of cells than its binding gives"),),
        lambda: trees(smmu(V2, None, mmu_masters=None), node("pamu@0", {"compatible": "fsl,pamu"})),
    ),
    Case(
        "DT-DOMAIN-TWICE",
        lambda: trees(host(name="pcie@0", linux__pci_domain=0), host(name="pcie@1", linux__pci_domain=0)),
        (("warning", None, "/pcie@0 has segment 0000 and bus 0x00 as well"),),
        lambda: trees(host(name="pcie@0", linux__pci_domain=0), host(name="pcie@1", linux__pci_domain=1)),
    ),
    Case(
        "DT-DOMAIN-TWICE",
        lambda: trees(host(name="pcie@0", linux__pci_domain=7, bus_range=(0, 0x80)),
                      host(name="pcie@1", linux__pci_domain=7, bus_range=(0x80, 0xFF))),
        (("warning", None, "/pcie@0 has segment 0007 and bus 0x80 as well"),),
        lambda: trees(host(name="pcie@0", linux__pci_domain=7, bus_range=(0, 0x7F)),
                      host(name="pcie@1", linux__pci_domain=7, bus_range=(0x80, 0xFF)),
                      host(name="pcie@2", linux__pci_domain=7, status="disabled"),
                      host(name="pcie@3", linux__pci_domain=7, bus_range=(5, 4))),
    ),
    *(
        Case(
            "DT-BUS-RANGE",
            partial(buses, cells),
            (("error", None, "the buses of a host bridge cannot be"),),
            lambda: trees(host(bus_range=(0, 255)), host(name="pcie@1", bus_range=(7, 7)), host(name="pcie@2")),
        )
        for cells in ((1, 0), (0, 256), (3,), ())
    ),
    Case(
        "DT-IOMMU-ADDRESSES-MAPPED",
        lambda: memory(0x90000000, 0x1000, 0x80000000, 0x1000),
        (("note", 0, "reserved memory is to be seen at another address than it has"),),
        lambda: memory(0x90000000, 0x1000, 0x90000000, 0x1000),
    ),
    Case(
        "DT-IOMMU-ADDRESSES-MAPPED",
        lambda: memory(0x90000000, 0x1000, 0x90000000, 0x2000),
        (("warning", 0, "/dma@0 sees reserved memory in another size than it has"),),
        lambda: memory(0x90000000, 0x1000, 0x90000000, 0),  # an empty entry: another rule
    ),
    Case(
        "DT-RESERVED-OUTSIDE",
        lambda: ram(0x9000, 0x1001),
        (("note", None, "reserved memory is in no memory node"),),
        lambda: ram(0x9000, 0x1000),
    ),
    Case(
        "DT-RESERVED-OUTSIDE",
        lambda: ram(0x7000, 0x2000),
        (("note", None, "reserved memory is in no memory node"),),
        lambda: ram(0x7000, 0x2000, memory=0),  # a boot loader is to say how much memory there is
    ),
    Case(
        "DT-IOMMUS-TWICE",
        lambda: trees(smmu(), master("usb@0", 1, 5, 1, 6, 1, 5)),
        (("warning", 16, "a master names one ID twice"),),
        lambda: trees(smmu(), master("usb@0", 1, 5, 1, 6), master("usb@1", 1, 5)),
    ),
    Case(
        "DT-IOMMUS-TWICE",
        lambda: trees(smmu(V2, 2), master("usb@0", 1, 5, 1, 1, 5, 1)),
        (("warning", 12, "a master names one ID twice"),),
        lambda: trees(smmu("rockchip,iommu", 0), master("usb@0", 1, 1)),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(), master("usb@0", 1, 5, 1, 6), master("usb@1", 1, 5, 1, 6)),
        (("note", 0, "ID 0x5 of smmuv3@2b400000, and 1 more, is that of dt:/usb@0 and of dt:/usb@1"),),
        # Another ID; not in use; a part of the other device.
        lambda: trees(smmu(), master("usb@0", 1, 5), master("usb@1", 1, 6), master("usb@2", 1, 5, status="disabled"),
                      node("mfd@0", {"iommus": (1, 9)}, master("part@0", 1, 9))),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(), host((0, 1, 0, 0x10000)), master("usb@1", 1, 0xFFFF)),
        (("warning", 0, "ID 0xffff of smmuv3@2b400000 is that of dt:/pcie@0 and of dt:/usb@1"),),
        lambda: trees(smmu(), host((0, 1, 0, 0x10000)), master("usb@1", 1, 0x10000)),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(), host((0, 1, 0, 0x100), (0x100, 1, 0xFF, 0x100))),
        (("warning", 16, "ID 0xff of smmuv3@2b400000 is that of two requester IDs of dt:/pcie@0"),),
        lambda: trees(smmu(), host((0, 1, 0, 0x100), (0x100, 1, 0x100, 0x100))),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(V2, 2), master("usb@0", 1, 0x10, 0xF), master("usb@1", 1, 0x1C, 0)),
        (("note", 0, "ID 0x1c of smmuv2@2b400000 is that of dt:/usb@0 and of dt:/usb@1"),),
        lambda: trees(smmu(V2, 2), master("usb@0", 1, 0x10, 0xF), master("usb@1", 1, 0x20, 0)),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(V2, 1, stream_match_mask=0x7C00), master("usb@0", 1, 0x401), master("usb@1", 1, 1)),
        (("note", 0, "ID 0x1 of smmuv2@2b400000 is that of dt:/usb@0 and of dt:/usb@1"),),
        lambda: trees(smmu(V2, 1, stream_match_mask=0x7C00), master("usb@0", 1, 0x401), master("usb@1", 1, 2)),
    ),
    Case(
        "DT-STREAM-SHARED",
        lambda: trees(smmu(), host((0, 1, 0, 1)), host((0, 1, 0, 1), name="pcie@1")),
        (("warning", 0, "ID 0x0 of smmuv3@2b400000 is that of dt:/pcie@0 and of dt:/pcie@1"),),
        lambda: trees(smmu(status="disabled"), host((0, 1, 0, 1)), host((0, 1, 0, 1), name="pcie@1")),
    ),
    Case(
        "DT-STREAM-RANGE",
        lambda: trees(smmu(V2, 2), master("usb@0", 1, 0x10000, 0), master("usb@1", 1, 1, 0x10000)),
        (("error", 0, "a stream ID has bits that an SMMU does not have"),) * 2,
        lambda: trees(smmu(V2, 2), master("usb@0", 1, 0xFFFF, 0x7FFF)),
    ),
    Case(
        "DT-STREAM-RANGE",
        lambda: trees(smmu(V2, 1), host((0, 1, 1, 0x10000))),
        (("error", 0, "a stream ID has bits that an SMMU does not have"),),
        lambda: trees(smmu("arm,smmu-v3", 1), host((0, 1, 1, 0x10000))),  # an SMMUv3 has up to 32
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_a_tree_must_not_say_is_told(case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(RULES, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_what_a_tree_barely_may_say_is_not_told(case: Case) -> None:
    """One ID, or one cell, further, nothing is said."""
    assert said(RULES, case.rule, case.keeps()) == []


def test_every_rule_has_its_cases_and_its_words() -> None:
    """No rule is without trees that break it."""
    assert_complete(RULES, CASES)
