"""Stream mapping: from a stream ID to an entry, and what it says (IHI 0062 D.c, stream mapping)."""

from __future__ import annotations

from ..layout.registers import CR0, S2CR, SMR, ExtendedSMR
from .values import Capabilities, Fault


class StreamMapping:
    """The stream match and stream-to-context registers.

    Attributes:
        matches: SMRs as plain numbers.
        targets: S2CRs.
    """

    def __init__(self, caps: Capabilities) -> None:
        """Make them, all zeros as a reset leaves them here."""
        self._count = caps.id0.NUMSMRG
        self._matching = bool(caps.id0.SMS)
        self._exids = bool(caps.id0.EXIDS)
        bits = caps.id0.NUMSIDB
        self._ids = (1 << bits) - 1
        self.matches = [0] * (self._count if self._matching else 0)
        self.targets = [S2CR(0) for _ in range(self._count)]

    def write_match(self, number: int, value: int, control: CR0) -> None:
        """Write an SMR; bits of IDs that the unit has not got stay 0."""
        if number < len(self.matches):
            extended = self._exids and control.EXIDENABLE
            self.matches[number] = value if extended else value & (self._ids | self._ids << 16 | SMR.VALID.mask)

    def write_target(self, number: int, value: int) -> None:
        """Write an S2CR."""
        if number < self._count:
            mask = S2CR.CBNDX.mask | S2CR.TYPE.mask | S2CR.PRIVCFG.mask | (S2CR.EXIDVALID.mask if self._exids else 0)
            self.targets[number] = S2CR(value & mask)

    def target(self, stream: int, control: CR0) -> S2CR | None:
        """Return what a stream's entry says, or None when it passes by. Raises Fault (`USF`, `SMCF`)."""
        if control.CLIENTPD:
            return None
        if not self._matching:
            found = [stream] if stream < self._count else []
        elif self._exids and control.EXIDENABLE:
            found = [
                number
                for number, value in enumerate(self.matches)
                if self.targets[number].EXIDVALID
                and not (stream ^ value) & ~(value >> 16) & ExtendedSMR.ID.mask
                and not stream >> 16
            ]
        else:
            found = [
                number
                for number, value in enumerate(self.matches)
                if value >> 31 and not (stream ^ value) & ~(value >> 16) & SMR.ID.mask and not stream & ~self._ids
            ]
        if len(found) > 1:
            raise Fault("SMCF")
        if found:
            return self.targets[found[0]]
        if control.USFCFG:
            raise Fault("USF")
        return None
