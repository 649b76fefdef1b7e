"""The IOMMU's own interrupts: pending bits, wires, messages (5.18, 5.27, 5.28)."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ...platform import Memory
from ..layout import registers as regs
from .registers import RegisterFile

COMMAND, FAULT, REQUEST = regs.IPSR.cip.mask, regs.IPSR.fip.mask, regs.IPSR.pip.mask
_FIELDS = {COMMAND: regs.ICVEC.civ, FAULT: regs.ICVEC.fiv, REQUEST: regs.ICVEC.piv}
_ERRORS = (
    (COMMAND, regs.CQCSR, regs.CQCSR.cqmf.mask | regs.CQCSR.cmd_to.mask | regs.CQCSR.cmd_ill.mask
     | regs.CQCSR.fence_w_ip.mask),
    (FAULT, regs.FQCSR, regs.FQCSR.fqmf.mask | regs.FQCSR.fqof.mask),
    (REQUEST, regs.PQCSR, regs.PQCSR.pqmf.mask | regs.PQCSR.pqof.mask),
)  # fmt: skip
_ENABLE = regs.CQCSR.cie.mask
"""The same bit in cqcsr, fqcsr and pqcsr."""


class Interrupts:
    """Pending bits and how they are signalled.

    Attributes:
        wires: vectors signalled by wire so far.
    """

    def __init__(self, memory: Memory, registers: RegisterFile, lost: Callable[[int], None]) -> None:
        """Signal through a memory; `lost` is called with the address of a message that could not be written."""
        self._memory = memory
        self._registers = registers
        self._lost = lost
        self._masked: set[int] = set()
        self.wires: list[int] = []

    def new_entry(self, source: int) -> None:
        """Note that a fault or a page request has been queued."""
        csr = regs.FQCSR if source == FAULT else regs.PQCSR
        if self._registers[csr] & _ENABLE:
            self._set(source)

    def follow(self) -> None:
        """Set the pending bits whose conditions are there, and send messages whose vector is no longer masked."""
        for source, csr, errors in _ERRORS:
            value = self._registers[csr]
            if value & _ENABLE and value & errors:
                self._set(source)
        for vector in sorted(self._masked):
            if not self._registers.vector(regs.MSI_VEC_CTL, vector) & 1:
                self._masked.remove(vector)
                self._send(vector)

    def _set(self, source: int) -> None:
        if self._registers[regs.IPSR] & source:
            return
        self._registers[regs.IPSR] |= source
        vector = _FIELDS[source].get(self._registers[regs.ICVEC])
        if self._registers[regs.FCTL] & regs.FCTL.WSI.mask:
            self.wires.append(vector)
        elif self._registers.vector(regs.MSI_VEC_CTL, vector) & 1:
            self._masked.add(vector)
        else:
            self._send(vector)

    def _send(self, vector: int) -> None:
        address = self._registers.vector(regs.MSI_ADDR, vector)
        try:
            self._memory.write(address, self._registers.vector(regs.MSI_DATA, vector).to_bytes(4, "little"))
        except IommuError:
            self._lost(address)
