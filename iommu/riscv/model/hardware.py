"""The model of one RISC-V IOMMU: registers, queues, and transactions through them."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import IommuError
from ...platform import Memory
from ..layout import FaultRecord, PageRequest
from ..layout import registers as regs
from ..layout.queues import AtsInval, AtsPrgr, IoFence
from ..names import Cause, DirectoryMode
from .ats import answer, completion
from .commands import Verdict, execute
from .directory import Context, Directory
from .interrupts import FAULT, REQUEST, Interrupts
from .mrif import store_message
from .queues import OutputQueue, Taken
from .registers import RegisterFile
from .stage import D, U, W
from .tlb import Tlb
from .translation import Translator
from .values import AFTER, FETCH, NEEDS, PRIVILEGED, READ, WRITE, Capabilities, Fault, Mrif, Outcome, Transaction

_COMMAND_SIZE = 16
_ABORTED = -1
_STOPS = regs.CQCSR.cqmf.mask | regs.CQCSR.cmd_to.mask | regs.CQCSR.cmd_ill.mask
_FLAGS = {
    Verdict.ILLEGAL: regs.CQCSR.cmd_ill.mask,
    Verdict.MEMORY_FAULT: regs.CQCSR.cqmf.mask,
    Verdict.TIMEOUT: regs.CQCSR.cmd_to.mask,
}
_QUIET = frozenset(
    cause
    for cause in Cause
    if cause < Cause.ALL_DISALLOWED or Cause.TYPE_DISALLOWED <= cause <= Cause.PDT_MISCONFIGURED
) | {Cause.PDT_CORRUPTION, Cause.MSI_CORRUPTION, Cause.MRIF_CORRUPTION, Cause.TABLE_CORRUPTION}
"""Causes that DC.tc.DTF keeps out of the queue (3.2)."""
_NEEDS = tuple(need | U | (D if need == W else 0) for need in NEEDS)
"""What a second-stage entry has that lets an access through at once, by access code."""
_MODES = frozenset((DirectoryMode.OFF, DirectoryMode.BARE))


class Model:
    """A RISC-V IOMMU over a memory; attach it to a `Simulated` platform at its base, `REGISTERS_SIZE` bytes long.

    Attributes:
        caps: what it has.
        memory: where structures and queues are.
        page_responses: ATS.PRGR so far.
        invalidations: ATS.INVAL so far.
        unresponsive: RIDs of devices that do not answer invalidations.
    """

    def __init__(self, memory: Memory, caps: Capabilities | None = None, *, caching: bool = True) -> None:
        """Make one, reset: off. Raises ValueError for a capability that is not modelled.

        `caching` off makes hardware that remembers nothing.
        """
        self.caps = caps or Capabilities()
        if self.caps.unmodelled():
            raise ValueError(f"{self.caps.unmodelled()} is not modelled as given")
        self.memory = memory
        self.page_responses: list[AtsPrgr] = []
        self.invalidations: list[AtsInval] = []
        self.unresponsive: set[int] = set()
        self.tlb = Tlb()
        self.directory = Directory(memory, self.caps, self.tlb, caching=caching)
        self._translator = Translator(memory, self.caps, caching=caching)
        self.directory.through = self._translator.through
        self._caching = caching
        self._limit = self.caps.register.PAS
        self._registers = RegisterFile(self.caps)
        self._faults = OutputQueue(
            memory, self._registers, FaultRecord.size, regs.FQB, regs.FQH, regs.FQT, regs.FQCSR
        )  # fmt: skip
        self._requests = OutputQueue(
            memory, self._registers, PageRequest.size, regs.PQB, regs.PQH, regs.PQT, regs.PQCSR
        )  # fmt: skip
        self._interrupts = Interrupts(memory, self._registers, self._lost_interrupt)
        self._contexts: dict[int | tuple[int, int], Context] = {}
        self._timed_out = False
        self._effects: dict[int, Callable[[int], None]] = {
            regs.FCTL.offset: self._features,
            regs.DDTP.offset: self._switch,
            regs.CQB.offset: self._command_base,
            regs.FQB.offset: self._fault_base,
            regs.PQB.offset: self._request_base,
            regs.CQCSR.offset: self._control_commands,
            regs.FQCSR.offset: self._faults.control,
            regs.PQCSR.offset: self._requests.control,
            regs.TR_REQ_CTL.offset: self._debug,
        }

    # --- registers -------------------------------------------------------------------------------------------------

    def read_register(self, offset: int, size: int) -> int:
        """Return a register, or two neighbours, of 4 or 8 bytes."""
        return self._registers.read(offset, size)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write a register, or two neighbours; what follows from it happens at once."""
        for written, before in self._registers.write(offset, value, size).items():
            effect = self._effects.get(written)
            if effect is not None:
                effect(before)
        for index, base in ((regs.CQT, regs.CQB), (regs.FQH, regs.FQB), (regs.PQH, regs.PQB)):
            self._registers[index] &= (2 << (self._registers[base] & regs.CQB.LOG2SZ.mask)) - 1
        self._process_commands()
        self._interrupts.follow()

    @property
    def wires(self) -> list[int]:
        """Vectors of wired interrupts so far."""
        return self._interrupts.wires

    @property
    def wired(self) -> bool:
        """Interrupts are raised by wires."""
        return bool(self._registers[regs.FCTL] & regs.FCTL.WSI.mask)

    def _features(self, before: int) -> None:
        """Take a write to fctl only while everything is off: otherwise the behaviour is unspecified (5.4)."""
        queues = self._registers[regs.CQCSR] | self._registers[regs.FQCSR] | self._registers[regs.PQCSR]
        if self._registers[regs.DDTP] & regs.DDTP.iommu_mode.mask or queues & regs.CQCSR.cqon.mask:
            self._registers[regs.FCTL] = before

    def _switch(self, before: int) -> None:
        """Take a write to ddtp; transitions whose behaviour is unspecified do not happen (5.5)."""
        old, new = regs.DDTP(before), regs.DDTP(self._registers[regs.DDTP])
        mode = new.iommu_mode
        legal = mode == DirectoryMode.OFF or (
            old.iommu_mode in _MODES and (mode == DirectoryMode.BARE or mode in self.caps.directories)
        )
        if not legal:
            self._registers[regs.DDTP] = before
        else:
            self.directory.mode, self.directory.root = mode, new.PPN
            self._contexts.clear()

    def _command_base(self, before: int) -> None:
        if self._registers[regs.CQCSR] & regs.CQCSR.cqon.mask:
            self._registers[regs.CQB] = before

    def _fault_base(self, before: int) -> None:
        if self._registers[regs.FQCSR] & regs.FQCSR.fqon.mask:
            self._registers[regs.FQB] = before

    def _request_base(self, before: int) -> None:
        if self._registers[regs.PQCSR] & regs.PQCSR.pqon.mask:
            self._registers[regs.PQB] = before

    def _lost_interrupt(self, address: int) -> None:
        """Report a message of the IOMMU's own that could not be written (5.28)."""
        self._queue(FaultRecord(CAUSE=Cause.MSI_WRITE_FAULT, iotval=address))

    # --- commands ---------------------------------------------------------------------------------------------------

    def _control_commands(self, before: int) -> None:
        csr = self._registers[regs.CQCSR]
        if csr & ~before & regs.CQCSR.cqen.mask:
            self._registers[regs.CQH] = 0
            self._timed_out = False
            csr &= ~(_STOPS | regs.CQCSR.fence_w_ip.mask)
        enabled = csr & regs.CQCSR.cqen.mask
        csr = csr | regs.CQCSR.cqon.mask if enabled else csr & ~regs.CQCSR.cqon.mask
        self._registers[regs.CQCSR] = csr

    def _process_commands(self) -> None:
        base = regs.CQB(self._registers[regs.CQB])
        mask = (2 << base.LOG2SZ) - 1
        while True:
            csr, head = self._registers[regs.CQCSR], self._registers[regs.CQH]
            if not csr & regs.CQCSR.cqon.mask or csr & _STOPS or head == self._registers[regs.CQT]:
                return
            try:
                raw = self.memory.read(base.PPN + head * _COMMAND_SIZE, _COMMAND_SIZE)
            except IommuError:
                verdict = Verdict.MEMORY_FAULT
            else:
                verdict = execute(raw, self)
            if verdict is Verdict.DONE:
                self._contexts.clear()
                self._registers[regs.CQH] = head + 1 & mask
            else:
                self._registers[regs.CQCSR] |= _FLAGS[verdict]

    def fence(self, command: IoFence) -> Verdict:
        """Complete a fence, unless an invalidation of a device before it has timed out (3.1.2)."""
        if self._timed_out:
            self._timed_out = False
            return Verdict.TIMEOUT
        if command.AV:
            try:
                self.memory.write(command.ADDR, command.DATA.to_bytes(4, "little"))
            except IommuError:
                return Verdict.MEMORY_FAULT
        if command.WSI:
            self._registers[regs.CQCSR] |= regs.CQCSR.fence_w_ip.mask
        return Verdict.DONE

    def invalidate_device(self, command: AtsInval) -> None:
        """Note an invalidation request to a device, and whether it will be answered."""
        self.invalidations.append(command)
        self._timed_out = self._timed_out or command.RID in self.unresponsive

    def page_response(self, command: AtsPrgr) -> None:
        """Note a response to a page request group."""
        self.page_responses.append(command)

    # --- transactions -----------------------------------------------------------------------------------------------

    def translate(self, device_id: int, address: int, access: int = 0, process_id: int | None = None) -> int:
        """Return the physical address of an untranslated access, or -1 if it does not get there: the fast way in.

        `access` is `READ`, `WRITE` or `FETCH`, plus `PRIVILEGED`. Faults are reported as by `access`; an MSI into a
        memory-resident interrupt file has no address.
        """
        context = self._contexts.get(device_id if process_id is None else (device_id, process_id))
        if context is not None and context.stage1 is None and context.msi is None and not access & PRIVILEGED:
            for shift, entries in context.space2.sizes:
                known = entries.get(address >> shift)
                if known is not None:
                    need = _NEEDS[access]
                    output = address + known[0]
                    if known[1] & need == need and not output >> self._limit:
                        return output
                    break
        kind = access & 3
        outcome = self.access(
            Transaction(device_id, address, kind == WRITE, kind == FETCH, bool(access & PRIVILEGED), process_id)
        )
        return _ABORTED if outcome.address is None else outcome.address

    def access(self, transaction: Transaction) -> Outcome:
        """Send a transaction through and return what becomes of it."""
        request = transaction.kind == "ats_request"
        try:
            if request:
                return self._ats(transaction)
            address, mrif = self._resolve(transaction)
            return Outcome("done", None if mrif else address, mrif=mrif)
        except Fault as fault:
            access = READ if request else transaction.access  # whatever it asks for, a request is a read itself
            cause = fault.kind + AFTER[fault.kind][access] if fault.kind in AFTER else fault.kind
            return self._fail(transaction, cause, fault)

    def message(self, transaction: Transaction, data: int) -> Outcome:
        """Send a write of four bytes through and store it: into memory, or into a memory-resident interrupt file."""
        outcome = self.access(transaction)
        try:
            if outcome.mrif is not None:
                store_message(self.memory, outcome.mrif, transaction.address & 0xFFF, data)
            elif outcome.address is not None:
                self.memory.write(outcome.address, data.to_bytes(4, "little"))
        except Fault as fault:
            return self._fail(transaction, fault.kind, fault)
        except IommuError:  # the memory's answer to the device, not the IOMMU's
            return Outcome("abort", reason="memory")
        return outcome

    def _resolve(self, transaction: Transaction) -> tuple[int, Mrif | None]:
        """Follow the process to translate an IOVA (2.3). Raises Fault."""
        if self.directory.mode == DirectoryMode.OFF:
            raise Fault(Cause.ALL_DISALLOWED, "ddtp.iommu_mode")
        if self.directory.mode == DirectoryMode.BARE:
            if transaction.kind != "untranslated":
                raise Fault(Cause.TYPE_DISALLOWED, "ddtp.iommu_mode")
            return self._as_it_is(transaction.address), None
        context = self._context(transaction)
        if transaction.kind == "translated" and not context.dc.T2GPA:
            return self._as_it_is(transaction.address), None
        try:
            return self._translator.translate(
                context, transaction.address, transaction.access, supervisor=transaction.supervisor
            )
        except Fault as fault:
            fault.quiet = bool(context.dc.DTF)
            raise

    def _as_it_is(self, address: int) -> int:
        if address >> self._limit:
            raise Fault(0, "address, capabilities.PAS")
        return address

    def _context(self, transaction: Transaction) -> Context:
        """Return the context of a transaction, after the checks of steps 7 and 15 (2.3). Raises Fault."""
        device_id, process_id = transaction.device_id, transaction.process_id
        plain = transaction.kind == "untranslated"
        key = device_id if process_id is None else (device_id, process_id)
        context = self._contexts.get(key) if plain else None
        if context is None:
            context = self.directory.device(device_id)
            if not plain and not context.dc.EN_ATS:
                raise Fault(Cause.TYPE_DISALLOWED, "EN_ATS", quiet=context.dc.DTF)
            try:
                self.directory.enter(context, device_id, process_id, first=transaction.kind != "translated")
            except Fault as fault:
                fault.quiet = bool(context.dc.DTF)
                raise
            if plain and self._caching:
                self._contexts[key] = context
        if transaction.supervisor and context.ens == 0:
            raise Fault(Cause.TYPE_DISALLOWED, "PC.ta.ENS", quiet=context.dc.DTF)
        return context

    def _ats(self, transaction: Transaction) -> Outcome:
        """Answer a translation request (2.6). Raises Fault."""
        if self.directory.mode < DirectoryMode.LVL1:
            self._resolve(transaction)
        context = self._context(transaction)
        try:
            return answer(self._translator, context, transaction, self._limit)
        except Fault as fault:
            fault.quiet = bool(context.dc.DTF)
            raise

    # --- faults and page requests -----------------------------------------------------------------------------------

    def _fail(self, transaction: Transaction, cause: int, fault: Fault) -> Outcome:
        """Abort a transaction, and report why."""
        if not cause:
            return Outcome("abort", reason=fault.reason)
        record = FaultRecord(fault_record(transaction, cause, fault.second))
        answered = completion(cause) if transaction.kind == "ats_request" else None
        reported = answered is None or answered.status != "success"
        if reported and not (fault.quiet and cause in _QUIET):
            self._queue(record)
        result = "abort" if reported else "done"
        return Outcome(result, None, cause, bytes(record), fault.reason, completion=answered)  # type: ignore[arg-type]

    def _queue(self, record: FaultRecord) -> None:
        if self._faults.put(bytes(record)) is Taken.QUEUED:
            self._interrupts.new_entry(FAULT)
        self._interrupts.follow()

    def page_request(self, request: PageRequest) -> str:
        """Take a page request or stop marker of a device, and return the response code the IOMMU itself answers with.

        That is `success`, `invalid request` or `response failure` (2.7); empty when it answers nothing.
        """
        response, fault = self._request_refused(request)
        if not response:
            taken = self._requests.put(bytes(request))
            if taken is Taken.QUEUED:
                self._interrupts.new_entry(REQUEST)
            self._interrupts.follow()
            response = {Taken.QUEUED: "", Taken.OVERFLOW: "success"}.get(taken, "response failure")
        elif fault is not None and not (fault.quiet and fault.kind in _QUIET):
            self._queue(
                FaultRecord(
                    CAUSE=fault.kind, TTYP=9, DID=request.DID, PV=request.PV, PID=request.PID, PRIV=request.PRIV,
                    iotval=4,
                )
            )  # fmt: skip
        stop = not request.R and not request.W
        return "" if not request.L or stop else response

    def _request_refused(self, request: PageRequest) -> tuple[str, Fault | None]:
        """Return how a page request is refused, and the fault that is reported of it."""
        if self.directory.mode == DirectoryMode.OFF:
            return "response failure", Fault(Cause.ALL_DISALLOWED, "ddtp.iommu_mode")
        if self.directory.mode == DirectoryMode.BARE:
            return "invalid request", Fault(Cause.TYPE_DISALLOWED, "ddtp.iommu_mode")
        try:
            dc = self.directory.device(request.DID).dc
        except Fault as fault:
            return "invalid request" if fault.kind == Cause.TYPE_DISALLOWED else "response failure", fault
        if not dc.EN_PRI:
            return "invalid request", Fault(Cause.TYPE_DISALLOWED, "EN_PRI", quiet=dc.DTF)
        return "", None

    def _debug(self, before: int) -> None:  # noqa: ARG002 - what every effect is given
        """Carry out a request of the debug interface (chapter 4): it counts as an untranslated read or write."""
        control = regs.TR_REQ_CTL(self._registers[regs.TR_REQ_CTL])
        if not control.go:
            return
        transaction = Transaction(
            control.DID,
            regs.TR_REQ_IOVA(self._registers[regs.TR_REQ_IOVA]).vpn,
            not control.NW,
            bool(control.Exe),
            bool(control.Priv),
            control.PID if control.PV else None,
        )
        outcome = self.access(transaction)
        found = regs.TR_RESPONSE(fault=1) if outcome.address is None else regs.TR_RESPONSE(PPN=outcome.address & -4096)
        self._registers[regs.TR_RESPONSE] = found.value
        self._registers[regs.TR_REQ_CTL] = control.replace(go=0).value


def fault_record(transaction: Transaction, cause: int, second: int) -> int:
    """Return the fault record of a transaction as one integer (3.2)."""
    types = {"untranslated": (2, 3, 1), "translated": (6, 7, 5)}.get(transaction.kind)
    kind = 8 if types is None else types[transaction.access]
    low = cause | kind << 34 | (transaction.device_id & 0xFFFFFF) << 40
    if transaction.process_id is not None:
        low |= transaction.process_id << 12 | 1 << 32 | transaction.privileged << 33
    return low | transaction.address << 128 | second << 192
