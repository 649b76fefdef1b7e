"""The driver: what it writes, checked as numbers, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu import IommuError, Memory, PageAllocator, Simulated
from iommuman.iommu.smmuv2.driver import Driver
from iommuman.iommu.smmuv2.model import FETCH, READ, WRITE, Capabilities, Model

from .rig import INDEXED, PLAIN, V1, capabilities

BASE, TABLES = 0x2B50_0000, 0x4000_0000


class Setup:
    """A started driver, its model and memory."""

    def __init__(self, caps: Capabilities | None = None, tables: int = TABLES) -> None:
        """Make it."""
        self.memory = Memory([(0, 1 << 44)])
        self.model = Model(self.memory, caps)
        self.platform = Simulated(self.memory)
        self.platform.attach(BASE, self.model.pages.total, self.model)
        self.pages = PageAllocator(self.platform, tables, 0x100_0000)
        self.driver = Driver(self.platform, BASE, self.pages)
        self.driver.start()

    def read(self, offset: int, size: int = 4) -> int:
        """Read a register."""
        return self.model.read_register(offset, size)


def refused(action: Callable[[], object], rule: str, message: str = "") -> None:
    """Expect a refusal."""
    with pytest.raises(IommuError, match=message) as caught:
        action()
    assert caught.value.finding.rule == rule


def test_a_unit_that_is_taken_over_denies_everything() -> None:
    """USFCFG, GFRE, EXIDENABLE, VMIDPNE and PTM; entries are invalid and fault; banks are off."""
    unit = Setup()
    assert unit.read(0) == 0x1C0A
    assert {unit.read(0x800 + 4 * n) for n in range(128)} == {0}
    assert {unit.read(0xC00 + 4 * n) for n in range(128)} == {0x2_0000}
    assert {unit.read((64 + n) * 0x1000) for n in range(64)} == {0}
    assert unit.model.translate(0x18, 0) == -1
    assert Setup(PLAIN).read(0) == 0x1C02


def test_a_domain_in_its_bank() -> None:
    """CBA2R, CBAR, TCR, TTBR0 and SCTLR of the first domain, and the table's bytes."""
    unit = Setup()
    domain = unit.driver.create_domain()
    assert (domain.bank, domain.vmid, domain.width) == (0, 1, 48)
    assert (unit.read(0x1800), unit.read(0x1000)) == (1, 1)
    assert unit.read(0x40030) == 0x8005_3590
    assert unit.read(0x40020, 8) == domain.table.root == TABLES
    assert unit.read(0x40000) == 0x121
    domain.map(0x8000_0000, 0x9000_0000, 0x20_1000, write=False)
    unit.driver.attach(0x18, domain)
    words = [unit.memory.read_u64(TABLES), unit.memory.read_u64(TABLES + 0x1000 + 16)]
    assert words == [TABLES + 0x1003, TABLES + 0x2003]
    assert unit.memory.read_u64(TABLES + 0x2000) == 0x0040_0000_9000_077D
    assert unit.memory.read_u64(TABLES + 0x3000) == 0x0040_0000_9020_077F
    assert [unit.model.translate(0x18, 0x8020_0123, access) for access in (READ, WRITE, FETCH)] == [0x9020_0123, -1, -1]


@pytest.mark.parametrize(
    ("caps", "tcr", "attributes"),
    [(V1, 0x8000_3558, 0), (capabilities(IAS=2, OAS=2), 0x8002_3558, 1), (capabilities(IAS=0, OAS=1), 0x8001_3520, 1)],
)
def test_narrower_units(caps: Capabilities, tcr: int, attributes: int) -> None:
    """T0SZ, SL0 and PS follow the widths; an SMMUv1 has AArch32 tables, of the same descriptors."""
    unit = Setup(caps)
    domain = unit.driver.create_domain()
    assert (unit.read(0x40030), unit.read(0x1800)) == (tcr, attributes)
    top = (1 << domain.width) - 0x1000
    domain.map(top, 0x9000_0000, 0x1000, execute=True)
    unit.driver.attach(3, domain)
    assert [unit.model.translate(3, top, access) for access in (READ, WRITE, FETCH)] == [0x9000_0000] * 3
    domain.unmap(top, 0x1000)
    assert unit.model.translate(3, top) == -1
    refused(lambda: domain.map(top, 0, 0x2000), "SMMU-REQUEST", "exceed")


@pytest.mark.parametrize(
    ("caps", "match", "target"),
    [(None, 0x18, 0x400), (PLAIN, 0x8000_0018, 0), (capabilities(EXIDS=0, NUMSIDB=6), 0x8000_0018, 0)],
)
def test_an_entry(caps: Capabilities | None, match: int, target: int) -> None:
    """An attached stream takes the first entry; blocked, it gives it back."""
    unit = Setup(caps)
    one, two = unit.driver.create_domain(), unit.driver.create_domain()
    unit.driver.attach(0x18, one)
    assert (unit.read(0x800), unit.read(0xC00)) == (match, target)
    unit.driver.attach(0x18, two)
    assert (unit.read(0x800), unit.read(0xC00), unit.read(0xC04)) == (match, target | 1, 0x2_0000)
    assert (one.streams, two.streams) == (set(), {(0x18, 0)})
    unit.driver.block(0x18)
    unit.driver.block(0x18)
    assert (unit.read(0x800), unit.read(0xC00), two.streams) == (0, 0x2_0000, set())


def test_masks() -> None:
    """An entry for a whole group of streams; one that overlaps it is refused."""
    unit = Setup()
    domain = unit.driver.create_domain()
    domain.map(0, 0x9000_0000, 0x1000)
    unit.driver.attach(0x1234, domain, 0xFF)
    assert unit.read(0x800) == 0x00FF_1200
    assert [unit.model.translate(stream, 0) != -1 for stream in (0x1200, 0x12FF, 0x1300)] == [True, True, False]
    refused(lambda: unit.driver.attach(0x1256, domain), "SMMU-REQUEST", "mask 0x0 overlaps stream 0x1200, mask 0xff")
    refused(lambda: unit.driver.attach(0x0056, domain, 0xFF00), "SMMU-REQUEST", "overlaps")
    unit.driver.block(0x1277, 0xFF)
    assert unit.model.translate(0x1200, 0) == -1


def test_indexed_streams() -> None:
    """Without stream matching the n-th entry is stream n's."""
    unit = Setup(INDEXED)
    domain = unit.driver.create_domain()
    domain.map(0, 0x9000_0000, 0x1000)
    unit.driver.attach(5, domain)
    assert unit.read(0xC14) == 0
    assert unit.model.translate(5, 0) == 0x9000_0000
    refused(lambda: unit.driver.attach(64, domain), "SMMU-REQUEST", "an entry for each stream, and 64")
    refused(lambda: unit.driver.attach(4, domain, 1), "SMMU-REQUEST", "no masks")


def test_when_banks_run_out() -> None:
    """SMMU-BANKS, until one is released."""
    unit = Setup(capabilities(NUMPAGENDXB=0, NUMCB=2))
    one, _ = unit.driver.create_domain(), unit.driver.create_domain()
    refused(unit.driver.create_domain, "SMMU-BANKS", "all 2 context banks are in use")
    unit.driver.attach(1, one)
    refused(lambda: unit.driver.release(one), "SMMU-REQUEST", "still in use")
    unit.driver.block(1)
    used = unit.pages.pages_in_use
    unit.driver.release(one)
    assert unit.pages.pages_in_use == used - 1
    assert unit.driver.create_domain().bank == 0


def test_when_stream_entries_run_out() -> None:
    """SMMU-STREAM-ENTRIES; what was attached stays, and nothing else is opened."""
    unit = Setup(capabilities(NUMSMRG=2))
    domain = unit.driver.create_domain()
    domain.map(0, 0x9000_0000, 0x1000)
    unit.driver.attach(1, domain)
    unit.driver.attach(2, domain)
    refused(lambda: unit.driver.attach(3, domain), "SMMU-STREAM-ENTRIES", "all 2 stream match entries")
    assert [unit.model.translate(stream, 0) for stream in (1, 2, 3)] == [0x9000_0000, 0x9000_0000, -1]
    unit.driver.block(1)
    unit.driver.attach(3, domain)


def test_faults_are_taken() -> None:
    """Of each bank and of the unit; then there is room again. A stall is ended."""
    unit = Setup()
    domain = unit.driver.create_domain()
    unit.driver.attach(0x18, domain)
    unit.model.translate(0x18, 0x1000, WRITE)
    unit.model.translate(0x18, 0x2000)
    unit.model.translate(0x99, 0x3000)
    faults = unit.driver.take_faults()
    assert [(one.bank, one.stream_id, one.address, one.name) for one in faults.records] == [
        (0, 0x18, 0x1000, "TF"), (None, 0x99, 0x3000, "USF"),
    ]  # fmt: skip
    assert faults.lost
    again = unit.driver.take_faults()
    assert (again.records, again.lost) == ([], False)
    unit.model.write_register(0x40000, 0x1A1, 4)
    unit.model.translate(0x18, 0x1000)
    assert unit.driver.take_faults().records[0].stalled
    assert unit.model.resumed[0][1].result == "abort"
    assert unit.read(0x40058) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"S2TS": 0}, {"NUMCB": 0}, {"NUMSMRG": 0},
        {"PTFS_4K": 0, "PTFS_NO_AARCH32": 1},
    ],
)  # fmt: skip
def test_units_that_lack_something_are_refused(fields: dict[str, int]) -> None:
    """SMMU-UNSUPPORTED names what is missing."""
    refused(lambda: Setup(capabilities(**fields)), "SMMU-UNSUPPORTED", "does not have")


def test_requests_that_make_no_sense() -> None:
    """Ranges that are no pages or too far up, no permission, IDs that are too wide, a driver that is not started."""
    unit = Setup()
    domain = unit.driver.create_domain()
    for action, message in (
        (lambda: domain.map(0x800, 0, 0x1000), "not whole pages"),
        (lambda: domain.map(0, 0, 0), "not whole pages"),
        (lambda: domain.unmap(1 << 48, 0x1000), "exceed 48 bits"),
        (lambda: domain.map(0, 1 << 48, 0x1000), "exceed 48 bits"),
        (lambda: domain.map(0, 0, 0x1000, read=False, write=False), "read or write"),
        (lambda: unit.driver.attach(1 << 16, domain), "exceed 16 bits"),
        (lambda: unit.driver.block(-1), "exceed 16 bits"),
    ):
        refused(action, "SMMU-REQUEST", message)
    idle = Driver(unit.platform, BASE, unit.pages)
    refused(idle.create_domain, "SMMU-STATE", "has to be started")


def test_memory_for_tables_that_the_unit_cannot_address() -> None:
    """An SMMUv1 fetches tables below 2^40 only; the bank is free again."""
    unit = Setup(V1, tables=1 << 40)
    refused(unit.driver.create_domain, "SMMU-REQUEST", "beyond the 40 bits")
    assert unit.pages.pages_in_use == 0


@pytest.mark.parametrize(("offset", "what"), [(0x74, "sTLBGSYNC"), (0x407F4, "TLBSYNC of bank 0")])
def test_a_unit_that_never_completes(offset: int, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SMMU-TIMEOUT."""
    monkeypatch.setattr("iommuman.iommu.smmuv2.driver.access._PATIENCE", 3)
    unit = Setup()
    domain = unit.driver.create_domain()
    read = unit.model.read_register
    monkeypatch.setattr(unit.model, "read_register", lambda at, size: 1 if at == offset else read(at, size))
    refused(lambda: domain.forget() if offset == 0x74 else domain.unmap(0, 0x1000), "SMMU-TIMEOUT", what)


def test_what_an_earlier_owner_left_stalled_is_ended() -> None:
    """Taking over terminates it, with its stream denied already."""
    unit = Setup()
    domain = unit.driver.create_domain()
    unit.driver.attach(0x18, domain)
    unit.model.write_register(0x40000, 0x1A1, 4)
    unit.model.translate(0x18, 0x1000)
    driver = Driver(unit.platform, BASE, unit.pages)
    driver.start()
    assert [outcome.result for _, outcome in unit.model.resumed] == ["raz_wi"]
    assert unit.read(0x40058) == 0
    assert driver.take_faults().records == []
