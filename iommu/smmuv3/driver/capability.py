"""What the identification registers say is there, and the refusal of what is not."""

from __future__ import annotations

from dataclasses import dataclass

from ...bits import Bits
from ...errors import IommuError, failure
from ...platform import Platform, read_register
from ..layout.registers import IDR0, IDR1, IDR3, IDR5

_TTF_AARCH64 = 2
_TTENDIAN_BE = 3
_ADDRESS_BITS = {0: 32, 1: 36, 2: 40, 3: 42, 4: 44}
"""Output address size by IDR5.OAS; from 5 up the driver uses 48 bits."""
MAX_ADDRESS_BITS = 48


@dataclass(frozen=True, slots=True)
class Hardware:
    """One SMMU as its registers describe it, with `part` naming it in errors."""

    part: str
    idr0: IDR0
    idr1: IDR1
    idr3: IDR3
    idr5: IDR5

    @property
    def output_bits(self) -> int:
        """Bits of a physical address that the driver uses, at most 48."""
        return _ADDRESS_BITS.get(self.idr5.OAS, MAX_ADDRESS_BITS)

    @property
    def ps(self) -> int:
        """The encoding of `output_bits` for CD.IPS and STE.S2PS."""
        return min(self.idr5.OAS, 5)

    def require(self, present: object, register: Bits, field: str, purpose: str) -> None:
        """Refuse, naming register and field, unless `present`. Raises `IommuError` (`SMMU-UNSUPPORTED`)."""
        if not present:
            name = f"{type(register).__name__}.{field}"
            raise failure(
                "SMMU-UNSUPPORTED",
                f"this SMMU does not support {purpose}",
                self.part,
                field=name,
                found=str(dict(register.items())[field]),
                clause="IHI 0070 6.3",
            )

    def refuse(self, message: str) -> IommuError:
        """Return the exception for a request that makes no sense."""
        return failure("SMMU-REQUEST", message, self.part)


def identify(platform: Platform, base: int) -> Hardware:
    """Read the identification registers of the SMMU at `base`.

    Raises `IommuError` (`SMMU-UNSUPPORTED`) for one that this driver cannot program at all.
    """
    idr0 = read_register(platform, base, IDR0)
    idr1 = read_register(platform, base, IDR1)
    idr3 = read_register(platform, base, IDR3)
    idr5 = read_register(platform, base, IDR5)
    hardware = Hardware(f"SMMUv3 at 0x{base:x}", idr0, idr1, idr3, idr5)
    hardware.require(idr0.TTF & _TTF_AARCH64, idr0, "TTF", "AArch64 translation tables")
    hardware.require(idr0.TTENDIAN != _TTENDIAN_BE, idr0, "TTENDIAN", "little-endian translation tables")
    hardware.require(not idr1.TABLES_PRESET, idr1, "TABLES_PRESET", "a stream table of the driver's choice")
    hardware.require(not idr1.QUEUES_PRESET, idr1, "QUEUES_PRESET", "queues of the driver's choice")
    return hardware
