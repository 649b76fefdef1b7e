r"""How a configuration names devices: `pci:0:18.0`, `mem:0xE6EF0000`, `acpi:\_SB.DEV`, `dt:/soc/usb@1000`."""

from __future__ import annotations

from .lexer import Word
from .numbers import address, number
from .records import DeviceSpec, MmioSpec, NamedSpec, PciSpec
from .report import Report, shown

SPEC = r"pci:BUS:DEV.FUNC, mem:ADDRESS, acpi:\PATH or dt:/PATH"
"""What names a device, for messages."""

_FUNCTION = "[SEGMENT:]BUS:DEV.FUNC, in decimal"
_LAST = "BUS:DEV.FUNC, in decimal"
_KINDS = ("pci", "mem", "acpi", "dt")
_RULE = "CONFIG-DEVICE"


def device_spec(word: Word, report: Report) -> DeviceSpec | None:
    """Return the device that a word names; None when it names none, which is reported."""
    before = report.count
    kind, colon, _ = word.text.partition(":")
    if not colon or kind not in _KINDS:
        report.error(word, _RULE, "this names no device", expected=SPEC, advice=_advice(word.text, kind, report))
        return None
    rest = word.part(len(kind) + 1)
    spec = _pci(rest, report) if kind == "pci" else _mmio(rest, report) if kind == "mem" else _named(word, rest, report)
    return spec if report.count == before else None


def _advice(text: str, kind: str, report: Report) -> str:
    """Return what to do about a word that names no device."""
    if text.lower().startswith("0x"):
        return f"did you mean 'mem:{shown(text)}'?"
    if text.startswith(("\\", "/")):
        return f"did you mean '{'acpi' if text[0] == chr(92) else 'dt'}:{shown(text)}'?"
    near = report.near(kind, _KINDS) if kind != text else ""
    return f"did you mean '{near}:'?" if near else ""


def _mmio(rest: Word, report: Report) -> MmioSpec:
    return MmioSpec(address(rest, "address", report))


def _named(word: Word, rest: Word, report: Report) -> NamedSpec:
    """Return a device that firmware names: such a path begins at the root."""
    acpi = word.text.startswith("acpi:")
    root = "\\" if acpi else "/"
    if not rest.text.startswith(root) or not rest.text.isprintable() or " " in rest.text:
        kind = f"an ACPI path from the root, such as acpi:{root}_SB.DEV" if acpi else "a path of the device tree, dt:/…"
        report.error(rest, _RULE, "this is no path", expected=kind)
    return NamedSpec(word.text)


def _pci(rest: Word, report: Report) -> PciSpec:
    """Return one PCI function, or those from one to another."""
    ends = rest.split("-")
    segment, first = _function(ends[0], report, _FUNCTION)
    last = first
    if len(ends) > 2:  # noqa: PLR2004 - first and last
        report.error(ends[2], _RULE, "a range has two ends", expected=f"FIRST-LAST, each {_LAST}")
    elif len(ends) == 2:  # noqa: PLR2004
        before = report.count
        last = _function(ends[1], report, _LAST)[1]
        if report.count == before and last < first:
            report.error(
                ends[1], "CONFIG-RANGE", "the range ends before it begins", expected=f"{_name(first)} or later"
            )
    return PciSpec(segment, first, last)


def _function(word: Word, report: Report, expected: str) -> tuple[int, int]:
    """Return segment and requester ID of a function."""
    *buses, device = word.split(":")
    parts = device.split(".")
    if len(parts) == 1 and len(buses) in (1, 2) and "/" not in word.text:
        advice = f"all functions are written {device.text}.0-{buses[-1].text}:{device.text}.7"
        report.error(device.end, _RULE, "the function is missing", expected=".FUNC", advice=advice)
        return 0, 0
    if len(parts) != 2 or len(buses) not in ((1, 2) if expected is _FUNCTION else (1,)):  # noqa: PLR2004
        report.error(word, _RULE, "this is no PCI function", expected=expected)
        return 0, 0
    segment = number(buses[0], "segment", report, 0xFFFF) if len(buses) > 1 else 0
    bus = number(buses[-1], "bus", report, 0xFF)
    return segment, bus << 8 | number(parts[0], "device", report, 31) << 3 | number(parts[1], "function", report, 7)


def _name(rid: int) -> str:
    """Return BUS:DEV.FUNC, in decimal as QNX writes it."""
    return f"{rid >> 8}:{rid >> 3 & 0x1F}.{rid & 7}"


def format_spec(spec: DeviceSpec) -> str:
    """Return the word that names a device."""
    if isinstance(spec, NamedSpec):
        return spec.name
    if isinstance(spec, MmioSpec):
        return f"mem:{spec.base:#x}"
    segment = f"{spec.segment}:" if spec.segment else ""
    last = f"-{_name(spec.last)}" if spec.last != spec.first else ""
    return f"pci:{segment}{_name(spec.first)}{last}"
