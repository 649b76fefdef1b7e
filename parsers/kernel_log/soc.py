"""Lines of the drivers for IOMMUs that only one maker's chips have, `drivers/iommu/` of Linux.

They are `rockchip-iommu.c`, `exynos-iommu.c`, `mtk_iommu.c`, `mtk_iommu_v1.c`, `ipmmu-vmsa.c`, `apple-dart.c` and
`sun50i-iommu.c`.
"""

from __future__ import annotations

import re

from .joiner import Build, Family, Kind, Part, joined
from .records import Facts, LogAccess, LogRecord, SocFault, UnitError

_HEX = r"(?:0x)?([0-9a-f]{1,16})"
_ACCESS: dict[str | None, LogAccess] = {
    "read": "read",
    "READ": "read",
    "rd": "read",
    "AR": "read",
    "write": "write",
    "WRITE": "write",
    "wr": "write",
    "AW": "write",
    None: "",
}

_IPMMU_PERMISSION = 1 << 1
_DART_READ_WRITE: dict[str, LogAccess] = {"READ FAULT": "read", "WRITE FAULT": "write"}


def _notice(name: str) -> Build:
    """Return what makes a record of a line that says only that something happened, perhaps with a number."""

    def build(driver: str, unit: str, parts: list[Part]) -> LogRecord:
        match = parts[0].match
        hexadecimal, decimal = (match.groupdict().get(group) for group in ("hexadecimal", "decimal"))
        value = int(hexadecimal, 16) if hexadecimal else int(decimal) if decimal else None
        return UnitError(parts[0].line, joined(parts), driver, unit, name, value)

    return build


def _at_address(name: str) -> Build:
    """Return what makes a record of a line that tells nothing but the address."""

    def build(driver: str, unit: str, parts: list[Part]) -> LogRecord:
        return SocFault(parts[0].line, joined(parts), driver, unit, name, "", int(parts[0].match[1], 16))

    return build


def _numbers(match: re.Match[str]) -> Facts:
    """Return the named groups of a match as numbers."""
    return tuple((name.replace("_", " "), int(text, 16)) for name, text in match.groupdict().items() if text)


def _build_rockchip(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    facts: Facts = tuple(fact for part in parts[1:] for fact in _numbers(part.match))
    first = parts[0].match
    return SocFault(
        parts[0].line, joined(parts), driver, unit, "Page fault", _ACCESS[first[2]], int(first[1], 16), facts=facts
    )


ROCKCHIP = Family(
    (
        Kind(
            "fault",
            re.compile(rf"Page fault at (?:fault_address = )?{_HEX} of type (read|write)"),
            _build_rockchip,
            more=True,
        ),
        Kind(
            "index",
            re.compile(
                r"iova = (?:0x)?[0-9a-f]{1,16}: dte_index: 0x(?P<dte_index>[0-9a-f]{1,8}) "
                r"pte_index: 0x(?P<pte_index>[0-9a-f]{1,8}) page_offset: 0x(?P<page_offset>[0-9a-f]{1,8})"
            ),
            after=frozenset({"fault"}),
        ),
        Kind(
            "entries",
            re.compile(
                r"mmu_dte_addr: 0x(?P<mmu_dte_addr>[0-9a-f]{1,16}) dte@0x[0-9a-f]{1,16}: 0x(?P<dte>[0-9a-f]{1,8}) "
                r"valid: \d{1,2} pte@0x[0-9a-f]{1,16}: 0x(?P<pte>[0-9a-f]{1,8}) valid: \d{1,2} "
                r"page@0x(?P<page>[0-9a-f]{1,16}) flags: 0x(?P<flags>[0-9a-f]{1,8})"
            ),
            after=frozenset({"fault", "index"}),
        ),
        Kind("bus", re.compile(rf"BUS_ERROR occurred at {_HEX}"), _at_address("BUS_ERROR")),
        Kind(
            "status",
            re.compile(r"unexpected int_status: 0x(?P<hexadecimal>[0-9a-f]{1,8})"),
            _notice("unexpected int_status"),
        ),
        Kind(
            "detached",
            re.compile(r"Page fault while iommu not attached to (?:any )?domain\?"),
            _notice("Page fault while iommu not attached to domain"),
        ),
    )
)
"""Lines behind `rk_iommu <unit>: `."""


def _build_exynos(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    master, access, name, address = parts[0].match.groups()
    if access is None and name[:2] in ("AR", "AW"):
        access = name[:2]
    facts: Facts = tuple((part.match[1], int(part.match[2], 16)) for part in parts[1:])
    return SocFault(
        parts[0].line, joined(parts), driver, unit, f"{name} FAULT", _ACCESS[access], int(address, 16), device=master,
        facts=facts,
    )  # fmt: skip


EXYNOS = Family(
    (
        Kind(
            "fault",
            re.compile(rf"(\S{{1,64}}): (?:\[(READ|WRITE)\] )?([A-Z][A-Z -]{{1,32}}?) FAULT occurred at {_HEX}"),
            _build_exynos,
            more=True,
        ),
        Kind(
            "table",
            re.compile(rf"\s*(Page table base|Lv[12] entry): {_HEX}"),
            after=frozenset({"fault", "table"}),
            limit=3,
        ),
        Kind("interrupt", re.compile(r"Unhandled interrupt bit (?P<decimal>\d{1,3})"), _notice("Unhandled interrupt")),
    )
)
"""Lines behind `exynos-sysmmu <unit>: `."""


def _build_mediatek(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    match = parts[0].match
    kind, address, physical, master, larb, port, layer, access = match.groups()
    facts: Facts = (("pa", int(physical, 16)), ("larb", int(larb)), ("port", int(port)))
    if layer is not None:
        facts += (("layer", int(layer)),)
    return SocFault(
        parts[0].line, joined(parts), driver, unit, "fault", _ACCESS[access], int(address, 16), int(kind, 16),
        None if master is None else int(master, 16), facts=facts,
    )  # fmt: skip


MEDIATEK = Family(
    (
        Kind(
            "fault",
            re.compile(
                rf"(?:bank\(\d{{1,2}}\) )?fault type=0x([0-9a-f]{{1,8}}) iova={_HEX} pa={_HEX} "
                r"(?:master=0x([0-9a-f]{1,8}))?\(?larb=(\d{1,5}) port=(\d{1,5})\)?(?: layer=(\d{1,5}) (read|write))?"
            ),
            _build_mediatek,
        ),
    )
)
"""Lines behind `mtk-iommu <unit>: `."""


def _build_renesas(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    status, address = parts[0].match.groups()
    code = int(status, 16)
    name = "no permission" if code & _IPMMU_PERMISSION else "translation fault"
    return SocFault(parts[0].line, joined(parts), driver, unit, name, "", int(address, 16), code)


RENESAS = Family(
    (
        Kind("fault", re.compile(rf"Unhandled fault: status 0x([0-9a-f]{{8}}) iova {_HEX}"), _build_renesas),
        Kind("hits", re.compile(rf"Multiple TLB hits @{_HEX}"), _at_address("Multiple TLB hits")),
        Kind("abort", re.compile(rf"Page Table Walk Abort @{_HEX}"), _at_address("Page Table Walk Abort")),
    )
)
"""Lines behind `ipmmu-vmsa <unit>: `."""


_T8110 = {
    1 << 5: "READ FAULT",
    1 << 4: "WRITE FAULT",
    1 << 3: "NO PTE FOR IOVA",
    1 << 2: "NO PMD FOR IOVA",
    1 << 1: "NO PGD FOR IOVA",
    1 << 0: "NO TTBR FOR IOVA",
}
"""Codes of the T8110 and later, whose stream number is in bits 27:20 of the status and not in 27:24. The first drivers
for it took the codes for those of the T8020, which are one bit lower, and printed the wrong words."""


def _build_apple(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    status, stream, code, name, address = parts[0].match.groups()
    if int(stream) != int(status, 16) >> 24 & 0xF:
        name = _T8110.get(int(code, 16), name)
    return SocFault(
        parts[0].line, joined(parts), driver, unit, name, _DART_READ_WRITE.get(name, ""), int(address, 16),
        int(status, 16), int(stream), facts=(("code", int(code, 16)),),
    )  # fmt: skip


APPLE = Family(
    (
        Kind(
            "fault",
            re.compile(
                r"translation fault: status:0x([0-9a-f]{1,8}) stream:(\d{1,3}) code:0x([0-9a-f]{1,8}) "
                rf"\(([^)]{{1,32}})\) at {_HEX}"
            ),
            _build_apple,
        ),
    )
)
"""Lines behind `apple-dart <unit>: `."""


def _build_allwinner(driver: str, unit: str, parts: list[Part]) -> LogRecord:
    address, master, access = parts[0].match.groups()
    return SocFault(
        parts[0].line, joined(parts), driver, unit, "Page fault", _ACCESS[access], int(address, 16),
        identifier=int(master),
    )  # fmt: skip


ALLWINNER = Family(
    (
        Kind("fault", re.compile(rf"Page fault for {_HEX} \(master (\d{{1,3}}), dir (rd|wr)\)"), _build_allwinner),
        Kind(
            "detached",
            re.compile(r"Page fault while iommu not attached to any domain\?"),
            _notice("Page fault while iommu not attached to domain"),
        ),
    )
)
"""Lines behind `sun50i-iommu <unit>: `."""
