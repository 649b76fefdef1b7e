"""The words for the numbers of an IVRS (AMD IOMMU specification, document 48882, §5.2)."""

from __future__ import annotations

IVHD_FIXED, IVHD_EFR, IVHD_HID = 0x10, 0x11, 0x40
IVMD_ALL, IVMD_ONE, IVMD_RANGE = 0x20, 0x21, 0x22
BLOCKS = {
    IVHD_FIXED: "IVHD 10h",
    IVHD_EFR: "IVHD 11h",
    IVHD_HID: "IVHD 40h",
    IVMD_ALL: "IVMD 20h",
    IVMD_ONE: "IVMD 21h",
    IVMD_RANGE: "IVMD 22h",
}

PADDING, ALL, SELECT, RANGE_START, RANGE_END = range(5)
PADDING_8, ALIAS, ALIAS_START, EXTENDED, EXTENDED_START, SPECIAL, HID = 64, 66, 67, 70, 71, 72, 240
ENTRIES = {
    PADDING: "padding",
    ALL: "all",
    SELECT: "select",
    RANGE_START: "start of range",
    RANGE_END: "end of range",
    PADDING_8: "padding",
    ALIAS: "alias select",
    ALIAS_START: "alias start of range",
    EXTENDED: "extended select",
    EXTENDED_START: "extended start of range",
    SPECIAL: "special device",
    HID: "ACPI HID device",
}

IOAPIC, HPET = 1, 2
VARIETIES = {IOAPIC: "I/O APIC", HPET: "HPET"}

UID_NONE, UID_INTEGER, UID_STRING = range(3)

IV_INFO = {
    "EFRSup": (0, 1),
    "DMA remap": (1, 1),
    "GVASize": (5, 3),
    "PASize": (8, 7),
    "VASize": (15, 7),
    "HtAtsResv": (22, 1),
}
IVHD_FLAGS = {
    "HtTunEn": (0, 1),
    "PassPW": (1, 1),
    "ResPassPW": (2, 1),
    "Isoc": (3, 1),
    "IotlbSup": (4, 1),
    "Coherent": (5, 1),
    "PreFSup": (6, 1),
    "PPRSup": (7, 1),
}
IVHD_INFO = {"MSInum": (0, 5), "UnitID": (8, 5)}
FEATURE_REPORTING = {
    "XTSup": (0, 1),
    "NXSup": (1, 1),
    "GTSup": (2, 1),
    "GLXSup": (3, 2),
    "IASup": (5, 1),
    "GASup": (6, 1),
    "HESup": (7, 1),
    "PASmax": (8, 5),
    "PNCounters": (13, 4),
    "PNBanks": (17, 6),
    "MsiNumPPR": (23, 5),
    "GATS": (28, 2),
    "HATS": (30, 2),
}
ATTRIBUTES = {"HATDis": (0, 1), "PNCounters": (13, 4), "PNBanks": (17, 6), "MsiNumPPR": (23, 5)}
EFR = {
    "PreFSup": (0, 1),
    "PPRSup": (1, 1),
    "XTSup": (2, 1),
    "NXSup": (3, 1),
    "GTSup": (4, 1),
    "IASup": (6, 1),
    "GASup": (7, 1),
    "HESup": (8, 1),
    "PCSup": (9, 1),
    "HATS": (10, 2),
    "GATS": (12, 2),
    "GLXSup": (14, 2),
    "PASmax": (32, 5),
}
DATA_SETTING = {
    "INITPass": (0, 1),
    "EIntPass": (1, 1),
    "NMIPass": (2, 1),
    "SysMgt": (4, 2),
    "Lint0Pass": (6, 1),
    "Lint1Pass": (7, 1),
}
EXTENDED_DATA = {"ATSDisabled": (31, 1)}
IVMD_FLAGS = {"Unity": (0, 1), "IR": (1, 1), "IW": (2, 1), "ExclusionRange": (3, 1)}
