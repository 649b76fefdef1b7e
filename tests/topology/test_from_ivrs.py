"""What an IVRS adds to a topology: each rule by a table that was changed in one place."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import Origin
from iommuman.parsers.acpi import Table, parse_table
from iommuman.parsers.acpi.ivrs import Entry, Ivhd, Ivmd, Ivrs
from iommuman.parsers.pci import PciTopology
from iommuman.parsers.sources import Inputs
from iommuman.topology import Route, Topology, assemble, load_topology, route_rid
from iommuman.topology.draw.tree import draw_tree
from iommuman.topology.from_ivrs import _Claim, _owned, _painted
from iommuman.topology.query import ask, at_address
from iommuman.topology.senders import senders

from tests.conftest import BOARDS, HANDMADE, corpus_files
from tests.oracles import linux_ivrs
from tests.parsers.acpi.test_sdt import sealed


def table(folder: str) -> Table:
    """Return the table of a handmade board."""
    return parse_table((HANDMADE / folder / "IVRS.bin").read_bytes(), "IVRS.bin")


def changed(whole: Table, index: int, **values: Any) -> Table:
    """Return the table with values of its `index`-th block replaced."""
    assert isinstance(whole.body, Ivrs)
    blocks = list(whole.body.blocks)
    blocks[index] = replace(blocks[index], **values)
    return replace(whole, body=replace(whole.body, blocks=tuple(blocks)))


def entries(whole: Table, index: int) -> list[Any]:
    """Return the entries of its `index`-th block."""
    assert isinstance(whole.body, Ivrs)
    block = whole.body.blocks[index]
    assert isinstance(block, Ivhd)
    return list(block.entries)


def built(whole: Table, pci: PciTopology | None = None) -> Topology:
    """Return the topology of a table, with a PCI topology if one is given."""
    return assemble(Inputs(tables=[whole], pci=[pci] if pci else []))


def rules(topology: Topology) -> list[str]:
    """Return the rules of all findings."""
    return [finding.rule for finding in topology.findings]


def told(topology: Topology) -> str:
    """Return the one finding of a topology as its sentence."""
    (finding,) = topology.findings
    return str(finding)


@pytest.mark.parametrize("folder", ["ivrs-ranges", "ivrs-aliases", "ivrs-hid", "ivrs-segments"])
def test_sound_tables_have_no_findings(folder: str) -> None:
    """The handmade boards give no finding at all."""
    assert load_topology([str(HANDMADE / folder)]).findings == ()


def test_the_unit_is_described_by_its_highest_block() -> None:
    """Base, size of the registers, features and flags of a unit are those of the 11h block, not of the 10h one."""
    unit = built(table("ivrs-ranges")).iommus["amdvi@fd200000"]
    assert (unit.kind, unit.base, unit.size, unit.segment) == ("amdvi", 0xFD200000, 0x4000, 0)
    assert unit.origin.offset == 0x50
    assert unit.properties == (
        ("function", "0000:00:00.2"),
        ("IVHD type", "11h"),
        ("IotlbSup", True),
        ("Coherent", True),
        ("MSI number", 19),
        ("EFR", "0x29d3"),
    )


def test_further_facts_of_a_unit_are_told() -> None:
    """EFR2, HATDis and the unit's ID are listed where they are; counters make the register window 512 KiB."""
    unit = built(
        changed(table("ivrs-ranges"), 1, efr_image=0x200, efr2_image=0x10, attributes=1, info=0x300, flags=0xC1)
    ).iommus["amdvi@fd200000"]
    assert unit.size == 0x80000
    assert unit.properties[2:] == (
        ("HtTunEn", True),
        ("unit ID", 3),
        ("HATDis", True),
        ("EFR", "0x200"),
        ("EFR2", "0x10"),
    )


@pytest.mark.parametrize(("features", "size"), [(0x80048F6E, 0x80000), (0x80008F6E, 0x4000), (0x80040F6E, 0x4000)])
def test_a_block_of_type_10h_has_its_flags_and_size(features: int, size: int) -> None:
    """Prefetch and PPR are flags of 10h blocks; banks and counters together make the register window larger."""
    whole = table("ivrs-ranges")
    assert isinstance(whole.body, Ivrs)
    only = replace(whole, body=replace(whole.body, blocks=whole.body.blocks[:1]))
    unit = built(changed(only, 0, feature_reporting=features)).iommus["amdvi@fd200000"]
    assert unit.size == size
    assert unit.properties[1:] == (("IVHD type", "10h"), ("IotlbSup", True), ("Coherent", True), ("PPRSup", True))


def test_facts_of_the_machine_are_told() -> None:
    """Address widths are listed unless they are 0, and two flags in any case."""
    found = built(table("ivrs-ranges")).facts
    assert [(fact.name, fact.value) for fact in found] == [
        ("physical address width", 48),
        ("virtual address width", 64),
        ("DMA remapped before hand-over", True),
        ("HyperTransport ATS range reserved", False),
    ]
    whole = table("ivrs-ranges")
    bare = built(replace(whole, body=replace(whole.body, iv_info=1 << 22)))  # type: ignore[arg-type]
    assert [(fact.name, fact.value) for fact in bare.facts] == [
        ("DMA remapped before hand-over", False),
        ("HyperTransport ATS range reserved", True),
    ]


def test_settings_stand_at_the_devices_they_are_for() -> None:
    """Of the ranges that hold a function the smallest has its setting, be it in a select entry or a range."""
    found = built(table("ivrs-ranges"))
    assert found.devices["0000:00:01.0"].properties == (("SysMgt", 2),)
    assert found.devices["0000:01:02.0"].properties == (
        ("INITPass", True),
        ("EIntPass", True),
        ("NMIPass", True),
        ("SysMgt", 1),
        ("Lint0Pass", True),
        ("Lint1Pass", True),
    )
    assert found.devices["0000:02:02.0"].properties == (("ATS disabled", True), ("NMIPass", True))


def test_settings_of_a_range_stand_at_the_functions_that_are_known() -> None:
    """A function in a range with a setting, known from the PCI topology, has it."""
    pci = load_topology([str(BOARDS / "q35-amd")]).pci[0]
    found = built(table("ivrs-ranges"), pci)
    assert ("SysMgt", 1) in found.devices["0000:01:00.0"].properties
    assert told(found) == (
        "IVRS.bin: IVRS+0xa4 (4 bytes): the table names 0000:01:02.0, which is not there (AMD 48882 §5.2.2)"
    )


def test_a_unit_without_registers_is_left_out() -> None:
    """A base of 0 is an error, and its devices have no IOMMU."""
    found = built(changed(table("ivrs-aliases"), 0, base_address=0))
    assert found.iommus == {}
    assert str(found.findings[0]) == (
        "IVRS.bin: IVRS+0x30 (84 bytes): the unit has no registers: IOMMU Base Address is 0, expected the address of "
        "its registers (AMD 48882 §5.2.2); it is left out (Linux uses no unit at all then: 'Can not reserve memory "
        "region')"
    )


def test_a_unit_declared_twice_counts_once() -> None:
    """Of two blocks of one type for one function the first counts, with a warning."""
    whole = table("ivrs-ranges")
    found = built(changed(changed(whole, 0, type=0x11), 0, base_address=0xFD400000))
    assert list(found.iommus) == ["amdvi@fd400000"]
    assert told(found) == (
        "IVRS.bin: IVRS+0x50 (88 bytes): the unit 0000:00:00.2 is declared twice by blocks of one type "
        "(AMD 48882 §5.2.2); the second declaration is left out (Linux takes it for another unit)"
    )


def test_a_unit_without_a_block_of_the_common_type_is_named() -> None:
    """Linux takes one type for all units: one that has only another is not used, which a warning says."""
    found = built(changed(table("ivrs-segments"), 4, type=0x40))
    assert list(found.iommus) == ["amdvi@fd000000", "amdvi@fd100000", "amdvi@fd200000"]
    assert [finding.message for finding in found.findings] == [
        "the unit 0000:40:00.2 has no block of the type that the first unit has"
    ]
    assert (found.findings[0].found, found.findings[0].expected) == ("0x40", "0x11")


RANGES = {
    "no end": ([(3, 0x100)], "IVRS-RANGE-OPEN", []),
    "another entry before the end": ([(3, 0x100), (2, 0x200), (4, 0x101)], "IVRS-RANGE-SPLIT", [0x100, 0x101, 0x200]),
    "padding before the end": ([(3, 0x100), (0, 0), (4, 0x101)], "", [0x100, 0x101]),
    "an end alone": ([(4, 0x100)], "IVRS-RANGE-END", []),
    "backwards": ([(3, 0x100), (4, 0xFF)], "IVRS-RANGE-ORDER", []),
    "of one": ([(3, 0x100), (4, 0x100)], "", [0x100]),
    "another range before the end": (
        [(3, 0x100), (3, 0x200), (4, 0x201)],
        "IVRS-RANGE-OPEN",
        [0x200, 0x201],
    ),
}


@pytest.mark.parametrize("case", RANGES)
def test_ranges_that_are_not_whole_are_left_out(case: str) -> None:
    """A range counts from the last start to the end that follows it; a start or an end alone is named and left out."""
    parts, wanted, ids = RANGES[case]
    whole = table("ivrs-aliases")
    first: Entry = entries(whole, 0)[0]
    made = tuple(replace(first, type=kind, device_id=devid) for kind, devid in parts)
    found = built(changed(whole, 0, entries=made))
    assert " ".join(rules(found)) == wanted
    assert [rid for rid in range(0x400) if route_rid(found, 0, rid).iommu] == ids


def test_reserved_varieties_are_left_out() -> None:
    """A special device that is neither an I/O APIC nor an HPET is named."""
    whole = table("ivrs-segments")
    made = entries(whole, 3)
    made[-1] = replace(made[-1], variety=3)
    found = built(changed(whole, 3, entries=tuple(made)))
    assert "ioapic:1" not in found.devices
    assert told(found) == (
        "IVRS.bin: IVRS+0xcc (8 bytes): a special device of a reserved variety: Variety is 3, expected 1 or 2 "
        "(AMD 48882 §5.2.2); it is left out (Linux gives up on all units then)"
    )


def test_of_two_entries_for_one_device_the_first_counts() -> None:
    """An I/O APIC that is named twice has the ID of the first entry; both IDs are the unit's."""
    whole = table("ivrs-hid")
    made = entries(whole, 2)
    made[4] = replace(made[4], handle=32)
    found = built(changed(whole, 2, entries=tuple(made)))
    assert [route.stream for route in ask(found, "ioapic:32").routes] == [0xA0]
    assert route_rid(found, 0, 1).iommu == "amdvi@fe000000"
    assert [(one.rule, one.message) for one in found.findings] == [("IVRS-DEVICE-TWICE", "ioapic:32 is named twice")]


@pytest.mark.parametrize(
    ("kind", "values", "rule"),
    [(0x40, {"hardware_id": bytes(8)}, "IVRS-HID-EMPTY"), (0x11, {}, "IVRS-HID-TYPE")],
    ids=["empty", "11h"],
)
def test_hid_entries_that_linux_ignores_are_left_out(kind: int, values: dict[str, Any], rule: str) -> None:
    """An entry without a hardware ID, and one in a block of another type than 40h, name no device and claim no ID."""
    whole = table("ivrs-hid")
    made = replace(entries(whole, 2)[5], **values)
    body = changed(whole, 2, type=kind, entries=(made,)).body
    assert isinstance(body, Ivrs)
    found = built(replace(whole, body=replace(body, blocks=body.blocks[2:])))
    assert rules(found) == [rule]
    assert found.devices == {}
    assert route_rid(found, 0, 0xA5).iommu is None


MEMORY = {
    "unity, read and write": ({"flags": 7}, "direct", (("access", "read and write"),)),
    "unity, write": ({"flags": 5}, "direct", (("access", "write"),)),
    "unity alone": ({"flags": 1}, "direct", (("access", "none"),)),
    "exclusion": ({"flags": 8}, "avoid", (("exclusion range", True),)),
}


@pytest.mark.parametrize("case", MEMORY)
def test_memory_blocks_become_reserved_regions(case: str) -> None:
    """Unity maps stay mapped one to one with their access, exclusion ranges are not to be used for anything else."""
    values, meaning, properties = MEMORY[case]
    (region, _) = built(changed(table("ivrs-ranges"), 2, **values)).reserved
    assert (region.kind, region.start, region.length) == ("ivmd", 0x7D000000, 0x200000)
    assert (region.meaning, region.properties) == (meaning, properties)


@pytest.mark.parametrize(
    ("values", "rule"), [({"flags": 6}, "IVRS-MEMORY-FLAGS"), ({"memory_length": 0}, "IVRS-MEMORY-RANGE")]
)
def test_memory_blocks_that_ask_for_nothing_are_left_out(values: dict[str, Any], rule: str) -> None:
    """A block with neither flag, and one without length, are named and left out."""
    found = built(changed(table("ivrs-ranges"), 2, **values))
    assert rules(found) == [rule]
    assert len(found.reserved) == 1


def test_memory_of_a_range_is_for_no_other_id() -> None:
    """A region for a range concerns its first and last function and not those beside it; backwards it is for none."""
    whole = table("ivrs-ranges")
    found = built(whole)
    names = {"01:01.7": 0, "01:02.0": 1, "01:03.7": 1, "01:04.0": 0}
    assert {name: len(ask(found, name).reserved) for name in names} == names
    backwards = built(changed(whole, 2, auxiliary_data=0x10F))
    assert backwards.reserved[0].streams == ()


REAL = {
    "Notebook_Lenovo_ThinkPad_ThinkPad_T14_Gen_3_21CF004PGE_696E48381F84": {
        "0000:00:01.0": ("amdvi@fe000000", 0x8),  # a range
        "0000:ff:03.0": ("amdvi@fe000000", 0xA5),  # an alias range
        "acpi:\\_SB.FUR2": ("amdvi@fe000000", 0xA5),  # an ACPI HID entry
        "ioapic:33": ("amdvi@fe000000", 0x1),  # a special device
        "0000:00:00.2": (None, None),  # the unit itself
    },
    "Desktop_ASUSTek_Computer_PRIME_PRIME_X399-A_73EDB0DDFF0E": {
        "0000:40:01.0": ("amdvi@b7b00000", 0x4008),  # the second of two units
        "0000:ff:00.0": ("amdvi@b7b00000", 0xA4),  # the first unit's alias, the second unit's range
        "0000:3f:1f.6": ("amdvi@efd00000", 0x3FFE),
        "0000:3f:1f.7": (None, None),
    },
}
"""What real tables say, worked out by hand from the listings of iasl and their bytes."""


@pytest.mark.parametrize("machine", REAL)
def test_real_tables_resolve_as_worked_out_by_hand(machine: str) -> None:
    """Ranges, aliases, ACPI devices and I/O APICs of real machines, where the corpus is present, resolve."""
    for path in corpus_files("IVRS"):
        if path.parent.name == machine:
            found = load_topology([str(path)])
            for name, wanted in REAL[machine].items():
                (route,) = ask(found, name).routes
                assert (route.iommu, route.stream) == wanted, name


def test_memory_of_a_range_is_for_the_aliases_of_its_devices() -> None:
    """A region for ff:00.0 to ff:01.7 is for the ID that these arrive with, and a region for all is for all IDs."""
    found = built(table("ivrs-aliases"))
    assert [(one.base, one.length) for one in found.reserved[1].streams] == [(0xFF00, 0x10), (0xA5, 1)]
    whole = built(changed(table("ivrs-aliases"), 2, type=0x20))
    assert [(one.base, one.length) for one in whole.reserved[1].streams] == [(0, 0x10000)]


def test_of_memory_blocks_without_number_the_aliases_are_not_looked_for() -> None:
    """After 1024 blocks for ranges one warning says so; the blocks are there all the same."""
    whole = table("ivrs-aliases")
    assert isinstance(whole.body, Ivrs)
    blocks = (*whole.body.blocks[:2], *[whole.body.blocks[2]] * 1026)
    found = built(replace(whole, body=replace(whole.body, blocks=blocks)))
    assert rules(found) == ["IVRS-MEMORY-MANY"]
    assert [len(one.streams) for one in found.reserved] == [0, *[2] * 1024, 1, 1]


def test_senders_of_an_alias_are_named_as_a_range() -> None:
    """Who sends an ID that a whole range becomes is answered with the range."""
    found = built(table("ivrs-aliases"))
    assert [one.name for one in senders(found, "amdvi@fd300000", 0xA5)] == [
        "0000:00:14.5",
        "requester IDs 0xff00-0xffff of pci:0000",
    ]
    assert [one.name for one in senders(found, "amdvi@fd300000", 0x30)] == ["0000:02:01.0", "0000:00:06.0"]


def test_one_id_that_a_device_sends_in_two_ways_is_told_once() -> None:
    """Behind a bridge that an alias entry names, a function has one ID, by table and by bridge alike."""
    found = load_topology([str(BOARDS / "q35-amd")])
    answer = ask(found, "02:01.0")
    assert [route.stream for route in answer.routes] == [0x30, 0x30]
    assert answer.sharers == (("amdvi@fed80000", 0x30, ("0000:00:06.0", "0000:02:02.0")),)
    assert "0000:02:01.0  ID 0x30, 1000:0012 SCSI controller" in draw_tree(found)


def test_the_interrupt_window_is_never_translated() -> None:
    """An address in the interrupt window of x86 falls in it with an AMD unit, too."""
    names = [place.name for place in at_address(built(table("ivrs-aliases")), 0xFEE00010)]
    assert names == ["interrupt window, never translated"]


def entry() -> st.SearchStrategy[bytes]:
    """Return a strategy for device entries, ranges whole."""
    ids = st.integers(0, 0x7F) | st.integers(0xFFF0, 0xFFFF)
    flags = st.sampled_from((0, 0, 0x10, 0xD7))

    def plain(kind: int, devid: int, setting: int) -> bytes:
        return bytes([kind]) + devid.to_bytes(2, "little") + bytes([setting])

    def wide(kind: int, devid: int, setting: int, source: int) -> bytes:
        return plain(kind, devid, setting) + b"\0" + source.to_bytes(2, "little") + b"\1"

    def ranged(start: bytes, last: int) -> bytes:
        first = int.from_bytes(start[1:3], "little")
        return start + plain(4, max(first, last), 0)

    starts = st.builds(plain, st.just(3), ids, flags) | st.builds(wide, st.sampled_from((67, 71)), ids, flags, ids)
    singles = st.builds(plain, st.sampled_from((0, 2)), ids, flags) | st.builds(
        wide, st.sampled_from((66, 70)), ids, flags, ids
    )
    return singles | st.builds(ranged, starts, ids) | st.builds(wide, st.just(72), st.just(0), flags, ids)


@given(st.lists(st.tuples(st.integers(0, 1), st.lists(entry(), max_size=6)), min_size=1, max_size=4))
def test_any_table_is_read_as_linux_reads_it(units: list[tuple[int, list[bytes]]]) -> None:
    """Unit and ID of every requester ID at the ends of any entries, in several units, are those of Linux."""
    blocks = b""
    for number, (segment, parts) in enumerate(units):
        inner = b"".join(parts)
        base = (0xFD000000 + number * 0x100000).to_bytes(8, "little")
        size = (40 + len(inner)).to_bytes(2, "little")
        devid = (0x40 + number).to_bytes(2, "little")
        blocks += b"\x11\0" + size + devid + b"\x40\0" + base + segment.to_bytes(2, "little") + bytes(22) + inner
    data = sealed(b"IVRS", bytes(12) + blocks)
    theirs = linux_ivrs.Reading(data)
    found = built(parse_table(data))
    for segment in {segment for segment, _ in units}:
        for rid in (*range(0x81), *range(0xFFEF, 0x10000)):
            route: Route = route_rid(found, segment, rid)
            base_of = found.iommus[route.iommu].base if route.iommu else None
            assert (base_of, route.stream) == theirs.lookup(segment, rid), (segment, hex(rid))


CLAIM = st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from("ab"), st.booleans())


@given(st.lists(CLAIM, max_size=12))
def test_ranges_of_claims_are_those_of_a_walk_over_all_ids(drawn: list[tuple[int, int, str, bool]]) -> None:
    """The first claim that holds an ID has it; runs of aliases are cut where the unit changes, and nowhere else."""
    claims = [
        (unit, _Claim(first, last, number if alias else None, 0, "", Origin("")))
        for number, (first, last, unit, alias) in enumerate(drawn)
    ]
    aliases = [one for one in claims if one[1].alias is not None]
    owner = {rid: next((unit for unit, one in claims if one.first <= rid <= one.last), "") for rid in range(41)}
    alias = {rid: next((one.alias for _, one in aliases if one.first <= rid <= one.last), None) for rid in range(41)}
    found = list(_owned(_painted(aliases), _painted(claims)))
    told = {rid: (run.claim.alias, unit) for run, unit in found for rid in range(run.first, run.last + 1)}
    assert told == {rid: (alias[rid], owner[rid]) for rid in range(41) if alias[rid] is not None}
    for (one, unit), (other, another) in pairwise(found):
        assert one.last < other.first
        assert one.last + 1 < other.first or (one.claim, unit) != (other.claim, another)


def test_hostile_tables_cost_bounded_time() -> None:
    """Ten thousand ranges over all IDs, aliases and memory blocks among them, take seconds, not hours."""
    ranges = bytes([67, 0, 0, 0x10, 0, 1, 0, 0, 4, 0xFF, 0xFF, 0]) * 5000
    block = b"\x11\0" + (40 + len(ranges)).to_bytes(2, "little") + bytes(4) + b"\0\0\0\xfd" + bytes(28) + ranges
    second = bytearray(block)
    second[4] = 8
    memory = (b"\x22\x07\x20\0\0\0\xff\xff" + bytes(8) + b"\0\0\1\0" + bytes(4) + b"\0\x10\0\0" + bytes(4)) * 100
    data = sealed(b"IVRS", bytes(12) + block + bytes(second) + memory)
    started = time.process_time()
    table = parse_table(data)
    found = built(table)
    assert time.process_time() - started < 20
    assert isinstance(table.body, Ivrs)
    assert len(found.iommus) == 2
    assert len([one for one in table.body.blocks if isinstance(one, Ivmd)]) == len(found.reserved) == 100
