"""Origins: a place in the input in one short phrase."""

from __future__ import annotations

import pytest
from iommuman.base import Origin


@pytest.mark.parametrize(
    ("origin", "phrase"),
    [
        (Origin("DMAR.bin", "DMAR", 0x30, 24), "DMAR.bin: DMAR+0x30 (24 bytes)"),
        (Origin("DMAR.bin", "DMAR", 9, 1), "DMAR.bin: DMAR+0x9 (1 byte)"),
        (Origin("DMAR.bin", "DMAR", 0, 0), "DMAR.bin: DMAR+0x0 (0 bytes)"),
        (Origin("DMAR.bin", "DMAR", 0x30), "DMAR.bin: DMAR+0x30"),
        (Origin("DMAR.bin", "DMAR"), "DMAR.bin: DMAR"),
        (Origin("DMAR.bin"), "DMAR.bin"),
        (Origin("board.dtb", "/soc/usb@1000 iommus"), "board.dtb: /soc/usb@1000 iommus"),
        (Origin("acpi.txt", "DSDT", line=1), "acpi.txt:1: DSDT"),
        (Origin("vm.smmu", line=12), "vm.smmu:12"),
        (Origin("vm.smmu", line=12, column=3), "vm.smmu:12:3"),
        (Origin("vm.smmu", column=3), "vm.smmu"),
        (Origin("", "DMAR", 4, 4), "DMAR+0x4 (4 bytes)"),
        (Origin("blob", offset=4), "blob: +0x4"),
        (Origin("blob", length=4), "blob: (4 bytes)"),
        (Origin(""), ""),
    ],
)
def test_an_origin_names_its_place_in_one_phrase(origin: Origin, phrase: str) -> None:
    """File, line, part, offset and length appear as far as they are known, with nothing in place of the others."""
    assert str(origin) == phrase
