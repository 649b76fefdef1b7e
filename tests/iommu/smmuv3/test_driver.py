"""The driver: what it writes, what it refuses, and how it deals with hardware that fails."""

from __future__ import annotations

from typing import Any

import pytest
from iommuman.iommu.errors import IommuError
from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.smmuv3 import REGISTERS_SIZE, Capabilities, Driver, Model, Permission
from iommuman.iommu.smmuv3.driver.entries import Group, cd_update, ste_update
from iommuman.iommu.smmuv3.layout import CD, STE
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.layout.queues import Command
from iommuman.iommu.smmuv3.model import READ, WRITE, Transaction

from .rig import capabilities

BASE = 0x9050000
RW = Permission.READ | Permission.WRITE


class Setup:
    """A driver on a model of QEMU's address map."""

    def __init__(self, caps: Capabilities | None = None, *, start: bool = True, **options: Any) -> None:
        """Make it, started."""
        self.memory = Memory([(0x4000_0000, 1 << 40)])
        self.model = Model(self.memory, caps)
        self.platform = Simulated(self.memory)
        self.platform.attach(BASE, REGISTERS_SIZE, self.model)
        self.allocator = PageAllocator(self.platform, 0x4000_0000, 0x1000_0000)
        self.driver = Driver(self.platform, BASE, self.allocator, **options)
        if start:
            self.driver.start()


def test_the_bytes_of_a_stage2_configuration() -> None:
    """The structures that the driver writes for stage 2, as words worked out by hand."""
    board = Setup(capabilities(OAS=4, ST_LEVEL=0, TTENDIAN=2), stream_bits=6)
    domain = board.driver.create_domain(2, input_bits=39)
    board.driver.map(domain, 0x8000_0000, 0x1_4000_0000, 0x4000_0000, RW)
    board.driver.map(domain, 0x1000, 0x5000_3000, 0x1000, Permission.READ)
    board.driver.attach(0x18, domain)
    table = board.model.read_register(regs.STRTAB_BASE.offset, 8) & ~(1 << 62)
    words = [board.memory.read_u64(table + 64 * 0x18 + 8 * index) for index in range(8)]
    root = domain.table.root
    assert words == [
        1 | 0b110 << 1,  # V, Config
        1 << 44,  # SHCFG: incoming
        1  # S2VMID
        | 25 << 32  # S2T0SZ
        | 1 << 38  # S2SL0: start at level 1
        | 1 << 40  # S2IR0
        | 1 << 42  # S2OR0
        | 3 << 44  # S2SH0
        | 4 << 48  # S2PS: 44 bits
        | 1 << 51  # S2AA64
        | 1 << 58,  # S2R
        root,
        0, 0, 0, 0,
    ]  # fmt: skip
    block = board.memory.read_u64(root + 8 * 2)
    # XN, AF, SH inner, S2AP read and write, MemAttr write-back, block
    assert block == 1 << 54 | 0x1_4000_0000 | 1 << 10 | 3 << 8 | 3 << 6 | 0xF << 2 | 1
    level2 = board.memory.read_u64(root)
    assert level2 & 0xFFF == 3
    level3 = board.memory.read_u64(level2 - 3)
    assert board.memory.read_u64(level3 - 3 + 8) == 1 << 54 | 0x5000_3000 | 1 << 10 | 3 << 8 | 1 << 6 | 0xF << 2 | 3
    assert board.model.translate(0x18, 0x8000_1234, WRITE) == 0x1_4000_1234
    assert board.model.translate(0x18, 0x1008, WRITE) == -1
    (event,), lost = board.driver.events()
    assert (event.name, event.ipa, lost) == ("F_PERMISSION", 0x1000, False)
    assert board.driver.events() == ([], False)


def test_the_bytes_of_a_stage1_configuration() -> None:
    """The structures that the driver writes for stage 1, as words worked out by hand."""
    board = Setup(stream_bits=16)
    domain = board.driver.create_domain(1, granule=16, input_bits=42)
    board.driver.map(domain, 0x10000, 0x5001_0000, 0x10000, RW | Permission.EXECUTE)
    board.driver.map(domain, 0x20000, 0x5004_0000, 0x10000, Permission.READ)
    board.driver.attach(0x118, domain)
    strtab = board.model.read_register(regs.STRTAB_BASE.offset, 8) & ~(1 << 62)
    assert board.model.read_register(regs.STRTAB_BASE_CFG.offset, 4) == 1 << 16 | 8 << 6 | 16  # FMT, SPLIT, LOG2SIZE
    l1std = board.memory.read_u64(strtab + 8)
    assert l1std & 0x3F == 9  # Span
    words = [board.memory.read_u64((l1std >> 6 << 6) + 64 * 0x18 + 8 * index) for index in range(8)]
    pointer = words[0] >> 6 << 6
    assert words == [1 | 0b101 << 1 | pointer, 1 << 2 | 1 << 4 | 3 << 6 | 1 << 44, 0, 0, 0, 0, 0, 0]
    cd = [board.memory.read_u64(pointer + 8 * index) for index in range(8)]
    assert cd == [
        22  # T0SZ
        | 1 << 6  # TG0: 64 KiB
        | 1 << 8 | 1 << 10 | 3 << 12  # IR0, OR0, SH0
        | 1 << 30 | 1 << 31  # EPD1, V
        | 5 << 32  # IPS
        | 1 << 41  # AA64
        | 1 << 45 | 1 << 46 | 1 << 47  # R, A, ASET
        | 1 << 48,  # ASID
        domain.table.root,
        0,
        0xFF,  # MAIR
        0, 0, 0, 0,
    ]  # fmt: skip
    level3 = board.memory.read_u64(domain.table.root) - 3
    # nG, AF, SH inner, AP 01, page; and not executable, AP 11
    assert board.memory.read_u64(level3 + 8) == 0x5001_0000 | 1 << 11 | 1 << 10 | 3 << 8 | 1 << 6 | 3
    assert board.memory.read_u64(level3 + 16) == 3 << 53 | 0x5004_0000 | 1 << 11 | 1 << 10 | 3 << 8 | 3 << 6 | 3


@pytest.mark.parametrize(("caps", "field"), [
    ({"TTF": 1}, "IDR0.TTF"), ({"TTENDIAN": 3}, "IDR0.TTENDIAN"), ({"TABLES_PRESET": 1}, "IDR1.TABLES_PRESET"),
    ({"QUEUES_PRESET": 1}, "IDR1.QUEUES_PRESET"),
])  # fmt: skip
def test_hardware_that_cannot_be_driven_is_refused(caps: dict[str, int], field: str) -> None:
    """The register and the field that stand in the way are named."""
    board = Setup(start=False)
    changed = capabilities(**caps)
    for register in (changed.idr0, changed.idr1):
        board.model._registers[type(register)] = register.value
    with pytest.raises(IommuError) as caught:
        Driver(board.platform, BASE, board.allocator)
    assert (caught.value.finding.rule, caught.value.finding.field) == ("SMMU-UNSUPPORTED", field)


@pytest.mark.parametrize(("caps", "request_", "field"), [
    ({"S1P": 0}, {"stage": 1}, "IDR0.S1P"), ({"S2P": 0}, {"stage": 2}, "IDR0.S2P"),
    ({"GRAN16K": 0}, {"stage": 1, "granule": 14}, "IDR5.GRAN16K"), ({"GRAN64K": 0}, {"stage": 2, "granule": 16},
    "IDR5.GRAN64K"), ({"STALL_MODEL": 1}, {"stage": 2, "stalls": True}, "IDR0.STALL_MODEL"),
])  # fmt: skip
def test_domains_that_the_hardware_does_not_support(caps: dict[str, int], request_: dict[str, Any], field: str) -> None:
    """A domain of a stage, granule or model that is not there is refused, with register and field named."""
    with pytest.raises(IommuError) as caught:
        Setup(capabilities(**caps)).driver.create_domain(**request_)
    assert caught.value.finding.field == field


def test_streams_and_substreams_that_the_hardware_does_not_support() -> None:
    """More stream or substream bits than IDR1 tells, and large CD tables without CD2L, are refused by name."""
    for caps, bits, field in (({}, 13, "IDR1.SSIDSIZE"), ({"CD2L": 0}, 11, "IDR0.CD2L")):
        board = Setup(capabilities(**caps))
        domain = board.driver.create_domain(1)
        with pytest.raises(IommuError) as caught:
            board.driver.attach(1, domain, substream_bits=bits)
        assert caught.value.finding.field == field
    with pytest.raises(IommuError) as caught:
        Setup(stream_bits=17)
    assert caught.value.finding.field == "IDR1.SIDSIZE"
    assert Setup(capabilities(ST_LEVEL=0, SIDSIZE=20)).driver._streams.stream_bits == 16


def test_requests_that_make_no_sense() -> None:
    """Misaligned, overlapping, oversized and contradictory requests are refused and change nothing."""
    driver = Setup().driver
    s1, s2 = driver.create_domain(1, input_bits=40), driver.create_domain(2)
    nested = driver.create_domain(1, parent=s2)
    driver.map(s1, 0x20_0000, 0x8000_0000, 0x20_0000, RW)
    refused: list[tuple[Any, ...]] = [
        (driver.map, s1, 0x800, 0, 0x1000, RW), (driver.map, s1, 0, 0x800, 0x1000, RW),
        (driver.map, s1, 0, 0, 0, RW), (driver.map, s1, 0, 0, 0x800, RW), (driver.map, s1, 1 << 40, 0, 0x1000, RW),
        (driver.map, s1, -0x1000, 0, 0x1000, RW), (driver.map, s1, 0, 1 << 48, 0x1000, RW),
        (driver.map, s1, 0, -0x1000, 0x1000, RW), (driver.map, s1, 0, 0, 0x1000, Permission(0)),
        (driver.map, s1, 0, 0, 0x1000, Permission.WRITE), (driver.map, s1, 0x3F_F000, 0, 0x2000, RW),
        (driver.map, s1, 0, 0, 1 << 30, RW), (driver.unmap, s1, 1, 0x1000),
        (driver.map_scattered, s1, 0x20_0000, [0], RW), (driver.map_scattered, s1, 0, [0x800], RW),
        (driver.map_scattered, s1, 0, [0, 0x800, 0x1000], RW),
        (driver.map_scattered, s1, 0, [1 << 48], RW), (driver.attach, 1 << 16, s1), (driver.attach, -1, s1),
        (driver.create_domain, 1), (driver.set_substream, 1, 0, s1),
    ]  # fmt: skip
    for call, *arguments in refused:
        with pytest.raises(IommuError) as caught:
            call(*arguments, **{"input_bits": 49} if call == driver.create_domain else {})
        assert caught.value.finding.rule == "SMMU-REQUEST"
    for parent in (s1, nested):
        with pytest.raises(IommuError, match="parent"):
            driver.create_domain(1, parent=parent)
    with pytest.raises(IommuError, match="only stage 1"):
        driver.attach(1, "bypass", substream_bits=4)
    driver.attach(1, s1, substream_bits=4)
    for number, domain in ((16, s1), (1, nested), (1, s2)):
        with pytest.raises(IommuError, match="substream"):
            driver.set_substream(1, number, domain)
    driver.map(s2, 0, 0, 0x1000, Permission.WRITE)  # stage 2 can
    assert dict(driver.attached()) == {1: s1}


def test_domains_come_and_go() -> None:
    """A domain in use is not destroyed; afterwards its memory and identifier are free again."""
    board = Setup()
    driver = board.driver
    driver.attach(1, "abort")
    before = board.allocator.pages_in_use
    s2 = driver.create_domain(2)
    s1 = driver.create_domain(1, parent=s2)
    other = driver.create_domain(1, input_bits=30, granule=14)
    driver.map(s2, 0, 0x5000_0000, 0x20_1000, RW)
    driver.map(s1, 1 << 40, 0, 0x20_1000, RW)
    flat = driver.create_domain(1, granule=16, input_bits=29)
    driver.attach(1, other, substream_bits=3)
    driver.set_substream(1, 2, flat)
    for domain in (s2, other, flat):
        with pytest.raises(IommuError, match="in use"):
            driver.destroy_domain(domain)
    driver.attach(1, s2)
    driver.attach(1, "abort")
    for domain in (s1, s2, other, flat):
        driver.destroy_domain(domain)
    assert board.allocator.pages_in_use == before
    assert driver.create_domain(2).identifier == 1


def test_identifiers_run_out() -> None:
    """With 8-bit ASIDs there are 255 of them."""
    driver = Setup(capabilities(ASID16=0, VMID16=0)).driver
    made = [driver.create_domain(1, granule=12, input_bits=30) for _ in range(255)]
    with pytest.raises(IommuError, match="no ASID"):
        driver.create_domain(1)
    assert {domain.identifier for domain in made} == set(range(1, 256))


def test_stalls_are_answered() -> None:
    """A stalled transaction waits for the driver, which lets it retry, abort or end silently."""
    board = Setup(capabilities(STALL_MAX=4))
    for stage in (1, 2):
        domain = board.driver.create_domain(stage, stalls=True)
        board.driver.attach(stage, domain)
        assert board.model.access(Transaction(stage, 0x1000)).result == "stall"
        (event,), _ = board.driver.events()
        board.driver.map(domain, 0x1000, 0x5000_0000, 0x1000, RW)
        board.driver.resume(event, "retry")
        assert board.model.finished.pop()[1].address == 0x5000_0000
        board.model.access(Transaction(stage, 0x9000))
        (event,), _ = board.driver.events()
        board.driver.resume(event, "abort" if stage == 1 else "ignore")
        assert board.model.finished.pop()[1].result == ("abort" if stage == 1 else "raz_wi")
    board.model.access(Transaction(0x30, 0))
    (event,), _ = board.driver.events()
    with pytest.raises(IommuError, match="no stalled"):
        board.driver.resume(event, "retry")
    forced = Setup(capabilities(STALL_MODEL=2)).driver
    assert forced.create_domain(1).cd().S == forced.create_domain(2).stage2_fields().S2S == 1


def test_lost_events_are_reported_once() -> None:
    """After an overflow the driver says so, acknowledges, and the queue goes on."""
    board = Setup()
    for number in range(200):
        board.model.access(Transaction(number, 0))
    records, lost = board.driver.events()
    assert (len(records), lost) == (128, True)
    assert board.driver.events() == ([], False)
    board.model.access(Transaction(7, 0))
    assert len(board.driver.events()[0]) == 1


def test_a_refused_command_is_an_error_and_the_queue_goes_on() -> None:
    """CERROR_ILL becomes an exception with the code; the rest of the batch is given up and the next one works."""
    board = Setup()
    with pytest.raises(IommuError) as caught:
        board.driver.commands.run([Command(Opcode=0xFF), Command(Opcode=0x30)])
    assert (caught.value.finding.rule, caught.value.finding.found) == ("SMMU-COMMAND", "CERROR_ILL")
    board.driver.commands.run([Command(Opcode=0x30)] * 600)
    assert board.model.read_register(regs.GERROR.offset, 4) == board.model.read_register(regs.GERRORN.offset, 4)


def test_hardware_that_does_not_answer() -> None:
    """A register that never changes, and a queue that is never consumed, end in SMMU-TIMEOUT."""

    class Deaf(Model):
        deaf = False

        def write_register(self, offset: int, value: int, size: int) -> None:
            if not self.deaf:
                super().write_register(offset, value, size)

    memory = Memory([(0, 1 << 30)])
    model = Deaf(memory)
    platform = Simulated(memory)
    platform.attach(BASE + (1 << 32), REGISTERS_SIZE, model)
    driver = Driver(platform, BASE + (1 << 32), PageAllocator(platform, 0, 1 << 28))
    driver.start()
    model.deaf = True
    for call, field in ((driver.stop, "CR0ACK"), (driver.create_domain(1).forget, "CMDQ_CONS.RD")):
        with pytest.raises(IommuError) as caught:
            call()
        assert (caught.value.finding.rule, caught.value.finding.field) == ("SMMU-TIMEOUT", field)


def test_scattered_pages() -> None:
    """Scattered pages fill tables whole; pages that happen to be one block become one."""
    board = Setup()
    domain = board.driver.create_domain(1, input_bits=40)
    board.driver.attach(1, domain)
    pages = [0x1_0000_0000 + (number * 7 % 1500 << 12) for number in range(1500)]
    board.driver.map_scattered(domain, 0x3F_F000, pages, RW)
    for number in (0, 1, 511, 512, 513, 1499):
        assert board.model.translate(1, 0x3F_F008 + (number << 12), READ) == pages[number] + 8
    assert board.model.translate(1, 0x3F_F000 + (1500 << 12)) == -1
    before = domain.table.pages
    board.driver.map_scattered(domain, 0x8000_0000, range(0x4_0000_0000, 0x4_0020_0000, 0x1000), RW)
    assert domain.table.find(0x8000_0000) is not None
    assert domain.table.pages == before + 1  # the table of level 2
    assert board.model.translate(1, 0x801F_FFF8, WRITE) == 0x4_001F_FFF8
    board.driver.map_scattered(domain, 0x8020_0000, range(0x4_0020_0000, 0x4_003F_F000, 0x1000), RW)
    board.driver.map_scattered(domain, 0x803F_F000, [0x4_003F_F000], RW)
    assert domain.table.pages == before + 1  # completed by the last page, and merged


# --- the counts of Linux's KUnit, drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3-test.c ------------------------------------

BYPASS, ABORT = STE(V=1, Config=4, SHCFG=1), STE(V=1)
CDTABLE = STE(V=1, Config=5, S1Fmt=2, S1ContextPtr=0xF0F0F0F0F0C0, S1CDMax=10, S1DSS=2, S1CIR=1, S1COR=1, S1CSH=3)
CDTABLE_ATS = CDTABLE.replace(EATS=1)
S2 = STE(
    V=1,
    Config=6,
    S2VMID=0,
    S2T0SZ=4,
    S2SL0=3,
    S2PS=1,
    S2TG=2,
    S2AA64=1,
    S2R=1,
    S2TTB=0xAEDBEEFDEADBEEF0 & 0xFFFFFFFFFFFF0,
)
S2_ATS = S2.replace(SHCFG=1, EATS=1)
S1_CD = CD(V=1, AA64=1, A=1, R=1, T0SZ=4, EPD1=1, IPS=1, ASID=778, TTB0=0xDBEEFDEADBEE0, MAIR0=0x12345678)


def written(words: tuple[int, ...], groups: list[Group]) -> tuple[int, ...]:
    """Return the words of an entry after all groups of stores."""
    found = dict(enumerate(words))
    for group in groups:
        found.update(group)
    return tuple(found.values())


@pytest.mark.parametrize(("old", "new", "most"), [
    (BYPASS, ABORT, 2), (ABORT, BYPASS, 2), (CDTABLE_ATS, ABORT, 2), (ABORT, CDTABLE_ATS, 2),
    (CDTABLE_ATS, BYPASS, 3), (BYPASS, CDTABLE_ATS, 3), (CDTABLE, CDTABLE.replace(S1DSS=1), 1),
    (CDTABLE.replace(S1DSS=1), CDTABLE, 1), (CDTABLE.replace(S1DSS=1, SHCFG=1), BYPASS, 2),
    (BYPASS, CDTABLE.replace(S1DSS=1, SHCFG=1), 2), (S2_ATS, ABORT, 2), (ABORT, S2_ATS, 2),
    (S2.replace(SHCFG=1), BYPASS, 2), (BYPASS, S2.replace(SHCFG=1), 2), (CDTABLE, S2, 3), (S2, CDTABLE, 3),
    (CDTABLE, CDTABLE.replace(S1DSS=1, S1ContextPtr=0x4B4B4B4B40), 3),
])  # fmt: skip
def test_ste_updates_take_no_more_syncs_than_linux(old: STE, new: STE, most: int) -> None:
    """Each transition of an STE in KUnit: so many groups at most, every one of them a step from old to new."""
    groups = ste_update(old, new)
    assert len(groups) <= most
    assert written(old.words, groups) == new.words
    assert ste_update(new, new) == []


@pytest.mark.parametrize(("old", "new", "most"), [
    (CD(), S1_CD, 2), (S1_CD, CD(), 2), (S1_CD, S1_CD.replace(ASID=1997), 1),
    (S1_CD, S1_CD.replace(EPD0=1, T0SZ=0, TTB0=0), 2), (S1_CD, S1_CD.replace(S=1), 1),
])  # fmt: skip
def test_cd_updates_take_no_more_syncs_than_linux(old: CD, new: CD, most: int) -> None:
    """Each transition of a CD in KUnit: clear 2, change of ASID 1, release of shared addressing 2, stalls 1."""
    groups = cd_update(old, new)
    assert len(groups) <= most
    assert written(old.words, groups) == new.words
