"""Options to records: the examples of QNX's pages, repeats, lines, and the order of a single pass."""

from __future__ import annotations

import pytest
from iommuman.base import Origin
from iommuman.parsers.smmu_config import (
    Configuration,
    DeviceEntry,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    SocRevision,
    Unit,
    Use,
    parse_configuration,
    parse_words,
    syntax_errors,
)

from tests.parsers.smmu_config.helpers import NOWHERE, allow, messages, no_files, read, without_origins

ARM = "smmu armsmmu unit m 0x1000,1,2,0 "


def test_the_commonest_start_of_x86() -> None:
    """`smmu vtd` asks for VT-d as the firmware has it."""
    assert read("smmu vtd") == Configuration("", types=(SmmuType("vtd", NOWHERE),))


@pytest.mark.parametrize("kind", ["vtd", "smmuv3", "amdvi", "riscv"])
def test_firmware_may_be_required_or_ignored(kind: str) -> None:
    """`require` and `ignore` are told apart from nothing, on the same line or the next."""
    assert read(f"smmu {kind} require").types == (SmmuType(kind, NOWHERE, "require"),)
    assert read(f"smmu {kind}\n  ignore").types == (SmmuType(kind, NOWHERE, "ignore"),)


def test_the_example_of_rcar() -> None:
    """The R-Car page's `smmu`, with its SoC and revision, and a device by address behind a micro-TLB."""
    text = "smmu rcar3 0xe67b0000,228,18,0x4f.0x20 unit vi0 0xfebd0000,14 device mem:0xE6EF0000 use vi0 0"
    assert read(text) == Configuration(
        "",
        types=(SmmuType("rcar3", NOWHERE, main=MainUnit(0xE67B0000, 228, 18, (SocRevision(0x4F, 0x20),))),),
        units=(Unit("vi0", "rcar3", 0xFEBD0000, NOWHERE, status_bit=14),),
        devices=(DeviceEntry(MmioSpec(0xE6EF0000), NOWHERE, uses=(Use("vi0", NOWHERE, 0),)),),
    )


def test_the_pair_of_soc_and_revision_repeats() -> None:
    """A main unit may be for several chips, or for all."""
    (one,) = read("smmu rcar3 e67b0000,228,18,0x4f.0x20,79.17").types
    assert one.main == MainUnit(0xE67B0000, 228, 18, (SocRevision(0x4F, 0x20), SocRevision(79, 17)))
    (other,) = read("smmu rcar3 e67b0000,228,18").types
    assert other.main == MainUnit(0xE67B0000, 228, 18)


def test_the_example_of_arm() -> None:
    """The Arm page's `unit`, with reserved StreamIDs and a board module."""
    assert read("smmu armsmmu unit mmu500 0x51400000,64,66,1,4:5:16,imx8").units == (
        Unit(
            "mmu500",
            "armsmmu",
            0x51400000,
            NOWHERE,
            context_interrupt=64,
            global_interrupt=66,
            bypass=True,
            reserved_ids=(4, 5, 16),
            board_module="imx8",
        ),
    )


def test_optional_fields_of_arm() -> None:
    """Reserved StreamIDs and board module may be left out, and the first of them may be empty."""
    units = read(ARM + "unit n 2000,3,4,1,0xffff unit o 3000,5,6,0,,imx8").units
    assert [(unit.bypass, unit.reserved_ids, unit.board_module) for unit in units] == [
        (False, (), ""),
        (True, (0xFFFF,), ""),
        (False, (), "imx8"),
    ]


def test_units_of_our_own_types() -> None:
    """The types beyond QNX's take the registers, and SMMUv3 interrupts and bypass."""
    text = """smmu smmuv3 unit a 9050000 unit b 9050000,106,109 unit c 9050000,106,109,1
              smmu amdvi unit d fed80000 smmu riscv unit e 3010000"""
    assert read(text).units == (
        Unit("a", "smmuv3", 0x9050000, NOWHERE),
        Unit("b", "smmuv3", 0x9050000, NOWHERE, context_interrupt=106, global_interrupt=109),
        Unit("c", "smmuv3", 0x9050000, NOWHERE, context_interrupt=106, global_interrupt=109, bypass=True),
        Unit("d", "amdvi", 0xFED80000, NOWHERE),
        Unit("e", "riscv", 0x3010000, NOWHERE),
    )


@pytest.mark.parametrize(
    ("word", "spec"),
    [
        ("pci:0:18.0", PciSpec(0, 0x90, 0x90)),
        ("pci:255:31.7", PciSpec(0, 0xFFFF, 0xFFFF)),
        ("pci:1:0x3a:0x1f.6", PciSpec(1, 0x3AFE, 0x3AFE)),
        ("pci:65535:0:0.0", PciSpec(0xFFFF, 0, 0)),
        ("pci:0:0.0-255:31.7", PciSpec(0, 0, 0xFFFF)),
        ("pci:2:1:0.0-1:0.3", PciSpec(2, 0x100, 0x103)),
        ("pci:0:1.0-0:1.0", PciSpec(0, 8, 8)),
        ("mem:0xE6EF0000", MmioSpec(0xE6EF0000)),
        ("mem:e6ef0000", MmioSpec(0xE6EF0000)),
        ("acpi:\\_SB.USB0", NamedSpec("acpi:\\_SB.USB0")),
        ("acpi:\\", NamedSpec("acpi:\\")),
        ("dt:/soc/usb@1000", NamedSpec("dt:/soc/usb@1000")),
        ("dt:/soc/i2c#1,dma-x", NamedSpec("dt:/soc/i2c#1,dma-x")),
    ],
)
def test_devices_are_named(word: str, spec: object) -> None:
    """Each form of device names the device that it says."""
    (device,) = read(f"device {word}").devices
    assert device.spec == spec


def test_what_follows_a_device_belongs_to_it() -> None:
    """Uses and reserved memory belong to the device before them, on its line or below; the set may come later."""
    text = (
        ARM
        + """device mem:1000 video use m 5
    use m 0x10-0x1f reserved 7d000000,16M reserved 1000,1
device mem:2000 device mem:1000 use m 6 allow video 0,1G"""
    )
    assert read(text).devices == (
        DeviceEntry(
            MmioSpec(0x1000),
            NOWHERE,
            "video",
            (Use("m", NOWHERE, 5), Use("m", NOWHERE, 0x10, 16)),
            (Reserved(0x7D000000, 16 << 20, NOWHERE), Reserved(0x1000, 1, NOWHERE)),
        ),
        DeviceEntry(MmioSpec(0x2000), NOWHERE),
        DeviceEntry(MmioSpec(0x1000), NOWHERE, uses=(Use("m", NOWHERE, 6),)),
    )


@pytest.mark.parametrize("kind", ["vtd", "amdvi"])
def test_units_that_know_requester_ids_take_none(kind: str) -> None:
    """For VT-d and AMD-Vi a device's own requester IDs are used."""
    (device,) = read(f"smmu {kind} unit u 1000 device pci:0:18.0 use u").devices
    assert device.uses == (Use("u", NOWHERE, None),)


def test_permissions() -> None:
    """`s` lets devices read, `t` lets them write, neither letter both; regions of a set add up."""
    text = "allow a 1000,1K allow a 2000,1K,s allow a 3000,1K,t allow b 4000,1K,ts"
    assert read(text).allows == (
        allow("a", 0x1000, 1024, "st"),
        allow("a", 0x2000, 1024, "s"),
        allow("a", 0x3000, 1024, "t"),
        allow("b", 0x4000, 1024, "st"),
    )


def test_of_what_can_be_once_the_last_counts() -> None:
    """`debug`, and `smmu` of one type, hold as they are given last; `foreground` may be repeated."""
    read_twice = read("debug 2 foreground smmu vtd require smmu amdvi foreground debug 1 smmu vtd ignore")
    assert (read_twice.debug, read_twice.foreground) == (1, True)
    assert read_twice.types == (SmmuType("vtd", NOWHERE, "ignore"), SmmuType("amdvi", NOWHERE))


def test_main_units_of_several_chips_hold_together() -> None:
    """`smmu rcar3` for another chip is added; for the same, the last counts."""
    types = read("smmu rcar3 1000,1,1,1.1 smmu rcar3 2000,2,2,2.2 smmu rcar3 3000,3,3,1.1").types
    assert [kind.main for kind in types] == [
        MainUnit(0x3000, 3, 3, (SocRevision(1, 1),)),
        MainUnit(0x2000, 2, 2, (SocRevision(2, 2),)),
    ]


def test_a_unit_is_of_the_last_type_before_it() -> None:
    """The types of units follow the `smmu` options, back and forth."""
    units = read("smmu vtd unit a 1 smmu armsmmu unit b 2,1,2,0 smmu vtd unit c 3").units
    assert [(unit.name, unit.type) for unit in units] == [("a", "vtd"), ("b", "armsmmu"), ("c", "vtd")]


@pytest.mark.parametrize(
    "text",
    [
        "smmu vtd unit u 0xfed90000 device pci:0:18.0 use u",
        "smmu\nvtd\nunit\nu\n0xfed90000\ndevice\npci:0:18.0\nuse\nu\n",
        "smmu vtd\r\nunit u 0xfed90000\r\n\r\ndevice pci:0:18.0\r\n\tuse u\r\n",
        "smmu vtd\runit u 0xfed90000\rdevice pci:0:18.0 use u",
        "# smmu amdvi\nsmmu # amdvi\n vtd #unit v 1\nunit u # name\n fed90000\n#\n###\ndevice pci:0:18.0 use u #no\n",
        "smmu\u00a0vtd\u2003unit u\x0b0xfed90000\x0cdevice pci:0:18.0 use u",
    ],
)
def test_lines_and_spaces_mean_nothing(text: str) -> None:
    """The same words are the same configuration, however they are laid out and commented."""
    assert read(text) == Configuration(
        "",
        types=(SmmuType("vtd", NOWHERE),),
        units=(Unit("u", "vtd", 0xFED90000, NOWHERE),),
        devices=(DeviceEntry(PciSpec(0, 0x90, 0x90), NOWHERE, uses=(Use("u", NOWHERE),)),),
    )


@pytest.mark.parametrize("comma", [", ", " ,", " , ", ",\n  ", "\n,"])
def test_spaces_beside_commas(comma: str) -> None:
    """Fields may stand apart from their commas."""
    text = "smmu armsmmu unit m 1000,1,2,0,4:5,imx8 allow a 1000,4K,s device mem:1 reserved 1000,1"
    assert read(text.replace(",", comma)) == read(text)


def test_everything_says_where_it_stands() -> None:
    """Each record has file, line and column of its option word."""
    text = "smmu vtd\n  unit u 1000 device mem:1\n\tuse u reserved 1,1\nallow a 1,1"
    configuration = parse_configuration(text, "b.smmu", no_files)
    (device,) = configuration.devices
    records = (configuration.types, configuration.units, (device,), device.uses, device.reserved, configuration.allows)
    places = [record.origin for group in records for record in group]
    assert [str(origin) for origin in places] == [
        "b.smmu:1:1",
        "b.smmu:2:3",
        "b.smmu:2:15",
        "b.smmu:3:2",
        "b.smmu:3:8",
        "b.smmu:4:1",
    ]


def test_words_of_a_command_line() -> None:
    """Option words say the same as a file; columns are those of the words joined by spaces."""
    words = ["smmu", "vtd", "unit", "u", "0xfed90000"]
    configuration = parse_words(words)
    assert without_origins(configuration) == read(" ".join(words))
    assert configuration.source == "command line"
    assert configuration.units[0].origin == Origin("command line", line=1, column=10)
    (finding,) = parse_words(["smmu", "vdt"]).findings
    assert str(finding).startswith("command line:1:6: there is no such type of unit: found vdt")
    assert finding.excerpt == "    smmu vdt\n         ^^^"


@pytest.mark.parametrize("word", ["#", "# smmu", "#0", "", "a b", "\n"])
def test_words_of_a_command_line_are_taken_as_they_are(word: str) -> None:
    """On a command line nothing is a comment, and a word with spaces in it is one word."""
    (finding,) = parse_words(["allow", "name", "0,1", word]).findings
    assert (finding.rule, finding.origin.column) == ("CONFIG-EXTRA", 16)


@pytest.mark.parametrize("set_name", ["units", "user", "allow2", "debug1", "smmu0"])
def test_a_set_may_look_like_an_option_word(set_name: str) -> None:
    """The name of a set on a line of its own is a name, though it may be defined later and look like an option."""
    assert read(f"device mem:1\n{set_name}\ndebug 1\nallow {set_name} 0,1").devices[0].allow == set_name


def test_an_error_leaves_the_rest() -> None:
    """What is wrong is left out, and everything else is read."""
    configuration = parse_configuration(
        "smmu vdt smmu vtd unit u 1000 unit w 1z device mem:zz use u device mem:1 gone use u use w use x reserved 1,0 "
        "reserved 2,2 allow a 1,1,q allow b 1,1 debug 7 debug 1 extra foreground"
    )
    assert without_origins(configuration) == Configuration(
        "",
        types=(SmmuType("vtd", NOWHERE),),
        units=(Unit("u", "vtd", 0x1000, NOWHERE),),
        devices=(DeviceEntry(MmioSpec(1), NOWHERE, uses=(Use("u", NOWHERE),), reserved=(Reserved(2, 2, NOWHERE),)),),
        allows=(allow("b", 1, 1, "st"),),
        debug=1,
        foreground=True,
        findings=configuration.findings,
    )
    assert [finding.rule for finding in configuration.findings] == [
        "CONFIG-TYPE",
        "CONFIG-NUMBER",
        "CONFIG-NUMBER",
        "CONFIG-SET",
        "CONFIG-UNIT",
        "CONFIG-RANGE",
        "CONFIG-VALUE",
        "CONFIG-VALUE",
        "CONFIG-EXTRA",
    ]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("smmu vdt unit u 1 device mem:1 use u 5", "CONFIG-TYPE"),
        ("smmu vtd ignor unit u 1 device mem:1 use u", "CONFIG-VALUE"),
        ("unit u 1 device mem:1 use u", "CONFIG-ORDER"),
        ("smmu vtd unit u zz device mem:1 use u", "CONFIG-NUMBER"),
        ("smmu vtd unit u device mem:1 use u", "CONFIG-MISSING"),
        ("smmu vtd\nunti u 1\ndevice mem:1 use u", "CONFIG-OPTION"),
        ("smu vtd unit u 1 device mem:1 use u", "CONFIG-OPTION"),
        (ARM + "dveice mem:1 use m 5 reserved 0,1", "CONFIG-EXTRA"),
        (ARM + "\ndveice mem:1 use m 5 reserved 0,1", "CONFIG-OPTION"),
        (ARM + "device usb use m 5 reserved 0,1", "CONFIG-DEVICE"),
        ("allow a 0 device mem:1 a", "CONFIG-MISSING"),
        ("allow a device mem:1 a", "CONFIG-MISSING"),
        ("alow a 0,1\ndevice mem:1 a", "CONFIG-OPTION"),
        ("smmu @gone device mem:1 a use u 1 unit v 1", "CONFIG-INCLUDE"),
        ("@gone use u 1 reserved 0,1 unit v 1 device mem:1 a", "CONFIG-INCLUDE"),
        ("smmu vtd unit u @gone unit v 1 device mem:1 use u", "CONFIG-INCLUDE"),
    ],
)
def test_one_mistake_is_one_error(text: str, rule: str) -> None:
    """What follows from a mistake is not reported as another."""
    findings = parse_configuration(text, "a.smmu", no_files).findings
    expected = ["CONFIG-EXTRA", "CONFIG-ORDER", "CONFIG-ORDER"] if rule == "CONFIG-EXTRA" else [rule]
    assert [finding.rule for finding in findings] == expected


@pytest.mark.parametrize(
    "text", ["device mem:1 a", "@gone device mem:1 a", "allow a 0 device mem:1 a", "alow a 0,1\ndevice mem:1 a"]
)
def test_a_device_names_no_set_without_regions(text: str) -> None:
    """A set that is missing, unread or wrong is left out of its device: whoever looks it up finds what is named."""
    configuration = parse_configuration(text, "a.smmu", no_files)
    assert [device.allow for device in configuration.devices] == [""]
    assert len(configuration.findings) == 1


def test_errors_come_in_the_order_of_the_text() -> None:
    """What is only known at the end stands where it belongs."""
    found = messages("device mem:1 gone x\ndevice mem:z\nuse u\nsmmu vtd unit u 1 device mem:1 use v\ndebug 9")
    assert [text.split(": ")[0] for text in found] == [
        "a.smmu:1:14",
        "a.smmu:1:19",
        "a.smmu:2:12",
        "a.smmu:3:5",
        "a.smmu:4:36",
        "a.smmu:5:7",
    ]


def test_a_unit_defined_later_is_pointed_out() -> None:
    """In a single pass a unit cannot be used before it is defined; the message says where it is."""
    assert messages("device mem:1 use u\nsmmu vtd\nunit u 1000") == [
        "a.smmu:1:18: the unit is used before it is defined: found u; move it below the 'unit' at a.smmu:3:1"
    ]


def test_syntax_alone() -> None:
    """A part of a configuration has no errors by itself though it names what other files define."""
    assert syntax_errors("unit u 1,2 use v 5 reserved 1,1 device mem:1 gone @more use w") == ()
    assert [finding.rule for finding in syntax_errors("device mem:z debug 5")] == ["CONFIG-NUMBER", "CONFIG-VALUE"]


def test_units_of_the_board_are_used_by_their_names() -> None:
    """A name of the form KIND@ADDRESS needs no `unit`; whether there is such a unit is for who knows the board."""
    text = "device mem:1\nuse smmuv3@9050000 0x20-0x27 use vtd@1#2\nuse a@1\n0x5\nreserved 1,1"
    found = parse_configuration(text)
    assert found.findings == ()
    assert [(use.unit, use.first, use.count) for use in found.devices[0].uses] == [
        ("smmuv3@9050000", 0x20, 8),
        ("vtd@1#2", None, 1),
        ("a@1", 5, 1),
    ]
    for name in ("vtd@FED90000", "vtd@", "4@1", "vtd@1#"):
        (unknown,) = parse_configuration(f"device mem:1 use {name}").findings
        assert unknown.rule == "CONFIG-UNIT"
    (wrong,) = parse_configuration("device mem:1 use vtd@1 7-5").findings
    assert wrong.rule == "CONFIG-RANGE"
    (order,) = parse_configuration("use vtd@1").findings
    assert order.rule == "CONFIG-ORDER"
    (word,) = parse_configuration("device mem:1 use vtd@1\nresevred 1,1").findings
    assert (word.rule, word.origin.line) == ("CONFIG-OPTION", 2)


def test_a_unit_of_that_form_that_is_defined_is_the_one_that_is_meant() -> None:
    """Before its definition it cannot be used; behind it, it takes what its type takes."""
    found = parse_configuration("smmu vtd device mem:1 use a@1 7 unit a@1 0x1000 use a@1 device mem:2 use a@1")
    assert [(one.rule, one.message) for one in found.findings] == [
        ("CONFIG-UNIT", "the unit is used before it is defined")
    ]
    assert [[use.origin.column for use in device.uses] for device in found.devices] == [[49], [70]]


@pytest.mark.parametrize(
    ("text", "more", "known"),
    [
        (ARM.replace("unit", "unit z 0x5000,1,2,0,,imx8 unit") + "device mem:1 use gpu 5", False, True),
        ("device mem:1 use gpu 5", True, True),
        ("device mem:1 use gpu 5", False, False),
        ("device mem:1 use gpu 5 smmu armsmmu unit z 0x5000,1,2,0,,imx8", False, False),
        ("device mem:1 use z 5 smmu armsmmu unit z 0x5000,1,2,0,,imx8", True, False),
    ],
)
def test_units_of_board_modules_are_used_once_one_is_named(text: str, more: bool, known: bool) -> None:
    """A plain name that nothing here defines may be a module's, from where the module is named on."""
    found = parse_configuration(text, more_units=more)
    assert [finding.rule for finding in found.findings] == ([] if known else ["CONFIG-UNIT"])
    assert [use.first for use in found.devices[-1].uses] == ([5] if known else [])
