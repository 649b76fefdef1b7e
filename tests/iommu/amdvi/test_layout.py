"""The bits, held against values that were written out by hand from the specification and against a kernel log."""

from __future__ import annotations

import pytest
from iommuman.iommu.amdvi.layout import DTE, IRTE, IRTE128, PTE, MsiAddress, MsiData, TableEntry, queues, registers
from iommuman.iommu.amdvi.names import MEANINGS, EventCode, Opcode
from iommuman.iommu.bits import Bits, Ignored

REGISTERS: dict[type[Bits], int] = {
    registers.DevTabBase: 0x0000,
    registers.CmdBufBase: 0x0008,
    registers.EventLogBase: 0x0010,
    registers.Control: 0x0018,
    registers.ExclusionBase: 0x0020,
    registers.ExclusionLimit: 0x0028,
    registers.EFR: 0x0030,
    registers.PprLogBase: 0x0038,
    registers.CmdBufHead: 0x2000,
    registers.CmdBufTail: 0x2008,
    registers.EventLogHead: 0x2010,
    registers.EventLogTail: 0x2018,
    registers.Status: 0x2020,
    registers.PprLogHead: 0x2030,
    registers.PprLogTail: 0x2038,
}


@pytest.mark.parametrize("register", REGISTERS)
def test_registers_are_where_the_specification_has_them(register: type[Bits]) -> None:
    """All of the public ones, 64 bits each."""
    assert (register.offset, register.size) == (REGISTERS[register], 8)


VALUES: list[tuple[Bits, int]] = [
    (registers.DevTabBase(Base=0x12345000, Size=0x1FF), 0x123451FF),
    (registers.CmdBufBase(ComBase=0xFFFFFFFFFF000, ComLen=15), 0x0F0FFFFFFFFFF000),
    (registers.EventLogBase(EventBase=0x1000, EventLen=8), 0x0800000000001000),
    (registers.PprLogBase(PprLogBase=0x1000, PprLogLen=9), 0x0900000000001000),
    (registers.Control(IommuEn=1, EventLogEn=1, EventIntEn=1, ComWaitIntEn=1, CmdBufEn=1), 0x101D),
    (registers.Control(Coherent=1, Isoc=1, InvTimeout=7, GTEn=1, GAEn=1, XTEn=1), 0x4000000030CE0),
    (registers.Control(DevTblSegEn=7, GAMEn=7, PrivAbrtEn=3), 0x7C0E000000),
    (registers.ExclusionBase(Base=0x7000, Allow=1, ExEn=1), 0x7003),
    (registers.ExclusionLimit(Limit=0x8000), 0x8000),
    # QEMU 10: what amd-iommu says of itself.
    (registers.EFR(PreFSup=1, PPRSup=1, GTSup=1, IASup=1, GASup=1, HESup=1, HATS=2, GATS=2), 0x29D3),
    (registers.EFR(DevTblSegSup=3, GIoSup=1, HASup=1, HDSup=1, SNPSup=1), 0x801300C000000000),
    (registers.Status(EventOverflow=1, EventLogRun=1, CmdBufRun=1, PprOverflowEarly=1), 0x40019),
    (registers.CmdBufTail(CmdTailPtr=0x7FFF0), 0x7FFF0),
    (PTE(PR=1, NextLevel=7, Address=0xFFFFF7000, FC=1, U=1, IR=1, IW=1), 0x7800000FFFFF7E01),
    (TableEntry(PR=1, NextLevel=5, Address=0x5000, IR=1, IW=1), 0x6000000000005A01),
    (IRTE(RemapEn=1, SupIOPF=1, IntType=1, RqEoi=1, DM=1, GuestMode=1, Destination=0xAB, Vector=0xCD), 0xCDABE7),
    (IRTE128(RemapEn=1, Destination=0x12345678, Vector=0x31), 0x1200000000000031_0000000034567801),
    (MsiAddress(RANGE=0xFEE, Destination=0x42, DM=1), 0xFEE42004),
    (MsiData(Vector=0x31, MT=4, Level=1, TM=1), 0xC431),
]


@pytest.mark.parametrize(("bits", "value"), VALUES)
def test_values_by_hand(bits: Bits, value: int) -> None:
    """Fields land where the tables of the specification have them."""
    assert bits.value == value, hex(bits.value)
    assert bits.reserved == 0


def test_the_device_table_entry_of_a_kernel_log() -> None:
    """What Linux printed for an ILLEGAL_DEV_TABLE_ENTRY: DTE[0] and DTE[1] of a public report."""
    entry = DTE(0x0000100103FC0009 << 64 | 0x7D90000000000003)
    assert {name: value for name, value in entry.items() if value} == {
        "V": 1, "TV": 1, "PPR": 1, "GV": 1, "GLX": 1, "IR": 1, "IW": 1, "DomainID": 9, "I": 1, "GCR3": 0x101FE7000,
    }  # fmt: skip


def test_fields_of_a_device_table_entry() -> None:
    """Each field by itself, at the bits of the specification."""
    places = {
        "V": (0, 0), "TV": (1, 1), "HAD": (8, 7), "Mode": (11, 9), "Root": (51, 12), "PPR": (52, 52), "GPRP": (53, 53),
        "GIoV": (54, 54), "GV": (55, 55), "GLX": (57, 56), "IR": (61, 61), "IW": (62, 62), "DomainID": (79, 64),
        "I": (96, 96), "SE": (97, 97), "SA": (98, 98), "IoCtl": (100, 99), "Cache": (101, 101), "SD": (102, 102),
        "EX": (103, 103), "SysMgt": (105, 104), "SATS": (106, 106), "IV": (128, 128), "IntTabLen": (132, 129),
        "IG": (133, 133), "IntTabRoot": (179, 134), "GuestPagingMode": (183, 182), "INITPass": (184, 184),
        "EIntPass": (185, 185), "NMIPass": (186, 186), "HPTMode": (187, 187), "IntCtl": (189, 188),
        "Lint0Pass": (190, 190), "Lint1Pass": (191, 191), "vImuEn": (207, 207), "GDeviceID": (223, 208),
        "GuestID": (239, 224), "AttrV": (246, 246), "Mode0FC": (247, 247), "SnoopAttribute": (255, 248),
    }  # fmt: skip
    found = {field.name: field for field in DTE.fields if field.name != "GCR3"}
    assert found.keys() == places.keys()
    for name, (most, least) in places.items():
        assert found[name].mask == (1 << most + 1) - (1 << least), name


COMMANDS: list[tuple[queues.Command, int, int]] = [
    (
        queues.CompletionWait(Opcode=1, s=1, i=1, f=1, StoreAddress=0x123456789A8, Data=0x55),
        0x10000123456789AF,
        0x55,
    ),
    (queues.InvalidateDevtabEntry(Opcode=2, DeviceID=0x1234), 0x2000000000001234, 0),
    # Linux, debugfs of a running machine: all of domain 5, tables too.
    (
        queues.InvalidateIommuPages(Opcode=3, DomainID=5, S=1, PDE=1, Address=0x7FFFFFFFFFFFF000),
        0x3000000500000000,
        0x7FFFFFFFFFFFF003,
    ),
    (
        queues.InvalidateIotlbPages(Opcode=4, DeviceID=0x1234, PASID=0xABCDE, MaxPend=3, QueueID=0x18, S=1, Address=0),
        0x4ADE001803BC1234,
        1,
    ),
    (queues.InvalidateInterruptTable(Opcode=5, DeviceID=0x1234), 0x5000000000001234, 0),
    (
        queues.PrefetchIommuPages(Opcode=6, DeviceID=1, PFCount=2, DomainID=3, S=1, GN=1, Inval=1, Address=0x1000),
        0x6000000302000001,
        0x1015,
    ),
    (
        queues.CompletePprRequest(Opcode=7, DeviceID=1, PASID=0xABCDE, GN=1, Tag=0x3FF, Status=1),
        0x700ABCDE00000001,
        0x13FF00000004,
    ),
    (queues.InvalidateIommuAll(Opcode=8), 0x8000000000000000, 0),
]


@pytest.mark.parametrize(("command", "low", "high"), COMMANDS)
def test_commands_by_hand(command: queues.Command, low: int, high: int) -> None:
    """Each command, every field of it set."""
    assert [hex(word) for word in command.words] == [hex(low), hex(high)]
    assert queues.COMMANDS[command.Opcode] is type(command)


def test_names_are_complete() -> None:
    """Every event has words, and every command that has a class is an opcode."""
    assert MEANINGS.keys() == set(EventCode)
    assert queues.COMMANDS.keys() == set(Opcode) - {Opcode.INSERT_GUEST_EVENT, Opcode.RESET_VMMIO}
    assert queues.EVENTS.keys() == set(EventCode) - {0xA, 0xB, 0xC}


def test_reserved_and_unused_bits_of_page_table_entries() -> None:
    """58:52 of all; U and FC, 60:59, are a page's only. What is unused belongs to software."""
    assert PTE.reserved_mask == 0x07F0000000000000
    assert TableEntry.reserved_mask == 0x1FF0000000000000
    assert sum(field.mask for field in PTE.fields if isinstance(field, Ignored)) == 1 << 63 | 0x19E
    assert sum(field.mask for field in TableEntry.fields if isinstance(field, Ignored)) == 1 << 63 | 0x1DE
