"""Where QEMU's RISC-V IOMMU is known to differ from the specification, each place told from all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from iommuman.iommu.riscv.layout import DC, PC, FaultRecord, PageTableEntry
from iommuman.iommu.riscv.model import Capabilities
from iommuman.iommu.riscv.model.validity import misconfigured_dc, misconfigured_pc
from iommuman.iommu.riscv.names import Cause, DirectoryMode

from .harness import Configuration, Difference, Known

_HIGH = (1 << 64) - (1 << 54)
"""Bits of a page-table entry above PPN: N, PBMT, and reserved ones."""
LEVELS = {8: 3, 9: 4, 10: 5}
"""Levels by MODE."""
_V, _R, _W, _X, _U, _A, _D = 1, 2, 4, 8, 16, 64, 128
_WD = _W | _D


@dataclass(slots=True)
class Laid(Configuration):
    """A configuration, and what it was made of.

    Attributes:
        words: doublewords of its tables, by address.
        dc, pc: device context, and context of process 0.
        mode: ddtp.iommu_mode.
        caps: of the unit.
    """

    words: dict[int, int] = field(default_factory=dict)
    dc: DC = field(default_factory=DC)
    pc: PC = field(default_factory=PC)
    mode: int = 0
    caps: Capabilities = field(default_factory=Capabilities)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A page-table entry on the way of an access."""

    stage: int
    value: int
    leaf: bool


def _walk(laid: Laid, stage: int, mode: int, root: int, address: int) -> Iterator[_Entry | int]:
    """Yield the entries for an address, those of the second stage for each table of the first, then the output."""
    levels = LEVELS.get(mode)
    if levels is None:
        yield address
        return
    table = root
    for level in range(levels - 1, -1, -1):
        wide = 0x7FF if stage == 2 and level == levels - 1 else 0x1FF
        place = table + 8 * (address >> 12 + 9 * level & wide)
        if stage == 1 and laid.dc.iohgatp_MODE:
            *entries, output = _walk(laid, 2, laid.dc.iohgatp_MODE, laid.dc.iohgatp_PPN, place)
            yield from entries
            assert isinstance(output, int)
            place = output
        value = laid.words.get(place, 0)
        leaf = bool(value & (_R | _W | _X))
        yield _Entry(stage, value, leaf)
        table = PageTableEntry(value).PPN
        if leaf:
            span = 1 << 12 + 9 * level
            yield table // span * span + address % span
            return
        if not value & _V:
            break
    yield 0


def _path(difference: Difference) -> list[_Entry]:
    """Return all entries that are on the way of an access."""
    return _way(difference)[0]


def _first(laid: Laid) -> tuple[int, int]:
    """Return mode and root of the first stage."""
    if not laid.dc.PDTV:
        return laid.dc.fsc_MODE, laid.dc.fsc_PPN
    return (laid.pc.fsc_MODE, laid.pc.fsc_PPN) if laid.dc.DPE and laid.dc.fsc_MODE else (0, 0)


def _way(difference: Difference) -> tuple[list[_Entry], int]:
    """Return all entries that are on the way of an access, and the guest physical address on that way."""
    laid, access = difference.configuration, difference.access
    if not isinstance(laid, Laid) or access is None or laid.mode < DirectoryMode.LVL1:
        return [], 0
    *entries, gpa = _walk(laid, 1, *_first(laid), access.address)
    assert isinstance(gpa, int)
    *more, _ = _walk(laid, 2, laid.dc.iohgatp_MODE, laid.dc.iohgatp_PPN, gpa)
    return [entry for entry in (*entries, *more) if isinstance(entry, _Entry)], gpa


def _causes(difference: Difference) -> tuple[int, int]:
    """Return our cause and theirs; 0: there is no record."""
    if difference.access is None:
        return 0, 0
    ours, theirs = (
        (one.registers[2] & 0xFFF if one.registers[0] else 0) for one in (difference.ours, difference.theirs)
    )
    return ours, theirs


_STAGE = (0, 5, 7, 13, 15, 21, 23)
"""Causes of walks, and none."""
_OF_DIRECTORY = (256, 257, 258, 259, 265, 266, 267)


def _fields(difference: Difference) -> bool:
    """Both refuse with the same cause, and only PV, TTYP, iotval and iotval2 differ, each as QEMU writes it."""
    ours, theirs = difference.ours.registers, difference.theirs.registers
    cause, other = _causes(difference)
    if not cause or cause != other or ours[:2] != theirs[:2] or difference.ours.mark != difference.theirs.mark:
        return False
    record = FaultRecord(sum(word << 64 * index for index, word in enumerate(ours[2:])))
    written = record.replace(PV=1, TTYP=3)
    if cause in _OF_DIRECTORY and FaultRecord.TTYP.get(theirs[2]) == 2:
        written = written.replace(TTYP=2, iotval=0)
    second = theirs[5]
    if second not in (0, record.iotval2 & ~3, _way(difference)[1]):
        return False
    return written.replace(iotval2=second).words == theirs[2:]


def _of_context(difference: Difference) -> bool:
    laid = difference.configuration
    return (
        isinstance(laid, Laid)
        and _causes(difference)[0] in (0, Cause.DDT_MISCONFIGURED)
        and misconfigured_dc(laid.dc, laid.caps) in _NOT_CHECKED
    )


_NOT_CHECKED = ("reserved bits", "SADE or GADE, capabilities.AMO_HWAD", "iohgatp.PPN", "RCID or MCID", "SXL, fctl.GXL")


def _mode_reserved(difference: Difference) -> bool:
    laid = difference.configuration
    return (
        isinstance(laid, Laid)
        and misconfigured_dc(laid.dc, laid.caps) in ("iosatp.MODE", "pdtp.MODE", "iohgatp.MODE")
        and _causes(difference)[0] == Cause.DDT_MISCONFIGURED
    )


def _access_of(difference: Difference) -> Difference:
    """Return the difference with the access that wrote what differs in memory: elsewhere, or unseen by any record."""
    if difference.access is None and difference.written is not None:
        number = [access for access, _ in difference.earlier].index(difference.written)
        return replace(difference, access=difference.written, earlier=difference.earlier[:number])
    return difference


def _high_bits(difference: Difference) -> bool:
    walks = difference.access is None or _walks(difference)
    return walks and any(entry.value & _V and entry.value & _HIGH for entry in _path(_access_of(difference)))


def _walks(difference: Difference) -> bool:
    """Neither has to do with directories."""
    return difference.access is not None and all(cause in _STAGE for cause in _causes(difference))


def _without_u(difference: Difference) -> bool:
    refused = _causes(difference)[0] in (13, 15, 21, 23)
    return refused and _walks(difference) and any(one.leaf and not one.value & _U for one in _path(difference))


def _pointer_bits(difference: Difference) -> bool:
    refused = _causes(difference)[0] in (13, 15, 21, 23)
    found = any(not one.leaf and one.value & _V and one.value & (_U | _A | _D) for one in _path(difference))
    return refused and _walks(difference) and found


def _accessed_of_write(difference: Difference) -> bool:
    access = difference.access
    refused = access is not None and _causes(difference)[0] in (13, 15, 21, 23)
    # A write that was let through is remembered, and then reads are as well.
    possible = access is not None and (access.data is not None or not access.before)
    return refused and possible and any(one.leaf and one.value & _D and not one.value & _A for one in _path(difference))


def _permission_of_first(difference: Difference) -> bool:
    """Both stages translate; the second refuses what the first grants beyond the request, or names it in its cause."""
    laid = difference.configuration
    ours, theirs = _causes(difference)
    if not isinstance(laid, Laid) or not laid.dc.iohgatp_MODE or not _walks(difference):
        return False
    path = _path(difference)
    if not any(one.leaf and one.stage == 1 and one.value & _W for one in path):
        return False
    last = path[-1]
    return (ours, theirs) in ((21, 23), (5, 7)) or (last.stage == 2 and last.leaf and last.value & _WD != _WD)


def _table_of_write(difference: Difference) -> bool:
    """A write, and a table of the first stage in a page that the second lets be read and not written."""
    access, path = difference.access, _path(difference)
    tables = [one for at, one in enumerate(path) if one.leaf and any(later.stage == 1 for later in path[at:])]
    written = access is not None and access.data is not None and _walks(difference)
    return written and any(one.stage == 2 and one.value & _WD != _WD for one in tables)


def _address_after_root(difference: Difference) -> bool:
    """An address that the first stage does not take, and a second stage that refuses the root of its table."""
    laid, access = difference.configuration, difference.access
    if not isinstance(laid, Laid) or access is None or not laid.dc.iohgatp_MODE:
        return False
    bits = 12 + 9 * LEVELS.get(_first(laid)[0], 3)
    taken = access.address >> bits - 1 in (0, (1 << 65 - bits) - 1)
    ours, theirs = _causes(difference)
    return not taken and ours in (13, 15) and theirs in (5, 7, 21, 23)


def _of_process(difference: Difference) -> bool:
    laid = difference.configuration
    refused = _causes(difference)[0] == Cause.PDT_MISCONFIGURED
    return refused and isinstance(laid, Laid) and misconfigured_pc(laid.pc, laid.caps) == "reserved bits"


def _other_address(difference: Difference) -> bool:
    """An address that equals one that was used since the last flush in all but bits 63:56."""
    access = difference.access
    if access is None or access.before:
        return False
    for earlier, _ in reversed(difference.earlier):
        same = (earlier.address ^ access.address) % (1 << 56) >> 12 == 0
        if same and earlier.address >> 56 != access.address >> 56:
            return True
        if earlier.before:
            break
    return False


def _no_record_of_cached(difference: Difference) -> bool:
    """The page was used since the last flush, and the record of a refusal is all that is missing."""
    access = difference.access
    if access is None or access.before or _causes(difference)[1] or difference.ours.mark != difference.theirs.mark:
        return False
    for earlier, _ in reversed(difference.earlier):
        if earlier.address >> 12 == access.address >> 12:
            return True
        if earlier.before:
            break
    return False


_SOURCE = "hw/riscv/riscv-iommu.c"
KNOWN: tuple[Known, ...] = (
    Known(
        "fields of fault records: PV is set, a read is a write, directory faults have no iotval, iotval2 is 0",
        "RISC-V IOMMU 1.0 clause 3.2: PV, TTYP, iotval and iotval2 are those of the transaction",
        f"{_SOURCE}, riscv_iommu_report_fault, riscv_iommu_translate and riscv_iommu_ctx",
        _fields,
    ),
    Known(
        "device contexts are not checked in full",
        "RISC-V IOMMU 1.0 clause 2.1.4: reserved bits, SADE and GADE, alignment of iohgatp.PPN, RCID and MCID, SXL",
        f"{_SOURCE}, riscv_iommu_validate_device_ctx",
        _of_context,
    ),
    Known(
        "reserved bits of a process context are not all checked",
        "RISC-V IOMMU 1.0 clause 2.2.4",
        f"{_SOURCE}, riscv_iommu_ctx_fetch",
        _of_process,
    ),
    Known(
        "an address is looked at after the root of its table was taken through the second stage",
        "privileged specification, two-stage address translation: the address is looked at before the walk",
        f"{_SOURCE}, riscv_iommu_spa_fetch: the range is checked at each stage's first step",
        _address_after_root,
    ),
    Known(
        "reserved modes are another cause, or are found later",
        "RISC-V IOMMU 1.0 clause 2.1.4: cause 259",
        f"{_SOURCE}, riscv_iommu_ctx_fetch (258, or 267 for pdtp) and riscv_iommu_spa_fetch",
        _mode_reserved,
    ),
    Known(
        "bits above PPN of a page-table entry are taken for address bits",
        "privileged specification, address translation: reserved bits and PBMT without Svpbmt fault, N is a NAPOT page",
        f"{_SOURCE}, riscv_iommu_spa_fetch: ppn = pte >> PTE_PPN_SHIFT",
        _high_bits,
    ),
    Known(
        "U is not looked at",
        "RISC-V IOMMU 1.0 clause 2.3: a request without privilege needs U, and so does every one at the second stage",
        f"{_SOURCE}, riscv_iommu_spa_fetch",
        _without_u,
    ),
    Known(
        "pointers may have U, A and D",
        "privileged specification, page-table entries: they are reserved in pointers, and fault",
        f"{_SOURCE}, riscv_iommu_spa_fetch",
        _pointer_bits,
    ),
    Known(
        "of a write only D is looked at",
        "RISC-V IOMMU 1.0 clause 2.4: a clear A faults too",
        f"{_SOURCE}, riscv_iommu_spa_fetch",
        _accessed_of_write,
    ),
    Known(
        "the second stage is asked for what the first grants, not for what the request needs",
        "RISC-V IOMMU 1.0 clause 2.3, step 19: the access is that of the transaction",
        f"{_SOURCE}, riscv_iommu_spa_fetch: iotlb->perm is overwritten by the leaf of the first stage",
        _permission_of_first,
    ),
    Known(
        "tables of the first stage are read with the access of the request",
        "RISC-V IOMMU 1.0 clause 2.3: they are read by implicit reads",
        f"{_SOURCE}, riscv_iommu_spa_fetch: iotlb->perm counts at every leaf of the second stage",
        _table_of_write,
    ),
    Known(
        "what is cached is found under addresses that differ in bits 63:56",
        "RISC-V IOMMU 1.0 clause 2.8: entries are tagged by IOVA or guest physical address",
        f"{_SOURCE}, RISCVIOMMUEntry: 44 bits of page number",
        lambda difference: _other_address(_access_of(difference)),
    ),
    Known(
        "no record of a refused access to a page that is cached",
        "RISC-V IOMMU 1.0 clause 2.3: a fault of the translation process is reported",
        f"{_SOURCE}, riscv_iommu_translate: an IOTLB hit leaves permissions to the caller, who reports nothing",
        _no_record_of_cached,
    ),
)
