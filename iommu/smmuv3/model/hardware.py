"""The model of one SMMUv3, Non-secure: registers, queues, and transactions through them."""

from __future__ import annotations

from collections import deque

from ...errors import IommuError
from ...platform import Memory
from ..layout import registers as regs
from ..layout.queues import Event, PageRequest, PriResp, Sync
from ..names import CommandError, EventNumber, FaultClass, StreamConfig
from .commands import execute
from .configuration import Configuration, Context
from .events import BEFORE_STE, EVENT_SIZE, TRANSLATION_FAULTS, OutputQueue, event_record, mergeable
from .registers import RegisterFile
from .tlb import Tlb
from .translation import Translator
from .values import FETCH, PRIVILEGED, READ, WRITE, Capabilities, Fault, Outcome, Transaction

_COMMAND_SIZE = 16
_ABORTED = -1
_SPLIT_STAGE = 2


class Model:
    """An SMMUv3 over a memory; attach it to a `Simulated` platform at its base address, `REGISTERS_SIZE` bytes long.

    Attributes:
        caps: its identification registers.
        memory: where structures and queues are.
        interrupts: wired interrupts so far, by name: `eventq`, `priq`, `cmdq-sync`, `gerror`.
        page_responses: CMD_PRI_RESP so far.
        finished: transactions that were stalled and have come to an end, with their outcome.
    """

    def __init__(
        self,
        memory: Memory,
        caps: Capabilities | None = None,
        *,
        caching: bool = True,
        tlb: bool = True,
        merging: bool = True,
    ) -> None:
        """Make one, reset. Raises ValueError for a capability that is not modelled.

        `caching` off makes hardware without any cache, `tlb` off without one for translations; `merging` off makes
        hardware that merges no events.
        """
        self.caps = caps or Capabilities()
        if self.caps.unmodelled():
            raise ValueError(f"{self.caps.unmodelled()} is not modelled as given")
        self.interrupts: list[str] = []
        self.page_responses: list[PriResp] = []
        self.finished: list[tuple[Transaction, Outcome]] = []
        self.tlb = Tlb()
        self.configuration = Configuration(memory, self.caps, self.tlb, caching=caching)
        self.memory = memory
        self._merging = merging
        self._caching = caching
        self._translator = Translator(memory, self.caps, caching=caching and tlb)
        self.configuration.through = self._translator.stage2
        self._registers = RegisterFile(self.caps)
        self._events = OutputQueue(memory, EVENT_SIZE, self.caps.idr1.EVENTQS)
        self._requests = OutputQueue(memory, PageRequest.size, self.caps.idr1.PRIQS)
        self._contexts: dict[int | tuple[int, int], Context] = {}
        self._stalled: dict[int, Transaction] = {}
        self._waiting: deque[Transaction] = deque()
        self._unrecorded: deque[bytes] = deque()

    # --- registers -------------------------------------------------------------------------------------------------

    def read_register(self, offset: int, size: int) -> int:
        """Return a register, or two neighbours, of 4 or 8 bytes."""
        self._publish()
        return self._registers.read(offset, size)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Write a register, or two neighbours; what follows from it happens at once."""
        self._publish()
        for layout in self._registers.write(offset, value, size):
            if layout is regs.CR0:
                self._enable()
            elif layout is regs.GBPA:
                self._registers[regs.GBPA] &= ~regs.GBPA.Update.mask
            elif layout is regs.IRQ_CTRL:
                self._registers[regs.IRQ_CTRLACK] = self._registers[regs.IRQ_CTRL]
        self._take_indexes()
        self._process_commands()
        self._record_stalls()

    def _enable(self) -> None:
        value = self._registers[regs.CR0]
        before = self._registers[regs.CR0ACK]
        self._registers[regs.CR0ACK] = value
        cr0 = regs.CR0(value)
        self._events.enabled, self._requests.enabled = bool(cr0.EVENTQEN), bool(cr0.PRIQEN)
        if (before ^ value) & regs.CR0.SMMUEN.mask:
            self._contexts.clear()
            self.configuration.program(
                regs.STRTAB_BASE(self._registers[regs.STRTAB_BASE]),
                regs.STRTAB_BASE_CFG(self._registers[regs.STRTAB_BASE_CFG]),
                e2h=self.e2h,
            )
            if not cr0.SMMUEN:
                for stag in list(self._stalled):
                    self._finish(stag, Outcome("abort", reason="SMMUEN"))

    @property
    def e2h(self) -> bool:
        """CR2.E2H, where IDR0.Hyp lets it count."""
        return bool(self._registers[regs.CR2] & regs.CR2.E2H.mask and self.caps.idr0.Hyp)

    @property
    def _enabled(self) -> bool:
        return bool(self._registers[regs.CR0ACK] & 1)

    def _publish(self) -> None:
        """Show the state of the output queues in their registers."""
        for queue, prod in ((self._events, regs.EVENTQ_PROD), (self._requests, regs.PRIQ_PROD)):
            self._registers[prod] = queue.prod | queue.overflow << 31

    def _take_indexes(self) -> None:
        for queue, base, prod, cons in (
            (self._events, regs.EVENTQ_BASE, regs.EVENTQ_PROD, regs.EVENTQ_CONS),
            (self._requests, regs.PRIQ_BASE, regs.PRIQ_PROD, regs.PRIQ_CONS),
        ):
            where = regs.EVENTQ_BASE(self._registers[base])
            queue.base, queue.log2size = where.ADDR, where.LOG2SIZE
            written, read = regs.EVENTQ_PROD(self._registers[prod]), regs.EVENTQ_CONS(self._registers[cons])
            queue.prod, queue.overflow = written.WR, written.OVFLG
            queue.cons, queue.acknowledged = read.RD, read.OVACKFLG
        errors = self._errors()
        self._events.aborted = bool(errors & regs.GERROR.EVENTQ_ABT_ERR.mask)
        self._requests.aborted = bool(errors & regs.GERROR.PRIQ_ABT_ERR.mask)

    # --- errors and interrupts --------------------------------------------------------------------------------------

    def _errors(self) -> int:
        return self._registers[regs.GERROR] ^ self._registers[regs.GERRORN]

    def _raise_error(self, mask: int) -> None:
        if not self._errors() & mask:
            self._registers[regs.GERROR] ^= mask
            self._interrupt("gerror", regs.IRQ_CTRL.GERROR_IRQEN.mask, regs.GERROR_IRQ_CFG0.offset)

    def _interrupt(self, name: str, enable: int, offset: int) -> None:
        """Signal an interrupt by a message if the SMMU can send one and an address is given, else by its wire."""
        if not self._registers.read(regs.IRQ_CTRLACK.offset, 4) & enable:
            return
        address = regs.GERROR_IRQ_CFG0(self._registers.read(offset, 8)).ADDR
        aborts = {"gerror": regs.GERROR.MSI_GERROR_ABT_ERR, "eventq": regs.GERROR.MSI_EVENTQ_ABT_ERR}
        mask = aborts.get(name, regs.GERROR.MSI_PRIQ_ABT_ERR).mask
        if self.caps.idr0.MSI and address:
            self._message(address, self._registers.read(offset + 8, 4), mask)
        else:
            self.interrupts.append(name)

    def _message(self, address: int, data: int, error: int) -> None:
        try:
            self.memory.write(address, data.to_bytes(4, "little"))
        except IommuError:
            if not self._errors() & error:
                self._registers[regs.GERROR] ^= error

    # --- commands ---------------------------------------------------------------------------------------------------

    def _process_commands(self) -> None:
        base = regs.CMDQ_BASE(self._registers[regs.CMDQ_BASE])
        wrap = 1 << min(base.LOG2SIZE, self.caps.idr1.CMDQS)
        start = base.ADDR & -max(wrap * _COMMAND_SIZE, 32)
        while (
            self._registers[regs.CR0ACK] & regs.CR0.CMDQEN.mask
            and not self._errors() & regs.GERROR.CMDQ_ERR.mask
            and (self._registers[regs.CMDQ_PROD] ^ self._registers[regs.CMDQ_CONS]) & 2 * wrap - 1
        ):
            cons = self._registers[regs.CMDQ_CONS] & 2 * wrap - 1
            try:
                raw = self.memory.read(start + (cons & wrap - 1) * _COMMAND_SIZE, _COMMAND_SIZE)
            except IommuError:
                error = CommandError.CERROR_ABT
            else:
                error = execute(raw, self)
            if error:
                self._registers[regs.CMDQ_CONS] = cons | error << regs.CMDQ_CONS.ERR.shift
                self._raise_error(regs.GERROR.CMDQ_ERR.mask)
            else:
                self._contexts.clear()
                self._registers[regs.CMDQ_CONS] = (cons + 1) & 2 * wrap - 1

    def completed(self, sync: Sync) -> None:
        """Signal the completion of a CMD_SYNC: by message or wire if it asks for an interrupt."""
        if sync.CS == 1:
            if self.caps.idr0.MSI and sync.MSIAddress:
                self._message(sync.MSIAddress, sync.MSIData, regs.GERROR.MSI_CMDQ_ABT_ERR.mask)
            else:
                self.interrupts.append("cmdq-sync")

    def resume(self, stream_id: int, stag: int, *, retry: bool, abort: bool) -> None:
        """Retry or end a stalled transaction; a tag that does not belong to the stream has no effect (4.7.1)."""
        transaction = self._stalled.get(stag)
        if transaction is None or transaction.stream_id != stream_id:
            return
        if retry:
            del self._stalled[stag]
            self._again(transaction)
        else:
            abort = abort or bool(self.caps.idr0.TERM_MODEL)
            self._finish(stag, Outcome("abort" if abort else "raz_wi", reason="CMD_RESUME"))

    def terminate_stalls(self, stream_id: int) -> None:
        """Abort every stalled transaction of a stream (4.7.2)."""
        for stag in [stag for stag, held in self._stalled.items() if held.stream_id == stream_id]:
            self._finish(stag, Outcome("abort", reason="CMD_STALL_TERM"))

    def page_response(self, response: PriResp) -> None:
        """Note the answer to a page request."""
        self.page_responses.append(response)

    def _finish(self, stag: int, outcome: Outcome) -> None:
        self.finished.append((self._stalled.pop(stag), outcome))
        self._next_waiting()

    def _next_waiting(self) -> None:
        if self._waiting:
            self._again(self._waiting.popleft())

    def _again(self, transaction: Transaction) -> None:
        self._contexts.clear()
        outcome = self.access(transaction)
        if outcome.result != "stall":
            self.finished.append((transaction, outcome))
            self._next_waiting()

    # --- transactions -----------------------------------------------------------------------------------------------

    def translate(self, stream_id: int, address: int, access: int = READ, substream_id: int | None = None) -> int:
        """Return the physical address of an access, or -1 if it does not get there: the fast way in.

        `access` is `READ`, `WRITE` or `FETCH`, plus `PRIVILEGED`. Faults are recorded as by `access`.
        """
        key = stream_id if substream_id is None else (stream_id, substream_id)
        context = self._contexts.get(key)
        if context is not None and not context.tbi:
            need = context.needs[access]
            hit = None
            for shift, entries in context.space.sizes:
                entry = entries.get(address >> shift)
                if entry is not None:
                    if hit is not None:
                        hit = None
                        break
                    hit = entry
            if hit is not None and hit[1] & need and not context.shared.sizes:
                return address + hit[0]
            try:
                return self._translator.translate(context, address, need)
            except Fault as fault:
                fault.context = context
                self._fail(_transaction(stream_id, address, access, substream_id), fault)
                return _ABORTED
        outcome = self.access(_transaction(stream_id, address, access, substream_id))
        return _ABORTED if outcome.address is None else outcome.address

    def access(self, transaction: Transaction) -> Outcome:
        """Send a transaction through and return what becomes of it."""
        try:
            return Outcome("done", self._resolve(transaction))
        except Fault as fault:
            return self._fail(transaction, fault)

    def _resolve(self, transaction: Transaction) -> int:
        if transaction.unsupported:
            raise Fault(EventNumber.F_UUT, "unsupported transaction")
        if not self._enabled:
            return self._disabled(transaction)
        if transaction.kind != "ordinary":
            return self._ats(transaction)
        context = self._context(transaction)
        try:
            return self._translator.translate(context, transaction.address, context.needs[transaction.access])
        except Fault as fault:
            fault.context = context
            raise

    def _context(self, transaction: Transaction) -> Context:
        stream_id, substream_id = transaction.stream_id, transaction.substream_id
        key = stream_id if substream_id is None else (stream_id, substream_id)
        context = self._contexts.get(key)
        if context is None:
            context = self.configuration.context(stream_id, substream_id)
            if context.config & 4 and self._caching:
                self._contexts[key] = context
        if not context.config & 4:
            raise Fault(0, "STE.Config")
        return context

    def _disabled(self, transaction: Transaction) -> int:
        """Handle a transaction while SMMUEN is 0: GBPA aborts or lets pass (6.3.14), ATS is refused."""
        if transaction.kind == "ats_request":
            raise Fault(EventNumber.F_BAD_ATS_TREQ, "SMMUEN")
        if transaction.kind == "translated":
            raise Fault(EventNumber.F_TRANSL_FORBIDDEN, "SMMUEN")
        if self._registers[regs.GBPA] & regs.GBPA.ABORT.mask:
            raise Fault(0, "GBPA.ABORT")
        if transaction.address >> self.caps.oas:
            raise Fault(0, "input address")
        return transaction.address

    def _ats(self, transaction: Transaction) -> int:
        """Handle a translation request or a translated transaction (3.9): of their faults few are recorded."""
        request = transaction.kind == "ats_request"
        checked = bool(self._registers[regs.CR0ACK] & regs.CR0.ATSCHK.mask)
        if not request and not checked:
            return transaction.address
        try:
            ste = self.configuration.ste(transaction.stream_id)
            if ste.Config & 4 and (not ste.EATS or ste.Config == StreamConfig.BYPASS or not self.caps.idr0.ATS):
                raise Fault(  # noqa: TRY301  # it is handled with those of the calls
                    EventNumber.F_BAD_ATS_TREQ if request else EventNumber.F_TRANSL_FORBIDDEN, "EATS"
                )
            if not request and ste.EATS != _SPLIT_STAGE:
                return transaction.address
            context = self._context(transaction)
            need = context.needs[transaction.access]
            if not request:
                return self._translator.stage2(context, transaction.address, need, FaultClass.IN)[0]
            if ste.EATS == _SPLIT_STAGE:
                return self._translator.first_stage(context, transaction.address, need)
            return self._translator.translate(context, transaction.address, need)
        except Fault as fault:
            if fault.number not in (EventNumber.F_BAD_ATS_TREQ, EventNumber.F_TRANSL_FORBIDDEN):
                fault.number = 0 if request or fault.number not in TRANSLATION_FAULTS else fault.number
            raise

    def _fail(self, transaction: Transaction, fault: Fault) -> Outcome:
        """End or stall a transaction and record why, as the fault's stage is configured (3.12, 5.5)."""
        context = fault.context
        code = transaction.access if context is None else context.codes[transaction.access]
        abort, record, stall = 1, 1, 0
        if context is not None and fault.number in TRANSLATION_FAULTS:
            if fault.stage2:
                record, stall = context.ste.S2R, context.ste.S2S
            elif context.cd is not None:
                abort, record, stall = context.cd.A, context.cd.R, context.cd.S
        if stall and transaction.kind == "ordinary":
            return self._stall(transaction, fault, code)
        event = event_record(fault, transaction, code, None) if fault.number else b""
        if event and record:
            invalid_stream = fault.number == EventNumber.C_BAD_STREAMID
            if not invalid_stream or self._registers[regs.CR2] & regs.CR2.RECINVSID.mask:
                self._record(event, merge=context is not None and bool(context.ste.MEV))
        return Outcome("abort" if abort else "raz_wi", None, event, fault.reason)

    def _stall(self, transaction: Transaction, fault: Fault, code: int) -> Outcome:
        stag = next((tag for tag in range(self.caps.idr5.STALL_MAX) if tag not in self._stalled), None)
        if stag is None:
            self._waiting.append(transaction)
            return Outcome("stall", reason="IDR5.STALL_MAX")
        self._stalled[stag] = transaction
        event = event_record(fault, transaction, code, stag)
        self._unrecorded.append(event)
        self._record_stalls()
        return Outcome("stall", None, event, fault.reason, stag)

    def _record_stalls(self) -> None:
        """Write the events of stalled transactions, which are not lost when the queue cannot take them (7.2.1)."""
        while self._unrecorded and self._events.writable:
            self._put(self._events, self._unrecorded.popleft())

    def _record(self, event: bytes, *, merge: bool) -> None:
        allowed = self._merging and (merge or event[0] in BEFORE_STE) and not self._events.empty
        if allowed and mergeable(event) == mergeable(self._events.last):
            return
        self._put(self._events, event)

    def _put(self, queue: OutputQueue, record: bytes) -> bool:
        was_empty = queue.empty
        taken = queue.put(record)
        events = queue is self._events
        if queue.aborted:
            self._raise_error((regs.GERROR.EVENTQ_ABT_ERR if events else regs.GERROR.PRIQ_ABT_ERR).mask)
        elif taken and was_empty and events:
            self._interrupt("eventq", regs.IRQ_CTRL.EVENTQ_IRQEN.mask, regs.EVENTQ_IRQ_CFG0.offset)
        elif taken and was_empty:
            self._interrupt("priq", regs.IRQ_CTRL.PRIQ_IRQEN.mask, regs.PRIQ_IRQ_CFG0.offset)
        return taken

    def record(self, event: Event) -> None:
        """Record an event that has no transaction, such as `PageRequestEvent` or an implementation's own."""
        self._put(self._events, bytes(event))

    def page_request(self, request: PageRequest) -> bool:
        """Put a page request of a device into the PRI queue and tell whether it was taken (8.1)."""
        return bool(self.caps.idr0.PRI) and self._put(self._requests, bytes(request))


def _transaction(stream_id: int, address: int, access: int, substream_id: int | None) -> Transaction:
    kind = access & 3
    return Transaction(stream_id, address, kind == WRITE, kind == FETCH, bool(access & PRIVILEGED), substream_id)
