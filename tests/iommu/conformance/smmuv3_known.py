"""What QEMU's SMMUv3 does otherwise than the specification, by name."""

from __future__ import annotations

from iommuman.iommu.smmuv3.names import EventNumber, FaultClass, StreamConfig

from .harness import Difference, Known

_RAM = 0x40000000
"""Where memory of the `virt` machine begins."""


def _events(difference: Difference) -> tuple[int, int]:
    """Return the numbers of our event and theirs; 0: there is none."""
    ours, theirs = (
        (one.registers[0] & 0xFF) if len(one.registers) == 4 else 0 for one in (difference.ours, difference.theirs)
    )
    return ours, theirs


def _both(difference: Difference) -> bool:
    """Tell whether both recorded one event."""
    return difference.access is not None and len(difference.ours.registers) == len(difference.theirs.registers) == 4


def _beyond_bypassed(difference: Difference) -> bool:
    access = difference.access
    return access is not None and access.address >> 44 != 0 and _events(difference) == (EventNumber.F_ADDR_SIZE, 0)


def _concatenated(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("concatenated"))


def _span(difference: Difference) -> bool:
    return difference.configuration.notes.get("span", 7) != 7


def _far_table(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("far")) and EventNumber.F_STE_FETCH in _events(difference)


def _unaligned(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("unaligned"))


def _table_size(difference: Difference) -> bool:
    ours, theirs = _events(difference)
    beyond = theirs == EventNumber.F_WALK_EABT and difference.theirs.registers[3] >> 32 != 0
    return beyond and ours in (0, EventNumber.F_ADDR_SIZE)


def _size_after_permission(difference: Difference) -> bool:
    ours, theirs = _events(difference)
    return ours == EventNumber.F_ADDR_SIZE and theirs in (EventNumber.F_ACCESS, EventNumber.F_PERMISSION)


def _stage_of_table(difference: Difference) -> bool:
    """One says that a stage 1 table is a fault of stage 2, the other that it is one of stage 1, or, by R, nothing."""
    found = [one.registers for one in (difference.ours, difference.theirs) if len(one.registers) == 4]
    if difference.access is None or difference.configuration.notes["config"] != StreamConfig.NESTED:
        return False
    numbers = {one[0] & 0xFF for one in found}
    stages = {one[1] >> 39 & 1 for one in found}
    known = {EventNumber.F_TRANSLATION, EventNumber.F_ADDR_SIZE, EventNumber.F_WALK_EABT}
    of_table = any(one[1] >> 40 & 3 == FaultClass.TT for one in found)
    return of_table and numbers <= known and (len(stages) == 2 or len(found) == 1 or len(numbers) == 1)


def _table_permission(difference: Difference) -> bool:
    access = difference.access
    ours, theirs = _events(difference)
    early = (EventNumber.F_TRANSLATION, EventNumber.F_ADDR_SIZE, EventNumber.F_ACCESS, EventNumber.F_WALK_EABT)
    return access is not None and access.data is not None and theirs == EventNumber.F_PERMISSION and ours in early


def _cached_read(difference: Difference) -> bool:
    access = difference.access
    return (
        access is not None
        and access.data is None
        and not access.before
        and _events(difference) == (EventNumber.F_PERMISSION, 0)
        and any(physical is not None and one.data is not None for one, physical in difference.earlier)
    )


def _cached_write(difference: Difference) -> bool:
    access = difference.access or difference.written
    if access is None or access.data is None or access.before or _events(difference)[1] != 0:
        return False
    if difference.access is not None and _events(difference)[0] != EventNumber.F_PERMISSION:
        return False
    before = [one for one in difference.earlier if one[0] is access]
    earlier = difference.earlier[: difference.earlier.index(before[0])] if before else difference.earlier
    for one, physical in reversed(earlier):
        if physical is not None and one.address >> 30 == access.address >> 30:
            return True
        if one.before:
            break
    return False


def _table_address(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("TTB")) and difference.configuration.notes["config"] == 7


def _not_privileged(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("PAN")) and _events(difference)[0] == EventNumber.F_PERMISSION


def _tag_byte(difference: Difference) -> bool:
    access = difference.access or difference.written
    return bool(difference.configuration.notes.get("TBI")) and access is not None and access.address >> 55 & 1 == 1


def _stall_of_stage2(difference: Difference) -> bool:
    notes = difference.configuration.notes
    return bool(notes["S1STALLD"]) and notes["config"] == 6 and _events(difference)[1] == EventNumber.C_BAD_STE


def _below_memory(difference: Difference) -> bool:
    ours = difference.ours.registers
    return _events(difference)[0] == EventNumber.F_WALK_EABT and ours[3] < _RAM


def _hardware_update(difference: Difference) -> bool:
    flipped = any(difference.configuration.notes.get(f"STE bit {bit}") for bit in (183, 184))
    return flipped and _events(difference)[0] == EventNumber.C_BAD_STE


def _far_context(difference: Difference) -> bool:
    refused = _events(difference)[0] == EventNumber.C_BAD_STE
    return bool(difference.configuration.notes.get("far context")) and refused


def _substreams(difference: Difference) -> bool:
    return bool(difference.configuration.notes["S1CDMax"]) and _events(difference)[1] == EventNumber.C_BAD_STE


def _cached_without_ipa(difference: Difference) -> bool:
    ours, theirs = difference.ours.registers, difference.theirs.registers
    both = (EventNumber.F_PERMISSION, EventNumber.F_PERMISSION)
    access = difference.access
    return (
        access is not None
        and not access.before
        and _both(difference)
        and _events(difference) == both
        and ours[:3] == theirs[:3]
        and theirs[3] == 0
    )


def _high_bits(difference: Difference) -> bool:
    refused = (EventNumber.C_BAD_STE, EventNumber.C_BAD_CD)
    return bool(difference.configuration.notes.get("high")) and _events(difference)[0] in refused


def _short_input(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("short")) and _events(difference)[0] == EventNumber.C_BAD_STE


def _long_input(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("input")) and _events(difference)[1] == EventNumber.C_BAD_STE


def _block(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("block")) and _events(difference)[0] in (
        EventNumber.F_TRANSLATION,
        0,
    )


def _invalid_stream(difference: Difference) -> bool:
    return _events(difference) == (0, EventNumber.C_BAD_STREAMID) and not difference.configuration.notes["RECINVSID"]


def _cd_fetch_address(difference: Difference) -> bool:
    ours, theirs = difference.ours.registers, difference.theirs.registers
    both = (EventNumber.F_CD_FETCH, EventNumber.F_CD_FETCH)
    return (
        _both(difference)
        and _events(difference) == both
        and ours[:2] == theirs[:2]
        and (ours[3], ours[2]) == theirs[2:]
    )


def _cd_read(difference: Difference) -> bool:
    ours, theirs = difference.ours.registers, difference.theirs.registers
    return (
        _both(difference)
        and difference.access is not None
        and difference.access.data is not None
        and (ours[1] >> 40 & 3) == FaultClass.CD
        and (ours[0], *ours[2:]) == (theirs[0], *theirs[2:])
        and ours[1] ^ theirs[1] == 1 << 35
    )


_SMMU, _WALK = "hw/arm/smmuv3.c", "hw/arm/smmu-common.c"
KNOWN: tuple[Known, ...] = (
    Known(
        "an input address beyond the output size, with stage 1 bypassed, leaves no record",
        "IHI 0070 clauses 3.4 and 7.3.14: F_ADDR_SIZE",
        f"{_WALK}, smmu_ptw: the fault counts as stage 1's, which has no CD.R",
        _beyond_bypassed,
    ),
    Known(
        "of concatenated stage 2 tables only the first is used",
        "DDI 0487 D8.2: up to 16 tables follow each other at the first level",
        f"{_WALK}, smmu_ptw_64_s2: the offset of the table is masked away",
        _concatenated,
    ),
    Known(
        "a span has twice as many entries, and what is beyond is a bad STE",
        "IHI 0070 clauses 5.1 and 7.3.3: 2^(Span - 1) entries, C_BAD_STREAMID",
        f"{_SMMU}, smmu_find_ste",
        _span,
    ),
    Known(
        "pointers of level 1 descriptors have all bits",
        "IHI 0070 clause 5.1: L2Ptr is bits 55:6, and as wide as physical addresses",
        f"{_SMMU}, smmu_find_ste and l1std_l2ptr",
        _far_table,
    ),
    Known(
        "the first level of stage 2 may resolve no bit",
        "IHI 0070 clause 5.2, S2SL0; DDI 0487 D8.2: the least input size of each first level",
        f"{_SMMU}, s2_pgtable_config_valid",
        _short_input,
    ),
    Known(
        "the input of stage 2 may not be wider than its output",
        "IHI 0070 clause 5.2, S2T0SZ: limited by the implementation, not by S2PS",
        f"{_SMMU}, s2t0sz_valid",
        _long_input,
    ),
    Known(
        "blocks at level 1 with granules of 16 and 64 KiB are accepted",
        "DDI 0487 D8.3.1: there are none with 48-bit addresses",
        f"{_WALK}, is_block_pte",
        _block,
    ),
    Known(
        "CR2.RECINVSID is not looked at",
        "IHI 0070 clause 6.3.12: without it C_BAD_STREAMID is not recorded",
        f"{_SMMU}, smmuv3_record_event",
        _invalid_stream,
    ),
    Known(
        "F_CD_FETCH has its address in the place of another field",
        "IHI 0070 clause 7.3.10: FetchAddr is in the fourth doubleword",
        f"{_SMMU}, smmuv3_record_event",
        _cd_fetch_address,
    ),
    Known(
        "a write whose context descriptor cannot be fetched is recorded as a read",
        "IHI 0070 clause 7.3.13: RnW is that of the transaction",
        f"{_SMMU}, smmu_get_cd",
        _cd_read,
    ),
    Known(
        "pointers of level 1 descriptors need not be aligned",
        "IHI 0070 clause 5.1: the low bits of L2Ptr, up to the size of the table, are ignored",
        f"{_SMMU}, smmu_find_ste",
        _unaligned,
    ),
    Known(
        "the size of an address in a table descriptor is not checked",
        "DDI 0487 D8.2: an address of a table beyond the output size is an address size fault",
        f"{_WALK}, smmu_ptw_64_s1 and smmu_ptw_64_s2: of pages and blocks alone",
        _table_size,
    ),
    Known(
        "the size of an address is checked after access flag and permissions",
        "DDI 0487 D8.15: an address size fault comes before them",
        f"{_WALK}, smmu_ptw_64_s1 and smmu_ptw_64_s2",
        _size_after_permission,
    ),
    Known(
        "a stage 1 table outside the input range of stage 2 is a fault of stage 1",
        "IHI 0070 clause 7.3.13: S2 with CLASS TT",
        f"{_WALK}, translate_table_addr_ipa",
        _stage_of_table,
    ),
    Known(
        "CD.PAN is not looked at",
        "IHI 0070 clause 5.4: privileged accesses to what is open to unprivileged ones are refused",
        f"{_WALK}, is_permission_fault",
        _not_privileged,
    ),
    Known(
        "TBI0 counts for addresses of TTB1",
        "IHI 0070 clause 5.4: TBI1 is TTB1's",
        "hw/arm/smmu-internal.h, TBI1: '0x2 >> 1' binds before '&'",
        _tag_byte,
    ),
    Known(
        "below memory there are flash and devices, which answer a walk",
        "IHI 0070 clause 7.3.12: F_WALK_EABT, where nobody answers, as in the model",
        "hw/arm/virt.c, base_memmap",
        _below_memory,
    ),
    Known(
        "S2HA and S2HD are not looked at",
        "IHI 0070 clause 5.2: they are illegal where IDR0.HTTU is 0",
        f"{_SMMU}, decode_ste_s2_cfg; decode_cd looks at those of stage 1",
        _hardware_update,
    ),
    Known(
        "S1STALLD is looked at with stage 2 alone",
        "IHI 0070 clause 5.2: fields of stage 1 are ignored then",
        f"{_SMMU}, decode_ste",
        _stall_of_stage2,
    ),
    Known(
        "APTable is looked at on the way down",
        "DDI 0487 D8.4 and D8.15: permissions are those of the whole walk, and come after other faults",
        f"{_WALK}, smmu_ptw_64_s1",
        _table_permission,
    ),
    Known(
        "no record of a read of a page that is cached and can only be written",
        "IHI 0070 clause 7.3.16: F_PERMISSION",
        f"{_WALK}, smmu_translate: of cached entries the write permission alone is checked",
        _cached_read,
    ),
    Known(
        "with nested stages, the address of the first table is translated when the descriptor is read",
        "IHI 0070 clause 7.3.13: a table is fetched when an address is translated by it",
        f"{_SMMU}, decode_cd",
        _table_address,
    ),
    Known(
        "APTable does not count for a page that is cached: writes that it forbids pass",
        "DDI 0487 D8.4: what a table forbids is forbidden for all below it",
        f"{_WALK}, smmu_ptw_64_s1: the cached permission is that of the last descriptor",
        _cached_write,
    ),
    Known(
        "addresses of first tables have 48 bits",
        "IHI 0070 clauses 5.2.2 and 5.4.2: bits from the output size up make STE or CD ILLEGAL",
        "hw/arm/smmuv3-internal.h, STE_S2TTB and CD_TTB",
        _high_bits,
    ),
    Known(
        "S1ContextPtr beyond the output size is not refused",
        "IHI 0070 clause 5.2.2: such an STE is ILLEGAL",
        f"{_SMMU}, decode_ste and smmu_get_cd",
        _far_context,
    ),
    Known(
        "S1CDMax is looked at without substreams, and with stage 2 alone",
        "IHI 0070 clause 5.2: it is ignored where IDR1.SSIDSIZE is 0",
        f"{_SMMU}, decode_ste",
        _substreams,
    ),
    Known(
        "a permission fault of stage 2 that a cached entry raises has no IPA",
        "IHI 0070 clause 7.3.16: IPA is valid with S2",
        f"{_WALK}, smmu_translate",
        _cached_without_ipa,
    ),
)
