"""A domain: one address space that streams can be attached to, as stage 1 or as stage 2."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag

from ...platform import PageAllocator, Platform
from ...vmsa import Invalidate, PageTable, stage1_shape, stage2_shape
from ..layout import CD, STE, Stage1Leaf, Stage2Leaf
from ..layout.queues import Command, TlbiAddress, TlbiAsid, TlbiVmid
from ..names import Opcode, StreamConfig
from .capability import Hardware
from .queues import CommandQueue

_TG = {12: 0, 14: 2, 16: 1}
"""CD.TG0 and STE.S2TG by log2 of the granule."""
_COMMAND_TG = {12: 1, 14: 2, 16: 3}
"""TG of an invalidation command, which is encoded otherwise."""
_SL0 = {12: {2: 0, 1: 1, 0: 2, 3: 3}, 14: {3: 0, 2: 1, 1: 2}, 16: {3: 0, 2: 1, 1: 2}}
"""S2SL0 by granule and start level."""
_WB = 1
"""Write-back, read- and write-allocate: the encoding of IR, OR, S1CIR, S1COR."""
_INNER_SHAREABLE = 3
MAIR_WRITE_BACK = 0xFF
_NORMAL_WRITE_BACK = 0xF
_FEW_PAGES = 32
"""Without range invalidation, more pages than this are invalidated by forgetting the whole domain."""


class Permission(IntFlag):
    """What a device may do with memory."""

    READ = 1
    WRITE = 2
    EXECUTE = 4


class Domain:
    """One address space.

    Attributes:
        stage: 1 or 2.
        identifier: ASID of stage 1, VMID of stage 2.
        parent: for stage 1, the stage 2 domain below it, None when there is none.
        table: its translation table.
        allocator: where its tables are taken from.
        alias: what is added to the physical address of its tables to give the address that hardware uses.
        streams: streams attached to it.
        children: for stage 2, the number of stage 1 domains above it.
        stalls: faults stall the device.
    """

    def __init__(  # one caller, which explains them
        self,
        hardware: Hardware,
        platform: Platform,
        commands: CommandQueue,
        allocator: PageAllocator,
        *,
        stage: int,
        identifier: int,
        granule: int,
        input_bits: int,
        parent: Domain | None = None,
        alias: int = 0,
        stalls: bool = False,
    ) -> None:
        """Make an empty address space; see `Driver.create_domain`."""
        self.stage = stage
        self.identifier = identifier
        self.parent = parent
        self.allocator = allocator
        self.alias = alias
        self.streams: set[int] = set()
        self.children = 0
        self.stalls = stalls
        self._hardware = hardware
        self._commands = commands
        shape = (stage1_shape if stage == 1 else stage2_shape)(granule, input_bits, hardware.output_bits)
        invalidate: Invalidate = self._invalidate
        hitless = hardware.idr3.BBML == 2
        self.table = PageTable(platform, allocator, shape, invalidate, hitless=hitless, alias=alias)

    @property
    def vmid(self) -> int:
        """VMID that tags its translations."""
        if self.stage == 2:
            return self.identifier
        return self.parent.identifier if self.parent is not None else 0

    # --- invalidation -----------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Empty the caches of everything that belongs to this domain."""
        self._commands.run([self._forget_all()])

    def _forget_all(self) -> Command:
        if self.stage == 1:
            return TlbiAsid(Opcode=Opcode.TLBI_NH_ASID, VMID=self.vmid, ASID=self.identifier)
        return TlbiVmid(Opcode=Opcode.TLBI_S12_VMALL, VMID=self.identifier)

    def _invalidate(self, address: int, size: int, leaf: bool) -> None:  # noqa: FBT001  # the type `Invalidate`
        pages = size >> self.table.shape.granule
        # Translations of both stages together are not found by IPA, so a parent forgets them by VMID.
        if self.children or (pages > _FEW_PAGES and not self._hardware.idr3.RIL):
            self.forget()
        else:
            self._commands.run(self._by_address(address, pages, leaf=leaf))

    def _by_address(self, address: int, pages: int, *, leaf: bool) -> Iterator[Command]:
        granule = self.table.shape.granule
        base = TlbiAddress(Opcode=Opcode.TLBI_S2_IPA, VMID=self.vmid, Leaf=int(leaf))
        if self.stage == 1:
            base = base.replace(Opcode=Opcode.TLBI_NH_VA, ASID=self.identifier)
        while pages:
            # Five bits of the number of pages at a time, the lowest first; a single page may not be given as a range.
            scale = (pages & -pages).bit_length() - 1
            count = pages >> scale & 31
            if not self._hardware.idr3.RIL or count << scale == 1:
                count, scale = 1, 0
                yield base.replace(Addr=address)
            else:
                yield base.replace(Addr=address, TG=_COMMAND_TG[granule], NUM=count - 1, SCALE=scale)
            address += count << scale + granule
            pages -= count << scale

    # --- structures -------------------------------------------------------------------------------------------------

    def attributes(self, permission: Permission) -> int:
        """Return the bits of a leaf that grants a permission. Raises `IommuError` for one that cannot be granted."""
        if not permission & (Permission.READ | Permission.WRITE):
            raise self._hardware.refuse(f"a mapping needs read or write permission, not {permission!r}")
        execute = bool(permission & Permission.EXECUTE)
        write = bool(permission & Permission.WRITE)
        if self.stage == 2:
            access = int(permission) & 3
            return Stage2Leaf(
                MemAttr=_NORMAL_WRITE_BACK, S2AP=access, SH=_INNER_SHAREABLE, AF=1, XN=0 if execute else 2
            ).value
        if not permission & Permission.READ:
            raise self._hardware.refuse("stage 1 cannot grant write permission without read permission")
        # AP: accessible to unprivileged transactions, as devices send them; writable memory is never executable for
        # privileged ones.
        return Stage1Leaf(
            AP=1 if write else 3, SH=_INNER_SHAREABLE, AF=1, nG=1, PXN=int(not execute), UXN=int(not execute)
        ).value

    def cd(self) -> CD:
        """Return the context descriptor of a stage 1 domain."""
        shape = self.table.shape
        stall = self.stalls or self._hardware.idr0.STALL_MODEL == 2  # forced
        return CD(
            T0SZ=64 - shape.input_bits,
            TG0=_TG[shape.granule],
            IR0=_WB,
            OR0=_WB,
            SH0=_INNER_SHAREABLE,
            EPD1=1,
            V=1,
            IPS=self._hardware.ps,
            AA64=1,
            S=int(stall),
            R=1,
            A=1,
            ASET=1,
            ASID=self.identifier,
            TTB0=self.table.root + self.alias,
            MAIR0=MAIR_WRITE_BACK,
        )

    def stage2_fields(self) -> STE:
        """Return an STE that has the fields of a stage 2 domain and nothing else."""
        shape = self.table.shape
        stall = self.stalls or self._hardware.idr0.STALL_MODEL == 2
        return STE(
            V=1,
            Config=StreamConfig.STAGE2,
            SHCFG=1,
            S2VMID=self.identifier,
            S2T0SZ=64 - shape.input_bits,
            S2SL0=_SL0[shape.granule][shape.start],
            S2IR0=_WB,
            S2OR0=_WB,
            S2SH0=_INNER_SHAREABLE,
            S2TG=_TG[shape.granule],
            S2PS=self._hardware.ps,
            S2AA64=1,
            S2S=int(stall),
            S2R=1,
            S2TTB=self.table.root,
        )
