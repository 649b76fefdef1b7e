"""Entries of the three queues (chapter 3): commands, fault records, page requests; as with fctl.BE clear.

Every command class names the fields of that command, so that what is left over is reserved; `COMMANDS` finds the class
by opcode and func3.
"""

from __future__ import annotations

from ...bits import Address, Bits128, Bits256, Field, Ignored
from ..names import Func


class Command(Bits128):
    """What all commands have: opcode in bits 6:0, func3 in 9:7."""

    func = Field(9, 0, names=Func)


class IotInval(Command):
    """IOTINVAL.VMA, IOTINVAL.GVMA (3.1.1); NL and S belong to extensions that came after 1.0."""

    AV = Field(10)
    PSCID = Field(31, 12)
    PSCV = Field(32)
    GV = Field(33)
    NL = Field(34)
    GSCID = Field(59, 44)
    S = Field(73)
    ADDR = Address(125, 74, low=12)


class IoFence(Command):
    """IOFENCE.C (3.1.2)."""

    AV = Field(10)
    WSI = Field(11)
    PR = Field(12)
    PW = Field(13)
    DATA = Field(63, 32)
    ADDR = Address(125, 64, low=2)


class IoDir(Command):
    """IODIR.INVAL_DDT, which has no PID, and IODIR.INVAL_PDT (3.1.3)."""

    PID = Field(31, 12)
    DV = Field(33)
    DID = Field(63, 40)


class AtsInval(Command):
    """ATS.INVAL (3.1.4)."""

    PID = Field(31, 12)
    PV = Field(32)
    DSV = Field(33)
    RID = Field(55, 40)
    DSEG = Field(63, 56)
    G = Field(64)
    S = Field(75)
    ADDR = Address(127, 76)


class AtsPrgr(Command):
    """ATS.PRGR (3.1.4)."""

    PID = Field(31, 12)
    PV = Field(32)
    DSV = Field(33)
    RID = Field(55, 40)
    DSEG = Field(63, 56)
    PRGI = Field(104, 96)
    response = Field(111, 108)


COMMANDS: dict[int, type[Command]] = {
    Func.IOTINVAL_VMA: IotInval,
    Func.IOTINVAL_GVMA: IotInval,
    Func.IOFENCE_C: IoFence,
    Func.IODIR_INVAL_DDT: IoDir,
    Func.IODIR_INVAL_PDT: IoDir,
    Func.ATS_INVAL: AtsInval,
    Func.ATS_PRGR: AtsPrgr,
}
"""Commands by opcode and func3."""


class FaultRecord(Bits256):
    """An entry of the fault queue (3.2)."""

    CAUSE = Field(11, 0)
    PID = Field(31, 12)
    PV = Field(32)
    PRIV = Field(33)
    TTYP = Field(39, 34)
    DID = Field(63, 40)
    custom = Ignored(95, 64)
    iotval = Field(191, 128)
    iotval2 = Field(255, 192)


class PageRequest(Bits128):
    """An entry of the page-request queue (3.3)."""

    PID = Field(31, 12)
    PV = Field(32)
    PRIV = Field(33)
    EXEC = Field(34)
    DID = Field(63, 40)
    R = Field(64)
    W = Field(65)
    L = Field(66)
    PRGI = Field(75, 67)
    ADDR = Address(127, 76)
