"""What each command of the Non-secure queue does (IHI 0070 chapter 4).

Reserved bits that are set, parameters that are illegal and commands that the IDR registers say are absent end in
CERROR_ILL: the architecture lets an implementation ignore reserved bits, this one is strict.
"""

from __future__ import annotations

from typing import Protocol

from ..layout.queues import (
    COMMANDS,
    CfgiCd,
    CfgiCdAll,
    CfgiSte,
    CfgiSteRange,
    Command,
    PriResp,
    Resume,
    StallTerm,
    Sync,
    TlbiAddress,
    TlbiAsid,
    TlbiVmid,
)
from ..names import CommandError, Opcode
from .configuration import Configuration
from .tlb import GLOBAL, Scope, Tag, Tlb
from .values import Capabilities

_STAGE1_ONLY = frozenset(
    (0x05, 0x06, 0x10, 0x11, 0x12, 0x13)
)  # CFGI_CD, CFGI_CD_ALL, TLBI_NH_*: illegal without stage 1
_EL2 = frozenset((0x20, 0x21, 0x22, 0x23))
_STAGE2_ONLY = frozenset((0x28, 0x2A))
_STALLS = frozenset((Opcode.RESUME, Opcode.STALL_TERM))
_NO_STALL_MODEL = 1
_ALL_STREAMS = 31
_GRANULE = {1: 12, 2: 14, 3: 16}
_MAX_SCALE = 39
_SYNC_RESERVED = 3


class Actions(Protocol):
    """What a command can ask of the rest of the model."""

    caps: Capabilities
    configuration: Configuration
    tlb: Tlb

    @property
    def e2h(self) -> bool:
        """CR2.E2H counts."""
        ...

    def resume(self, stream_id: int, stag: int, *, retry: bool, abort: bool) -> None:
        """Retry or end a stalled transaction."""
        ...

    def terminate_stalls(self, stream_id: int) -> None:
        """Abort every stalled transaction of a stream."""
        ...

    def page_response(self, response: PriResp) -> None:
        """Pass a page response on."""
        ...

    def completed(self, sync: Sync) -> None:
        """Signal the completion that a CMD_SYNC asks for."""
        ...


def execute(raw: bytes, smmu: Actions) -> CommandError:
    """Carry out one command of 16 bytes and say whether it was one."""
    layout = COMMANDS.get(raw[0])
    if layout is None:
        return CommandError.CERROR_ILL
    command = layout.from_bytes(raw)
    opcode = Opcode(raw[0])
    if _illegal(command, opcode, smmu.caps):
        return CommandError.CERROR_ILL
    if isinstance(command, (TlbiVmid, TlbiAddress)) or opcode in (Opcode.TLBI_EL2_ALL, Opcode.TLBI_NSNH_ALL):
        _invalidate_tlb(command, opcode, smmu)
    elif isinstance(command, (CfgiSte, CfgiSteRange, CfgiCd, CfgiCdAll)):
        _invalidate_configuration(command, smmu.configuration)
    elif isinstance(command, Resume):
        smmu.resume(command.StreamID, command.STAG, retry=bool(command.Ac), abort=bool(command.Ab))
    elif isinstance(command, StallTerm):
        smmu.terminate_stalls(command.StreamID)
    elif isinstance(command, PriResp):
        smmu.page_response(command)
    elif isinstance(command, Sync):
        smmu.completed(command)
    # Prefetches may do nothing; there is no ATC and no PARTID map to invalidate.
    return CommandError.CERROR_NONE


def _illegal(command: Command, opcode: Opcode, caps: Capabilities) -> bool:
    if command.reserved or dict(command.items()).get("SSec"):
        return True
    absent = (
        (opcode in _STAGE1_ONLY and not caps.idr0.S1P)
        or (opcode in _STAGE2_ONLY and not caps.idr0.S2P)
        or (opcode in _EL2 and not (caps.idr0.Hyp and caps.idr0.S1P))
        or (opcode == Opcode.ATC_INV and not caps.idr0.ATS)
        or (opcode == Opcode.PRI_RESP and not caps.idr0.PRI)
        or (opcode == Opcode.CFGI_VMS_PIDM and not caps.idr3.MPAM)
        or (opcode in _STALLS and caps.idr0.STALL_MODEL == _NO_STALL_MODEL)
    )
    if absent:
        return True
    if isinstance(command, TlbiAddress):
        return _illegal_range(command, caps)
    if isinstance(command, PriResp):
        return command.Resp > 2  # 3 is reserved
    return isinstance(command, Sync) and command.CS == _SYNC_RESERVED


def _illegal_range(command: TlbiAddress, caps: Capabilities) -> bool:
    fields = command.NUM | command.SCALE | command.TTL | command.TG
    if not caps.idr3.RIL or command.TG == 0:
        return fields != 0  # RES0
    return not (command.NUM | command.SCALE | command.TTL)


def _invalidate_configuration(
    command: CfgiSte | CfgiSteRange | CfgiCd | CfgiCdAll, configuration: Configuration
) -> None:
    if isinstance(command, CfgiSte):
        configuration.forget_streams(command.StreamID, command.StreamID, leaf=bool(command.Leaf))
    elif isinstance(command, CfgiSteRange):
        size = 2 << command.Range
        first = 0 if command.Range == _ALL_STREAMS else command.StreamID & -size
        configuration.forget_streams(first, first + size - 1, leaf=False)
    elif isinstance(command, CfgiCd):
        configuration.forget_cds(command.StreamID, command.SubstreamID, leaf=bool(command.Leaf))
    else:
        configuration.forget_cds(command.StreamID, None, leaf=False)


def _invalidate_tlb(command: Command, opcode: Opcode, smmu: Actions) -> None:
    vmid = command.VMID if isinstance(command, TlbiVmid) and smmu.caps.idr0.S2P else 0
    asid = command.ASID if isinstance(command, TlbiAsid) else 0
    el2 = "EL2-E2H" if smmu.e2h else "EL2"

    def where(tag: Tag) -> bool:
        world, entry_vmid, entry_asid = tag
        nh = world == "EL1" and entry_vmid == vmid
        return {
            Opcode.TLBI_NH_ALL: nh,
            Opcode.TLBI_NH_ASID: nh and entry_asid == asid,
            Opcode.TLBI_NH_VA: nh and entry_asid in (asid, GLOBAL),
            Opcode.TLBI_NH_VAA: nh,
            Opcode.TLBI_EL2_ALL: world in ("EL2", "EL2-E2H"),
            Opcode.TLBI_EL2_ASID: world == "EL2-E2H" and entry_asid == asid,
            Opcode.TLBI_EL2_VA: world == el2 and (entry_asid in (asid, GLOBAL) or not smmu.e2h),
            Opcode.TLBI_EL2_VAA: world == el2,
            Opcode.TLBI_S12_VMALL: entry_vmid == vmid and world in ("EL1", "S2"),
            Opcode.TLBI_S2_IPA: world == "S2" and entry_vmid == vmid,
            Opcode.TLBI_NSNH_ALL: world in ("EL1", "S2"),
        }[opcode]

    smmu.tlb.invalidate(where, _scope(command) if isinstance(command, TlbiAddress) else None)


def _scope(command: TlbiAddress) -> Scope:
    """Return what an invalidation by address names (4.4.1.1): one address, or with TG a range and a level."""
    if not command.TG:
        return Scope(command.Addr, 1, bool(command.Leaf))
    granule = _GRANULE[command.TG]
    stride = granule - 3
    levels = (command.TTL,) if command.TTL and (granule, command.TTL) != (14, 1) else (0, 1, 2, 3)
    length = command.NUM + 1 << min(command.SCALE, _MAX_SCALE) + granule
    shifts = frozenset(granule + stride * (3 - level) for level in levels)
    return Scope(command.Addr, length, bool(command.Leaf), shifts)
