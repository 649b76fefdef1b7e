"""Who did it: genuine faults of the fixture boards come out at the device that did them; and what an address is."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from iommuman.base import Origin
from iommuman.faults import Fault
from iommuman.faults import attribute as module
from iommuman.faults.attribute import MOST_LISTED, Attributor, attribute
from iommuman.faults.raw import decode_many, from_words, smmuv3, vtd
from iommuman.iommu.amdvi.names import EventCode
from iommuman.iommu.smmuv3.model import Model, Transaction
from iommuman.iommu.vtd.model import WRITE, RemappingUnit
from iommuman.manager import Access, Manager, simulate
from iommuman.parsers.pci import PciFunction, PciTopology
from iommuman.topology import (
    Device,
    Grant,
    IdMap,
    Iommu,
    MsiController,
    PciRoot,
    ReservedRegion,
    StreamRange,
    Topology,
)
from iommuman.topology.builder import TopologyBuilder

from tests.conftest import BOARDS
from tests.faults.test_units import board

HERE = Origin("here")
BRIDGED = {"0000:02:01.0", "0000:02:02.0"}
"""Behind a conventional bridge of the large boards, so that they share its ID."""

_DMAR = re.compile(
    r"\[DMA (Read|Write).*device \[(?:[0-9a-f]{4}:)?([0-9a-f]{2}:[0-9a-f.]+)\] "
    r"fault addr 0x([0-9a-f]+) \[fault reason 0x([0-9a-f]+)\]"
)
_AMD = re.compile(
    r"(?:0000:(?P<by>\S+): )?AMD-Vi: Event logged \[(?P<code>[A-Z_]+) (?:device=0000:(?P<device>\S+) )?"
    r".*address=0x(?P<address>[0-9a-f]+) flags=0x(?P<flags>[0-9a-f]+)"
)


def genuine() -> list[tuple[str, str, list[str]]]:
    """Return (board, device, lines) of the faults that were provoked in Linux, where the unit's record can be had."""
    found = []
    for path in sorted(BOARDS.glob("*/linux/faults.json")):
        if path.parts[-3].startswith(("q35-vtd", "q35-amd", "virt-")) and "virtio" not in str(path):
            document = json.loads(Path(path).read_text())
            found += [(path.parts[-3], one["device"], one["lines"]) for one in document["faults"] if one["lines"]]
    return found


def faults_of(lines: list[str]) -> list[Fault]:
    """Return the records that the lines show: VT-d's and AMD-Vi's put together, SMMUv3's as its four words."""
    found = []
    for number, line in enumerate(lines):
        if match := _DMAR.search(line):
            bus, device, function = (int(part, 16) for part in re.split("[:.]", match[2]))
            sid, read = bus << 8 | device << 3 | function, match[1] == "Read"
            raw = vtd.encode(FI=int(match[3], 16), SID=sid, FR=int(match[4], 16), T1=read, F=1)
            found.append(vtd.decode(raw, Origin("log", line=number)))
        elif match := _AMD.search(line):
            bus, device, function = (int(part, 16) for part in re.split("[:.]", match["by"] or match["device"]))
            second = EventCode[match["code"]] << 28 | int(match["flags"], 16) << 16
            words = f"0x{bus << 8 | device << 3 | function:x} 0x{second:x} 0x{match['address']} 0x0"
            found.append(from_words(words, architecture="amdvi", iommu="ivhd0")[0].fault)
        elif "event 0x" in line and "received:" in line and len(lines) > number + 4:
            words = " ".join(one.split(": ", 1)[1].strip() for one in lines[number + 1 : number + 5])
            unit = line.split("arm-smmu-v3 ")[1].split(":")[0]
            found.append(from_words(words, architecture="smmuv3", iommu=unit)[0].fault)
    return found


@pytest.mark.parametrize(("name", "device", "lines"), genuine(), ids=lambda one: one if isinstance(one, str) else "")
def test_genuine_faults_lead_to_the_device_that_did_them(name: str, device: str, lines: list[str]) -> None:
    """Of every record that Linux printed the device that really did it is the one candidate, or one of those alike."""
    topology = board(name)
    faults = faults_of(lines)
    assert faults
    for fault in faults:
        found = attribute(fault, topology)
        assert device in found.devices
        assert found.unit.name in topology.iommus
        alike = {one.name for one in found.candidates if not one.bridge}
        assert alike == (BRIDGED if device in BRIDGED and name != "virt-smmuv3-numa" else {device})
        assert [one.bridge for one in found.candidates] == sorted(one.bridge for one in found.candidates)
        assert found.candidates[0].driver == "pci-stub"


def read(identifier: int, address: int = 0x11110000, code: int = 6) -> Fault:
    """Return a read that a VT-d unit refused."""
    return vtd.decode(vtd.encode(FI=address, SID=identifier, FR=code, T1=1, F=1), HERE)


def test_a_candidate_has_its_way_and_what_it_is() -> None:
    """The hops with their origins, the class and the driver of the capture."""
    (one,) = attribute(read(0x18), board("q35-vtd")).candidates
    assert str(one) == "0000:00:03.0 (SCSI controller, driver pci-stub)"
    assert (one.why, one.unit, one.listed) == ("it sends this ID", "vtd@fed90000", True)
    assert [str(hop.origin).rpartition("/")[2] for hop in one.hops] == ["DMAR.bin: DMAR+0x58 (8 bytes)"]


def test_the_id_of_a_bridge_is_explained() -> None:
    """08:01.0 comes as 08:00.0, which no function has."""
    (one,) = attribute(read(0x800), board("q35-vtd")).candidates
    assert (one.name, one.why) == (
        "0000:08:01.0",
        "it has this ID as PCI Express to PCI bridge 0000:07:00.0 sends it",
    )


def test_a_function_that_does_not_exist() -> None:
    """Question 16: the ID is that of no function; what is on its bus helps."""
    found = attribute(read(0x128, code=0x26), board("q35-vtd"))
    assert [(one.name, one.listed) for one in found.candidates] == [("0000:01:05.0", False)]
    assert found.hints == ("no source lists 0000:01:05.0; on its bus there are 0000:01:00.0",)


@pytest.mark.parametrize(
    ("bus", "hint"),
    [
        (1, "no source lists 0000:01:00.0; on its bus there are 0000:01:08.0"),
        (2, "no source lists 0000:02:00.0, nor anything else on its bus, which is behind 0000:00:02.0"),
        (3, "no source lists 0000:03:00.0, nor any bridge that leads to its bus"),
    ],
)
def test_what_is_near_a_function_that_does_not_exist(bus: int, hint: str) -> None:
    """What is on its bus, the bridge that leads there, or that none does."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("vtd@1000", "vtd", HERE, 0x1000))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    builder.maps.append(IdMap("pci:0000", "vtd@1000", 0, 0x10000, 0, HERE, "device scope"))
    bridges = [
        PciFunction(0, 0x8, HERE, secondary=1, subordinate=1),
        PciFunction(0, 0x10, HERE, secondary=2, subordinate=2),
    ]
    builder.pci.append(PciTopology((*bridges, PciFunction(0, 0x140, HERE))))
    found = attribute(read(bus << 8), Topology(builder))
    assert [one.listed for one in found.candidates] == [False]
    assert found.hints == (hint,)


def test_the_unit_is_told_by_the_id_when_only_one_gets_it() -> None:
    """Five units and a record without a name: the graphics function is behind one of them."""
    found = attribute(read(0x10), board("dmar-segments"))
    assert (found.unit.name, found.devices) == ("vtd@fed90000", ("0000:00:02.0",))
    assert found.unit.why == "no other unit gets this ID from a known device"
    alone = attribute(read(0x7), board("dmar-satc-sidp"))
    assert (alone.unit.name, alone.unit.why, alone.devices) == (
        "vtd@fed91000",
        "no other unit gets this ID",
        ("0000:00:00.7",),
    )


def test_a_segment_that_the_source_tells_counts() -> None:
    """The same requester ID of another segment is another device."""
    topology = board("dmar-segments")
    fault = read(0x8020)
    assert attribute(replace(fault, segment=1), topology).devices == ("0001:80:04.0",)
    assert all(not one.listed for one in attribute(replace(fault, segment=0), topology).candidates)


def test_a_device_that_the_source_names() -> None:
    """It agrees with its ID, or the doubt is said; without an ID it is the candidate."""
    topology = board("virt-smmuv3-acpi")
    fault = smmuv3.decode(smmuv3.encode(Number=0x10, StreamID=0x20, RnW=1, InputAddr=0x1000), HERE)
    assert attribute(replace(fault, device="0000:00:04.0"), topology).conflicts == ()
    assert attribute(replace(fault, device="0000:01:00.0"), topology).conflicts == (
        "its source names 0000:01:00.0, but the ID 0x20 is that of 0000:00:04.0",
    )
    assert attribute(replace(fault, device="eth9"), topology).conflicts == ("there is no device 'eth9'",)
    found = attribute(replace(fault, identifier=None, device="00:04.0"), topology)
    assert (found.devices, found.candidates[0].why) == (("0000:00:04.0",), "the source of the fault names it")
    assert attribute(replace(fault, identifier=None, device="eth9"), topology).candidates == ()


def test_a_device_that_is_behind_another_unit() -> None:
    """The source names a device that the unit cannot know."""
    fault = replace(read(0x10), iommu="vtd@fed92000", identifier=None, device="0000:00:02.0")
    assert attribute(fault, board("dmar-segments")).conflicts == (
        "its source names 0000:00:02.0, which is behind vtd@fed90000",
    )


def made() -> Topology:
    """Return a board with one SMMU, three devices of which two share an ID, reserved memory, a grant, a doorbell."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("smmuv3@9050000", "smmuv3", Origin("IORT", "IORT", 0x48), 0x9050000, 0x20000))
    for name, number in (("acpi:DMA0", 0x10), ("acpi:DMA1", 0x20), ("acpi:DMA2", 0x20)):
        builder.devices[name] = Device(name, "acpi", Origin("IORT", name))
        builder.maps.append(IdMap(name, "smmuv3@9050000", 0, 1, number, HERE, "ID mapping", single=True))
    builder.reserved += [
        ReservedRegion("rmr", 0x80000000, 0x10000, Origin("IORT", "RMR"), "direct", streams=(
            StreamRange("smmuv3@9050000", 0x10, 1),)),
        ReservedRegion("rmrr", 0x90000000, 0x10000, HERE, "direct", devices=("acpi:DMA1",)),
    ]  # fmt: skip
    builder.grants += [
        Grant(
            "ring",
            0xA0000000,
            0x2000,
            read=True,
            write=False,
            devices=("acpi:DMA0",),
            origin=Origin("board.smmu", line=7),
        ),
        Grant("nobody", 0xA1000000, 0x2000, read=False, write=False, devices=(), origin=Origin("board.smmu", line=9)),
    ]
    builder.msi_controllers += [
        MsiController("its:0", "its", HERE, 0x8080000),
        MsiController("v2m", "gic-v2m", HERE, 0x7020000),
        MsiController("its:1", "its", HERE),
    ]
    return Topology(builder)


def translation(identifier: int, address: int, number: int = 0x10) -> Fault:
    """Return a read that an SMMUv3 refused."""
    return smmuv3.decode(smmuv3.encode(Number=number, StreamID=identifier, RnW=1, InputAddr=address), HERE)


def test_devices_that_share_an_id_are_all_candidates() -> None:
    """None of them is picked."""
    found = attribute(translation(0x20, 0x1000), made())
    assert found.devices == ("acpi:DMA1", "acpi:DMA2")
    assert found.cause is not None
    assert "DMA" not in found.cause.text


def test_an_id_that_nobody_sends() -> None:
    """No candidate, and no guess."""
    assert attribute(translation(0x77, 0x1000), made()).candidates == ()
    assert attribute(translation(0x77, 0x1000), board("q35-vtd")).unit.possible == ()


def test_a_record_without_an_id() -> None:
    """The unit is all that is known."""
    fault = Fault(HERE, "vtd", name="PFO", lost=True)
    found = attribute(fault, board("q35-vtd"))
    assert (found.unit.name, found.candidates) == ("vtd@fed90000", ())


def test_very_many_candidates_are_counted() -> None:
    """Memory stays bounded; how many there are is told."""
    builder = TopologyBuilder()
    builder.iommus.append(Iommu("smmuv3@1000", "smmuv3", HERE, 0x1000))
    builder.roots.append(PciRoot("pci:0000", HERE, 0))
    for number in range(MOST_LISTED + 6):
        name = f"acpi:D{number}"
        builder.devices[name] = Device(name, "acpi", HERE)
        builder.maps.append(IdMap(name, "smmuv3@1000", 0, 1, 5, HERE, "ID mapping", single=True))
    found = attribute(translation(5, 0x1000), Topology(builder))
    assert (len(found.candidates), found.more) == (64, 6)


def test_many_faults_of_one_board(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same whether or not the ID has been seen before, and after all have been forgotten."""
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    topology = made()
    attributor = Attributor(topology)
    faults = [
        translation(number, address) for address in (0xA0002000, 0x80000010) for number in (0x10, 0x20, 0x30, 0x10)
    ]
    assert [attributor(fault) for fault in faults] == [attribute(fault, topology) for fault in faults]


@pytest.mark.parametrize(
    ("name", "unit", "device"),
    [("virt-smmuv3-acpi", "smmuv3@9050000", "0000:00:03.0"), ("q35-vtd", "vtd@fed90000", "0000:00:03.0")],
)
def test_records_of_a_managed_unit_lead_to_its_device(name: str, unit: str, device: str) -> None:
    """What the manager is told of a refused access is what the raw record says, and the board finds the same device."""
    topology = board(name)
    machine = simulate(topology)
    manager = Manager(topology, machine.ports, machine.private)
    client = manager.attach("vm")
    number = manager.create_object(client)
    manager.map(client, number, 0x80000000, 0x1000, Access.READ)
    manager.add_device(client, number, device)
    model = machine.models[unit]
    if isinstance(model, Model):
        model.access(Transaction(0x18, 0x90000000, write=True))
    else:
        assert isinstance(model, RemappingUnit)
        model.translate(0x18, 0x90000000, WRITE)
    (incident,) = manager.poll()
    refusal = incident.refusal
    (fault,) = decode_many(refusal.raw, "vtd" if name == "q35-vtd" else "smmuv3", iommu=refusal.unit)
    assert (fault.identifier, fault.address, fault.access) == (0x18, 0x90000000, "write")
    assert (fault.code, fault.address_bits == 0) == (refusal.code, refusal.exact)
    assert attribute(fault, topology).devices == incident.devices == (device,)
