"""The reader of disassemblies: what is declared, by path, and what is passed by."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.acpi.asl import AcpiMemory, Declared, canonical, read_asl


def declared(text: str) -> dict[str, Declared]:
    """Return the devices that a whole text declares."""
    objects: dict[str, Declared] = {}
    assert read_asl(text, objects)
    return {path: one for path, one in objects.items() if one.device}


def device(body: str) -> Declared:
    """Return the one device that has this body."""
    (one,) = declared(f"Device (DEV0) {{ {body} }}").values()
    return one


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("\\_SB_.PCI0", "\\_SB.PCI0"),
        ("\\_SB.PCI0", "\\_SB.PCI0"),
        ("\\_SB_.A___.B_C_", "\\_SB.A.B_C"),
        ("^^PCI_", "^^PCI"),
        ("____", "_"),
        ("\\", "\\"),
        ("", ""),
    ],
)
def test_segments_lose_their_padding(path: str, written: str) -> None:
    """A segment shorter than four characters is filled up with `_` in tables, and is written without them here."""
    assert canonical(path) == written


def test_paths_follow_braces() -> None:
    """Devices are declared where they stand: under nested scopes, from the root, from above, in either spelling."""
    text = r"""
    DefinitionBlock ("", "DSDT", 2, "OEM", "TABLE", 0x00000001)
    {
        External (_SB_.XXXX, DeviceObj)
        Scope (_SB)
        {
            Device (PCI0)
            {
                Device (S00) { Name (_ADR, Zero) }
                Device (^UP0) {}
                Device (\_SB_.TOP_) {}
                Processor (CPU0, 0x00, 0x00000000, 0x00) { Device (BELO) {} }
                If ((ONE0 == One)) { Device (IF0) {} } Else { Device (ELS0) {} }
            }
            Scope (PCI0) { Device (MORE) {} }
        }
        Scope (\_SB.PCI0.S00) { Device (S08) {} }
        Scope (\) { Device (ROOT) {} Scope (^) { Device (ABOV) {} } }
        Device (LAST) { Scope (_SB) { Device (HIGH) {} } Scope (NEW0) { Device (LOW0) {} } }
    }
    """
    assert list(declared(text)) == [
        "\\_SB.PCI0",
        "\\_SB.PCI0.S00",
        "\\_SB.UP0",
        "\\_SB.TOP",
        "\\_SB.PCI0.CPU0.BELO",
        "\\_SB.PCI0.IF0",
        "\\_SB.PCI0.ELS0",
        "\\_SB.PCI0.MORE",
        "\\_SB.PCI0.S00.S08",
        "\\ROOT",
        "\\ABOV",
        "\\LAST",
        "\\_SB.HIGH",
        "\\LAST.NEW0.LOW0",
    ]


def test_what_stands_in_methods_fields_and_packages_is_passed_by() -> None:
    """A method's names are its own; braces of fields, packages and buffers hold no objects of the namespace."""
    text = r"""
    Device (DEV0)
    {
        Method (_STA, 0, NotSerialized) { Name (_UID, 0x05) Device (INNR) {} If (One) { Name (_HID, "A") } }
        Field (REGN, ByteAcc, NoLock, Preserve) { Device, 8, Name, 4 }
        Name (PKG0, Package (0x01) { Package (0x02) { "Device (PKGD) {", Zero } })
        Name (_HID, "REAL0001")
    }
    """
    (one,) = declared(text).values()
    assert (one.hid, one.uid) == ("REAL0001", None)


def test_text_and_comments_do_not_count_braces() -> None:
    """Braces, brackets and quotes inside strings and comments mean nothing."""
    text = r"""
    Device (ONE0) // } Device (NOT0) {
    {
        /* } Name (_UID, 1)
           Device (NOT1) { */
        Name (_UID, "} \" { \\")  // _UID: Unique ID
        Name (_ADR /* here */ , /* too */ 0x1F) } /* no end: Device (NOT2) {}
    """
    (one,) = declared(text).values()
    assert (one.uid, one.adr) == ('} " { \\', 0x1F)


@pytest.mark.parametrize(
    ("body", "hid", "cids", "uid"),
    [
        ('Name (_HID, EisaId ("PNP0A08") /* PCI Express Bus */)', "PNP0A08", (), None),
        ('Name (_HID, "ACPI0007" /* Processor Device */)', "ACPI0007", (), None),
        ("Name (_HID, 0x080AD041)", None, (), None),
        ("Method (_HID, 0) { Return (One) }", None, (), None),
        ('Name (_CID, EisaId ("PNP0A03"))', None, ("PNP0A03",), None),
        ('Name (_CID, Package (0x02) { EisaId ("PNP0A03"), "ABCD0001" })', None, ("PNP0A03", "ABCD0001"), None),
        ("Name (_CID, Package (0x01) {})", None, (), None),
        ('Name (_CID, Package (SIZE) { NAME, "ABCD0001" })', None, ("ABCD0001",), None),
        ("Name (_UID, Zero)", None, (), 0),
        ("Name (_UID, One)", None, (), 1),
        ("Name (_UID, Ones)", None, (), (1 << 64) - 1),
        ("Name (_UID, 0x10)", None, (), 16),
        ("Name (_UID, 10)", None, (), 10),
        ("Name (_UID, 0x10000000000000000)", None, (), None),
        ("Name (_UID, 99999999999999999999)", None, (), None),
        ("Name (_UID, 999999999999999999999)", None, (), None),
        (r'Name (_UID, "a\x41\n\t\r\q")', None, (), "aA\n\t\rq"),
        ("Name (_UID, Buffer (One) { 0x00 })", None, (), None),
        ("Name (_UID, Zero) Name (_UID, One)", None, (), 0),
    ],
)
def test_identification_is_what_is_plainly_given(body: str, hid: str, cids: tuple[str, ...], uid: object) -> None:
    """Numbers, text, EISA IDs and packages of them are known; what has to be evaluated is not; the first counts."""
    one = device(body)
    assert (one.hid, one.cids, one.uid) == (hid, cids, uid)


def test_host_bridges_have_segments_and_buses() -> None:
    """`_SEG`, `_BBN` and `_ADR` are numbers; text in their place is not known."""
    one = device("Name (_SEG, 0x02) Name (_BBN, 0x40) Name (_ADR, 0x001F0002)")
    assert (one.seg, one.bbn, one.adr) == (2, 0x40, 0x1F0002)
    one = device('Name (_SEG, "2") Name (_BBN, Package () {}) Name (_ADR, ADRS)')
    assert (one.seg, one.bbn, one.adr) == (None, None, None)


def test_names_of_the_root_and_of_other_devices() -> None:
    """A `Name` may lead to another object, and one of the root makes no device."""
    objects: dict[str, Declared] = {}
    assert read_asl(r"Name (_UID, 0x07) Device (DEV0) {} Name (\DEV0._UID, 0x08) Name (OTHR, Zero)", objects)
    assert {path: (one.device, one.uid) for path, one in objects.items()} == {"\\DEV0": (True, 8), "\\": (False, 7)}


CRS = r"""
Name (_CRS, ResourceTemplate ()  // _CRS: Current Resource Settings
{
    IO (Decode16, 0x0060, 0x0060, 0x01, 0x01, )
    Memory32Fixed (ReadWrite,
        0xFED00000,         // Address Base
        0x00000400,         // Address Length
        _Y01)
    Interrupt (ResourceConsumer, Level, ActiveHigh, Exclusive, ,, )
    {
        0x00000021,
    }
    Memory32 (ReadOnly, 0x00001000, 0x00001000, 0x00000001, 0x00000100, )
    Memory24 (ReadOnly, 0x0010, 0x0020, 0x0001, 0x0001, )
    WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0x0000, 0x0000, 0x003F, 0x0000, 0x0040, ,, )
    DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
        0x00000000,         // Granularity
        0xB0000000,         // Range Minimum
        0xBFFFFFFF,         // Range Maximum
        0x00000000,         // Translation Offset
        0x10000000,         // Length
        ,, , AddressRangeMemory, TypeStatic)
    QWordMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
        0x0000000000000000, 0x0000000000001000, 0x0000000000001FFF, 0x0000008000000000, 0x0000000000001000,
        ,, , AddressRangeMemory, TypeStatic)
    ExtendedMemory (ResourceConsumer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
        0x0000000000000000, 0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x0000000000000002, One, 0x0, , , )
    QWordMemory (ResourceConsumer, PosDecode)
    Memory32Fixed (ReadWrite, 0x00000000, 0x00000000, )
    Memory32Fixed (ReadWrite, BASE, 0x00000010, )
})
Name (_UID, 0x09)
"""


def test_memory_is_taken_from_resource_templates() -> None:
    """Fixed memory, and address spaces with their translation; what has no size or no place is left out."""
    one = device(CRS)
    assert one.memory == (
        AcpiMemory(0xFED00000, 0x400, window=False),
        AcpiMemory(0x1000, 0x100, window=False),
        AcpiMemory(0xB0000000, 0x10000000, window=True),
        AcpiMemory(0x8000001000, 0x1000, window=False),
        AcpiMemory(1, 1, window=False),
    )
    assert one.uid == 9
    assert device("Name (_CRS, Buffer (One) { 0x79 })").memory == ()
    assert device("Method (_CRS, 0) { Return (ResourceTemplate () {}) }").memory == ()


def test_a_text_that_was_cut_off_is_read_up_to_there() -> None:
    """Whatever is missing at the end, what stands before is known, and the answer is that it is not whole."""
    text = "Device (DEV0) {" + CRS + "}"
    for length in range(15, len(text) - 1):
        objects: dict[str, Declared] = {}
        assert not read_asl(text[:length], objects)
        assert objects["\\DEV0"].device
    assert read_asl("}}" + text, {})


def test_scopes_deeper_than_the_limit_are_passed_by() -> None:
    """Devices are declared down to some 200 levels, and no path grows longer than that."""
    found = declared("Device (AAAA) {" * 5000 + "}" * 5000)
    assert len(found) == 205
    assert max(map(len, found)) == 1025


@given(st.text(alphabet='Device(){},.\\^_"/*NamePckg0x1 \n'))
def test_any_text_is_answered(text: str) -> None:
    """Whatever the text, the answer is a truth value."""
    assert read_asl(text, {}) in (True, False)


@pytest.mark.parametrize(
    "part",
    ["/*", '"', "\\", "^", "(", "{", "Name (_CRS, ResourceTemplate () {", "Scope (A) {", "Name (_CID, Package ("],
)
def test_hostile_text_costs_time_in_proportion(part: str) -> None:
    """A megabyte of the same opening is read in a few seconds."""
    started = time.process_time()
    read_asl(part * ((1 << 20) // len(part)), {})
    assert time.process_time() - started < 20
