"""VT-d: legacy mode, and scalable mode with either stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from iommuman.iommu import Memory
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Qemu
from iommuman.iommu.vtd.layout import (
    CAP,
    CCMD,
    ECAP,
    FRCD,
    FSTS,
    GCMD,
    IOTLB,
    RTADDR,
    ContextEntry,
    FirstStagePage,
    PasidDirectoryEntry,
    PasidEntry,
    RootEntry,
    ScalableContextEntry,
    ScalableRootEntry,
    SecondStagePage,
)  # fmt: skip
from iommuman.iommu.vtd.model import READ, WRITE, Blocked, Hardware, RemappingUnit
from iommuman.iommu.vtd.names import PGTT, TT, TTM, Reason

from .harness import PAGE, SOURCE, Configuration, Difference, Image, Known, Write

HOST_WIDTH = 48
"""Of QEMU's unit: what the width of device addresses is set to."""
FAR = 1 << 44
"""Where no machine has memory, within the host's width."""
_GLOBAL_CONTEXT = Write(CCMD.offset, CCMD(ICC=1, CIRG=1).value, 8)


class Vtd:
    """VT-d in one of its modes."""

    def __init__(self, machine: str) -> None:
        """Take one of the machines."""
        self.name = machine
        self.machine = machine
        self.watched: Sequence[tuple[int, int]] = ()
        self.after: Sequence[Write] = ()
        self.stop: Sequence[Write] = (Write(GCMD.offset, 0, 4),)
        self.quiet: tuple[int, ...] = (0, 0, 0)
        self.known: Sequence[Known] = KNOWN
        self._hardware = Hardware(CAP(), ECAP())

    def prepare(self, machine: Qemu) -> None:
        """Read what the unit can do."""
        at = machine.registers
        cap, ecap = CAP(machine.read_mmio(at + CAP.offset, 8)), ECAP(machine.read_mmio(at + ECAP.offset, 8))
        if ecap.SMTS:
            ecap = ecap.replace(SMPWCS=1)  # QEMU's walks are coherent, which it does not say
        self._hardware = Hardware(cap, ecap, haw=HOST_WIDTH)
        record = cap.FRO * 16
        self.watched = ((FSTS.offset, 4), (record, 8), (record + 8, 8))
        self.after = (Write(record + 12, 1 << 31, 4), Write(FSTS.offset, 0xFF, 4))
        self._flush = Write(ecap.IRO * 16 + IOTLB.offset, IOTLB(IVT=1, IIRG=1).value, 8)

    def records(self, seen: list[tuple[int, ...]], _: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Take out what is no record, and the PASID of those that have none (11.4, FRCD: PV goes with PP)."""
        return [self._record(*one) for one in seen]

    def _record(self, status: int, low: int, high: int) -> tuple[int, ...]:
        if not high >> 63:
            return status, 0, 0
        return status, low, high if high >> 31 & 1 else high & ~(FRCD.PV.mask >> 64)

    def model(self, memory: Memory) -> RemappingUnit:
        """Return a unit like QEMU's."""
        return RemappingUnit(memory, self._hardware)

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Send a request."""
        assert isinstance(model, RemappingUnit)
        found = model.translate(SOURCE, address, WRITE if write else READ)
        return None if isinstance(found, Blocked) else found

    def flush(self, random: Random) -> tuple[Write, ...]:
        """Forget translations, mostly."""
        return (self._flush,) if random.random() < 0.9 else ()

    def lay_out(self, random: Random, image: Image) -> Configuration:
        """Write root table, contexts and page tables."""
        writer = _Writer(random, image, self._hardware)
        scalable = bool(self._hardware.ecap.SMTS) and random.random() < 0.9
        root, text = writer.scalable() if scalable else writer.legacy()
        mode = int(scalable) if random.random() < 0.98 else random.choice((2, 3))
        before = [
            Write(RTADDR.offset, RTADDR(RTA=root, TTM=mode).value, 8),
            Write(GCMD.offset, GCMD(SRTP=1).value, 4),
            _GLOBAL_CONTEXT,
            self._flush,
            Write(GCMD.offset, GCMD(TE=1).value, 4),
        ]
        text = f"{'scalable' if scalable else 'legacy'} mode {mode}, {text}"
        return Configuration(before, writer.addresses, text, notes={**writer.notes, "mode": mode})


class _Writer:
    """Lays tables out, mostly right."""

    def __init__(self, random: Random, image: Image, hardware: Hardware) -> None:
        self._random = random
        self._image = image
        self._hardware = hardware
        self.addresses: list[int] = []
        self.notes: dict[str, int] = {}

    def chance(self, part: float) -> bool:
        return self._random.random() < part

    def spoiled(self, value: int, bits: int, part: float = 0.04) -> int:
        """Set a random bit of a structure now and then, whatever it means."""
        return value ^ 1 << self._random.randrange(bits) if self.chance(part) else value

    def pointer(self) -> int:
        """Return the address of a new table; now and then one where there is no memory."""
        return self._image.page() if self.chance(0.98) else FAR + self._random.randrange(1 << 8) * PAGE

    def put(self, address: int, value: int, size: int = 8) -> None:
        if address < FAR:
            self._image.put(address, value, size)

    def legacy(self) -> tuple[int, str]:
        random = self._random
        root, contexts, table = self.pointer(), self.pointer(), self.pointer()
        present = int(self.chance(0.97))
        self.put(root + (SOURCE >> 8) * 16, self.spoiled(RootEntry(P=present, CTP=contexts).value, 128), 16)
        aw = random.choice((1, 2, 1, 2, 1, 2, 0, 3, 5)) if self.chance(0.5) else random.choice((1, 2))
        entry = ContextEntry(
            P=int(self.chance(0.96)), FPD=int(self.chance(0.1)), TT=random.choice((0, 0, 0, 0, 0, 0, 0, 1, 2, 3)),
            SSPTPTR=table, AW=aw, DID=random.choice((1, 7, 0xFFFF)),
        )  # fmt: skip
        entry = ContextEntry(self.spoiled(entry.value, 128))
        self.put(contexts + (SOURCE & 0xFF) * 16, entry.value, 16)
        self.notes["pass"] = int(entry.TT == TT.PASS_THROUGH)
        self.second_stage(table, min(aw + 2, 5))
        return root, f"{entry!r}"

    def scalable(self) -> tuple[int, str]:
        random = self._random
        root, contexts, directory, pasids, table, first = (self.pointer() for _ in range(6))
        image = self._image
        if contexts < FAR:
            image.page()  # a context table of scalable mode has 4 KiB for 16 functions of 8: two pages a half
        entry = ScalableRootEntry(LP=int(self.chance(0.97)), LCTP=contexts, UP=int(self.chance(0.5)), UCTP=contexts)
        entry = ScalableRootEntry(self.spoiled(entry.value, 128))
        self.put(root + (SOURCE >> 8) * 16, entry.value, 16)
        self.notes["upper"] = entry.value >> 64 & (0xFFE | self._hardware.beyond)
        ecap, more = self._hardware.ecap, self.chance(0.05)
        rid_pasid = random.choice((0, 1, 70)) if ecap.RPS or more else 0
        context = ScalableContextEntry(
            P=int(self.chance(0.96)), FPD=int(self.chance(0.1)), DTE=int(more and self.chance(0.3)),
            PASIDE=int(more and self.chance(0.3)), PRE=int(more and self.chance(0.3)),
            PDTS=random.randrange(8) if more else 0, PASIDDIRPTR=directory, RID_PASID=rid_pasid,
            RID_PRIV=int(more and self.chance(0.3)),
        )  # fmt: skip
        context = ScalableContextEntry(self.spoiled(context.value, 256))
        self.put(contexts + (SOURCE & 0x7F) * 32, context.value, 32)
        features = (context.DTE, context.PASIDE, context.PRE, context.PDTS, context.RID_PASID, context.RID_PRIV)
        self.notes["more"] = int(any(features))
        used = rid_pasid if self._hardware.ecap.RPS else 0
        step = PasidDirectoryEntry(P=int(self.chance(0.97)), FPD=int(self.chance(0.05)), SMPTBLPTR=pasids)
        step = PasidDirectoryEntry(self.spoiled(step.value, 64))
        self.put(directory + (used >> 6) * 8, step.value)
        pgtt = 1 if self._hardware.ecap.FSTS else 2
        aw = random.randrange(8) if self.chance(0.05) else 2 if ecap.FSTS else random.choice((1, 2))
        entry_of = PasidEntry(
            P=int(self.chance(0.97)), FPD=int(self.chance(0.1)), AW=aw,
            PGTT=pgtt if self.chance(0.85) else random.randrange(8), SSPTPTR=table,
            DID=random.choice((1, 7, 0xFFFF)), FSPTPTR=first, FSPM=int(self.chance(0.05)),
            WPE=int(self.chance(0.3)), PWSNP=int(self.chance(0.97)),
        )  # fmt: skip
        entry_of = PasidEntry(self.spoiled(entry_of.value, 512, 0.06))
        self.put(pasids + (used & 0x3F) * 64, entry_of.value, 64)
        self.notes["pass"] = int(entry_of.PGTT == PGTT.PASS_THROUGH)
        self.notes["fpd"] = entry_of.FPD | step.FPD
        self.notes["first"] = int(entry_of.PGTT == PGTT.FIRST_STAGE)
        self.notes["aw"] = entry_of.AW
        self.notes["no snoop"] = 1 - entry_of.PWSNP
        self.second_stage(table, min(aw + 2, 5))
        self.first_stage(first)
        return root, f"{context!r} {entry_of!r}"

    def second_stage(self, root: int, levels: int) -> None:
        """Map a few pages of each size."""
        random = self._random
        for _ in range(8):
            address = random.getrandbits(min(12 + 9 * levels, 57)) & -PAGE
            if self.chance(0.4) and self.addresses:  # a neighbour shares tables
                address = random.choice(self.addresses) ^ random.randrange(8) << random.choice((12, 12, 21, 30))
            leaf = random.choice((1, 1, 1, 2, 2, 3))
            self.addresses.append(self._arena(address, leaf))
            table = root
            for level in range(levels, 0, -1):
                at = table + (address >> 3 + 9 * level & 0x1FF) * 8
                known = self._image.get(at)
                if level <= leaf:
                    if not known:
                        entry = self.spoiled(self._page(level), 64, 0.08)
                        self.notes["snp"] = self.notes.get("snp", 0) | entry & SecondStagePage.SNP.mask
                        self.put(at, entry)
                    break
                if not known:
                    known = self.pointer() | (3 if self.chance(0.93) else random.randrange(8))
                    if self.chance(0.05):
                        known |= 1 << random.choice((2, 6, 8, 9, 11, 52, 61, 62, 63))
                    self.put(at, self.spoiled(known, 64, 0.03))
                table = known & 0xFFFFFFFFFF000
                if table >= FAR or not table or self._is_page(known, level):
                    break

    def first_stage(self, root: int) -> None:
        """Map a few pages of each size in a first-stage table of four levels."""
        random = self._random
        for _ in range(8):
            address = random.getrandbits(48) & -PAGE
            if address >> 47 and self.chance(0.8):
                address |= 0xFFFF << 48
            if self.chance(0.4) and self.addresses:
                address = random.choice(self.addresses) ^ random.randrange(8) << random.choice((12, 12, 21, 30))
            leaf = random.choice((1, 1, 1, 2, 2, 3))
            self.addresses.append(self._arena(address, leaf))
            table = root
            for level in range(4, 0, -1):
                at = table + (address >> 3 + 9 * level & 0x1FF) * 8
                known = self._image.get(at)
                if level <= leaf:
                    if not known:
                        low = self._page(level) & ~0xF7F | (7 if self.chance(0.8) else random.randrange(8))
                        low |= (0x20 if self.chance(0.9) else 0) | (0x40 if self.chance(0.9) else 0)
                        low = self.spoiled(low, 64, 0.08)
                        self.notes["xd"] = self.notes.get("xd", 0) | low & FirstStagePage.XD.mask
                        self.put(at, low)
                    break
                if not known:
                    known = self.pointer() | (7 if self.chance(0.9) else random.randrange(8))
                    known = self.spoiled(known | (0x20 if self.chance(0.97) else 0), 64, 0.03)
                    self.notes["xd"] = self.notes.get("xd", 0) | known & FirstStagePage.XD.mask
                    self.put(at, known)
                table = known & 0xFFFFFFFFFF000
                if table >= FAR or not table or self._is_page(known, level):
                    break

    @staticmethod
    def _is_page(entry: int, level: int) -> bool:
        return bool(entry & 0x80 and level <= 3)

    def _page(self, level: int) -> int:
        """Return an entry that maps a page, mostly one that reaches into the arena."""
        random = self._random
        entry = 3 if self.chance(0.6) else random.randrange(8)
        if self.chance(0.1):
            entry |= random.choice((0x8, 0x40, 0x100, 0x200, 0x400, 1 << 52, 1 << 63))
        frame = self._image.frame(random)
        if self.chance(0.03):
            frame = FAR + random.randrange(1 << 12) * PAGE
        span = 1 << 3 + 9 * level
        low = frame % span if self.chance(0.03) else 0
        return entry | (0x80 if level > 1 else 0) | frame // span * span | low & -PAGE

    def _arena(self, address: int, leaf: int) -> int:
        """Return an address of the same page whose output is in the arena, whatever the size of the page."""
        span = 1 << 3 + 9 * leaf
        return address // span * span | self._image.frame(self._random) % span


def _reasons(difference: Difference) -> tuple[int, int]:
    """Return our fault reason and theirs; 0: there is no record."""
    ours, theirs = (
        (one.registers[2] >> 32 & 0xFF) if len(one.registers) == 3 else 0
        for one in (difference.ours, difference.theirs)
    )
    return ours, theirs


def _alike(difference: Difference) -> bool:
    """Both refuse and record, and nothing but reason and PP differs."""
    ours, theirs = difference.ours.registers, difference.theirs.registers
    other = ~(FRCD.FR.mask | FRCD.PP.mask | FRCD.PV.mask) >> 64
    return (
        difference.access is not None
        and difference.ours.mark == difference.theirs.mark == 0
        and ours[:2] == theirs[:2]
        and ours[2] & other == theirs[2] & other
        and ours[2] >> 63 == 1
    )


def _no_record_of_cached(difference: Difference) -> bool:
    """A page was used since the last flush, and the record of a refusal is all that is missing."""
    access, ours, theirs = difference.access, difference.ours, difference.theirs
    if access is None or access.before or ours.mark != theirs.mark or theirs.registers != (0, 0, 0):
        return False
    for earlier, physical in reversed(difference.earlier):
        if physical is not None and earlier.address >> 30 == access.address >> 30:
            refused = (Reason.LGN_2, Reason.LGN_3, Reason.SGN_6, Reason.SGN_7, Reason.SSL_2)
            return _reasons(difference)[0] in refused
        if earlier.before:
            break
    return False


def _pass_through_any_address(difference: Difference) -> bool:
    return (
        difference.configuration.notes["pass"] == 1
        and difference.access is not None
        and _reasons(difference) in ((Reason.LGN_1, 0), (Reason.SGN_4, 0))
        and difference.access.address >> HOST_WIDTH - 1 != 0
    )


def _pass_through_with_pointer(difference: Difference) -> bool:
    return difference.configuration.notes["pass"] == 1 and _reasons(difference)[1] == Reason.LCT_3


def _mode_not_known(difference: Difference) -> bool:
    return difference.configuration.notes["mode"] > TTM.SCALABLE


def _legacy_reason(difference: Difference) -> bool:
    return _alike(difference) and _reasons(difference) in _LEGACY_REASONS


def _pasid_shown(difference: Difference) -> bool:
    ours, theirs = _reasons(difference)
    return _alike(difference) and ours == theirs


def _absent_feature(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("more")) and _reasons(difference)[0] in (0, *_OF_CONTEXT)


def _pasid_bits(difference: Difference) -> bool:
    return _reasons(difference)[0] in (Reason.SPD_3, Reason.SPT_3)


def _pass_through_width(difference: Difference) -> bool:
    notes = difference.configuration.notes
    return notes["pass"] == 1 and notes.get("aw", 1) not in (1, 2) and _reasons(difference) == (Reason.SPT_4, 0)


def _type_before_present(difference: Difference) -> bool:
    return _alike(difference) and _reasons(difference) == (Reason.SPT_2, Reason.SPT_4)


def _pasid_fpd(difference: Difference) -> bool:
    ours, theirs = _reasons(difference)
    return (
        bool(difference.configuration.notes.get("fpd"))
        and ours == 0
        and theirs in (Reason.SPT_2, Reason.SPT_4, Reason.SPD_2)
    )


def _not_coherent(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("no snoop")) and bool(difference.configuration.notes.get("first"))


def _either_bit(difference: Difference) -> bool:
    ours, theirs = difference.ours.registers[0], difference.theirs.registers[0]
    both = FirstStagePage.A.mask | FirstStagePage.D.mask
    return difference.access is None and ours ^ theirs in (both & ours & ~theirs, 0) and bool(theirs & both)


def _unused_half(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("upper")) and _reasons(difference)[1] == Reason.LRT_3


def _snoop_bit(difference: Difference) -> bool:
    ours, _ = _reasons(difference)
    return bool(difference.configuration.notes.get("snp")) and ours in (0, Reason.LSL_2, Reason.SSL_3)


def _execute_disable(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("xd")) and _reasons(difference)[0] in (Reason.SFL_3, 0)


def _first_stage_width(difference: Difference) -> bool:
    return bool(difference.configuration.notes.get("first")) and difference.configuration.notes["aw"] != 2


_LEGACY_REASONS = {
    (Reason.SRT_1, Reason.LRT_1), (Reason.SRT_2, Reason.LRT_2), (Reason.SRT_3, Reason.LRT_3),
    (Reason.SCT_1, Reason.LCT_1), (Reason.SCT_2, Reason.LCT_2), (Reason.SCT_3, Reason.LCT_3),
    (Reason.SSL_1, Reason.LSL_1), (Reason.SSL_2, Reason.LGN_2), (Reason.SSL_2, Reason.LGN_3),
    (Reason.SSL_3, Reason.LSL_2), (Reason.SSL_4, Reason.LCT_4),
    (Reason.SGN_5, Reason.LGN_1), (Reason.SGN_6, Reason.LGN_2), (Reason.SGN_7, Reason.LGN_3),
}  # fmt: skip
_OF_CONTEXT = (Reason.SCT_3, Reason.SCT_4, Reason.SCT_9)
_SOURCE = "hw/i386/intel_iommu.c"
KNOWN = (
    Known(
        "no record of a refused access to a page that is cached",
        "VT-d 4.1 clause 7.1: each condition of a blocked request is recorded",
        f"{_SOURCE}, vtd_do_iommu_translate: an IOTLB hit leaves permissions to the caller, who records nothing",
        _no_record_of_cached,
    ),
    Known(
        "pass-through lets every address pass",
        "VT-d 4.1 clause 7.1, LGN.1 and SGN.4: addresses above the host's or the unit's width are blocked",
        f"{_SOURCE}, vtd_do_iommu_translate and vtd_pt_enable_fast_path: no width is looked at",
        _pass_through_any_address,
    ),
    Known(
        "pass-through checks the pointer that it does not use",
        "VT-d 4.1 clause 9.3: SSPTPTR is ignored with translation type 10b",
        f"{_SOURCE}, vtd_context_entry_rsvd_bits_check",
        _pass_through_with_pointer,
    ),
    Known(
        "translation table modes 2 and 3 are taken for others",
        "VT-d 4.1 clause 11.4.6: 10b is reserved, 11b aborts where ECAP.ADMS is set",
        f"{_SOURCE}, vtd_update_scalable_state: one bit of two is looked at",
        _mode_not_known,
    ),
    Known(
        "reasons of legacy mode for root, context and second stage of scalable mode",
        "VT-d 4.1 clause 7.1.3: conditions of scalable mode have reasons from 38h on",
        f"{_SOURCE}, vtd_dev_to_context_entry and vtd_iova_to_slpte",
        _legacy_reason,
    ),
    Known(
        "a record of a request without PASID shows the PASID that stands in for it",
        "VT-d 4.1 clause 11.4.14: PP is set when the request has a PASID",
        f"{_SOURCE}, vtd_do_iommu_translate: pasid is that of the context entry from there on",
        _pasid_shown,
    ),
    Known(
        "context entries may have bits of features that the unit lacks",
        "VT-d 4.1 clause 9.4: DTE, PASIDE, PRE, RID_PASID and RID_PRIV are reserved without the feature",
        f"{_SOURCE}, vtd_context_entry_rsvd_bits_check",
        _absent_feature,
    ),
    Known(
        "reserved bits of PASID directory and PASID table are accepted",
        "VT-d 4.1 clause 7.1.3, SPD.3 and SPT.3",
        f"{_SOURCE}, vtd_get_pdire_from_pdir_table and vtd_get_pe_in_pasid_leaf_table",
        _pasid_bits,
    ),
    Known(
        "the type of a PASID entry is looked at before its present bit",
        "VT-d 4.1 clause 7.1.3: SPT.2 before SPT.4",
        f"{_SOURCE}, vtd_get_pe_in_pasid_leaf_table",
        _type_before_present,
    ),
    Known(
        "FPD of an invalid PASID entry is not looked at",
        "VT-d 4.1 clause 9.6: FPD holds whatever P is",
        f"{_SOURCE}, vtd_do_iommu_translate",
        _pasid_fpd,
    ),
    Known(
        "accessed and dirty bits are set by walks that do not snoop",
        "VT-d 4.1 clause 7.1.3, SFL.9: PWSNP is 0 and a bit needs setting",
        f"{_SOURCE}, vtd_set_flag_in_pte",
        _not_coherent,
    ),
    Known(
        "the width of the second stage counts for the first",
        "VT-d 4.1 clauses 3.6 and 9.6: FSPM is the first stage's, AW is not",
        f"{_SOURCE}, vtd_get_iova_level and vtd_iova_limit",
        _first_stage_width,
    ),
    Known(
        "a write sets neither accessed nor dirty bit where one of them is set",
        "VT-d 4.1 clause 3.6.2: A is set in every entry that is used, D in the last one for a write",
        f"{_SOURCE}, vtd_set_flag_in_pte: either bit stands for both",
        _either_bit,
    ),
    Known(
        "the unused half of a scalable root entry is checked",
        "VT-d 4.1 clause 7.1.3, SRT.3: of the half that the function's number selects",
        f"{_SOURCE}, vtd_root_entry_rsvd_bits_check",
        _unused_half,
    ),
    Known(
        "bit SNP is accepted without snoop control",
        "VT-d 4.1 clause 9.8: SNP is reserved without ECAP.SC",
        f"{_SOURCE}, vtd_init: the bit is not reserved where scalable mode exists",
        _snoop_bit,
    ),
    Known(
        "bit XD is accepted while it is not enabled",
        "VT-d 4.1 clause 9.7: XD is reserved while NXE is 0",
        f"{_SOURCE}, vtd_init: VTD_FL_IGN_COM has it",
        _execute_disable,
    ),
    Known(
        "pass-through of scalable mode may have any AW",
        "VT-d 4.1 clause 9.6: AW is one that CAP.SAGAW has",
        f"{_SOURCE}, vtd_get_pe_in_pasid_leaf_table",
        _pass_through_width,
    ),
)
