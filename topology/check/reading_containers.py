"""What is found while archives, images of memory, overlays and trees of folders are read."""

from __future__ import annotations

from .rule import Rule

RULES = (
    Rule(
        "ARCHIVE-DAMAGED", "error", "an archive or a compressed file cannot be read whole", "",
        "Tables among what is lost are not checked.",
        "Systems see the firmware and not this archive; it is only the check that lacks it.", "make the archive again",
    ),
    Rule(
        "ARCHIVE-LARGE", "error", "more comes out of an archive than is looked at", "",
        "Tables behind that place are not checked.",
        "Systems see the firmware and not this archive; it is only the check that is cut short.",
        "unpack it, and name what is wanted of it",
    ),
    Rule(
        "ARCHIVE-MORE", "error", "an archive has more findings than are listed", "",
        "The archive is damaged beyond a few entries.",
        "Systems see the firmware and not this archive; it is only the check that lacks it.", "make the archive again",
    ),
    Rule(
        "MEMORY-IMAGE-TABLE", "error", "an image of memory names a table that is not in it", "ACPI 6.5 §5.2.7",
        "What the table says is not known; it may declare IOMMUs.",
        "Linux maps the memory that the address names, and leaves out what is no table.",
        "save all of the memory, from address 0",
    ),
    Rule(
        "MEMORY-IMAGE-MANY", "error", "an image of memory names more tables than are read", "ACPI 6.5 §5.2.7",
        "The tables that are left out are not checked; the image is damaged, or made to be.",
        "Linux has no such limit.", "save the memory of one machine again",
    ),
    Rule(
        "DT-OVERLAY-LOST", "error", "an overlay cannot be applied", "",
        "What it adds or changes is not known to any rule: devices and IOMMUs may be missing, or still in use.",
        "Boot loaders refuse such an overlay, or damage the tree; Linux goes by the tree that they hand over.",
        "name the base before the overlay, and build it with dtc -@",
    ),
    Rule(
        "DT-FOLDER", "error", "a node or a property of a device tree cannot be read from its folder", "",
        "What it says is not known to any rule.",
        "Linux shows the tree, and has no need to read it.", "read or copy the tree as root",
    ),
)  # fmt: skip
