"""Writing a configuration: the exact text, and that reading it gives the same records."""

from __future__ import annotations

from hypothesis import given
from iommuman.base import Origin
from iommuman.parsers.smmu_config import (
    Configuration,
    DeviceEntry,
    SmmuType,
    Unit,
    Use,
    format_configuration,
    parse_configuration,
    write_configuration,
)

from tests.parsers.smmu_config.helpers import NOWHERE, no_files, read
from tests.parsers.smmu_config.strategies import configurations

TEXT = """\
debug 2

foreground

allow video 0x58000000,16M,t
allow video 0x4000,100
allow disk 0x0,3K,s

smmu vtd require
unit dmar0 0xfed90000

smmu armsmmu
unit mmu500 0x51400000,64,66,1,4:5:0x10,imx8
unit mmu400 0x51500000,70,72,0
unit gpu 0x51600000,74,76,0,,imx8

smmu rcar3 0xe67b0000,228,18,0x4f.0x20
unit vi0 0xfebd0000,14

smmu smmuv3 ignore
unit pcie 0x9050000
unit soc 0x9070000,106,109,0

device pci:0:18.0 disk
    use dmar0

device pci:1:58:31.6-59:0.0
    use pcie 0x100-0x102
    use mmu500 9

device mem:0xe6ef0000 video
    use vi0 0
    reserved 0x7d000000,40M

device acpi:\\_SB.USB0

device dt:/soc/usb@1000
"""


def test_the_canonical_text() -> None:
    """A configuration with everything in it is written as this text, which is laid out as `config format` does."""
    assert write_configuration(read(TEXT)) == TEXT
    assert format_configuration(TEXT) == TEXT


def test_nothing_is_written_of_nothing() -> None:
    """An empty configuration is an empty text."""
    assert write_configuration(Configuration("")) == ""


def test_comments_stand_above_their_records() -> None:
    """What is told of a record is written above it, at its indentation, whatever lines it has."""
    configuration = read("smmu vtd unit u 1000 allow a 0,1 device pci:0:18.0 use u reserved 1,1")

    def comment(record: object) -> str:
        return "" if isinstance(record, SmmuType) else f"{type(record).__name__}\n\n  debug 2\x0bsmmu x\r"

    text = write_configuration(configuration, comment)
    assert read(text) == configuration
    assert text == "".join(
        f"{line}\n"
        for line in [
            "# Allow", "#", "#   debug 2", "# smmu x", "allow a 0x0,1", "",
            "smmu vtd",
            "# Unit", "#", "#   debug 2", "# smmu x", "unit u 0x1000", "",
            "# DeviceEntry", "#", "#   debug 2", "# smmu x", "device pci:0:18.0",
            "    # Use", "    #", "    #   debug 2", "    # smmu x", "    use u",
            "    # Reserved", "    #", "    #   debug 2", "    # smmu x", "    reserved 0x1,1",
        ]
    )  # fmt: skip


def test_types_are_repeated_where_units_need_it() -> None:
    """Units of mixed types keep their order."""
    configuration = read("smmu vtd ignore unit a 1 smmu amdvi unit b 2 smmu vtd ignore unit c 3")
    assert write_configuration(configuration) == (
        "smmu vtd ignore\nunit a 0x1\n\nsmmu amdvi\nunit b 0x2\n\nsmmu vtd ignore\nunit c 0x3\n"
    )


def test_a_unit_without_its_type_is_given_one() -> None:
    """Records that a program made may lack the `smmu` option."""
    configuration = Configuration("", units=(Unit("r", "riscv", 0x1000, Origin("")),))
    assert write_configuration(configuration) == "smmu riscv\nunit r 0x1000\n"


@given(configurations())
def test_what_is_written_is_read(configuration: Configuration) -> None:
    """Reading what was written gives the same configuration, without a finding."""
    assert read(write_configuration(configuration)) == configuration


@given(configurations())
def test_what_is_read_is_written(configuration: Configuration) -> None:
    """Writing what was read gives the same text, and that is laid out already."""
    text = write_configuration(configuration)
    assert write_configuration(parse_configuration(text, "", no_files)) == text
    assert format_configuration(text) == text


def test_ids_read_the_same() -> None:
    """IDs from 10 are written in hexadecimal, and a device that uses none has no word for it."""
    unit = Unit("s", "smmuv3", 1, NOWHERE)
    uses = (Use("s", NOWHERE, 9), Use("s", NOWHERE, 10), Use("s", NOWHERE, 9, 2))
    device = DeviceEntry(read("device mem:1").devices[0].spec, NOWHERE, uses=uses)
    configuration = Configuration("", (SmmuType("smmuv3", NOWHERE),), (unit,), (device,))
    assert [line.strip() for line in write_configuration(configuration).split("\n")[4:7]] == [
        "use s 9",
        "use s 0xa",
        "use s 9-0xa",
    ]
