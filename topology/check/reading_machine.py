"""What is found while the tables are read that declare no IOMMU, and that those that do are held against."""

from __future__ import annotations

from .rule import Rule

_MADT, _SRAT = "ACPI 6.5 §5.2.12", "ACPI 6.5 §5.2.16"

RULES = (
    Rule(
        "MADT-ENTRY-LENGTH", "error", "an entry of the MADT has a length that cannot be", _MADT,
        "Interrupt controllers that follow are not known, and with them whether their interrupts are remapped.",
        "Linux prints '[APIC:0x%02x] Invalid zero length' when it is 0 and reads no further.",
        "write the size of the whole entry", ("fwts", "Linux", "iasl"),
    ),
    Rule(
        "MADT-ENTRY-END", "error", "an entry of the MADT runs past the end of the table", _MADT,
        "The last interrupt controller is not the one that was meant, or is not known.",
        "Linux passes the entry over.",
        "correct the length of the entry, or that of the table", ("Linux", "iasl"),
    ),
    Rule(
        "FADT-LENGTH", "note", "the FADT ends within a field, or after the last one", "ACPI 6.5 §5.2.9",
        "None: the flags that bear on DMA are read as far as they are there.",
        "Linux reads the fields that are there whole; the others are 0.",
        "write the length that the revision has: 116, 132, 244, 268 or 276",
    ),
    Rule(
        "HPET-LENGTH", "warning", "bytes follow the last field of the HPET table",
        "IA-PC HPET specification 1.0a §3.2.4",
        "None: no field stands among them.",
        "Linux reads the fields that it knows and looks at nothing else.",
        "write 56 as the length",
    ),
    Rule(
        "SLIT-LENGTH", "error", "the SLIT does not hold one distance for each pair of domains", "ACPI 6.5 §5.2.17",
        "None for isolation: distances are not known.",
        "Linux reads past the end of a table that is too short.",
        "write the number of localities, and its square in bytes", ("iasl",),
    ),
    Rule(
        "SRAT-ENTRY-LENGTH", "error", "an entry of the SRAT has a length that cannot be", _SRAT,
        "Domains that follow are not known; isolation is not touched.",
        "Linux prints '[SRAT:0x%02x] Invalid zero length' when it is 0 and reads no further.",
        "write the size of the whole entry", ("fwts", "Linux", "iasl"),
    ),
    Rule(
        "SRAT-ENTRY-END", "error", "an entry of the SRAT runs past the end of the table", _SRAT,
        "The last domain is not the one that was meant, or is not known; isolation is not touched.",
        "Linux passes the entry over.",
        "correct the length of the entry, or that of the table", ("Linux", "iasl"),
    ),
)  # fmt: skip
