"""What a unit is built to do: its extended features, and the masks that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..layout import DTE
from ..layout.registers import EFR

_MODELLED = EFR.PreFSup.mask | EFR.XTSup.mask | EFR.IASup.mask | EFR.GASup.mask | EFR.HATS.mask
_FEATURES = (
    DTE.HAD.mask | DTE.PPR.mask | DTE.GPRP.mask | DTE.GIoV.mask | DTE.GV.mask | DTE.SATS.mask | DTE.GuestPagingMode.mask
    | DTE.HPTMode.mask
)  # fmt: skip
"""Fields of features that no modelled unit has."""
_HALF = (1 << 128) - 1
_GUEST = DTE.GCR3.mask | DTE.GLX.mask
"""What an entry without GV does not use."""


@dataclass(slots=True)
class Hardware:
    """The fixed properties of a unit; everything after `device_tlbs` follows from them.

    Attributes:
        efr: extended features, of those that are modelled: prefetching, INVALIDATE_IOMMU_ALL, 128-bit interrupt
            entries, 32-bit destinations and the levels of host page tables.
        physical_bits: physical address width; where everything passes, it passes up to there.
        device_tlbs: IotlbSup of the capability header: INVALIDATE_IOTLB_PAGES is a command.
        levels: levels that host page tables may have.
        illegal: bits of DTE[127:0] that must be 0.
        illegal_interrupts: the same of DTE[191:128].
    """

    efr: EFR = field(default_factory=lambda: EFR(IASup=1, GASup=1))
    physical_bits: int = 52
    device_tlbs: bool = True
    levels: int = field(init=False)
    illegal: int = field(init=False)
    illegal_interrupts: int = field(init=False)

    def __post_init__(self) -> None:
        """Work out what follows. Raises ValueError for features that are not modelled."""
        if self.efr.value & ~_MODELLED or self.efr.HATS == 3:
            raise ValueError(f"no such unit is modelled: {self.efr!r}")
        self.levels = 4 + self.efr.HATS
        wrong = (DTE.reserved_mask | _FEATURES) & ~_GUEST
        self.illegal = wrong & _HALF
        self.illegal_interrupts = wrong >> 128 & (1 << 64) - 1
