r"""Names for what IOMMU tables only number: interrupt controllers, proximity domains, ACPI objects, host bridges.

The tables that declare IOMMUs say `I/O APIC 2`, `ITS 0`, `proximity domain 1`, `\_SB.USB0`. What these are stands in
the other tables of the machine. They are read when there is something that they name: to read them takes time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..parsers.acpi import Table, read_body
from .builder import TopologyBuilder
from .model import HOST_BRIDGE, Fact, Property
from .view import size

if TYPE_CHECKING:
    from ..parsers.acpi.namespace import Namespace

_Body = TypeVar("_Body")

_WITH_AML = ("DSDT", "SSDT", "PSDT")


def add_names(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    """Add what the tables that declare no IOMMU say of what is in the topology."""
    there = {table.signature for table in tables}
    kinds = {device.kind for device in builder.devices.values()}
    if "FACP" in there:
        _boot_flags(builder, tables)
    if "ioapic" in kinds and "APIC" in there:
        _io_apics(builder, tables)
    if "hpet" in kinds and "HPET" in there:
        _timers(builder, tables)
    if "APIC" in there and any(one.kind == "its" for one in builder.msi_controllers):
        _translation_services(builder, tables)
    if "SRAT" in there and any(name == "proximity domain" for unit in builder.iommus for name, _ in unit.properties):
        _domains(builder, tables)
    # An IORT and a RIMT name root complexes by segment only; reading AML costs too much where nothing needs it.
    if not there.isdisjoint(_WITH_AML) and ("acpi" in kinds or not there.isdisjoint(("IORT", "RIMT"))):
        _objects(builder, tables)


def _read(tables: Sequence[Table], signature: str, body: type[_Body]) -> Iterator[tuple[Table, _Body]]:
    """Iterate over the tables of a signature that can be read."""
    for table in tables:
        if table.signature == signature and isinstance(found := read_body(table).body, body):
            yield table, found


def _boot_flags(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    from ..parsers.acpi.fadt import Fadt
    from ..parsers.acpi.fadt.names import MSI_NOT_SUPPORTED

    for table, fadt in _read(tables, "FACP", Fadt):
        if fadt.iapc_boot_arch & MSI_NOT_SUPPORTED:
            builder.facts.append(Fact("message-signalled interrupts", value=False, origin=table.origin(fadt)))


def _io_apics(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    from ..parsers.acpi.madt import IoApic, Madt

    for _, madt in _read(tables, "APIC", Madt):
        for entry in madt.entries:
            if isinstance(entry, IoApic) and (name := f"ioapic:{entry.io_apic_id}") in builder.devices:
                builder.describe(name, ("registers", f"0x{entry.io_apic_address:x}"))
                builder.describe(name, ("interrupts from", entry.global_system_interrupt_base))


def _timers(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    from ..parsers.acpi.hpet import Hpet

    for _, hpet in _read(tables, "HPET", Hpet):
        if (name := f"hpet:{hpet.hpet_number}") in builder.devices:
            builder.describe(name, ("registers", f"0x{hpet.base_address:x}"))


def _translation_services(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    """Give the ITS of an IORT the addresses that the MADT has for them; a group of several has none of its own."""
    from ..parsers.acpi.madt import GicIts, Madt

    bases = {
        f"its:{entry.gic_its_id}": entry.physical_base_address
        for _, madt in _read(tables, "APIC", Madt)
        for entry in madt.entries
        if isinstance(entry, GicIts)
    }
    for index, one in enumerate(builder.msi_controllers):
        if one.base is None and one.kind == "its" and one.name in bases:
            builder.msi_controllers[index] = replace(one, base=bases[one.name])


def _domains(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    """Say what else is in the proximity domain of a unit."""
    from ..parsers.acpi.srat import Srat, contents

    found: dict[int, tuple[int, int]] = {}
    for table, srat in _read(tables, "SRAT", Srat):
        found |= contents(srat, table.header.revision)
    for index, unit in enumerate(builder.iommus):
        domain = dict(unit.properties).get("proximity domain")
        processors, memory = found.get(domain, (0, 0)) if isinstance(domain, int) else (0, 0)
        there: list[Property] = [("processors there", processors)] if processors else []
        there += [("memory there", size(memory))] if memory else []
        builder.iommus[index] = replace(unit, properties=(*unit.properties, *there))


def _objects(builder: TopologyBuilder, tables: Sequence[Table]) -> None:
    """Say of each ACPI object what the namespace has, and of each PCI root which objects are its host bridges."""
    from ..parsers.acpi.namespace import Namespace, namespace

    known = namespace(tables)
    if not isinstance(known, Namespace):
        builder.findings.append(known)
        return
    # What is missing are names only.
    builder.findings.extend(replace(one, severity="note") for one in known.findings)
    for name, device in list(builder.devices.items()):
        if device.kind == "acpi":
            for fact in _object_facts(known, name.partition(":")[2]):
                builder.describe(name, fact)
    bridges: dict[int, list[str]] = {}
    for one in known.devices:
        if one.hid in _HOST_BRIDGES or not _HOST_BRIDGES.isdisjoint(one.cids):
            bridges.setdefault(one.seg or 0, []).append(f"{one.path} (bus {one.bbn or 0:02x})")
    for index, root in enumerate(builder.roots):
        if root.segment in bridges:
            facts: tuple[Property, ...] = tuple((HOST_BRIDGE, one) for one in bridges[root.segment])
            builder.roots[index] = replace(root, properties=(*root.properties, *facts))


def _object_facts(known: Namespace, named: str) -> Iterator[Property]:
    """Iterate over what the namespace says of an object, named by its path, or by its `_HID` and `_UID`."""
    by_path = named.startswith("\\")
    hid, _, uid = named.partition(":")
    same = (one for one in known.devices if one.hid == hid and (not uid or str(one.uid) == uid))
    found = known.device(named) if by_path else next(same, None)
    if found is None:
        yield "not in the ACPI namespace", True
        return
    if not by_path:
        yield "path", found.path
    elif found.hid is not None:
        yield "_HID", found.hid
    if by_path and found.uid is not None:
        yield "_UID", found.uid
    for one in found.memory:
        yield "registers", f"0x{one.start:x} + {size(one.length)}"


_HOST_BRIDGES = frozenset({"PNP0A03", "PNP0A08"})
"""`_HID` or `_CID` of a PCI host bridge, and of one of PCI Express."""
