"""The driver's hands: one unit's registers, what they say it can do, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...bits import Bits, Field
from ...errors import IommuError, failure
from ...platform import Platform, read_register, write_register
from ..layout import CAP, ECAP, GCMD, GSTS, VER

_Register = TypeVar("_Register", bound=Bits)

CLAUSE = "Intel VT-d 4.1, 11.4"
_PATIENCE = 100_000
_SWITCHES = GCMD.TE.mask | GCMD.QIE.mask | GCMD.IRE.mask | GCMD.CFI.mask


class UnitAccess:
    """Registers of the unit at one base address.

    Attributes:
        platform: the platform it is on.
        base: physical address of its registers, from the DRHD structure.
        cap: capability register, read once.
        ecap: extended capability register, read once.
    """

    def __init__(self, platform: Platform, base: int) -> None:
        """Look at the unit. Raises `IommuError` (`VTD-VERSION`) when what answers is no VT-d unit."""
        self.platform = platform
        self.base = base
        self.name = f"VT-d unit at 0x{base:x}"
        version = self.read(VER)
        if not 1 <= version.MAJ < 15 or version.reserved:
            raise failure(
                "VTD-VERSION", "no VT-d unit answers", self.name, field="VER", found=hex(version.value), clause=CLAUSE
            )
        self.cap = self.read(CAP)
        self.ecap = self.read(ECAP)

    def read(self, register: type[_Register], base: int = 0) -> _Register:
        """Read a register; `base` is added to its offset."""
        return read_register(self.platform, self.base + base, register)

    def write(self, register: Bits, base: int = 0) -> None:
        """Write a register; `base` is added to its offset."""
        write_register(self.platform, self.base + base, register)

    def command(self, **fields: int) -> None:
        """Change one bit of the global command register and wait until the status follows (11.4, GCMD and GSTS)."""
        status = self.read(GSTS)
        command = GCMD(status.value & _SWITCHES).replace(**fields)
        self.write(command)
        ((name, value),) = fields.items()
        mask = getattr(GCMD, name).mask
        # The status of a buffer flush is set while it lasts; every other status bit takes the value of its command.
        wanted = 0 if name == "WBF" else mask * value
        self.wait(lambda: self.read(GSTS).value & mask == wanted, f"GCMD.{name}")

    def flush_write_buffer(self) -> None:
        """Make stores to memory visible to a unit that buffers them (CAP.RWBF)."""
        if self.cap.RWBF:
            self.command(WBF=1)

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`. Raises `IommuError` (`VTD-TIMEOUT`) when the unit does not get there."""
        for _ in range(_PATIENCE):
            if done():
                return
        raise failure("VTD-TIMEOUT", f"the unit does not complete {what}", self.name, clause=CLAUSE)

    def require(self, present: object, register: type[Bits], field: Field, what: str) -> None:
        """Refuse `what` unless the capability is `present`. Raises `IommuError` (`VTD-UNSUPPORTED`)."""
        if not present:
            raise self.unsupported(register, field, what)

    def unsupported(self, register: type[Bits], field: Field, what: str) -> IommuError:
        """Make the exception for what a capability bit says is not there."""
        value = field.get((self.cap if register is CAP else self.ecap).value)
        last = f":{field.shift}" if field.width > 1 else ""
        bits = f"bit{'s' if last else ''} {field.shift + field.width - 1}{last}"
        return failure(
            "VTD-UNSUPPORTED",
            f"the hardware does not support {what}",
            self.name,
            field=f"{register.__name__}.{field.name} ({bits})",
            found=f"0x{value:x}",
            clause=CLAUSE,
        )
