"""The rules of `check` as the tables of `docs/checks.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from ..check import Judge, Rule

_HEADINGS = {
    "SOURCE": "Sources",
    "CHECK": "Sources",
    "ACPIDUMP": "Sources",
    "ARCHIVE": "Sources",
    "ACPI": "All ACPI tables",
    "DMAR": "DMAR (Intel VT-d)",
    "IORT": "IORT (Arm)",
    "IVRS": "IVRS (AMD-Vi)",
    "RIMT": "RIMT (IOMMUs of RISC-V)",
    "VIOT": "VIOT (virtio-iommu)",
    "MCFG": "MCFG",
    "MACHINE": "Tables of one machine against each other",
    "NAMESPACE": "Tables of one machine against each other",
    "FADT": "Tables that others are held against",
    "MADT": "Tables that others are held against",
    "HPET": "Tables that others are held against",
    "SLIT": "Tables that others are held against",
    "SRAT": "Tables that others are held against",
    "PCI": "PCI topologies",
    "KERNEL": "Running kernels",
    "DT": "Device trees",
    "MEMORY": "Tables of one machine against each other",
    "CONFIG": "Configurations and board modules",
    "BOARD": "Configurations and board modules",
}
"""Heading by the first word of a rule's name; rules of another kind stand under that word."""

_INTRODUCTION = """\
# What `iommuman check` looks for

This file is written by `iommuman explain-rule --markdown`, from the rules themselves. `iommuman explain-rule RULE` says
of each what it means for isolation, what Linux does about it, and how to mend it.

The columns name who looks for it as well: fwts (the Firmware Test Suite), Linux (a message or a refusal of its own),
iasl (disassembling the table), chipsec. There are {count} rules, of which {alone} are looked for by none of these.
"""


def draw_markdown(rules: Sequence[Rule]) -> str:
    """Return the document."""
    groups: dict[str, list[Rule]] = {}
    for rule in rules:
        word = rule.id.partition("-")[0]
        groups.setdefault(_HEADINGS.get(word, word), []).append(rule)
    alone = sum(not rule.judges for rule in rules)
    parts = [_INTRODUCTION.format(count=len(rules), alone=alone)]
    parts += [f"## {heading}\n\n{_table(members)}" for heading, members in groups.items()]
    return "\n".join(parts)


def _table(rules: Iterable[Rule]) -> str:
    judges = get_args(Judge)
    rows = [
        ("rule", "severity", "what is wrong", *judges),
        ("---",) * (3 + len(judges)),
        *(
            (f"`{rule.id}`", rule.severity, rule.title, *("yes" if one in rule.judges else "" for one in judges))
            for rule in rules
        ),
    ]
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |").replace("|  |", "| |") for row in rows)
