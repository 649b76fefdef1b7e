"""What units can do: registers by the manuals' bits, lines of genuine logs, files as sysfs has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.faults import FaultError
from iommuman.faults.feature_words import layouts
from iommuman.faults.features import draw_unit, read_features, read_sysfs

from tests.conftest import BOARDS

DMAR = "DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c222f0606 ecap f00f4a"


def lines(text: str, *, log: bool = False) -> list[str]:
    """Return what the units of a text are drawn as."""
    return [line for unit in read_features(text, "x", log=log) for line in draw_unit(unit)]


def test_registers_of_an_smmuv3() -> None:
    """The identification registers that QEMU's SMMUv3 has, with a prefix or without, = or : or a blank."""
    found = lines("SMMU_IDR0=0x0c0d1a0f\nidr1: 0x00e739d0, IDR3 0x00001404 IDR5=0x74 AIDR=0x1")
    assert found[0] == "what: an SMMUv3 with IDR0 0xc0d1a0f, IDR1 0xe739d0, IDR3 0x1404, IDR5 0x74, AIDR 0x1 [x:1]"
    for line in (
        "has: stage 1 (IDR0.S1P)",
        "has: stage 2 (IDR0.S2P)",
        "is: AArch32 and AArch64 tables (IDR0.TTF)",
        "lacks: coherent table walks and queues (IDR0.COHACC)",
        "is: a stream table of one or two levels (IDR0.ST_LEVEL)",
        "is: stream IDs of 16 bits (IDR1.SIDSIZE)",
        "has: invalidation of ranges (IDR3.RIL)",
        "is: break-before-make level 2 (IDR3.BBML)",
        "is: physical addresses of 44 bits (IDR5.OAS)",
        "lacks: 52-bit addresses with pages of 4 and 16 KiB (IDR5.DS)",
        "is: SMMUv3.1 (AIDR.ArchMinorRev)",
    ):
        assert line in found


def test_a_boot_line_of_vtd() -> None:
    """The line that Linux prints for QEMU's VT-d: four levels of 48 bits, no scalable mode, and so on."""
    found = lines(DMAR)
    assert found[0] == "what: a VT-d unit with CAP 0xd2008c222f0606, ECAP 0xf00f4a [x:1]"
    for line in (
        "is: second-stage addresses of 39 bits (3 levels) or 48 bits (4 levels) (CAP.SAGAW)",
        "is: device addresses of 48 bits (CAP.MGAW)",
        "is: second-stage pages of 4 KiB, 2 MiB, 1 GiB (CAP.SSLPS)",
        "is: one fault recording register (CAP.NFR)",
        "is: fault records at 0x220 (CAP.FRO)",
        "has: interrupt remapping (ECAP.IR)",
        "lacks: scalable mode (ECAP.SMTS)",
        "is: PASIDs of 1 bit, if there are any (ECAP.PSS)",
    ):
        assert line in found


def test_genuine_logs_of_boots() -> None:
    """Of whole logs only lines of IOMMU drivers count, and what is said twice is told once."""
    for board, first in (
        ("q35-vtd", "what: a VT-d unit with CAP 0xd2008c222f0606, ECAP 0xf00f4a"),
        ("q35-amd", "what: an AMD-Vi unit with EFR 0x29d3"),
        ("virt-smmuv3-acpi", "what: an SMMUv3 with features 0x"),
    ):
        text = (BOARDS / board / "linux" / "kernel.log").read_text(encoding="utf-8", errors="replace")
        (unit,) = read_features(text, "log", log=True)
        assert draw_unit(unit)[0].startswith(first)
    assert lines("nvme: cap 123\n" + DMAR, log=True)[0].endswith("[x:2]")


def test_lines_of_amd() -> None:
    """The names of features that Linux prints are those that the bits mean; the capability's place is no register."""
    found = lines(
        "AMD-Vi: Found IOMMU at 0000:00:01.0 cap 0x40\nAMD-Vi: Extended features (0x29d3, 0x0): PreF PPR GT IA GA HE\n"
    )
    assert [line for line in found if line.startswith("has: ")] == [
        "has: prefetch of pages (EFR.PreFSup)",
        "has: peripheral page requests (PRI) (EFR.PPRSup)",
        "has: guest translation (PASIDs) (EFR.GTSup)",
        "has: invalidation of everything at once (EFR.IASup)",
        "has: guest virtual APIC (EFR.GASup)",
        "has: hardware error registers (EFR.HESup)",
    ]
    assert "is: host tables of 6 levels (EFR.HATS)" in found


def test_the_word_of_the_smmuv3_driver() -> None:
    """The driver's own bits are told as such."""
    found = lines("arm-smmu-v3 arm-smmu-v3.0.auto: ias 44-bit, oas 44-bit (features 0x00008305)")
    assert "has: stage 1 (features.9)" in found
    assert "has: invalidation of ranges (features.15)" in found
    assert "lacks: stage 2 (features.10)" in found
    assert found[-1].startswith("note: features are bits of Linux' driver")


def test_bits_without_a_name_are_said() -> None:
    """What is set and has no name is not passed over; a value that is reserved is said."""
    assert lines("IDR3=0x80000001")[-1] == (
        "note: 0x80000001 of IDR3 is set and has no name here: reserved, or of a later revision"
    )
    assert "is: reserved value 3 (EFR.HATS)" in lines("EFR=0xc00")
    assert "is: second-stage addresses of no width that is known (CAP.SAGAW)" in lines("CAP=0")
    assert "is: no substreams (PASIDs) (IDR1.SSIDSIZE)" in lines("IDR1=0")


def test_several_units() -> None:
    """A register that comes again with another value is another unit's; a unit that is alike is told once."""
    text = "cap 1 ecap 1\ncap 1 ecap 2\ncap 1 ecap 1\nIDR0=1"
    assert [unit.registers for unit in read_features(text, "x")] == [
        (("CAP", 1), ("ECAP", 1)),
        (("CAP", 1), ("ECAP", 2)),
        (("IDR0", 1),),
    ]


def test_what_is_no_register() -> None:
    """Other words pass by; a value with more bits than its register is refused."""
    assert read_features("caps 12 recap 3 escape=4 cap: none IDR9=1", "x") == []
    with pytest.raises(FaultError, match="a value is too large for its register"):
        read_features("IDR0=0x100000000", "x")


def test_files_of_sysfs(tmp_path: Path) -> None:
    """A unit's folder, the driver's folder in it, or a single file, as Linux writes them."""
    intel, amd = tmp_path / "dmar0" / "intel-iommu", tmp_path / "ivhd0" / "amd-iommu"
    intel.mkdir(parents=True)
    amd.mkdir(parents=True)
    (intel / "cap").write_text("d2008c222f0606\n")
    (intel / "ecap").write_text("f00f4a\n")
    (amd / "features").write_text("29d3:0\n")
    assert read_sysfs(str(intel.parent)) == read_sysfs(f"{intel}/") == "CAP=d2008c222f0606 ECAP=f00f4a"
    assert read_sysfs(str(intel / "ecap")) == "ECAP=f00f4a"
    assert read_sysfs(str(amd.parent)) == "EFR=29d3"
    assert read_sysfs(str(tmp_path)) == read_sysfs("/absent") == ""


@given(st.sampled_from(sorted(layouts())), st.integers(0, (1 << 64) - 1))
def test_every_bit_is_told(register: str, value: int) -> None:
    """Whatever a register holds, its fields and the bits without a name make up its value again."""
    _, width, fields = layouts()[register]
    value &= (1 << width) - 1
    text = f"arm-smmu-v3 x (features 0x{value & 0xFFFFFFFF:x})" if register == "features" else f"{register}=0x{value:x}"
    (unit,) = read_features(text, "x")
    total = dict(unit.unnamed).get(register, 0)
    total += sum(one.value << fields[one.field][0] for one in unit.features)
    assert total == value
    assert draw_unit(unit)
