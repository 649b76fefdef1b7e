"""The driver's hands: one unit's registers, what its capabilities say, waiting for it, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...bits import Bits, Field
from ...errors import IommuError, failure
from ...platform import Platform, read_register, write_register
from ..layout.registers import CAPABILITIES

_Register = TypeVar("_Register", bound=Bits)

CLAUSE = "RISC-V IOMMU 1.0, chapter 5"
_VERSION_1 = 0x10
_PATIENCE = 100_000
"""How often a register is read before the hardware is given up."""


class UnitAccess:
    """Registers of the unit at one base address.

    Attributes:
        platform: the platform it is on.
        base: physical address of its registers.
        name: what it is called in errors.
        capabilities: its capabilities, read once.
    """

    def __init__(self, platform: Platform, base: int) -> None:
        """Look at the unit. Raises `IommuError` (`RISCV-VERSION`) when what answers is no such unit."""
        self.platform = platform
        self.base = base
        self.name = f"RISC-V IOMMU at 0x{base:x}"
        self.capabilities = self.read(CAPABILITIES)
        if self.capabilities.version >> 4 != _VERSION_1 >> 4:
            raise failure(
                "RISCV-VERSION", "no RISC-V IOMMU of version 1 answers", self.name, field="capabilities.version",
                found=hex(self.capabilities.version), expected="0x10 to 0x1f", clause=CLAUSE,
            )  # fmt: skip

    def read(self, register: type[_Register]) -> _Register:
        """Read a register."""
        return read_register(self.platform, self.base, register)

    def write(self, register: Bits) -> None:
        """Write a register."""
        write_register(self.platform, self.base, register)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`. Raises `IommuError` (`RISCV-TIMEOUT`) when the unit does not get there."""
        for _ in range(_PATIENCE):
            if done():
                return
        raise failure("RISCV-TIMEOUT", f"the unit does not complete {what}", self.name, clause=CLAUSE)

    def unsupported(self, field: Field, what: str, found: int) -> IommuError:
        """Make the exception for what a register says is not there."""
        return failure(
            "RISCV-UNSUPPORTED", f"this unit does not support {what}", self.name,
            field=field.name, found=f"0x{found:x}", clause=CLAUSE,
        )  # fmt: skip

    def refuse(self, message: str) -> IommuError:
        """Make the exception for a request that makes no sense."""
        return failure("RISCV-REQUEST", message, self.name)
