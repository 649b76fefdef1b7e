"""What a unit can do, from its feature registers as text: pasted, of a kernel's boot log, or of sysfs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..base import Finding, Origin
from .errors import FaultError
from .feature_words import Words, layouts

LONGEST = 1 << 20
"""Characters that are looked at."""

_REGISTER = re.compile(
    r"(?<![0-9A-Za-z])(?:[A-Za-z0-9]{1,16}_){0,3}(IDR[0135]|AIDR|E?CAP|EFR)(?:_REG)?"
    r"(?:[ \t]{0,8}[=:][ \t]{0,8}|[ \t]{1,8})"
    r"(?:0x)?([0-9a-f]{1,16})(?![0-9a-z_])",
    re.IGNORECASE,
)
_AMD = re.compile(r"Extended features \(0x([0-9a-f]{1,16})")
_SMMU = re.compile(r"arm-smmu-v3.{0,80}\(features 0x([0-9a-f]{1,8})\)")
_DRIVERS = re.compile("DMAR|AMD-Vi|arm-smmu-v3")
_PCI_OFFSET = re.compile(r"Found IOMMU.{0,80}")
"""AMD's `cap 0x40` there is the place of a PCI capability, and no register."""

_TITLES = {"vtd": "a VT-d unit", "smmuv3": "an SMMUv3", "amdvi": "an AMD-Vi unit"}
_SYSFS = (("intel-iommu", "cap", "CAP"), ("intel-iommu", "ecap", "ECAP"), ("amd-iommu", "features", "EFR"))
"""Folder and file below a unit's, and the register that it holds."""

_MOST = 64
"""Characters of a file of sysfs that are looked at: two numbers of 64 bits."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One field of a register.

    Attributes:
        register: its register.
        field: its name in the specification.
        value: what it holds.
        words: what that means; of a single bit, what the unit has if it is set.
        single: it is one bit that says whether the unit has something.
    """

    register: str
    field: str
    value: int
    words: str
    single: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """What the registers of one unit say.

    Attributes:
        architecture: `vtd`, `smmuv3` or `amdvi`.
        registers: names and values, as they were read.
        features: their fields, as they stand in the registers.
        unnamed: of each register, bits that are set and have no name here: reserved, or of a later revision.
        origin: where they were read.
    """

    architecture: str
    registers: tuple[tuple[str, int], ...]
    features: tuple[Feature, ...]
    unnamed: tuple[tuple[str, int], ...]
    origin: Origin


def read_features(text: str, source: str, *, log: bool = False) -> list[Unit]:
    """Return what feature registers in a text say; nothing when there are none.

    Understood are `IDR0`, `IDR1`, `IDR3`, `IDR5` and `AIDR` (SMMUv3), `CAP` and `ECAP` (VT-d), `EFR` (AMD-Vi) as
    `NAME=VALUE` or `NAME VALUE` in hexadecimal, as Linux prints them at boot (`dmar0: … cap … ecap …`), and its lines
    `Extended features (…)` and `… (features 0x…)`. A register that comes again is another unit's; units that are alike
    are told once.

    Args:
        text: what was pasted, or a log.
        source: its name, for origins.
        log: only lines of IOMMU drivers count, as a log has registers of much else.

    Raises:
        FaultError: a value has more bits than its register.
    """
    units: list[Unit] = []
    known = layouts()
    for number, line in enumerate(text[:LONGEST].splitlines(), 1):
        if log and not _DRIVERS.search(line):
            continue
        origin = Origin(source, line=number)
        for name, value in _pairs(_PCI_OFFSET.sub("", line)):
            architecture, width, _ = known[name]
            if value >> width:
                message = "a value is too large for its register"
                finding = Finding("FAULT-REGISTERS", "error", origin, message, field=name, found=f"0x{value:x}")
                raise FaultError(finding)
            _add(units, architecture, name, value, origin)
    return [
        _described(unit)
        for place, unit in enumerate(units)
        if not any(set(unit.registers) <= set(one.registers) for one in units[:place])
    ]


def read_sysfs(path: str) -> str:
    """Return the registers below `/sys/class/iommu/<unit>`, or of one file of it, as text; empty: there are none."""
    found = []
    here = Path(path)
    for folder, file, register in _SYSFS:
        places = (here / folder / file, here / file if here.name == folder else None, here)
        fits = (one for one in places if one and one.name == file and one.parent.name == folder and one.is_file())
        place = next(fits, None)
        if place is not None:
            with place.open(encoding="ascii", errors="replace") as opened:
                words = re.split(r"[:\s]", opened.read(_MOST).strip())  # of AMD-Vi, EFR2 stands behind a colon
            found.append(f"{register}={words[0]}")
    return " ".join(found)


def draw_unit(unit: Unit) -> list[str]:
    """Return a unit in lines: what it has, its sizes, what it lacks, a line each."""
    named = ", ".join(f"{name} 0x{value:x}" for name, value in unit.registers)
    lines = [f"what: {_TITLES[unit.architecture]} with {named} [{unit.origin}]"]
    has = [one for one in unit.features if one.single and one.value]
    lacks = [one for one in unit.features if one.single and not one.value]
    sizes = [one for one in unit.features if not one.single]
    for word, several in (("has", has), ("is", sizes), ("lacks", lacks)):
        lines += [f"{word}: {one.words} ({one.register}.{one.field})" for one in several]
    lines += [
        f"note: 0x{bits:x} of {name} is set and has no name here: reserved, or of a later revision"
        for name, bits in unit.unnamed
    ]
    if any(name == "features" for name, _ in unit.registers):
        lines.append("note: features are bits of Linux' driver, not of a register; from bit 21 on kernels differ")
    return lines


def _pairs(line: str) -> list[tuple[str, int]]:
    found = [(match.start(), match[1].upper(), match[2]) for match in _REGISTER.finditer(line)]
    found += [(match.start(), "EFR", match[1]) for match in _AMD.finditer(line)]
    found += [(match.start(), "features", match[1]) for match in _SMMU.finditer(line)]
    return [(name, int(value, 16)) for _, name, value in sorted(found)]


def _add(units: list[Unit], architecture: str, name: str, value: int, origin: Origin) -> None:
    """Put a register to the last unit, or to a new one where that is of another kind, or has it."""
    last = units[-1] if units else None
    if last is not None and last.architecture == architecture and name not in dict(last.registers):
        units[-1] = Unit(architecture, (*last.registers, (name, value)), (), (), last.origin)
    else:
        units.append(Unit(architecture, ((name, value),), (), (), origin))


def _described(unit: Unit) -> Unit:
    features: list[Feature] = []
    unnamed: list[tuple[str, int]] = []
    known = layouts()
    for register, number in unit.registers:
        rest = number
        for field, (shift, width, words) in known[register][2].items():
            value = number >> shift & (1 << width) - 1
            rest &= ~((1 << width) - 1 << shift)
            features.append(Feature(register, field, value, _words(words, value), isinstance(words, str)))
        if rest:
            unnamed.append((register, rest))
    return Unit(unit.architecture, unit.registers, tuple(features), tuple(unnamed), unit.origin)


def _words(words: Words, value: int) -> str:
    if isinstance(words, str):
        return words
    return words(value) if callable(words) else words.get(value, f"reserved value {value}")
