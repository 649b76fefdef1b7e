"""The driver of one SMMUv3: brings it up, attaches streams to domains, maps memory, takes events.

It uses its platform and nothing else, so that the same code drives a model and hardware. After each single store that
it makes, no device reaches anything that neither the old nor the new configuration grants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from ...errors import failure
from ...platform import PageAllocator, Platform, load, read_register, write_register
from ..layout import CD, STE
from ..layout.queues import CfgiCd, CfgiSte, CfgiSteRange, Command, Resume, TlbiAll
from ..layout.registers import CR0, CR0ACK, CR1, CR2, GBPA, IRQ_CTRL, IRQ_CTRLACK
from ..names import Opcode, StreamConfig
from ..records import EventRecord
from .capability import identify
from .contexts import ContextTable
from .domain import Domain, Permission
from .entries import Group, ste_update
from .queues import POLLS, CommandQueue, EventQueue
from .streams import StreamTable

Terminal = Literal["abort", "bypass"]
Default = Literal["terminate", "bypass", "domain"]
"""What becomes of transactions without a substream ID on a stream that has substreams (STE.S1DSS)."""

_S1DSS: dict[Default, int] = {"terminate": 0, "bypass": 1, "domain": 2}
_GRANULE_FIELDS = {12: "GRAN4K", 14: "GRAN16K", 16: "GRAN64K"}
_MOST_INPUT_BITS = 48
_LEAST_INPUT_BITS = 25
"""T0SZ 39, the largest without IDR3.STT."""
_COMMANDS, _EVENTS = 8, 7
"""log2 of the entries of the queues, if the hardware allows as many: 4 KiB each."""
_CACHEABLE = CR1(TABLE_SH=3, TABLE_OC=1, TABLE_IC=1, QUEUE_SH=3, QUEUE_OC=1, QUEUE_IC=1)
_LINEAR_STREAM_BITS = 16
_LINEAR_SUBSTREAM_BITS = 10


class Driver:
    """One SMMU.

    Attributes:
        hardware: what its identification registers say.
        commands: the command queue; `commands.syncs` counts completed synchronizations.
    """

    def __init__(
        self, platform: Platform, base: int, allocator: PageAllocator, *, stream_bits: int | None = None
    ) -> None:
        """Look at the SMMU whose registers are at `base`, and take memory for its tables and queues.

        `stream_bits` is the number of stream ID bits to serve, by default all that IDR1.SIDSIZE tells (a linear
        table: at most 16). Raises `IommuError` (`SMMU-UNSUPPORTED`, `MEMORY-EXHAUSTED`).
        """
        self.hardware = identify(platform, base)
        self._platform = platform
        self._base = base
        self._allocator = allocator
        idr0, idr1 = self.hardware.idr0, self.hardware.idr1
        two_level = bool(idr0.ST_LEVEL)
        if stream_bits is None:
            stream_bits = idr1.SIDSIZE if two_level else min(idr1.SIDSIZE, _LINEAR_STREAM_BITS)
        self.hardware.require(stream_bits <= idr1.SIDSIZE, idr1, "SIDSIZE", f"{stream_bits} bits of stream ID")
        part = self.hardware.part
        self.commands = CommandQueue(platform, base, allocator, min(idr1.CMDQS, _COMMANDS), part)
        self._events = EventQueue(platform, base, allocator, min(idr1.EVENTQS, _EVENTS))
        self._streams = StreamTable(platform, allocator, base, stream_bits, two_level=two_level)
        self._domains: dict[int, Domain] = {}
        self._unforgotten: set[int] = set()
        self._contexts: dict[int, ContextTable] = {}
        self._substreams: dict[tuple[int, int], Domain] = {}
        self._identifiers: dict[int, set[int]] = {1: set(), 2: set()}

    @property
    def stream_bits(self) -> int:
        """Bits of stream ID that it serves."""
        return self._streams.stream_bits

    # --- bringing it up ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Enable translation; streams that are not attached are refused. Whatever ran before is replaced.

        Transactions abort from the first store on until the new tables are in use.
        """
        self._abort_all()
        write_register(self._platform, self._base, _CACHEABLE)
        write_register(self._platform, self._base, CR2(PTM=1, RECINVSID=1))
        self._streams.program()
        self.commands.program()
        self._events.program()
        self._set_cr0(CR0(CMDQEN=1))
        self.commands.running = True
        # Configuration first: translations prefetched with stale configuration go with the second command.
        self.commands.run([CfgiSteRange(Opcode=Opcode.CFGI_STE_RANGE, Range=31), TlbiAll(Opcode=Opcode.TLBI_NSNH_ALL)])
        self._set_cr0(CR0(CMDQEN=1, EVENTQEN=1))
        self._set_cr0(CR0(CMDQEN=1, EVENTQEN=1, SMMUEN=1))

    def stop(self) -> None:
        """Disable translation; every transaction aborts."""
        self._abort_all()
        self.commands.running = False

    def _abort_all(self) -> None:
        gbpa = read_register(self._platform, self._base, GBPA)
        write_register(self._platform, self._base, gbpa.replace(ABORT=1, Update=1))
        self._await(GBPA, GBPA.Update.mask, 0)
        self._set_cr0(CR0())
        write_register(self._platform, self._base, IRQ_CTRL())
        self._await(IRQ_CTRLACK, 7, 0)

    def _set_cr0(self, value: CR0) -> None:
        write_register(self._platform, self._base, value)
        self._await(CR0ACK, 0xFFFFFFFF, value.value)

    def _await(self, layout: type[GBPA | CR0ACK | IRQ_CTRLACK], mask: int, value: int) -> None:
        for _ in range(POLLS):
            if read_register(self._platform, self._base, layout).value & mask == value:
                return
        raise failure(
            "SMMU-TIMEOUT", f"{layout.__name__} does not become 0x{value:x}", self.hardware.part, field=layout.__name__
        )

    # --- domains ----------------------------------------------------------------------------------------------------

    def create_domain(
        self,
        stage: Literal[1, 2],
        *,
        granule: Literal[12, 14, 16] = 12,
        input_bits: int | None = None,
        parent: Domain | None = None,
        allocator: PageAllocator | None = None,
        alias: int = 0,
        stalls: bool = False,
    ) -> Domain:
        """Make an empty address space.

        Args:
            stage: which stage translates it.
            granule: log2 of the page size: 12, 14 or 16.
            input_bits: bits of an address, 25 to 48; by default those of a physical address, for stage 1 48.
            parent: a stage 2 domain under a stage 1 domain: addresses are then translated by both.
            allocator: memory for its tables, if not the driver's.
            alias: IPA minus physical address of that memory, which `parent` must map.
            stalls: faulting transactions wait for `resume`.

        Raises `IommuError` (`SMMU-UNSUPPORTED`, `SMMU-REQUEST`, `MEMORY-EXHAUSTED`).
        """
        hardware = self.hardware
        hardware.require(hardware.idr0.S1P or stage == 2, hardware.idr0, "S1P", "stage 1")
        hardware.require(hardware.idr0.S2P or (stage == 1 and not parent), hardware.idr0, "S2P", "stage 2")
        name = _GRANULE_FIELDS[granule]
        hardware.require(dict(hardware.idr5.items())[name], hardware.idr5, name, f"pages of {1 << granule} bytes")
        hardware.require(not stalls or hardware.idr0.STALL_MODEL != 1, hardware.idr0, "STALL_MODEL", "stalls")
        if input_bits is None:
            input_bits = hardware.output_bits if stage == 2 else _MOST_INPUT_BITS
        most = hardware.output_bits if stage == 2 else _MOST_INPUT_BITS
        if not _LEAST_INPUT_BITS <= input_bits <= most:
            raise hardware.refuse(f"stage {stage} translates {_LEAST_INPUT_BITS} to {most} bits, not {input_bits}")
        if parent is not None and (stage != 1 or parent.stage != 2):
            raise hardware.refuse("only a stage 1 domain has a parent, and that is a stage 2 domain")
        domain = Domain(
            hardware,
            self._platform,
            self.commands,
            allocator or self._allocator,
            stage=stage,
            identifier=self._take_identifier(stage),
            granule=granule,
            input_bits=input_bits,
            parent=parent,
            alias=alias,
            stalls=stalls,
        )
        if parent is not None:
            parent.children += 1
        return domain

    def _take_identifier(self, stage: int) -> int:
        """Return a free ASID or VMID; 0 stays free: it tags stage 1 without stage 2."""
        wide = self.hardware.idr0.ASID16 if stage == 1 else self.hardware.idr0.VMID16
        used = self._identifiers[stage]
        found = next((number for number in range(1, 1 << 16 if wide else 1 << 8) if number not in used), None)
        if found is None:
            raise self.hardware.refuse(f"no {'ASID' if stage == 1 else 'VMID'} is free")
        used.add(found)
        return found

    def destroy_domain(self, domain: Domain) -> None:
        """Give an address space back. Raises `IommuError` while a stream or another domain uses it."""
        if domain.streams or domain.children or domain in self._substreams.values():
            raise self.hardware.refuse("the domain is in use")
        domain.forget()
        domain.table.release()
        self._identifiers[domain.stage].remove(domain.identifier)
        if domain.parent is not None:
            domain.parent.children -= 1

    def map(self, domain: Domain, address: int, output: int, size: int, permission: Permission) -> None:
        """Let devices of a domain reach `size` bytes of memory at `output` under `address`.

        All three are multiples of the granule; the range must be free. With a parent, `output` is an IPA. The largest
        pages are used that alignment permits. Raises `IommuError` (`SMMU-REQUEST`, `MEMORY-EXHAUSTED`).
        """
        attributes = domain.attributes(permission)
        self._check_range(domain, address, size)
        self._check_outputs(domain, output, size)
        if domain.table.occupied(address, size):
            raise self.hardware.refuse(f"something is mapped already within {size} bytes from 0x{address:x}")
        domain.table.map(address, output, size, attributes)

    def map_scattered(self, domain: Domain, address: int, outputs: Sequence[int], permission: Permission) -> None:
        """Map single granules, at the given output addresses, one after another from `address`; as `map` otherwise."""
        attributes = domain.attributes(permission)
        granule = domain.table.shape.granule
        size = len(outputs) << granule
        self._check_range(domain, address, size)
        for output in (min(outputs), max(outputs)):
            self._check_outputs(domain, output, 1 << granule)
        low = (1 << granule) - 1
        if any(output & low for output in outputs):
            raise self.hardware.refuse(f"outputs are multiples of {low + 1} bytes")
        if domain.table.occupied(address, size):
            raise self.hardware.refuse(f"something is mapped already within {size} bytes from 0x{address:x}")
        domain.table.map_scattered(address, outputs, attributes)

    def unmap(self, domain: Domain, address: int, size: int) -> None:
        """Take a range away, mapped or not; when this returns no device reaches it. Raises as `map`."""
        self._check_range(domain, address, size)
        domain.table.unmap(address, size)

    def _check_range(self, domain: Domain, address: int, size: int) -> None:
        shape = domain.table.shape
        if size <= 0 or (address | size) & (1 << shape.granule) - 1:
            raise self.hardware.refuse(f"0x{address:x} and {size} are not whole pages of {1 << shape.granule} bytes")
        if address < 0 or address + size > 1 << shape.input_bits:
            raise self.hardware.refuse(f"0x{address:x} and {size} bytes exceed {shape.input_bits} bits")

    def _check_outputs(self, domain: Domain, output: int, size: int) -> None:
        shape = domain.table.shape
        if output & (1 << shape.granule) - 1:
            raise self.hardware.refuse(f"0x{output:x} is not a whole page of {1 << shape.granule} bytes")
        if output < 0 or output + size > 1 << shape.output_bits:
            raise self.hardware.refuse(f"0x{output:x} and {size} bytes exceed {shape.output_bits} bits of output")

    # --- streams ----------------------------------------------------------------------------------------------------

    def attach(
        self, stream_id: int, to: Domain | Terminal, *, substream_bits: int = 0, default: Default = "domain"
    ) -> None:
        """Attach a stream to a domain, let it bypass translation, or make it abort; from whatever it was.

        `substream_bits` gives a stage 1 stream 2^n substreams, which `set_substream` fills; `default` is what becomes
        of transactions without a substream ID, for which the domain itself is only used with `domain`.
        Raises `IommuError` (`SMMU-UNSUPPORTED`, `SMMU-REQUEST`, `SMMU-COMMAND`, `SMMU-TIMEOUT`).
        """
        if not 0 <= stream_id < 1 << self._streams.stream_bits:
            raise self.hardware.refuse(f"stream ID 0x{stream_id:x} exceeds {self._streams.stream_bits} bits")
        contexts = None
        if isinstance(to, Domain) and to.stage == 1:
            contexts = self._make_contexts(to, substream_bits, default)
            target = contexts.fields().value | self._stage1_fields(to, substream_bits, default).value
        elif substream_bits:
            raise self.hardware.refuse("only stage 1 has substreams")
        elif isinstance(to, Domain):
            target = to.stage2_fields().value
        else:
            config = StreamConfig.BYPASS if to == "bypass" else StreamConfig.ABORT
            target = STE(V=1, Config=config, SHCFG=int(to == "bypass")).value
        self._write_ste(stream_id, STE(target))
        self._replace(stream_id, to if isinstance(to, Domain) else None, contexts)

    def _replace(self, stream_id: int, domain: Domain | None, contexts: ContextTable | None) -> None:
        """Note what a stream is attached to now, and free what it used before."""
        before = self._domains.pop(stream_id, None)
        if before is not None:
            before.streams.discard(stream_id)
        old = self._contexts.pop(stream_id, None)
        if old is not None:
            old.release()
        for key in [key for key in self._substreams if key[0] == stream_id]:
            del self._substreams[key]
        if domain is not None:
            self._domains[stream_id] = domain
            domain.streams.add(stream_id)
        if contexts is not None:
            self._contexts[stream_id] = contexts

    def _make_contexts(self, domain: Domain, bits: int, default: Default) -> ContextTable:
        hardware = self.hardware
        hardware.require(bits <= hardware.idr1.SSIDSIZE, hardware.idr1, "SSIDSIZE", f"{bits} bits of substream ID")
        two_level = bool(hardware.idr0.CD2L)
        if bits > _LINEAR_SUBSTREAM_BITS:
            hardware.require(two_level, hardware.idr0, "CD2L", f"2^{bits} context descriptors")
        contexts = ContextTable(self._platform, domain.allocator, bits, domain.alias, two_level=two_level)
        if not bits or default == "domain":
            place, groups, _ = contexts.update(0, domain.cd())
            self._store(place, [store for group in groups for store in group])
        return contexts

    def _stage1_fields(self, domain: Domain, bits: int, default: Default) -> STE:
        fields = domain.parent.stage2_fields() if domain.parent is not None else STE(V=1, SHCFG=1)
        config = StreamConfig.NESTED if domain.parent is not None else StreamConfig.STAGE1
        return fields.replace(Config=config, S1DSS=_S1DSS[default] if bits else 0, S1CIR=1, S1COR=1, S1CSH=3)

    def set_substream(self, stream_id: int, substream_id: int, domain: Domain | None) -> None:
        """Give a substream of a stream an address space of stage 1, or take it away. Raises as `attach`."""
        contexts, main = self._contexts.get(stream_id), self._domains.get(stream_id)
        if contexts is None or main is None or not 0 <= substream_id < 1 << contexts.bits or not contexts.bits:
            raise self.hardware.refuse(f"stream 0x{stream_id:x} has no substream 0x{substream_id:x}")
        if domain is not None and (domain.stage != 1 or domain.parent is not main.parent):
            raise self.hardware.refuse("a substream takes a stage 1 domain over the same stage 2 as its stream")
        place, groups, linked = contexts.update(substream_id, domain.cd() if domain is not None else CD())
        if linked:
            self.commands.run([self._cfgi_cd(stream_id, substream_id, leaf=False)])
        for group in groups:
            self._store(place, group)
            self.commands.run([self._cfgi_cd(stream_id, substream_id, leaf=True)])
        self._substreams.pop((stream_id, substream_id), None)
        if domain is not None:
            self._substreams[stream_id, substream_id] = domain

    @staticmethod
    def _cfgi_cd(stream_id: int, index: int, *, leaf: bool) -> Command:
        return CfgiCd(Opcode=Opcode.CFGI_CD, StreamID=stream_id, SubstreamID=index, Leaf=int(leaf))

    def _write_ste(self, stream_id: int, target: STE) -> None:
        place, linked = self._streams.place(stream_id)
        if linked or stream_id in self._unforgotten:  # since a call that failed
            self.commands.run([CfgiSte(Opcode=Opcode.CFGI_STE, StreamID=stream_id)])
        self._unforgotten.add(stream_id)
        for group in ste_update(load(self._platform, place, STE), target):
            self._store(place, group)
            self.commands.run([CfgiSte(Opcode=Opcode.CFGI_STE, StreamID=stream_id, Leaf=1)])
        self._unforgotten.discard(stream_id)

    def _store(self, place: int, group: Group) -> None:
        for index, value in group:
            self._platform.write(place + 8 * index, value.to_bytes(8, "little"))

    # --- events -----------------------------------------------------------------------------------------------------

    def events(self) -> tuple[list[EventRecord], bool]:
        """Return the events since the last call, and whether some were lost by overflow."""
        return self._events.take()

    def resume(self, event: EventRecord, action: Literal["retry", "abort", "ignore"]) -> None:
        """Answer a stall event: try again, abort, or let reads give zeros and writes vanish.

        Raises `IommuError` (`SMMU-REQUEST`) for an event that is no stall.
        """
        if event.stag is None:
            raise self.hardware.refuse("the event belongs to no stalled transaction")
        command = Resume(
            Opcode=Opcode.RESUME,
            StreamID=event.stream_id,
            STAG=event.stag,
            Ac=int(action == "retry"),
            Ab=int(action == "abort"),
        )
        self.commands.run([command])

    def attached(self) -> Iterator[tuple[int, Domain]]:
        """Iterate over (stream ID, domain) of streams attached to domains."""
        return iter(self._domains.items())
