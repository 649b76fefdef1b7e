"""Lines in which a kernel says what IOMMUs it found and what it set up: units, reserved regions, groups, capabilities.

Sources: `drivers/iommu/intel/dmar.c`, `drivers/iommu/iommu.c`, `drivers/iommu/arm/`, `drivers/iommu/amd/init.c` and
`drivers/iommu/virtio-iommu.c` of Linux.
"""

from __future__ import annotations

import re

from .joiner import Family, Kind, Part
from .records import BootFact, BootGroup, BootReserved, BootUnit, Facts, LogLine, LogRecord

_HEX = r"(?:0x)?([0-9a-f]{1,16})"
_GROUP = re.compile(r"(?:Adding to iommu group (\d{1,9})|Adding device (\S{1,64}) to group (\d{1,9}))")


def read_group(line: LogLine, driver: str, device: str, rest: str) -> BootGroup | None:
    """Return what a line says of a group: the device stands before it or, up to 5.2, in it."""
    match = _GROUP.match(rest)
    if match is None:
        return None
    name, group = (device, match[1]) if match[1] is not None else (match[2], match[3])
    return BootGroup(line, line.text, driver if match[1] is not None else "iommu", "", name, int(group))


def _facts(match: re.Match[str]) -> Facts:
    """Return the named groups: hexadecimal numbers, decimal ones (`_d`), and words (`_w`)."""
    facts: Facts = ()
    for name, text in match.groupdict().items():
        if text and name not in ("base", "unit"):
            plain = name.removesuffix("_d").removesuffix("_w").replace("_", " ")
            facts += ((plain, text if name.endswith("_w") else int(text, 10 if name.endswith("_d") else 16)),)
    return facts


def _unit(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    line, groups = parts[0].line, parts[0].match.groupdict()
    base = groups.get("base")
    where = None if base is None else int(base, 16)
    return BootUnit(line, line.text, driver, groups.get("unit") or unit, where, _facts(parts[0].match))


def _reserved(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    line, start, end = parts[0].line, int(parts[0].match[1], 16), int(parts[0].match[2], 16)
    if end < start:
        return BootFact(line, line.text, driver, unit, "RMRR", (("base", start), ("end", end)))
    return BootReserved(line, line.text, driver, unit, start, end - start + 1)


def _said(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    """Make a record of the words in the first group."""
    line, match = parts[0].line, parts[0].match
    return BootFact(line, line.text, driver, unit, match[1], _facts(match))


INTEL_BOOT = Family(
    (
        Kind("drhd", re.compile(r"DRHD base: 0x(?P<base>[0-9a-f]{1,16}) flags: 0x(?P<flags>[0-9a-f]{1,2})"), _unit),
        Kind(
            "old drhd",
            re.compile(r"DRHD \(flags: 0x(?P<flags>[0-9a-f]{1,8})\)base: 0x(?P<base>[0-9a-f]{1,16})"),
            _unit,
        ),
        Kind(
            "registers",
            re.compile(
                r"(?P<unit>dmar\d{1,4}): reg_base_addr (?P<base>[0-9a-f]{1,16}) ver (?P<major>[0-9a-f]{1,2}):"
                r"(?P<minor>[0-9a-f]{1,2}) cap (?P<cap>[0-9a-f]{1,16}) ecap (?P<ecap>[0-9a-f]{1,16})"
            ),
            _unit,
        ),
        Kind("rmrr", re.compile(rf"RMRR base: {_HEX} end: {_HEX}"), _reserved),
        Kind("atsr", re.compile(r"(ATSR) flags: 0x(?P<flags>[0-9a-f]{1,2})"), _said),
        Kind(
            "rhsa",
            re.compile(
                r"(RHSA) base: 0x(?P<address>[0-9a-f]{1,16}) proximity domain: 0x(?P<proximity_domain>[0-9a-f]{1,8})"
            ),
            _said,
        ),
        Kind("satc", re.compile(r"(SATC) flags: 0x(?P<flags>[0-9a-f]{1,2})"), _said),
        Kind("andd", re.compile(r"(ANDD) device: (?P<number>[0-9a-f]{1,2}) name: (?P<name_w>\S{1,255})"), _said),
        Kind(
            "ioapic",
            re.compile(
                r"(IOAPIC) id (?P<id_d>\d{1,3}) under DRHD base {1,2}0x(?P<address>[0-9a-f]{1,16}) "
                r"IOMMU (?P<IOMMU_d>\d{1,4})"
            ),
            _said,
        ),
        Kind(
            "said",
            re.compile(
                r"(No (?:RMRR|ATSR|SATC) found|IOMMU (?:enabled|disabled)|Host address width \d{1,3}|"
                r"No handler for DMAR structure type \d{1,5}|\[Firmware Bug\]: .{1,160}|"
                r"Enabled IRQ remapping in \S{1,8} mode)"
            ),
            _said,
        ),
    )
)
"""Lines behind `DMAR: ` and `DMAR-IR: `."""

SMMU_BOOT = Family(
    (
        Kind(
            "features",
            re.compile(
                r"(?:ias (?P<ias_d>\d{1,2})-bit, )?oas (?P<oas_d>\d{1,2})-bit "
                r"\(features 0x(?P<features>[0-9a-f]{1,8})\)"
            ),
            _unit,
        ),
        Kind(
            "said",
            re.compile(
                r"\s*(option mask 0x[0-9a-f]{1,8}|allocated \d{1,9} entries for \w{1,8}|"
                r"probing hardware configuration\.\.\.|SMMUv[12] with:|(?:stage [12]|nested) translation|"
                r"stream matching with \d{1,5} register groups|\d{1,5} context banks \(\d{1,5} stage-2 only\)|"
                r"(?:non-)?coherent table walk|Supported page sizes: 0x[0-9a-f]{1,16}|"
                r"Stage-[12]: \d{1,2}-bit I?[PV]A -> \d{1,2}-bit I?PA|preserved \d{1,5} boot mappings?)"
            ),
            _said,
        ),
    )
)
"""Lines behind `arm-smmu-v3 <unit>: ` and `arm-smmu <unit>: `."""


AMD_BOOT = Family(
    (
        Kind(
            "found",
            re.compile(r"Found IOMMU(?: at (?P<unit>[0-9a-f:.]{7,12}))? cap 0x(?P<cap>[0-9a-f]{1,4})"),
            _unit,
        ),
        Kind(
            "features",
            re.compile(r"(Extended features \(0x[0-9a-f]{1,16}(?:, 0x[0-9a-f]{1,16})?\):? ?.{0,160})"),
            _said,
        ),
        Kind(
            "registers",
            re.compile(r"Using global IVHD EFR:0x(?P<EFR>[0-9a-f]{1,16}), EFR2:0x(?P<EFR2>[0-9a-f]{1,16})"),
            _unit,
        ),
        Kind(
            "said",
            re.compile(r"(Using (?:strict|lazy) mode .{1,80}|Interrupt remapping enabled|.{1,40} enabled)$"),
            _said,
        ),
    )
)
"""Lines behind `AMD-Vi: `."""

VIRTIO_BOOT = Family((Kind("said", re.compile(r"(input address: \d{1,2} bits|page mask: 0x[0-9a-f]{1,16})"), _said),))
"""Lines behind `virtio_iommu <unit>: `."""
