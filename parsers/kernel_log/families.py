"""Finds out which driver printed a line, by what stands before its first colon."""

from __future__ import annotations

import re

from . import amd, boot, intel, riscv, smmuv2, smmuv3, soc, virtio, xen
from .joiner import Family
from .records import LogLine

NEEDLES = re.compile(rb"mmu|MMU|DMAR|AMD-Vi|VT-D|d(?:mar|art)")
"""What every line has that any family knows, but for the second lines of old VT-d faults; looked for in whole chunks.

`mmu` is in the names of most drivers. Few beginnings and letters that are rare in logs make the search fast.
"""

_FAMILIES: dict[str, tuple[Family, ...]] = {
    "DMAR": (intel.INTEL, boot.INTEL_BOOT),
    "dmar": (intel.INTEL, boot.INTEL_BOOT),
    "DMAR-IR": (intel.INTEL, boot.INTEL_BOOT),
    "INTR-REMAP": (intel.INTEL,),
    "arm-smmu-v3": (smmuv3.SMMUV3, boot.SMMU_BOOT),
    "arm-smmu": (smmuv2.SMMUV2, boot.SMMU_BOOT),
    "qcom-iommu": (smmuv2.SMMUV2,),
    "qcom-iommu-ctx": (smmuv2.SMMUV2,),
    "riscv,iommu": (riscv.RISCV,),
    "riscv-iommu": (riscv.RISCV,),
    "riscv-iommu-pci": (riscv.RISCV,),
    "rk_iommu": (soc.ROCKCHIP,),
    "rockchip-iommu": (soc.ROCKCHIP,),
    "exynos-sysmmu": (soc.EXYNOS,),
    "mtk-iommu": (soc.MEDIATEK,),
    "mtk-iommu-v1": (soc.MEDIATEK,),
    "ipmmu-vmsa": (soc.RENESAS,),
    "apple-dart": (soc.APPLE,),
    "sun50i-iommu": (soc.ALLWINNER,),
    "virtio_iommu": (virtio.VIRTIO, boot.VIRTIO_BOOT),
}
_AMD = (amd.AMD, boot.AMD_BOOT)
_XEN_AMD = (xen.XEN_AMD,)
_XEN_VTD = (xen.XEN_VTD,)
_XEN_ARM: dict[str, tuple[Family, ...]] = {"smmu": (smmuv2.SMMUV2,), "SMMUv3": (smmuv3.SMMUV3,)}
_INTEL = _FAMILIES["DMAR"]
_NO_UNIT = ("DMAR", "dmar", "DMAR-IR", "INTR-REMAP")
_UNIT_MAX = 64

_names = sorted((re.escape(name) for name in _FAMILIES if name not in _NO_UNIT), key=len, reverse=True)
_ANYWHERE = re.compile(
    rf"(?:^|[\s\])>|])(?:(?P<driver>{'|'.join(_names)}) (?P<unit>\S{{1,{_UNIT_MAX}}}): "
    r"|(?P<intel>DMAR(?:-IR)?: ?|dmar: |(?=INTR-REMAP:)|(?=\[fault reason ))"
    r"|(?:(?P<owner>\S{1,32}) (?P<device>\S{1,64}): )?"
    r"(?P<amd>AMD-Vi: |(?=[A-Z]{1,16}_[A-Z_]{1,32} (?:device|address)=)))"
)
del _names


Said = tuple[tuple[Family, ...], str, str, str]
"""Who said something: the families of lines it may be, the driver, the unit or device, and the rest of the line."""


def who(line: LogLine) -> Said | None:
    """Return who printed a line, or None where it names no driver that is known."""
    message = line.message
    if line.xen:
        return _who_in_xen(message)
    head, found, rest = message.partition(": ")
    if found:
        driver, _, unit = head.partition(" ")
        families = _FAMILIES.get(driver)
        if families is not None:
            if not unit and driver in _NO_UNIT:
                return families, "DMAR", "", rest
            if 0 < len(unit) <= _UNIT_MAX and driver not in _NO_UNIT:
                return families, driver, unit, rest
        if head == "AMD-Vi":
            return _AMD, head, "", rest
        if rest.startswith("AMD-Vi: "):
            # With `host program[pid]` before it, it is no message of the kernel.
            return None if unit.endswith("]") else (_AMD, "AMD-Vi", unit[:_UNIT_MAX], rest[8:])
    return _who_anywhere(message)


def _who_anywhere(message: str) -> Said | None:
    """Look for a driver's name where something that is not known stands before it."""
    match = _ANYWHERE.search(message)
    if match is None:
        return None
    rest = message[match.end() :]
    if match["driver"]:
        return _FAMILIES[match["driver"]], match["driver"], match["unit"], rest
    if match["amd"] is not None:
        return _AMD, "AMD-Vi", match["device"] or "", rest
    return _INTEL, "DMAR", "", rest


def _who_in_xen(message: str) -> Said | None:
    if message.startswith("[VT-D]"):
        return _XEN_VTD, "Xen", "", message[6:].lstrip()
    head, _, rest = message.partition(": ")
    if head == "AMD-Vi":
        return _XEN_AMD, "Xen", "", rest
    if head in _XEN_ARM:
        unit, _, rest = rest.partition(": ")
        return _XEN_ARM[head], "Xen", unit[:_UNIT_MAX], rest
    return (_XEN_VTD, "Xen", "", message) if message.startswith(("DMAR:", "INTR-REMAP:")) else None
