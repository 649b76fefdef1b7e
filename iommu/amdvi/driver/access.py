"""The driver's hands: one unit's registers, what they say it can do, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...bits import Bits, Field
from ...errors import IommuError, failure
from ...platform import Platform, read_register, write_register
from ..layout.registers import EFR, Control, Status

_Register = TypeVar("_Register", bound=Bits)

CLAUSE = "AMD 48882 3.4"
_PATIENCE = 100_000
_NOBODY = (1 << 64) - 1
"""What is read where no unit is."""


class UnitAccess:
    """Registers of the unit at one base address.

    Attributes:
        platform: the platform it is on.
        base: physical address of its registers, from the IVHD block.
        efr: extended feature register, read once.
    """

    def __init__(self, platform: Platform, base: int) -> None:
        """Look at the unit. Raises `IommuError` (`AMDVI-ABSENT`) when nothing answers as one does."""
        self.platform = platform
        self.base = base
        self.name = f"AMD-Vi unit at 0x{base:x}"
        self.efr = self.read(EFR)
        if self.efr.value == _NOBODY or self.efr.HATS == 3:
            raise failure(
                "AMDVI-ABSENT", "no AMD-Vi unit answers", self.name, field="EFR", found=hex(self.efr.value),
                clause=CLAUSE,
            )  # fmt: skip

    @property
    def most_levels(self) -> int:
        """Levels that host page tables may have (EFR.HATS)."""
        return 4 + self.efr.HATS

    def read(self, register: type[_Register]) -> _Register:
        """Read a register."""
        return read_register(self.platform, self.base, register)

    def write(self, register: Bits) -> None:
        """Write a register."""
        write_register(self.platform, self.base, register)

    def control(self, **fields: int) -> None:
        """Change fields of the control register."""
        self.write(self.read(Control).replace(**fields))

    def await_status(self, field: Field, value: int) -> None:
        """Wait until a bit of the status register has a value. Raises `IommuError` (`AMDVI-TIMEOUT`)."""
        self.wait(lambda: field.get(self.read(Status).value) == value, f"Status.{field.name} = {value}")

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`. Raises `IommuError` (`AMDVI-TIMEOUT`) when the unit does not get there."""
        for _ in range(_PATIENCE):
            if done():
                return
        raise failure("AMDVI-TIMEOUT", f"the unit does not get to {what}", self.name, clause=CLAUSE)

    def unsupported(self, field: Field, what: str) -> IommuError:
        """Make the exception for what a bit of the extended feature register says is not there."""
        last = f":{field.shift}" if field.width > 1 else ""
        return failure(
            "AMDVI-UNSUPPORTED",
            f"the hardware does not support {what}",
            self.name,
            field=f"EFR.{field.name} (bit{'s' if last else ''} {field.shift + field.width - 1}{last})",
            found=f"0x{field.get(self.efr.value):x}",
            clause=CLAUSE,
        )

    def refuse(self, rule: str, message: str, **details: str) -> IommuError:
        """Make the exception for a request that makes no sense."""
        return failure(rule, message, self.name, **details)
