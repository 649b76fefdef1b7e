"""Names from the tables that declare no IOMMU: literal answers on boards, and tables made for it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from iommuman.base import Finding, Origin
from iommuman.parsers.acpi import Table
from iommuman.parsers.acpi.asl import AcpiMemory
from iommuman.parsers.acpi.namespace import AcpiDevice, Namespace
from iommuman.parsers.sources import Inputs
from iommuman.topology import Device, Topology, assemble, load_topology
from iommuman.topology.builder import TopologyBuilder
from iommuman.topology.named import add_names

from tests.conftest import BOARDS, HANDMADE

from .check.boards import HPET as HPET_SCOPE
from .check.boards import REST, dmar, drhd, gic_its, hpet, io_apic, iort, its_group, madt, rhsa, scope, srat, table

PROCESSORS = struct.pack("<BBHIIIII", 2, 24, 0, 1, 0, 1, 0, 0) + struct.pack("<BBHIIIII", 2, 24, 0, 1, 1, 0, 0, 0)
"""Two processors of domain 1, the second of which is not enabled."""


def named(*tables: Table) -> Topology:
    """Return the topology of tables, with names."""
    return assemble(Inputs(tables=list(tables)), named=True)


def test_an_io_apic_has_the_registers_and_interrupts_of_the_madt() -> None:
    """I/O APICs are found by their ID; one that no scope names is no device."""
    topology = named(dmar(REST), madt(io_apic(2), io_apic(3)))
    assert topology.devices["ioapic:2"].properties == (("registers", "0xfec00000"), ("interrupts from", 0))
    assert list(topology.devices) == ["ioapic:2"]


def test_a_timer_has_the_registers_of_the_hpet() -> None:
    """The number in the scope is that of the table."""
    timer = drhd(0xFED91000, scope(HPET_SCOPE, (15, 0)), flags=1)
    assert named(dmar(timer), hpet(0)).devices["hpet:0"].properties == (("registers", "0xfed00000"),)
    assert named(dmar(timer), hpet(1)).devices["hpet:0"].properties == ()


def test_an_its_has_the_base_of_the_madt() -> None:
    """An ITS is found by its GIC ITS ID; one that the MADT lacks stays without an address."""
    topology = named(iort(its_group(0), its_group(7)), madt(gic_its(0)))
    assert [(one.name, one.base) for one in topology.msi_controllers.values()] == [
        ("its:0", 0x8080000),
        ("its:7", None),
    ]


def test_a_proximity_domain_says_what_is_there() -> None:
    """Enabled processors and memory are counted; a domain with nothing has nothing said of it."""
    full = srat(1, 1)
    with_processors = table("SRAT", full.body.to_bytes() + PROCESSORS, revision=3)  # type: ignore[union-attr]
    unit = next(iter(named(dmar(REST, rhsa(0xFED91000, 1)), with_processors).iommus.values()))
    assert unit.properties[-3:] == (("proximity domain", 1), ("processors there", 1), ("memory there", "8 KiB"))
    unit = next(iter(named(dmar(REST, rhsa(0xFED91000, 2)), full).iommus.values()))
    assert unit.properties[-1] == ("proximity domain", 2)
    assert next(iter(named(dmar(REST), full).iommus.values())).properties == (("INCLUDE_PCI_ALL", True),)


def test_what_the_fadt_forbids_is_a_fact_of_the_machine() -> None:
    """With `MSI Not Supported` set, and only then, dump says so."""
    flags = bytearray(80)
    assert "message-signalled interrupts" not in {one.name for one in named(dmar(REST), fadt(flags)).facts}
    flags[73] = 8
    (fact,) = [one for one in named(dmar(REST), fadt(flags)).facts if one.name == "message-signalled interrupts"]
    assert fact.value is False
    assert fact.origin.part == "FACP"


def fadt(body: bytearray) -> Table:
    """Return a FADT of ACPI 1.0; its boot flags are at byte 73 of the body."""
    return table("FACP", bytes(body))


def test_tables_that_are_not_there_name_nothing() -> None:
    """A topology alone is the same with and without names; so is one whose neighbours are damaged."""
    for folder in (HANDMADE / "dmar-two-hop", HANDMADE / "iort-smmuv3"):
        plain, with_names = load_topology([str(folder)]), load_topology([str(folder)], named=True)
        assert plain.devices == with_names.devices
        assert plain.msi_controllers == with_names.msi_controllers
    timer = drhd(0xFED91000, scope(HPET_SCOPE, (15, 0)), flags=1)
    damaged = [table(name, b"") for name in ("APIC", "HPET", "SRAT", "FACP")]
    assert named(dmar(REST, timer, rhsa(0xFED91000, 1)), *damaged).devices["ioapic:2"].properties == ()


def test_host_bridges_of_a_board_are_named(need_tool: Callable[[str, str], str]) -> None:
    """The DSDT of the board with two root buses of one segment has both bridges, each with its first bus."""
    need_tool("iasl", "acpica-tools")
    topology = load_topology([str(BOARDS / "virt-smmuv3-numa")], named=True)
    assert topology.roots["pci:0000"].properties[-2:] == (
        ("host bridge", "\\_SB.PC40 (bus 40)"),
        ("host bridge", "\\_SB.PCI0 (bus 00)"),
    )


def acpi(
    path: str, hid: str | None = None, uid: int | str | None = None, memory: tuple[AcpiMemory, ...] = ()
) -> AcpiDevice:
    """Return a device of the namespace."""
    return AcpiDevice(path, hid, (), uid, None, None, None, memory, Origin("D", "DSDT"))


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("acpi:\\_SB_.USB0", (("_HID", "PNP0D15"), ("_UID", 3), ("registers", "0x1000 + 4 KiB"))),
        ("acpi:\\_SB.DMA0", ()),
        ("acpi:\\_SB.NONE", (("not in the ACPI namespace", True),)),
        ("acpi:AMDI0020", (("path", "\\_SB.FUR0"),)),
        ("acpi:AMDI0020:1", (("path", "\\_SB.FUR1"),)),
        ("acpi:AMDI0020:2", (("not in the ACPI namespace", True),)),
    ],
)
def test_an_acpi_device_is_found_by_path_or_hardware_id(
    name: str, facts: tuple[tuple[str, object], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path may be padded; a hardware ID with a number means the device with that `_UID`, without one the first."""
    devices = (
        acpi("\\_SB.USB0", "PNP0D15", 3, (AcpiMemory(0x1000, 0x1000, window=False),)),
        acpi("\\_SB.DMA0"),
        acpi("\\_SB.FUR0", "AMDI0020", 0),
        acpi("\\_SB.FUR1", "AMDI0020", "1"),
    )
    warning = Finding("NAMESPACE-TABLE", "warning", Origin("S", "SSDT"), "iasl cannot disassemble it")
    monkeypatch.setattr("iommuman.parsers.acpi.namespace.namespace", lambda _: Namespace(devices, (warning,)))
    builder = TopologyBuilder()
    builder.device(Device(name, "acpi", Origin("T")))
    add_names(builder, [table("DSDT", b"")])
    assert builder.devices[name].properties == facts
    assert [(one.rule, one.severity) for one in builder.findings] == [("NAMESPACE-TABLE", "note")]


def test_without_iasl_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps the namespace from being read becomes a note; without AML nothing is said."""
    reason = Finding("NAMESPACE-IASL", "note", Origin("D"), "the ACPI namespace cannot be read without iasl")
    monkeypatch.setattr("iommuman.parsers.acpi.namespace.namespace", lambda _: reason)
    builder = TopologyBuilder()
    builder.device(Device("acpi:\\_SB.USB0", "acpi", Origin("T")))
    add_names(builder, [])
    assert builder.findings == []
    add_names(builder, [table("SSDT", b"")])
    assert builder.findings == [reason]
