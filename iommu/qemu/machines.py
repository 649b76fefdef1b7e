"""The machines: where QEMU puts registers, memory and configuration space, as data.

Source: qemu/qemu, hw/i386/intel_iommu.h, hw/i386/amd_iommu.h, hw/arm/virt.c, hw/riscv/virt.c (memory maps).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["vtd", "amdvi", "smmuv3", "riscv"]

LOW_RAM = 0x100000
"""Below it a PC has windows of other things in its memory."""


@dataclass(frozen=True, slots=True)
class Function:
    """A PCI function of a machine, and what is behind it.

    Attributes:
        device: QEMU's name: `lsi53c895a` (does DMA), `pcie-root-port`, `pci-bridge`, `pcie-pci-bridge`,
            `x3130-upstream`, `xio3130-downstream`, `pxb-pcie` (a root bus of its own), or any other.
        slot: device number on its bus.
        number: function number; any but 0 needs a function 0 with option `multifunction=on`.
        options: of the device, such as `("ats=on",)`.
        bus: number of the root bus of a `pxb-pcie`; others are numbered in order.
        below: functions on the bus behind it.
    """

    device: str
    slot: int
    number: int = 0
    options: tuple[str, ...] = ()
    bus: int = 0
    below: tuple[Function, ...] = ()


@dataclass(frozen=True, slots=True)
class Description:
    """A machine with an IOMMU.

    Attributes:
        name: what it is called here.
        kind: architecture of its IOMMU.
        machine: QEMU's name of it.
        program: the QEMU that has it.
        package: the Debian package of that.
        least: the oldest version of QEMU that has it.
        arguments: what QEMU is started with.
        device: QEMU's device, where it is one of its own.
        registers: physical address of the registers of the IOMMU; where `function` is set, what is put into its BAR 0.
        function: the IOMMU as a PCI function of the root bus, where it is one.
        ram: physical address of memory.
        first: first physical address that is memory and nothing else.
        ecam: physical address of configuration space; None: by ports CF8h and CFCh.
        buses: number of buses that configuration space has room for.
        window: `(start, length)` of the 32-bit MMIO of PCI devices.
    """

    name: str
    kind: Kind
    machine: str
    program: str
    package: str
    least: tuple[int, int]
    arguments: tuple[str, ...]
    device: str
    registers: int
    ram: int
    first: int
    ecam: int | None
    buses: int
    window: tuple[int, int]
    function: Function | None = None


def _q35(name: str, kind: Kind, least: tuple[int, int], device: str, registers: int) -> Description:
    return Description(
        name, kind, "q35", "qemu-system-x86_64", "qemu-system-x86", least,
        ("-M", "q35,memory-backend=ram", "-device", device), device.partition(",")[0], registers,
        ram=0, first=LOW_RAM, ecam=None, buses=256, window=(0xE0000000, 0x1000_0000),
    )  # fmt: skip


def _virt(name: str, least: tuple[int, int], machine: str, *options: str) -> Description:
    return Description(
        name, "smmuv3", "virt", "qemu-system-aarch64", "qemu-system-arm", least,
        ("-M", f"{machine},iommu=smmuv3,highmem=off,memory-backend=ram", "-cpu", "max", *options), "", 0x0905_0000,
        ram=0x4000_0000, first=0x4000_0000, ecam=0x3F00_0000, buses=16, window=(0x1000_0000, 0x2EFF_0000),
    )  # fmt: skip


_VTD = "intel-iommu,intremap=off,aw-bits=48"
_RISCV_UNIT = Function("riscv-iommu-pci", 1)

MACHINES: dict[str, Description] = {
    description.name: description
    for description in (
        _q35("q35", "vtd", (5, 0), _VTD, 0xFED9_0000),
        _q35("q35-scalable", "vtd", (5, 0), f"{_VTD},x-scalable-mode=on", 0xFED9_0000),
        _q35("q35-first-stage", "vtd", (10, 0), f"{_VTD},x-scalable-mode=on,x-flts=on", 0xFED9_0000),
        _q35("q35-amd", "amdvi", (5, 0), "amd-iommu,intremap=off,pt=off", 0xFED8_0000),
        _virt("virt", (9, 1), "virt", "-global", "arm-smmuv3.stage=nested"),
        # From 9.2 on the machine itself asks for both stages; the one of 9.1 leaves the choice.
        _virt("virt-stage-1", (9, 1), "virt-9.1", "-global", "arm-smmuv3.stage=1"),
        _virt("virt-stage-2", (9, 1), "virt-9.1", "-global", "arm-smmuv3.stage=2"),
        Description(
            "virt-riscv", "riscv", "virt", "qemu-system-riscv64", "qemu-system-riscv", (9, 2),
            ("-M", "virt,memory-backend=ram"), "riscv-iommu-pci", 0x4000_0000,
            ram=0x8000_0000, first=0x8000_0000, ecam=0x3000_0000, buses=256, window=(0x4010_0000, 0x3FF0_0000),
            function=_RISCV_UNIT,
        ),
    )
}  # fmt: skip
"""Machines by name."""
