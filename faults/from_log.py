"""Records of kernel logs as faults.

What the fields of a record mean, the decoders of raw records say: they are given a record of what a line prints,
without what differs from line to line, and what they say is remembered (`_..._told`). They are imported when needed.

A record that is no fault (a unit found at boot, a mapping traced) gives none. What the log says was lost gives a fault
whose `lost` is set, and whose `count` is 0 where it is not said how many.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..base import Origin, parse_pci_address
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
from .log_names import AMD_NAMES, AMD_REQUESTS, AMD_VALUES, SOC_NAMES, VIRTIO_CODES

if TYPE_CHECKING:
    from .raw.queue import Template

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

_INVALIDATION = {
    "Invalidation Queue Error": (1 << 4, 0),
    "Invalidation Completion Error": (1 << 5, 48),
    "Invalidation Time-Out Error": (1 << 6, 32),
}
"""Bit of VT-d's fault status register, and where IQERCD has what is printed with it."""

_PAGE = 12
_STREAM = 0xFFFF
_EVENT = struct.Struct("<4Q")
_AMD_WORDS = struct.Struct("<4I")
_AMD_FLAGS = 12
_WORDS = 4
_IPA = 0xFFFFFFFFFFF000
_OVERFLOW = 1 << 0
_LAST_REASON = 0xFF
_NOWHERE = Origin("")
_fault = quick(Fault)
"""Where there are many, the arguments stand in the order of the fields: names would double the time."""

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


def _printed(told: Fault, record: LogRecord, **more: Any) -> Fault:
    """Return what was decoded, with what the line adds."""
    line = record.line
    return replace(
        told, origin=line.origin, driver=record.driver, iommu=record.unit, time=line.time, clock=line.clock,
        text=record.text, **more,
    )  # fmt: skip


def _filled(  # noqa: PLR0917  # names would double the time
    told: Fault,
    record: LogRecord,
    identifier: int | None,
    address: int | None,
    facts: tuple[tuple[str, str | int], ...] = (),
    segment: int | None = None,
    substream: int | None = None,
    device: str = "",
    ipa: int | None = None,
    domain: int | None = None,
    raw: bytes = b"",
) -> Fault:
    """Return the same where there are many: with these values in place of those that were decoded."""
    line = record.line
    return _fault(
        line.origin, told.architecture, record.driver, record.unit, told.reason, told.name, told.code, line.time,
        line.clock, segment, identifier, substream, device, address, told.address_bits, told.access, told.privileged,
        told.stage, ipa, domain, told.lost, 1, facts, raw, record.text,
    )  # fmt: skip


def _from_vtd(record: VtdFault) -> Fault:
    told = _vtd_told(record.reason, record.access, record.meaning)
    return _filled(told, record, record.source, record.address, record.tables, record.segment, record.pasid)


@lru_cache(1024)
def _vtd_told(reason: int | None, access: Access, meaning: str) -> Fault:
    """Return the fault of a fault reason, whose meaning is in the kernel's words where it is not defined."""
    from .raw import vtd

    bits = 0 if access == "interrupt" else _PAGE
    if reason is None:
        what = meaning or "the line with the reason is missing"
        return Fault(_NOWHERE, "vtd", reason=what, address_bits=bits, access=access)
    told = vtd.decode(vtd.encode(FR=min(reason, _LAST_REASON), F=1), _NOWHERE)  # the last one is not defined either
    what = told.reason if told.name or not meaning else meaning
    return replace(told, reason=what, code=reason, address_bits=bits, access=access)


def _from_status(record: VtdStatus) -> Fault | None:
    from .raw import vtd

    if not record.status & _OVERFLOW:
        return None
    return _printed(vtd.decode_status(_OVERFLOW, None, _NOWHERE)[0], record)


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
    first, second, address, last = record.words
    ipa = last & _IPA
    template = _event_told(first, second, last & ~_IPA)
    if template is None or (address and not template.address) or (ipa and not template.second):
        from .raw import smmuv3

        told = smmuv3.decode(_EVENT.pack(*record.words), _NOWHERE)
        return _printed(told, record, device=record.client)
    told = template.fault
    return _filled(
        told,
        record,
        told.identifier,
        address if template.address else told.address,
        told.facts,
        None,
        told.substream,
        record.client,
        ipa if template.second else told.ipa,
        raw=_EVENT.pack(first, second, address, last),
    )


@lru_cache(1024)
def _event_told(first: int, second: int, last: int) -> Template | None:
    """Return the template of all events with these words, whose addresses differ."""
    from .raw import queue, smmuv3

    return queue.learn(_EVENT.pack(first, second, 0, last), smmuv3.FORMATS[0], "")


def _from_decoded(record: Smmuv3Event) -> Fault:
    """Return what the decoded lines say, which is less than the words do; a substream ID of 0 may be none."""
    facts: dict[str, Any] = dict(record.facts)
    name, meaning = record.name, "an event whose words are not all in the log"
    if record.number is not None:
        from .raw import smmuv3

        told = smmuv3.decode(bytes((record.number,)) + bytes(31), _NOWHERE)
        name, meaning = told.name, told.reason
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
    facts = (*((letter, 1) for letter in record.access), ("PRGIndex", record.group), ("Last", int(record.last)))
    return _plain(
        record, "smmuv3", "a page request that nobody expects", "page request", identifier=record.stream_id,
        substream=record.substream_id or None, address=record.address, address_bits=_PAGE, access="translation",
        privileged=record.privileged, facts=tuple((name, value) for name, value in facts if value),
    )  # fmt: skip


def _from_context(record: Smmuv2Fault) -> Fault:
    told = _context_told(record.fsr, record.fsynr0)
    facts = told.facts
    if record.facts:  # flags in words, which are told already, and walks of the tables
        facts = (*facts, *(fact for fact in record.facts if fact[0] not in ("FSR", "FSYNR0")))
    stream = None if record.cbfrsynra is None else record.cbfrsynra & _STREAM
    return _filled(told, record, stream, record.address, facts, domain=record.bank)


@lru_cache(1024)
def _context_told(fsr: int | None, fsynr0: int | None) -> Fault:
    """Return the fault of a context bank's registers, as far as they are in the log."""
    from .raw import smmuv2

    told = smmuv2.decode(smmuv2.encode(FSR=fsr or 0, FSYNR0=fsynr0 or 0), _NOWHERE)
    if fsr is None:
        told = replace(told, reason="a fault whose registers are not all in the log", code=None)
    return told if fsynr0 is not None else replace(told, access="", privileged=None)


def _from_global(record: Smmuv2GlobalFault) -> Fault:
    from .raw import smmuv2

    raw = smmuv2.encode_global(
        GFSR=record.gfsr, GFSYNR0=record.gfsynr0 or 0, GFSYNR1=record.gfsynr1, GFSYNR2=record.gfsynr2 or 0
    )
    told = replace(smmuv2.decode_global(raw, _NOWHERE), address=None, raw=b"")
    return _printed(told if record.gfsynr0 is not None else replace(told, access="", privileged=None), record)


def _from_amd(record: AmdEvent) -> Fault:
    device, name = record.device, record.name
    if name == "UNKNOWN" and record.facts and record.facts[0][0] == "event[0]":
        from .raw import amdvi

        raw = _AMD_WORDS.pack(*(value for _, value in record.facts))
        return _printed(amdvi.decode(raw, _NOWHERE), record, device=device)
    told, physical = _amd_told(name, record.flags)
    segment, identifier = record.segment, record.device_id
    if identifier is None and device and (place := _place(device)):
        segment, identifier = place
    # One field of the event holds either a domain or a PASID, by whatever name it is printed.
    number = record.pasid if record.domain is None else record.domain
    facts, address = told.facts, record.address
    if record.facts:
        fields = tuple((AMD_VALUES[key], value) for key, value in record.facts if key in AMD_VALUES and value)
        facts = (*fields, *facts, *(fact for fact in record.facts if fact[0] not in AMD_VALUES))
    if physical and address is not None:
        facts, address = (*facts, (physical, address)), None
    return _filled(
        told,
        record,
        identifier,
        address,
        facts,
        segment,
        None if told.domain is not None else number if told.substream is not None else number or None,
        device,
        domain=None if told.domain is None else number,
    )


@lru_cache(4096)
def _amd_told(name: str, flags: int | None) -> tuple[Fault, str]:
    """Return the fault of an event with these flags, and the field of its address if that is no device's."""
    from .raw import amdvi

    known = (flags or 0) & (1 << _AMD_FLAGS) - 1
    beyond = (("flags", flags),) if flags is not None and flags != known else ()
    if name in AMD_REQUESTS:
        told = amdvi.decode_request((amdvi.PAGE_REQUEST << 60 | known << 48).to_bytes(amdvi.SIZE, "little"), _NOWHERE)
        return replace(told, reason=AMD_REQUESTS[name], facts=(*told.facts, *beyond)), ""
    told, physical = amdvi.decode_printed(AMD_NAMES.get(name, name), known, _NOWHERE)
    if told.code is None:
        told = replace(told, name=name)
        beyond = () if flags is None else (("flags", flags),)
    elif flags is None:
        told = replace(told, access="", privileged=None)
    return replace(told, facts=(*told.facts, *beyond)), physical


def _from_riscv(record: RiscvFault) -> Fault:
    told, address = _riscv_told(record.cause, record.iotval2), record.iotval
    if told.address is None:
        facts = (("iotval", address), *told.facts) if address else told.facts
        return _filled(told, record, None, None, facts)
    return _filled(told, record, record.device_id, address, told.facts, ipa=told.ipa)


@lru_cache(1024)
def _riscv_told(cause: int, iotval2: int) -> Fault:
    """Return the fault of a cause; an address that it has, and a device ID, are 0."""
    from .raw import riscv

    return riscv.decode_printed(cause, 0, 0, iotval2, _NOWHERE)


def _from_soc(record: SocFault) -> Fault:
    name = record.name
    reason = SOC_NAMES.get(name.removeprefix("AR ").removeprefix("AW "), name)
    return _plain(
        record, "", reason, "", code=record.code, identifier=record.identifier, device=record.device,
        address=record.address, access=record.access, facts=record.facts,
    )  # fmt: skip


def _from_virtio(record: VirtioFault) -> Fault:
    told = _virtio_told(record.name, record.access)
    return _filled(told, record, record.endpoint, record.address, told.facts)


@lru_cache(64)
def _virtio_told(name: str, letters: str) -> Fault:
    """Return the fault of a reason and of the letters of what was tried."""
    from .raw import virtio

    tried = {"READ": "R" in letters, "WRITE": "W" in letters, "EXEC": "X" in letters}
    return virtio.decode(virtio.encode(reason=VIRTIO_CODES[name], **tried), _NOWHERE)


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
    name, code = "", record.value
    if record.name == "unexpected global error" and code is not None:
        from ..iommu.smmuv3.layout.registers import GERROR

        name = " ".join(field.name for field in reversed(GERROR.fields) if code & field.mask)
    elif record.name.title() in _INVALIDATION:
        from .raw import vtd

        bit, shift = _INVALIDATION[record.name.title()]
        (told,) = vtd.decode_status(bit, None if code is None else code << shift, _NOWHERE)
        return _printed(told, record)
    return _plain(
        record, architecture, record.name, name, code=code, lost=record.lost, count=0 if record.lost else 1,
        facts=record.facts,
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
