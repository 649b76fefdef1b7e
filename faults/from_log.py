"""Records of kernel logs as faults.

A record that is no fault (a unit found at boot, a mapping traced) gives none. What the log says was lost gives a fault
whose `lost` is set, and whose `count` is 0 where it is not said how many.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..base import parse_pci_address
from ..base.quick import quick
from ..parsers.kernel_log import (
    AmdEvent,
    LogRecord,
    RiscvFault,
    Smmuv2Fault,
    Smmuv2GlobalFault,
    Smmuv3Event,
    Smmuv3PageRequest,
    SocFault,
    Suppressed,
    TraceFault,
    UnitError,
    VirtioFault,
    VtdFault,
    VtdStatus,
)
from .fault import Access, Architecture, Fault
from .log_names import (
    AMD_COMMANDS,
    AMD_EVENTS,
    AMD_HARDWARE,
    AMD_HAS_TYPE,
    AMD_PAGE_REQUESTS,
    AMD_PHYSICAL,
    GERROR,
    MULTI,
    RISCV_CAUSES,
    RISCV_NO_ADDRESS,
    SOC_NAMES,
    SS,
    VIRTIO_REASONS,
    AmdFlag,
    Cause,
    context_fault,
    global_fault,
)

_ARCHITECTURES: dict[str, Architecture] = {
    "DMAR": "vtd",
    "arm-smmu-v3": "smmuv3",
    "arm-smmu": "smmuv2",
    "qcom-iommu": "smmuv2",
    "qcom-iommu-ctx": "smmuv2",
    "AMD-Vi": "amdvi",
    "riscv,iommu": "riscv-iommu",
    "riscv-iommu": "riscv-iommu",
    "riscv-iommu-pci": "riscv-iommu",
    "virtio_iommu": "virtio-iommu",
}
_FUNCTIONS: tuple[tuple[str, Architecture, str], ...] = (
    ("dmar", "vtd", "DMAR"),
    ("arm_smmu_context", "smmuv2", "arm-smmu"),
    ("arm_smmu_global", "smmuv2", "arm-smmu"),
    ("arm_smmu", "smmuv3", "arm-smmu-v3"),
    ("riscv_iommu", "riscv-iommu", "riscv,iommu"),
    ("viommu", "virtio-iommu", "virtio_iommu"),
    ("apple_dart", "", "apple-dart"),
    ("amd_iommu", "amdvi", "AMD-Vi"),
    ("iommu_print_event", "amdvi", "AMD-Vi"),
)
"""Beginnings of the names of functions whose lines are suppressed, and whose they are."""

_PAGE = 12
_WNR, _PNU, _IND = 1 << 4, 1 << 5, 1 << 6
_GLOBAL_WNR, _GLOBAL_PNU, _GLOBAL_IND = 1 << 1, 1 << 2, 1 << 3
_STREAM = 0xFFFF
_EVENT = struct.Struct("<4Q")
_AMD_WORDS = struct.Struct("<4I")
_PPR_GN = 1 << 8
_WORDS = 4
_OVERFLOW = 1 << 0
_fault = quick(Fault)
"""Where it is called with most of its arguments, they stand in the order of the fields: names would double the time."""

_place = lru_cache(1024)(parse_pci_address)


def from_log(records: Iterable[LogRecord]) -> Iterator[Fault]:
    """Iterate over the faults that records of kernel logs tell of, in their order."""
    get = _MAKERS.get
    for record in records:
        make = get(type(record))
        if make is not None:
            fault = make(record)
            if fault is not None:
                yield fault


def _from_vtd(record: VtdFault) -> Fault:
    line, reason = record.line, record.reason
    name, meaning = _vtd_reason(reason)
    access = record.access
    return _fault(
        line.origin,
        "vtd",
        record.driver,
        record.unit,
        meaning or record.meaning or "a reason that is not defined",
        name,
        reason,
        line.time,
        line.clock,
        record.segment,
        record.source,
        record.pasid,
        "",
        record.address,
        0 if access == "interrupt" else _PAGE,
        access,
        facts=record.tables,
        text=record.text,
    )


@lru_cache(1024)
def _vtd_reason(reason: int | None) -> tuple[str, str]:
    """Return name and meaning of a fault reason; both empty for one that is not defined."""
    from ..iommu.vtd.names import MEANINGS, Reason

    if reason is None:
        return "", "the line with the reason is missing"
    try:
        return Reason(reason).name.replace("_", "."), MEANINGS[Reason(reason)]
    except ValueError:
        return "", ""


def _from_status(record: VtdStatus) -> Fault | None:
    if not record.status & _OVERFLOW:
        return None
    return _plain(record, "vtd", "the fault recording registers were full", "PFO", lost=True, count=0)


def _plain(record: LogRecord, architecture: Architecture, reason: str, name: str, **more: Any) -> Fault:
    """Return a fault with what every record has."""
    line = record.line
    return _fault(
        origin=line.origin, architecture=architecture, driver=record.driver, iommu=record.unit, reason=reason,
        name=name, time=line.time, clock=line.clock, text=record.text, **more,
    )  # fmt: skip


def _from_event(record: Smmuv3Event) -> Fault:
    if len(record.words) < _WORDS:
        return _from_decoded(record)
    from ..iommu.smmuv3.records import decode_event  # which takes as long to import as all the rest

    event = decode_event(_EVENT.pack(*record.words))
    write, line = event.write, record.line
    access: Access = "" if write is None else "write" if write else "execute" if event.instruction else "read"
    facts: tuple[tuple[str, str | int], ...] = ()
    values = (
        ("during", event.during), ("fetch address", event.fetch_address), ("stag", event.stag),
        ("reserved bits", event.reserved or None),
    )  # fmt: skip
    for name, value in values:
        if value is not None:
            facts += ((name, value),)
    return _fault(
        line.origin,
        "smmuv3",
        record.driver,
        record.unit,
        event.meaning,
        event.name,
        event.number,
        line.time,
        line.clock,
        None,
        event.stream_id,
        event.substream_id,
        record.client,
        event.address,
        0,
        access,
        privileged=event.privileged,
        stage=event.stage,
        ipa=event.ipa,
        facts=facts,
        raw=event.raw,
        text=record.text,
    )


def _from_decoded(record: Smmuv3Event) -> Fault:
    """Return what the decoded lines say, which is less than the words do; a substream ID of 0 may be none."""
    facts: dict[str, Any] = dict(record.facts)
    name, meaning = record.name, "an event whose words are not all in the log"
    if record.number is not None:
        from ..iommu.smmuv3.records import decode_event

        event = decode_event(bytes((record.number,)) + bytes(31))
        name, meaning = event.name, event.meaning
    access: Access = facts.pop("access", "")
    if facts.pop("kind", "") == "inst" and access == "read":
        access = "execute"
    privilege = facts.pop("privilege", None)
    return _plain(
        record,
        "smmuv3",
        meaning,
        name,
        code=record.number,
        identifier=facts.pop("sid", None),
        substream=facts.pop("ssid", None) or None,
        device=record.client,
        address=facts.pop("iova", None),
        access=access,
        privileged=None if privilege is None else privilege == "priv",
        ipa=facts.pop("ipa", None) or None,
        stage=facts.pop("stage", None),
        facts=tuple(facts.items()),
    )


def _from_page_request(record: Smmuv3PageRequest) -> Fault:
    facts = (("group", record.group), ("last", int(record.last)), ("wants", record.access))
    return _plain(
        record, "smmuv3", "a page request that nobody expects", "", identifier=record.stream_id,
        substream=record.substream_id or None, address=record.address, address_bits=_PAGE, access="translation",
        privileged=record.privileged, facts=facts,
    )  # fmt: skip


def _direction(register: int | None, write: int, instruction: int) -> Access:
    if register is None:
        return ""
    return "write" if register & write else "execute" if register & instruction else "read"


def _from_context(record: Smmuv2Fault) -> Fault:
    fsr, fsynr0 = record.fsr, record.fsynr0
    name, meaning = context_fault(fsr or 0)
    facts = record.facts
    if fsynr0 is not None:
        facts = (("FSYNR0", fsynr0), ("table level", fsynr0 & 3), *facts)
    if fsr is not None and fsr & (SS | MULTI):
        facts = (*facts, ("FSR", "stalled" if fsr & SS else "further faults are not recorded"))
    line = record.line
    return _fault(
        line.origin,
        "smmuv2",
        record.driver,
        record.unit,
        meaning or "a fault whose registers are not all in the log",
        name,
        fsr,
        line.time,
        line.clock,
        None,
        None if record.cbfrsynra is None else record.cbfrsynra & _STREAM,
        None,
        "",
        record.address,
        0,
        _direction(fsynr0, _WNR, _IND),
        privileged=None if fsynr0 is None else bool(fsynr0 & _PNU),
        domain=record.bank,
        facts=facts,
        text=record.text,
    )


def _from_global(record: Smmuv2GlobalFault) -> Fault:
    name, meaning = global_fault(record.gfsr)
    syndrome = record.gfsynr0
    return _plain(
        record, "smmuv2", meaning or "a global fault that is not defined", name, code=record.gfsr,
        identifier=record.gfsynr1 & _STREAM, access=_direction(syndrome, _GLOBAL_WNR, _GLOBAL_IND),
        privileged=None if syndrome is None else bool(syndrome & _GLOBAL_PNU),
        facts=(("GFSR", "further faults are not recorded"),) if record.gfsr & MULTI else (),
    )  # fmt: skip


def _from_amd(record: AmdEvent) -> Fault:
    flags, line, device, name = record.flags or 0, record.line, record.device, record.name
    segment, identifier = record.segment, record.device_id
    if identifier is None and device and (place := _place(device)):
        segment, identifier = place
    code, meaning = AMD_EVENTS.get(name) or (None, "an event that is not defined")
    # One field of the event holds either a domain or, with GN, a PASID, by whatever name it is printed.
    number = record.pasid if record.domain is None else record.domain
    asks = name in AMD_PAGE_REQUESTS
    guest = bool(flags & (_PPR_GN if asks and code is None else AmdFlag.GN))
    access: Access = ""
    if asks:
        access = "translation"
    elif record.flags is not None and name not in AMD_COMMANDS:
        access = _amd_access(flags)
    return _fault(
        line.origin,
        "amdvi",
        record.driver,
        record.unit,
        meaning or _amd_reason(flags),
        name,
        code,
        line.time,
        line.clock,
        segment,
        identifier,
        number if guest else None,
        device,
        None if name in AMD_PHYSICAL else record.address,
        0,
        access,
        privileged=not flags & AmdFlag.US if guest and not asks else None,
        domain=None if guest or (record.domain is None and name != "PAGE_TAB_HARDWARE_ERROR") else number,
        facts=_amd_facts(record),
        raw=_amd_raw(record.facts) if name == "UNKNOWN" else b"",
        text=record.text,
    )


def _amd_raw(facts: tuple[tuple[str, str | int], ...]) -> bytes:
    """Return the 16 bytes of an event that is printed as words."""
    words = [value for name, value in facts if name.startswith("event[") and isinstance(value, int)]
    return _AMD_WORDS.pack(*words) if words else b""


def _amd_facts(record: AmdEvent) -> tuple[tuple[str, str | int], ...]:
    """Return what has no field of its own: flags, the physical address, the type of an error, what is dumped."""
    name, facts = record.name, record.facts
    if name == "IO_PAGE_FAULT" and record.flags is not None:  # by far the most frequent
        return (("flags", record.flags),)
    if name in AMD_PHYSICAL and record.address is not None:
        facts = ((AMD_PHYSICAL[name], record.address), *facts)
    if name in AMD_HAS_TYPE and (kind := AMD_HARDWARE.get((record.flags or 0) >> 9 & 3)):
        facts = (("type", kind), *facts)
    return facts if record.flags is None else (("flags", record.flags), *facts)


def _amd_access(flags: int) -> Access:
    if flags & AmdFlag.I:
        return "interrupt"
    if flags & AmdFlag.TR:
        return "translation"
    return "write" if flags & AmdFlag.RW else "execute" if flags & AmdFlag.NX else "read"


def _amd_reason(flags: int) -> str:
    """Return what the flags of an IO_PAGE_FAULT say."""
    what = "the interrupt remapping entry" if flags & AmdFlag.I else "a page table entry"
    if flags & AmdFlag.RZ:
        return f"a reserved bit of {what} is set"
    if not flags & AmdFlag.PR:
        return "the interrupt remapping entry is not present" if flags & AmdFlag.I else "the address is not mapped"
    if flags & AmdFlag.PE:
        return "no permission to write" if flags & AmdFlag.RW else "no permission to read"
    return f"{what} is present, but its level or size is not valid"


def _from_riscv(record: RiscvFault) -> Fault:
    cause = RISCV_CAUSES.get(record.cause) or Cause("a cause that is not defined")
    facts: tuple[tuple[str, str | int], ...] = ()
    address: int | None = record.iotval
    if record.cause in RISCV_NO_ADDRESS:
        facts, address = (("iotval", record.iotval),), None
    guest = cause.stage == 2  # noqa: PLR2004 - the second stage
    if record.iotval2 and not guest:
        facts += (("iotval2", record.iotval2),)
    return _plain(
        record, "riscv-iommu", cause.meaning, "", code=record.cause, identifier=record.device_id, address=address,
        access=cause.access, stage=cause.stage, ipa=record.iotval2 & ~3 if guest else None, facts=facts,
    )  # fmt: skip


def _from_soc(record: SocFault) -> Fault:
    name = record.name
    reason = SOC_NAMES.get(name.removeprefix("AR ").removeprefix("AW "), name)
    return _plain(
        record, "", reason, "", code=record.code, identifier=record.identifier, device=record.device,
        address=record.address, access=record.access, facts=record.facts,
    )  # fmt: skip


def _from_virtio(record: VirtioFault) -> Fault:
    code, meaning = VIRTIO_REASONS[record.name]
    line, letters = record.line, record.access
    return _fault(
        line.origin,
        "virtio-iommu",
        record.driver,
        record.unit,
        meaning,
        record.name,
        code,
        line.time,
        line.clock,
        None,
        record.endpoint,
        None,
        "",
        record.address,
        0,
        "write" if "W" in letters else "execute" if "X" in letters else "read" if letters else "",
        text=record.text,
    )


def _from_trace(record: TraceFault) -> Fault:
    return _plain(
        record, _ARCHITECTURES.get(record.driver, ""), "a fault that the trace event io_page_fault tells of", "",
        device=record.device, address=record.address, access="write" if record.flags & 1 else "read",
        facts=(("flags", record.flags),) if record.flags >> 1 else (),
    )  # fmt: skip


def _from_error(record: UnitError) -> Fault:
    architecture = _ARCHITECTURES.get(record.driver, "")
    if record.driver == "Xen":  # the units of Arm boards have names there, those of VT-d have none
        architecture = "vtd" if not record.unit else "smmuv2" if "global fault" in record.name else "smmuv3"
    name, code, identifier = "", record.value, None
    if record.name == "unexpected global error" and code is not None:
        name = " ".join(bit for mask, bit in GERROR if code & mask)
    elif record.name == "Invalidation Queue Error" and code is not None:
        from ..iommu.vtd.names import IQEI

        name = IQEI(code).name if code in IQEI.__members__.values() else ""
    elif record.name.startswith("Invalidation "):  # a time-out or a completion error: the number is a requester ID
        identifier, code = code, None
    return _plain(
        record, architecture, record.name, name, code=code, identifier=identifier, lost=record.lost,
        count=0 if record.lost else 1, facts=record.facts,
    )  # fmt: skip


def _from_suppressed(record: Suppressed) -> Fault:
    architecture, driver = next(
        ((one, name) for start, one, name in _FUNCTIONS if record.function.startswith(start)), ("", "")
    )
    line, reason = record.line, "the kernel did not print so many messages"
    return _fault(
        origin=line.origin, architecture=architecture, driver=driver, reason=reason, time=line.time, clock=line.clock,
        lost=True, count=record.count, facts=(("function", record.function),), text=record.text,
    )  # fmt: skip


_MAKERS: dict[type, Callable[[Any], Fault | None]] = {
    VtdFault: _from_vtd,
    VtdStatus: _from_status,
    Smmuv3Event: _from_event,
    Smmuv3PageRequest: _from_page_request,
    Smmuv2Fault: _from_context,
    Smmuv2GlobalFault: _from_global,
    AmdEvent: _from_amd,
    RiscvFault: _from_riscv,
    SocFault: _from_soc,
    VirtioFault: _from_virtio,
    TraceFault: _from_trace,
    UnitError: _from_error,
    Suppressed: _from_suppressed,
}
