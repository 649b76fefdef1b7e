"""Words for PCI class codes (PCI Code and ID Assignment Specification 1.15 §1)."""

from __future__ import annotations

BASE_CLASSES = {
    0x00: "unclassified device",
    0x01: "storage controller",
    0x02: "network controller",
    0x03: "display controller",
    0x04: "multimedia controller",
    0x05: "memory controller",
    0x06: "bridge",
    0x07: "communication controller",
    0x08: "system peripheral",
    0x09: "input device",
    0x0A: "docking station",
    0x0B: "processor",
    0x0C: "serial bus controller",
    0x0D: "wireless controller",
    0x0E: "intelligent controller",
    0x0F: "satellite controller",
    0x10: "encryption controller",
    0x11: "signal processing controller",
    0x12: "processing accelerator",
    0x13: "instrumentation",
    0x40: "coprocessor",
    0xFF: "unassigned class",
}

CLASSES = {
    0x0100: "SCSI controller",
    0x0101: "IDE controller",
    0x0104: "RAID controller",
    0x0106: "SATA controller",
    0x0107: "SAS controller",
    0x0108: "NVMe controller",
    0x0200: "Ethernet controller",
    0x0207: "InfiniBand controller",
    0x0300: "VGA controller",
    0x0302: "3D controller",
    0x0401: "audio device",
    0x0403: "HD audio device",
    0x0500: "RAM controller",
    0x0600: "host bridge",
    0x0601: "ISA bridge",
    0x0604: "PCI bridge",
    0x0607: "CardBus bridge",
    0x0700: "serial port",
    0x0806: "IOMMU",
    0x0807: "root complex event collector",
    0x0880: "system peripheral",
    0x0C03: "USB controller",
    0x0C05: "SMBus",
    0x1200: "processing accelerator",
}


def class_name(code: int) -> str:
    """Return the words for a 24-bit class code: those of its sub-class, else of its base class, else the number."""
    return CLASSES.get(code >> 8) or BASE_CLASSES.get(code >> 16) or f"class {code:06x}"
