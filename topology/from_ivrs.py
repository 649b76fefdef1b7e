"""What an IVRS says: which AMD IOMMU controls which requester ID, I/O APIC, HPET or ACPI device.

Entries name device IDs, which are requester IDs, one by one, in ranges, or all. An alias entry says that the requests
of its devices arrive with another ID, and it is that one's entry of the device table that counts. Where entries speak
of one ID twice, the later one counts, and an alias whatever comes after it, as in Linux (`drivers/iommu/amd/init.c`).
Of the blocks that describe one unit, only those of the highest type count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import Literal, NamedTuple

from ..base import Finding, Origin, RangeSet, format_pci_address
from ..parsers.acpi import Raw, Table
from ..parsers.acpi.ivrs import (
    AliasEntry,
    Entry,
    ExtendedEntry,
    HidEntry,
    IvhdExtended,
    IvhdFixed,
    Ivmd,
    Ivrs,
    SpecialEntry,
)
from ..parsers.acpi.ivrs import names as words
from .builder import TopologyBuilder
from .model import ITSELF, Device, Fact, IdMap, Iommu, Property, ReservedRegion, StreamRange

CLAUSE = "AMD 48882 §5.2.2"
LAST_ID = 0xFFFF
MOST_RANGES = 1024
"""Memory blocks for ranges of devices of which the aliases are looked for; machines have a few."""

SMALL, LARGE = 0x4000, 0x80000
"""Bytes of a unit's registers without and with performance counters."""

_STARTS = (words.RANGE_START, words.ALIAS_START, words.EXTENDED_START)


Unit = IvhdFixed | IvhdExtended
"""The blocks that describe a unit."""


class _Claim(NamedTuple):
    """IDs that a unit takes: the first and the last, what they become (None: themselves), and who says so."""

    first: int
    last: int
    alias: int | None
    setting: int
    rule: str
    origin: Origin


class _Run(NamedTuple):
    """IDs, the first and the last, that a unit takes by a claim."""

    first: int
    last: int
    unit: str
    claim: _Claim


class _Alias(NamedTuple):
    """IDs, the first and the last, that arrive at a unit with one other."""

    first: int
    last: int
    target: str
    output: int


def add_ivrs(builder: TopologyBuilder, table: Table, body: Ivrs) -> None:
    """Add what the table says. PCI topologies have been added before: settings of ranges are noted at what is known."""
    _Reader(builder, table, body).run()


class _Reader:
    """Walks one table; holds what all its parts need."""

    def __init__(self, builder: TopologyBuilder, table: Table, body: Ivrs) -> None:
        self.builder = builder
        self.table = table
        self.body = body
        self.names: dict[tuple[int, int], str] = {}
        self.claims: dict[tuple[int, int], list[_Claim]] = {}
        self.named: set[str] = set()
        self.aliases: dict[int, list[_Alias]] = {}
        self.ranges = 0

    def run(self) -> None:
        self.add_facts()
        units = list(self.units())
        self.note_other_types(units)
        for unit in units:
            self.add_unit(unit)
        segments = dict.fromkeys(unit.segment for unit in units)
        for segment in segments:
            self.add_maps(segment, [unit for unit in units if unit.segment == segment])
        for segment in segments:
            self.add_settings(segment)
        for block in self.body.blocks:
            if isinstance(block, Ivmd):
                self.add_reserved(block)

    def report(self, rule: str, severity: Literal["error", "warning", "note"], origin: Origin, message: str,
               **details: str) -> None:  # fmt: skip
        details.setdefault("clause", CLAUSE)
        self.builder.findings.append(Finding(rule, severity, origin, message, **details))

    def add_facts(self) -> None:
        """Note what the table's own fields say of the machine."""
        origin = self.table.origin(self.body)
        info = self.body.iv_info
        widths = (("physical address width", info >> 8 & 0x7F), ("virtual address width", info >> 15 & 0x7F))
        self.builder.facts.extend(Fact(name, width, origin) for name, width in widths if width)
        flags = (("DMA remapped before hand-over", info & 2), ("HyperTransport ATS range reserved", info & 1 << 22))
        self.builder.facts.extend(Fact(name, bool(flag), origin) for name, flag in flags)

    def units(self) -> Iterator[Unit]:
        """Iterate over the blocks that count: of each unit the one of the highest type."""
        blocks = [block for block in self.body.blocks if isinstance(block, Unit)]
        highest: dict[tuple[int, int], int] = {}
        for block in blocks:
            key = (block.segment, block.device_id)
            highest[key] = max(highest.get(key, 0), block.type)
        seen = set()
        for block in blocks:
            key = (block.segment, block.device_id)
            if block.type != highest[key]:
                continue
            origin = self.table.origin(block, block.length)
            if not block.base_address:
                self.report(
                    "IVRS-UNIT-BASE", "error", origin, "the unit has no registers", field="IOMMU Base Address",
                    found="0", expected="the address of its registers",
                    advice="it is left out (Linux uses no unit at all then: 'Can not reserve memory region')",
                )  # fmt: skip
            elif key in seen:
                self.report(
                    "IVRS-UNIT-TWICE", "warning", origin,
                    f"the unit {format_pci_address(*key)} is declared twice by blocks of one type",
                    advice="the second declaration is left out (Linux takes it for another unit)",
                )  # fmt: skip
            else:
                seen.add(key)
                yield block

    def note_other_types(self, units: list[Unit]) -> None:
        """Say which units Linux passes over: it takes the blocks of one type, that of the first unit, for all."""
        if not units:
            return
        wanted = units[0].type
        for unit in units[1:]:
            if unit.type != wanted:
                self.report(
                    "IVRS-UNIT-TYPE", "warning", self.table.origin(unit, unit.length),
                    f"the unit {format_pci_address(unit.segment, unit.device_id)} has no block of the type that the "
                    "first unit has", field="Type", found=f"0x{unit.type:02x}", expected=f"0x{wanted:02x}",
                    advice="describe all units by blocks of the same types (Linux uses one type for all, and so not "
                    "this unit)",
                )  # fmt: skip

    def add_unit(self, unit: Unit) -> None:
        """Add a unit, and read what it claims."""
        origin = self.table.origin(unit, unit.length)
        name = self.builder.unique(f"amdvi@{unit.base_address:x}")
        self.names[unit.segment, unit.device_id] = name
        size, properties = _register_bytes(unit), tuple(_properties(unit))
        self.builder.iommus.append(
            Iommu(name, "amdvi", origin, unit.base_address, size, unit.segment, properties=properties)
        )
        self.claims[unit.segment, unit.device_id] = list(self.read_entries(unit, name))

    def read_entries(self, unit: Unit, name: str) -> Iterator[_Claim]:
        """Iterate over what the entries of a unit claim, and add the devices that they name."""
        start: Entry | None = None
        for entry in unit.entries:
            if isinstance(entry, Raw) or entry.type == words.PADDING:
                continue
            if start is not None and entry.type in _STARTS:
                self.report_open(start, f"another that begins at 0x{entry.device_id:04x}")
            elif start is not None and entry.type != words.RANGE_END:
                self.report(
                    "IVRS-RANGE-SPLIT", "error", self.table.origin(entry),
                    "an entry stands between the start and the end of a range", field="Type", found=str(entry.type),
                    expected="4", advice="both count, as in Linux (Xen refuses the table)",
                )  # fmt: skip
            if entry.type in _STARTS:
                start = entry
            elif entry.type == words.RANGE_END:
                yield from self.end_range(start, entry)
                start = None
            elif isinstance(entry, SpecialEntry):
                yield from self.add_special(name, entry)
            elif isinstance(entry, HidEntry):
                yield from self.add_hid(name, unit, entry)
            else:
                yield from self.select(unit, entry)
        if start is not None:
            self.report_open(start, "the end of the block")

    def report_open(self, start: Entry, found: str) -> None:
        """Say that a range has no end."""
        self.report(
            "IVRS-RANGE-OPEN", "error", self.table.origin(start), "a range begins and does not end", found=found,
            expected="an entry of type 4", advice="the range is left out, as in Linux",
        )  # fmt: skip

    def select(self, unit: Unit, entry: Entry) -> Iterator[_Claim]:
        """Return the claim of an entry for one ID, or for all; the function of one ID becomes a device."""
        origin = self.table.origin(entry)
        if entry.type == words.ALL:
            yield _Claim(0, LAST_ID, None, entry.data_setting, "all", origin)
            return
        self.add_function(unit.segment, entry, origin)
        yield from self.claim(entry, entry.device_id, entry.device_id, origin)

    def add_function(self, segment: int, entry: Entry, origin: Origin) -> None:
        """Add the function that an entry names."""
        address = self.function(segment, entry.device_id, origin)
        if isinstance(entry, ExtendedEntry) and entry.extended_data >> 31:
            self.builder.describe(address, ("ATS disabled", True))

    def function(self, segment: int, rid: int, origin: Origin) -> str:
        """Add a PCI function that the table names, and return its name."""
        address = format_pci_address(segment, rid)
        if self.builder.pci and address not in self.builder.devices:
            self.report("IVRS-DEVICE-ABSENT", "note", origin, f"the table names {address}, which is not there")
        return self.builder.device(Device(address, "pci", origin, segment, rid))

    def end_range(self, start: Entry | None, end: Entry) -> Iterator[_Claim]:
        """Return the claim of a range."""
        if start is None:
            self.report(
                "IVRS-RANGE-END", "error", self.table.origin(end), "a range ends that has not begun",
                advice="the entry is left out (Linux takes the start of the range before it, or 0)",
            )  # fmt: skip
            return
        if end.device_id < start.device_id:
            self.report(
                "IVRS-RANGE-ORDER", "error", self.table.origin(end), "a range ends before it begins", field="DeviceID",
                found=f"0x{end.device_id:04x}", expected=f"at least 0x{start.device_id:04x}",
                advice="the range is left out",
            )  # fmt: skip
            return
        yield from self.claim(start, start.device_id, end.device_id, self.table.origin(start))

    def claim(self, entry: Entry, first: int, last: int, origin: Origin) -> Iterator[_Claim]:
        """Return the claims of an entry for some IDs; an alias entry claims the alias too."""
        rule = words.ENTRIES[entry.type].removesuffix(" start of range").replace("start of range", "range")
        if not isinstance(entry, AliasEntry):
            yield _Claim(first, last, None, entry.data_setting, rule, origin)
            return
        alias = entry.source_device_id
        yield _Claim(alias, alias, None, entry.data_setting, f"{rule} target", origin)
        yield _Claim(first, last, alias, entry.data_setting, rule, origin)

    def add_special(self, unit: str, entry: SpecialEntry) -> Iterator[_Claim]:
        """Add an I/O APIC or HPET, and return the claim of its ID."""
        origin = self.table.origin(entry)
        kinds: dict[int, Literal["ioapic", "hpet"]] = {words.IOAPIC: "ioapic", words.HPET: "hpet"}
        kind = kinds.get(entry.variety)
        if kind is None:
            self.report(
                "IVRS-SPECIAL-TYPE", "warning", origin, "a special device of a reserved variety", field="Variety",
                found=str(entry.variety), expected="1 or 2",
                advice="it is left out (Linux gives up on all units then)",
            )  # fmt: skip
            return
        name = f"{kind}:{entry.handle}"
        rule = f"{words.VARIETIES[entry.variety]} entry"
        self.add_named(Device(name, kind, origin), unit, entry.source_device_id, entry, rule)
        yield _Claim(entry.source_device_id, entry.source_device_id, None, entry.data_setting, rule, origin)

    def add_hid(self, unit: str, block: Unit, entry: HidEntry) -> Iterator[_Claim]:
        """Add a device of the ACPI namespace, and return the claim of its ID."""
        origin = self.table.origin(entry, entry.layout.size + len(entry.unique_id))
        if block.type != words.IVHD_HID:
            self.report(
                "IVRS-HID-TYPE", "warning", origin, f"an ACPI HID entry is not for an IVHD of type {block.type:02x}h",
                found="type 240", expected="in a block of type 40h",
                advice="it is left out (Linux: 'Invalid IVHD device type 0xf0')",
            )  # fmt: skip
            return
        hid, uid = entry.hid, entry.uid
        if not hid:
            self.report(
                "IVRS-HID-EMPTY", "error", origin, "an ACPI HID entry names no hardware ID", field="Hardware ID",
                found="zeros", advice="it is left out (Linux: 'Invalid HID.')",
            )  # fmt: skip
            return
        name = f"acpi:{uid}" if uid.startswith("\\") else f"acpi:{hid}:{uid}" if uid else f"acpi:{hid}"
        properties: tuple[Property, ...] = (("hardware ID", hid),) if uid else ()
        self.add_named(Device(name, "acpi", origin, properties=properties), unit, entry.device_id, entry, "HID entry")
        yield _Claim(entry.device_id, entry.device_id, None, entry.data_setting, "HID entry", origin)

    def add_named(self, device: Device, unit: str, number: int, entry: Entry, rule: str) -> None:
        """Add a device that is no PCI function, with its map; of two entries for one, Linux takes the first."""
        if device.name in self.named:
            self.report(
                "IVRS-DEVICE-TWICE", "warning", device.origin, f"{device.name} is named twice",
                advice="the first entry counts, as in Linux",
            )  # fmt: skip
            return
        self.named.add(device.name)
        self.builder.device(device)
        for fact in _settings(entry.data_setting):
            self.builder.describe(device.name, fact)
        self.builder.maps.append(IdMap(device.name, unit, 0, 1, number, device.origin, rule, "both", single=True))

    def add_maps(self, segment: int, units: list[Unit]) -> None:
        """Add the maps of a segment's requester IDs, those that count first."""
        root = self.builder.segment_root(segment, self.table.origin(units[0], units[0].length))
        for unit in units:
            # "The IVRS table tells us so, but this is a lie!" (Linux): no unit translates its own accesses.
            origin = self.table.origin(unit)
            self.builder.maps.append(IdMap(root, None, unit.device_id, 1, None, origin, ITSELF))
        claims = [(self.names[key], one) for key in self.claims if key[0] == segment for one in self.claims[key]]
        claims.reverse()  # the later one counts
        self.add_aliases(segment, root, claims, len(units))
        for unit_name, one in dict.fromkeys(claims):
            if one.alias is None:
                length = one.last - one.first + 1
                self.builder.maps.append(IdMap(root, unit_name, one.first, length, one.first, one.origin, one.rule))

    def add_aliases(self, segment: int, root: str, claims: list[tuple[str, _Claim]], units: int) -> None:
        """Add the maps of aliases: Linux keeps an ID's alias, whichever unit and entry claim the ID after that."""
        aliases = [one for one in claims if one[1].alias is not None]
        by_alias = _painted(aliases)
        owners = _painted(claims) if aliases and units > 1 else by_alias
        made = self.aliases.setdefault(segment, [])
        for run, owner in _owned(by_alias, owners):
            one = run.claim
            made.append(_Alias(run.first, run.last, owner, one.alias or 0))
            count = run.last - run.first + 1
            self.builder.maps.append(
                IdMap(root, owner, run.first, count, one.alias, one.origin, one.rule, merges=count > 1)
            )

    def add_settings(self, segment: int) -> None:
        """Note the settings of device table entries at the functions that are known, as Linux picks them."""
        flagged = [
            (self.names[key], claim)
            for key, claims in self.claims.items()
            if key[0] == segment
            for claim in claims
            if claim.setting
        ]
        # Linux: the smallest range that holds an ID, and of two alike the first (`amd_iommu_get_ivhd_dte_flags`)
        found = _painted(sorted(flagged, key=lambda pair: pair[1].last - pair[1].first))
        for device in list(self.builder.devices.values()):
            if found and device.segment == segment and device.rid is not None:
                run = found[max(bisect_right(found, device.rid, key=attrgetter("first")) - 1, 0)]
                if run.first <= device.rid <= run.last:
                    for fact in _settings(run.claim.setting):
                        self.builder.describe(device.name, fact)

    def add_reserved(self, block: Ivmd) -> None:
        """Add the memory that some devices must keep reaching."""
        origin = self.table.origin(block)
        unity, exclusion = bool(block.flags & 1), bool(block.flags & 8)
        if not unity and not exclusion:
            self.report(
                "IVRS-MEMORY-FLAGS", "warning", origin, "a memory block asks for nothing", field="Flags",
                found=f"0x{block.flags:02x}", expected="Unity or ExclusionRange", advice="it is left out, as in Linux",
            )  # fmt: skip
            return
        if not block.memory_length:
            self.report(
                "IVRS-MEMORY-RANGE", "error", origin, "a memory block is empty", field="Memory Length", found="0",
                expected="a multiple of 4 KiB", advice="it is left out",
            )  # fmt: skip
            return
        access = {0: "none", 2: "read", 4: "write", 6: "read and write"}[block.flags & 6]
        properties: tuple[Property, ...] = (("exclusion range", True),) if exclusion else (("access", access),)
        devices: tuple[str, ...] = ()
        if block.type == words.IVMD_ONE:
            devices = (self.function(block.segment, block.device_id, origin),)
        self.builder.reserved.append(
            ReservedRegion(
                "ivmd",
                block.start_address,
                block.memory_length,
                origin,
                "avoid" if exclusion else "direct",
                devices=devices,
                streams=() if devices else tuple(self.streams(block)),
                properties=properties,
            )
        )

    def concerned(self, block: Ivmd) -> tuple[int, int]:
        """Return the first and last ID that a memory block for more than one device is for."""
        if block.type == words.IVMD_ALL:
            return 0, LAST_ID
        return block.device_id, block.auxiliary_data

    def streams(self, block: Ivmd) -> Iterator[StreamRange]:
        """Iterate over the IDs at the units of a segment that the requester IDs of a block arrive with."""
        first, last = self.concerned(block)
        if last < first:
            return
        for key, name in self.names.items():
            if key[0] == block.segment:
                yield StreamRange(name, first, last - first + 1)
        if block.type != words.IVMD_RANGE:
            return
        self.ranges += 1
        if self.ranges > MOST_RANGES:
            if self.ranges == MOST_RANGES + 1:
                self.report(
                    "IVRS-MEMORY-MANY", "warning", self.table.origin(block),
                    "there are more memory blocks for ranges than a machine has", found=f"more than {MOST_RANGES}",
                    advice="of this one and those after it, the aliases of their devices are not looked for",
                )  # fmt: skip
            return
        found = {(one.target, one.output) for one in self.aliases.get(block.segment, ()) if _overlap(one, first, last)}
        for target, alias in sorted(found):
            if not first <= alias <= last:
                yield StreamRange(target, alias, 1)


def _overlap(one: _Alias, first: int, last: int) -> bool:
    """Tell whether any of the IDs of an alias is in a range."""
    return one.first <= last and first <= one.last


def _register_bytes(unit: Unit) -> int:
    """Return the size of a unit's register window: larger with performance counters."""
    if isinstance(unit, IvhdExtended):
        return LARGE if unit.efr_image >> words.EFR["PCSup"][0] & 1 else SMALL
    features = unit.feature_reporting
    return LARGE if features >> 13 & 0xF and features >> 17 & 0x3F else SMALL


def _properties(unit: Unit) -> Iterator[Property]:
    """Iterate over what people want to know of a unit."""
    yield "function", format_pci_address(unit.segment, unit.device_id)
    yield "IVHD type", f"{unit.type:02x}h"
    for name, (bit, _) in words.IVHD_FLAGS.items():
        reserved = unit.type != words.IVHD_FIXED and name in ("PreFSup", "PPRSup")
        if unit.flags >> bit & 1 and not reserved:
            yield name, True
    if unit.info & 0x1F:
        yield "MSI number", unit.info & 0x1F
    if unit.info >> 8 & 0x1F:
        yield "unit ID", unit.info >> 8 & 0x1F
    if isinstance(unit, IvhdExtended):
        if unit.attributes & 1:
            yield "HATDis", True
        yield "EFR", f"0x{unit.efr_image:x}"
        if unit.efr2_image:
            yield "EFR2", f"0x{unit.efr2_image:x}"


def _settings(setting: int) -> Iterator[Property]:
    """Iterate over what a data setting says of its devices."""
    for name, (bit, width) in words.DATA_SETTING.items():
        value = setting >> bit & (1 << width) - 1
        if value:
            yield name, value if width > 1 else True


def _painted(claims: list[tuple[str, _Claim]]) -> list[_Run]:
    """Return which of the claims has which IDs, in the order of the IDs: the first of the list that holds one."""
    free = RangeSet([(0, LAST_ID + 1)])
    found = []
    for unit, claim in claims:
        length = claim.last - claim.first + 1
        if length > 0:
            found += [
                _Run(start, start + count - 1, unit, claim) for start, count in free.overlapping(claim.first, length)
            ]
            free.remove(claim.first, length)
    return sorted(found, key=attrgetter("first"))


def _owned(runs: list[_Run], owners: list[_Run]) -> Iterator[tuple[_Run, str]]:
    """Cut runs of IDs where their owner changes; every ID of a run has one. Both lists are in the order of the IDs."""
    rest = iter(owners)
    owner = next(rest, None)
    for run in runs:
        first = run.first
        while owner is not None and first <= run.last:
            while owner.last < first:
                owner = next(rest)
            last, unit = min(run.last, owner.last), owner.unit
            while last < run.last:
                owner = next(rest)
                if owner.unit != unit:
                    break
                last = min(run.last, owner.last)
            yield run._replace(first=first, last=last), unit
            first = last + 1
