"""Chips and firmware with VT-d that kernels carry quirks for, as far as tables and the PCI topology tell.

Sources: Linux of 2026 (`drivers/iommu/intel/iommu.c`, `irq_remapping.c`, `arch/x86/kernel/early-quirks.c`), Xen
(`xen/drivers/passthrough/vtd/quirks.c`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from ...base import Finding, Severity
from ...parsers.acpi.dmar import Dmar
from ...parsers.pci import PciFunction
from .board import Board
from .dmar import INTR_REMAP, X2APIC_OPT_OUT
from .dmar_walk import field_origin
from .rule import Judge, Rule

INTEL = 0x8086
G4X = frozenset({0x2A40, 0x2E00, 0x2E10, 0x2E20, 0x2E30, 0x2E40, 0x2E90})
"""Host bridges of GM45 and of the desktop chips of its family."""

BROADWELL = frozenset(0x1600 | high | low for high in (0x00, 0x10, 0x20, 0x30) for low in (2, 6, 0xA, 0xB, 0xD, 0xE))
"""Graphics of Broadwell: 1602 to 163e, less the numbers that are none of it."""

IRONLAKE = frozenset({0x0040, 0x0062, 0x006A})
X58 = frozenset({0x3403, 0x3405, 0x3406})
SANDY_BRIDGE = frozenset({0x0102, 0x0106, 0x010A, 0x0112, 0x0116, 0x0122, 0x0126})
NO_DISABLE = frozenset({0x45, 0x46, 0x4C, 0x4E, 0x7D, 0x8A, 0x98, 0x9A, 0xA7})
"""High bytes of the device IDs of graphics, from Ice Lake to Meteor Lake."""

DISPLAY = 0x03


def _always(_: Dmar) -> bool:
    return True


def _remaps(body: Dmar) -> bool:
    return bool(body.flags & INTR_REMAP)


@dataclass(frozen=True, slots=True)
class _Chip:
    """A quirk that is known by a PCI function.

    Attributes:
        rule: the rule without its function.
        is_one: tells whether a function of Intel's is such a chip.
        concerns: tells whether a table that is there makes it matter.
    """

    rule: Rule
    is_one: Callable[[PciFunction], bool]
    concerns: Callable[[Dmar], bool] = _always


def _device(numbers: frozenset[int]) -> Callable[[PciFunction], bool]:
    return lambda function: function.device in numbers


def _rule(
    identifier: str, severity: Severity, title: str, meaning: str, system: str, source: str, fix: str,
    judges: tuple[Judge, ...] = ("Linux",),
) -> Rule:  # fmt: skip
    return Rule(f"DMAR-QUIRK-{identifier}", severity, title, source, meaning, system, fix, judges)


LINUX, EARLY, XEN = "Linux drivers/iommu/intel/iommu.c", "Linux arch/x86/kernel/early-quirks.c", "Xen vtd/quirks.c"

CHIPS: tuple[_Chip, ...] = (
    _Chip(
        _rule(
            "GRAPHICS", "note", "the graphics of this chip does not work behind its unit",
            "The graphics device is not contained, whatever the table says.",
            "Linux uses no unit for graphics: 'Disabling IOMMU for graphics on this chipset'.",
            LINUX, "treat the graphics device as one that reaches all of memory",
        ),
        _device(G4X | BROADWELL | {0x0044, 0x29B2}),
    ),
    _Chip(
        _rule(
            "FLUSH", "note", "the units of this chip do not say that their write buffers must be flushed",
            "A system that believes them may let a device go on with a mapping that was taken away.",
            "Linux and Xen flush all the same: 'Forcing write-buffer flush capability'.",
            LINUX, "flush the write buffer of its units after each change",
        ),
        _device(G4X),
    ),
    _Chip(
        _rule(
            "SHADOW-GTT", "note", "the graphics of this chip needs memory that firmware may not have set aside",
            "Without it the graphics device is not contained.",
            "Linux: 'BIOS has allocated no shadow GTT; disabling IOMMU for graphics', or, where there is some, "
            "'Disabling batched IOTLB flush on Ironlake'.",
            LINUX, "set aside graphics memory with VT-d in the firmware's setup",
        ),
        _device(IRONLAKE),
    ),
    _Chip(
        _rule(
            "SKIP-DISABLE", "note", "the graphics of this chip hangs when its unit is switched off",
            "The unit for graphics stays on once it is.",
            "Linux: 'Skip IOMMU disabling for graphics'.",
            LINUX, "leave translation on when the system hands over",
        ),
        lambda function: function.class_code >> 16 == DISPLAY and function.device >> 8 in NO_DISABLE,
    ),
    _Chip(
        _rule(
            "ISOCH", "warning", "the sound device of this chip may be behind a unit that has no room for translations",
            "Sound deadlocks, or the device is left uncontained to keep it going.",
            "Linux reads register 188h of 8086:342e and then says 'Your BIOS is broken; DMA routed to ISOCH DMAR unit "
            "but no TLB space' or 'Recommended TLB entries for ISOCH unit is 16; your BIOS set …'.",
            LINUX, "give the ISOCH unit 16 TLB entries, or route sound to the other unit",
        ),
        _device(frozenset({0x3A3E})),
    ),
    _Chip(
        _rule(
            "INTERRUPTS", "warning", "interrupt remapping is unstable on some steppings of this chip",
            "Interrupts get lost while they are remapped, or are not remapped, so that any device can raise any.",
            "Linux, up to revision 13h and on 3405 at revision 22h: 'This system BIOS has enabled interrupt remapping "
            "on a chipset that contains an erratum making that feature unstable.'; Xen, at revision 13h: 'Disabling "
            "IOMMU due to Intel 5500/5520/X58 Chipset errata #47, #53'.",
            EARLY, "look at the chip's revision (lspci), and clear INTR_REMAP in the table of those steppings",
        ),
        _device(X58), _remaps,
    ),
    _Chip(
        _rule(
            "XEN-CANTIGA", "note", "the graphics of this chip must be awake while its unit is programmed",
            "Programming the unit for graphics may hang (stepping B3).",
            "Xen reads a graphics register first (stepping 07h). Linux uses no unit for this graphics.",
            XEN, "treat the graphics device as one that reaches all of memory", (),
        ),
        lambda function: function.device >> 8 == 0x2A and function.class_code >> 16 == DISPLAY,  # noqa: PLR2004
    ),
    _Chip(
        _rule(
            "XEN-SANDY-BRIDGE", "note", "the graphics of this chip sleeps badly after its unit was programmed",
            "It takes more power, as long as mappings of it change.",
            "Xen keeps it awake around each change with the option snb_igd_quirk. Linux does nothing.",
            XEN, "use snb_igd_quirk with Xen if power matters", (),
        ),
        _device(SANDY_BRIDGE),
    ),
)  # fmt: skip
"""Each row: the quirk, and how its chip is known."""


def _look(chip: _Chip, rule: Rule, board: Board) -> Iterator[Finding]:
    if not any(chip.concerns(body) for _, body in board.tables(Dmar)):
        return
    for pci in board.topology.pci:
        for function in pci.functions.values():
            if function.vendor == INTEL and chip.is_one(function):
                yield rule.finding(
                    function.origin, f"{function.address}: {rule.title}", found=f"{INTEL:04x}:{function.device:04x}"
                )


def _opt_out(rule: Rule, board: Board) -> Iterator[Finding]:
    for table, body in board.tables(Dmar):
        if body.flags & (INTR_REMAP | X2APIC_OPT_OUT) == INTR_REMAP | X2APIC_OPT_OUT:
            yield rule.finding(field_origin(table, body, "flags"), field="Flags", found=f"0x{body.flags:x}")


RULES: tuple[Rule, ...] = (
    *(replace(chip.rule, look=partial(_look, chip)) for chip in CHIPS),
    Rule(
        "DMAR-QUIRK-X2APIC", "note", "firmware asks not to use x2APIC", "VT-d specification 4.1 §8.1",
        "Processors with an APIC ID of 255 and above cannot be interrupted; interrupts are remapped all the same.",
        "Linux: 'Your BIOS is broken and requested that x2apic be disabled. This will slightly decrease performance.'; "
        "intremap=no_x2apic_optout overrides it. Xen does not use x2APIC.",
        "clear X2APIC_OPT_OUT unless the firmware cannot bear x2APIC", ("Linux",), _opt_out,
    ),
)  # fmt: skip
"""The quirks as rules."""
