"""The driver: what it writes, what it asks of the hardware, what it refuses and how it says so."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.iommu.errors import IommuError
from iommuman.iommu.platform import Memory, PageAllocator, Simulated
from iommuman.iommu.vtd.driver import Domain, Driver
from iommuman.iommu.vtd.layout import CAP, ECAP, Irte
from iommuman.iommu.vtd.model import WRITE, Blocked, Hardware, Interrupt, RemappingUnit
from iommuman.iommu.vtd.names import Reason

from .watch import BASE, LEGACY, SCALABLE, TABLES, A, B, Rig, map_into

K, M, G = 1 << 10, 1 << 20, 1 << 30


def rig(cap: CAP = LEGACY[0], ecap: ECAP = LEGACY[1], *, scalable: bool = False, queue: bool | None = None) -> Rig:
    """A rig whose unit remembers what it reads."""
    made = Rig([], cap, ecap, scalable, queue)
    made.unit.caches.filling = True
    return made


def prepared(cap: CAP, ecap: ECAP) -> tuple[Simulated, PageAllocator]:
    """A platform with a unit that no driver has touched."""
    memory = Memory([(0, 1 << 40)])
    platform = Simulated(memory)
    platform.attach(BASE, 0x1000, RemappingUnit(memory, Hardware(cap, ecap)))
    return platform, PageAllocator(platform, TABLES, 0x100000)


def refused(error: pytest.ExceptionInfo[IommuError]) -> tuple[str, str]:
    """Return rule and field of a refusal."""
    return error.value.finding.rule, error.value.finding.field


# --- What lands in memory, byte by byte


def test_the_bytes_of_a_legacy_attachment() -> None:
    """Root entry, context entry, and one 4 KiB page in three levels, as the specification has them."""
    made = rig(LEGACY[0].replace(SAGAW=0b010))
    domain = made.driver.second_stage(39)
    made.driver.attach(0x0518, domain)
    domain.map(0x40201000, 0x987654000, 4096, write=False)
    memory = made.memory
    root = made.platform.read_mmio(BASE + 0x20, 8)
    context = memory.read_u64(root + 5 * 16)  # bus 5
    assert context & 0xFFF == 1
    assert memory.read_u64(root + 5 * 16 + 8) == 0
    entry = context - 1 + 0x18 * 16
    assert memory.read_u64(entry) == domain.table.root | 1  # P, TT 0
    assert memory.read_u64(entry + 8) == 2 << 8 | 1  # domain 2, AW 1: 3 levels
    level2 = memory.read_u64(domain.table.root + 8)
    level1 = memory.read_u64((level2 & ~0xFFF) + 8)
    assert (level2 & 0xFFF, level1 & 0xFFF) == (3, 3)
    assert memory.read_u64((level1 & ~0xFFF) + 8) == 0x987654001


def test_the_bytes_of_a_scalable_attachment() -> None:
    """Context entry of 32 bytes, directory, PASID entry of 64 bytes with both stages."""
    made = rig(*SCALABLE, scalable=True)
    parent = made.driver.second_stage(48)
    parent.map(TABLES, TABLES, M)
    domain = made.driver.first_stage(parent)
    made.driver.attach(0x0598, domain, 0x47)  # device 19: upper half
    memory = made.memory
    root = made.platform.read_mmio(BASE + 0x20, 8)
    assert root & 0xFFF == 1 << 10
    context = memory.read_u64((root & ~0xFFF) + 5 * 16 + 8)
    assert memory.read_u64((root & ~0xFFF) + 5 * 16) == 0
    entry = (context & ~0xFFF) + 0x18 * 32
    assert memory.read_u64(entry) & 0xFFF == 2 << 9 | 1 << 3 | 1  # PDTS 2, PASIDE, P
    directory = memory.read_u64((memory.read_u64(entry) & ~0xFFF) + 8)  # PASID 0x47 >> 6 = 1
    pasid = (directory & ~0xFFF) + 7 * 64
    assert [memory.read_u64(pasid + 8 * i) for i in range(8)] == [
        parent.table.root | 3 << 6 | 2 << 2 | 1,  # nested, 4 levels, P
        1 << 23 | domain.did,  # PWSNP
        domain.table.root,
        0, 0, 0, 0, 0,
    ]  # fmt: skip


# --- Page sizes


@pytest.mark.parametrize(
    ("sizes", "start", "output", "length", "tables"),
    [
        (3, 0, 0, G, 0),  # one page of 1 GiB in the level-3 root
        (1, 0, 0, G, 1),  # 512 of 2 MiB
        (0, 0, 0, 2 * M, 2),
        (3, 0, 2 * M, G, 1),  # 1 GiB does not fit, 2 MiB does
        (3, 0, 4 * K, 2 * M, 2),
        (3, 2 * M, 2 * M, 2 * G - 2 * M, 1),  # 511 of 2 MiB, one of 1 GiB
    ],
)
def test_the_largest_page_that_alignment_and_hardware_permit_is_used(
    sizes: int, start: int, output: int, length: int, tables: int
) -> None:
    """Counted in pages of tables beside the root."""
    made = rig(LEGACY[0].replace(SSLPS=sizes, SAGAW=0b010))
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    before = made.pages.pages_in_use
    domain.map(start, output, length)
    assert made.pages.pages_in_use - before == tables
    for offset in (0, length // 2, length - 1):
        assert made.unit.translate(A, start + offset, WRITE) == output + offset
    domain.unmap(start, length)
    assert made.pages.pages_in_use == before


def test_split_and_merge_give_tables_back() -> None:
    """A hole in a page of 1 GiB costs two tables; when it is filled again they are free."""
    made = rig(LEGACY[0].replace(SAGAW=0b010))
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    before = made.pages.pages_in_use
    domain.map(G, 5 * G, G)
    for _ in range(3):
        domain.unmap(G + 4 * K, 4 * K)
        assert made.pages.pages_in_use == before + 2
        assert made.unit.translate(A, G) == 5 * G
        assert made.unit.translate(A, G + 4 * K) == Blocked(Reason.LGN_3, recorded=True)
        domain.map(G + 4 * K, 5 * G + 4 * K, 4 * K)
        assert made.pages.pages_in_use == before
        assert made.unit.translate(A, G + 4 * K) == 5 * G + 4 * K


@pytest.mark.parametrize("scalable", [False, True])
def test_scattered_pages_are_mapped_one_by_one_and_merged_where_they_fit(scalable: bool) -> None:
    """A list of frames; a run of 512 that lies side by side becomes one page, at once or later."""
    made = rig(*SCALABLE, scalable=True) if scalable else rig()
    domain: Domain = made.driver.first_stage() if scalable else made.driver.second_stage()
    made.driver.attach(A, domain)
    before = made.pages.pages_in_use
    frames = [G + 2 * n * 4 * K for n in range(700)]
    domain.map_pages(2 * M - 8 * K, frames)
    assert made.pages.pages_in_use - before == 5
    for number in (0, 1, 2, 513, 514, 699):
        assert made.unit.translate(A, 2 * M - 8 * K + number * 4 * K) == frames[number]
    domain.unmap(0, 8 * M)
    assert made.pages.pages_in_use == before
    domain.map_pages(2 * M, [G + n * 4 * K for n in range(512)])
    assert made.unit.translate(A, 4 * M - 1) == G + 2 * M - 1
    inner = made.pages.pages_in_use
    domain.unmap(2 * M, 4 * K)
    domain.map_pages(2 * M, [G])
    assert made.pages.pages_in_use == inner
    domain.map_pages(2 * M, [5 * G])
    domain.map_pages(2 * M, [G])
    assert made.pages.pages_in_use == inner


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 2100), st.integers(1, 1100), st.sampled_from((0, 512, 513, 4096))),
        max_size=12,
    )
)
def test_tables_hold_what_was_mapped_last(steps: list[tuple[bool, int, int, int]]) -> None:
    """Any sequence of mapping and unmapping, checked page by page, and all tables come back in the end."""
    made = Rig([])
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    before = made.pages.pages_in_use
    expected: dict[int, int] = {}
    for is_map, start, count, delta in steps:
        pages = range(start, start + count)
        if is_map:
            domain.map(start << 12, start + delta << 12, count << 12)
            expected.update({page: page + delta for page in pages})
        else:
            domain.unmap(start << 12, count << 12)
            expected = {page: output for page, output in expected.items() if page not in pages}
    for page in range(0, 3300, 7):
        result = made.unit.walk(A, page << 12)
        assert result == (expected[page] << 12 if page in expected else Blocked(Reason.LGN_3))
    domain.unmap(0, 16 * M)
    assert made.pages.pages_in_use == before


def test_many_ranges_are_invalidated_by_domain() -> None:
    """Long lists of blocks are not worth their while, by queue or by registers."""
    for queue, most in ((True, 0), (False, 0), (True, 18), (False, 18)):
        made = rig(LEGACY[0].replace(MAMV=most), queue=queue)
        domain = made.driver.second_stage()
        made.driver.attach(A, domain)
        domain.map(3 * M, G, 4 * K)
        domain.map(0, G, M)
        assert made.unit.translate(A, M - 4 * K) == G + M - 4 * K
        domain.unmap(0, M)
        assert isinstance(made.unit.translate(A, M - 4 * K), Blocked)
        domain.unmap(0, 4 * M)
        assert isinstance(made.unit.translate(A, 3 * M), Blocked)


# --- Refusals


@pytest.mark.parametrize(
    ("attempt", "cap", "ecap", "field"),
    [
        (lambda r: r.driver.pass_through(A), {}, {"PT": 0}, "ECAP.PT (bit 6)"),
        (lambda r: r.driver.second_stage(57), {}, {}, "CAP.SAGAW (bits 12:8)"),
        (lambda r: r.driver.second_stage(), {"SAGAW": 1}, {}, "CAP.SAGAW (bits 12:8)"),
        (lambda r: r.driver.first_stage(), {}, {}, "ECAP.SMTS (bit 43)"),
        (lambda r: r.driver.remap_interrupts(), {}, {"IR": 0}, "ECAP.IR (bit 3)"),
        (lambda r: r.driver.remap_interrupts(extended=True), {}, {}, "ECAP.EIM (bit 4)"),
        (lambda r: r.driver.remap_interrupts(), {}, {"QI": 0}, "ECAP.QI (bit 1)"),
        (lambda r: [r.driver.second_stage() for _ in range(99)], {}, {}, "CAP.ND (bits 2:0)"),
        (lambda r: r.driver._invalidation.pasid(1, 1, first_stage=True), {}, {"QI": 0}, "ECAP.QI (bit 1)"),
        (lambda r: r.driver._invalidation.first_stage(1, 1), {}, {"QI": 0}, "ECAP.QI (bit 1)"),
        (lambda r: r.driver._invalidation.interrupt(1), {}, {"QI": 0}, "ECAP.QI (bit 1)"),
    ],
)
def test_what_the_hardware_lacks_is_refused_with_register_and_bit(
    attempt: object, cap: dict[str, int], ecap: dict[str, int], field: str
) -> None:
    """Legacy mode."""
    made = rig(LEGACY[0].replace(**cap), LEGACY[1].replace(**ecap))
    with pytest.raises(IommuError) as error:
        attempt(made)  # type: ignore[operator]
    assert refused(error) == ("VTD-UNSUPPORTED", field)
    assert "11.4" in str(error.value)


@pytest.mark.parametrize(
    ("attempt", "ecap", "field"),
    [
        (lambda r: r.driver.second_stage(), {"SSTS": 0}, "ECAP.SSTS (bit 46)"),
        (lambda r: r.driver.first_stage(), {"FSTS": 0}, "ECAP.FSTS (bit 47)"),
        (lambda r: r.driver.first_stage(r.driver.second_stage()), {"NEST": 0}, "ECAP.NEST (bit 26)"),
    ],
)
def test_what_scalable_hardware_lacks_is_refused_too(attempt: object, ecap: dict[str, int], field: str) -> None:
    """Stages and nesting have a bit each."""
    made = rig(SCALABLE[0], SCALABLE[1].replace(**ecap), scalable=True)
    with pytest.raises(IommuError) as error:
        attempt(made)  # type: ignore[operator]
    assert refused(error) == ("VTD-UNSUPPORTED", field)


@pytest.mark.parametrize(
    ("options", "ecap", "field"),
    [
        ({"mode": "scalable"}, {"SMTS": 0}, "ECAP.SMTS (bit 43)"),
        ({"mode": "scalable"}, {"SMTS": 1, "QI": 0}, "ECAP.QI (bit 1)"),
        ({"queue": True}, {"QI": 0}, "ECAP.QI (bit 1)"),
    ],
)
def test_a_mode_that_the_unit_lacks_is_refused_before_anything_is_written(
    options: dict[str, object], ecap: dict[str, int], field: str
) -> None:
    """When the driver is made."""
    platform, pages = prepared(LEGACY[0], LEGACY[1].replace(**ecap))
    with pytest.raises(IommuError) as error:
        Driver(platform, BASE, pages, **options)  # type: ignore[arg-type]
    assert refused(error) == ("VTD-UNSUPPORTED", field)
    assert pages.pages_in_use == 0


@pytest.mark.parametrize(
    ("start", "output", "length"),
    [
        (1, 0, 4096),
        (0, 1, 4096),
        (0, 0, 1),
        (0, 0, 0),
        (-4096, 0, 4096),
        (0, -4096, 4096),
        (1 << 48, 0, 4096),
        (0, 1 << 46, 4096),
        (0, (1 << 46) - 4096, 8192),
        (0xFEE00000, 0, 4096),
        (0xFEDFF000, 0, 8192),
        (0, 0xFEEFF000, 4096),
        (0xC0000000, G, G),
    ],
)
def test_addresses_that_cannot_be_mapped_are_refused(start: int, output: int, length: int) -> None:
    """Alignment, widths, and the interrupt range on either side."""
    domain = rig().driver.second_stage()
    with pytest.raises(IommuError) as error:
        domain.map(start, output, length)
    assert error.value.finding.rule == "VTD-MAPPING"


def test_permissions_that_a_stage_cannot_express_are_refused() -> None:
    """Nothing at all, and in the first stage writing only."""
    with pytest.raises(IommuError, match="without read and write"):
        rig().driver.second_stage().map(0, 0, 4096, read=False, write=False)
    with pytest.raises(IommuError, match="without read permission"):
        rig(*SCALABLE, scalable=True).driver.first_stage().map(0, 0, 4096, read=False)
    made = rig(*SCALABLE, scalable=True)
    domain = made.driver.first_stage()
    with pytest.raises(IommuError, match="multiples"):
        domain.unmap(1, 1)


def test_devices_and_pasids_that_do_not_exist_are_refused() -> None:
    """16 bits of source-id; PASIDs as the unit and the directory have them."""
    made = rig()
    for source, pasid in ((1 << 16, 0), (-1, 0), (A, 1)):
        with pytest.raises(IommuError) as error:
            made.driver.block(source, pasid)
        assert error.value.finding.rule == "VTD-DEVICE"
    made = rig(*SCALABLE, scalable=True)
    made.driver.block(A, (1 << 15) - 1)
    with pytest.raises(IommuError, match="PASID"):
        made.driver.block(A, 1 << 15)


def test_interrupt_tables_and_indexes_are_checked() -> None:
    """Powers of two, and indexes within."""
    made = rig()
    for entries in (1, 3, 1 << 17):
        with pytest.raises(IommuError, match="power of two"):
            made.driver.remap_interrupts(entries)
    table = made.driver.remap_interrupts(16)
    for index in (-1, 16):
        with pytest.raises(IommuError, match="beyond the table"):
            table.set(index, Irte())
    table.set(3, None)
    made = rig(LEGACY[0], LEGACY[1].replace(EIM=1))
    made.platform.write_mmio(BASE + 0x18, 1 << 31 | 1 << 26 | 1 << 23, 4)
    assert made.driver.remap_interrupts(1 << 9, extended=True).extended
    assert made.platform.read_mmio(BASE + 0x1C, 4) >> 23 == 0b110001110  # TES, RTPS, no CFIS


def test_before_it_is_enabled_the_driver_changes_nothing() -> None:
    """Domains and devices wait for `enable`."""
    platform, pages = prepared(*LEGACY)
    driver = Driver(platform, BASE, pages)
    with pytest.raises(IommuError, match="enabled first") as error:
        driver.second_stage()
    assert error.value.finding.rule == "VTD-STATE"
    assert platform.read_mmio(BASE + 0x1C, 4) == 0


def test_a_domain_in_use_is_not_released() -> None:
    """By a device, or as a parent; afterwards its ID and tables are free again."""
    made = rig(*SCALABLE, scalable=True)
    before = made.pages.pages_in_use
    parent = made.driver.second_stage()
    child = made.driver.first_stage(parent)
    parent.map(0, 0, 4096)
    with pytest.raises(IommuError, match="in use"):
        made.driver.release(parent)
    made.driver.attach(A, parent)
    made.driver.release(child)
    with pytest.raises(IommuError, match="in use"):
        made.driver.release(parent)
    made.driver.attach(A, made.driver.second_stage())
    made.driver.release(parent)
    assert made.driver.second_stage().did == parent.did
    assert made.pages.pages_in_use > before


# --- Hardware that does not do its part


class Stubborn:
    """Registers that answer with fixed values."""

    def __init__(self, values: dict[int, int]) -> None:
        """Answer with these, and 0 elsewhere."""
        self.values = values

    def read_register(self, offset: int, size: int) -> int:  # noqa: ARG002 - as the protocol has it
        """Return the fixed value."""
        return self.values.get(offset, 0)

    def write_register(self, offset: int, value: int, size: int) -> None:
        """Do nothing."""


@pytest.mark.parametrize("version", [0, 0xFFFFFFFF, 0xF0, 0x110])
def test_what_is_no_unit_is_refused(version: int) -> None:
    """Nobody there reads as all ones."""
    platform = Simulated(Memory([(0, 1 << 30)]))
    platform.attach(BASE, 0x1000, Stubborn({0: version}))
    with pytest.raises(IommuError) as error:
        Driver(platform, BASE, PageAllocator(platform, TABLES, M))
    assert refused(error) == ("VTD-VERSION", "VER")


def test_a_unit_that_does_not_answer_a_command_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is named."""
    monkeypatch.setattr("iommuman.iommu.vtd.driver.access._PATIENCE", 10)
    platform = Simulated(Memory([(0, 1 << 30)]))
    platform.attach(BASE, 0x1000, Stubborn({0: 0x10, 8: LEGACY[0].value, 0x10: LEGACY[1].value & ~2}))
    with pytest.raises(IommuError, match=r"GCMD\.SRTP") as error:
        Driver(platform, BASE, PageAllocator(platform, TABLES, M)).enable()
    assert error.value.finding.rule == "VTD-TIMEOUT"


def test_an_invalidation_that_fails_is_an_error() -> None:
    """A queue that stops at a descriptor, with its code in words; registers that refuse."""
    made = rig()
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    domain.map(0, G, 4096)
    queue = made.platform.read_mmio(BASE + 0x90, 8) & ~0xFFF
    made.memory.inject(queue, length=4096, on="read")
    with pytest.raises(IommuError, match="FETCH") as error:
        domain.unmap(0, 4096)
    assert refused(error) == ("VTD-INVALIDATION", "IQERCD.IQEI")
    made = rig(LEGACY[0], LEGACY[1].replace(QI=0))
    made.unit.invalidator._drop_pages = lambda *_: 0  # type: ignore[method-assign]
    with pytest.raises(IommuError) as error:
        made.driver._invalidation.domain(2)
    assert refused(error) == ("VTD-INVALIDATION", "IOTLB.IAIG")


def test_a_unit_that_takes_its_time_is_waited_for() -> None:
    """The queue is worked off only when the driver looks at the fault status for the third time."""
    made = rig()
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    domain.map(0, G, 4096)
    run, looks = made.unit.invalidator.run, 0
    made.unit.invalidator.run = lambda: None  # type: ignore[method-assign]
    read = made.platform.read_mmio

    def slow(address: int, size: int) -> int:
        nonlocal looks
        looks += 1
        if looks == 3:
            run()
        return read(address, size)

    made.platform.read_mmio = slow  # type: ignore[method-assign]
    assert made.unit.translate(A, 0) == G
    domain.unmap(0, 4096)
    assert isinstance(made.unit.translate(A, 0), Blocked)


def test_a_queue_that_firmware_left_running_is_replaced() -> None:
    """A second driver on the same unit works like the first."""
    made = rig()
    second = Driver(made.platform, BASE, made.pages, host_width=46)
    second.enable()
    domain = second.second_stage()
    second.attach(B, domain)
    domain.map(0, G, 4096)
    assert made.unit.translate(B, 0) == G


# --- Faults


def test_faults_come_out_oldest_first_and_make_room() -> None:
    """Four registers, five faults: the overflow is told, and the next fault is recorded again."""
    made = rig(LEGACY[0].replace(NFR=3))
    made.unit.faults.compress = False
    for round_ in range(3):
        for number in range(5):
            made.unit.translate(A, (number + round_) << 12, WRITE)
        faults = made.driver.take_faults()
        assert [record.address >> 12 for record in faults.records] == [round_, round_ + 1, round_ + 2, round_ + 3]
        assert faults.lost
        assert {record.type for record in faults.records} == {"write"}
    assert made.driver.take_faults().records == ()
    assert not made.driver.take_faults().lost
    made.unit.translate(B, 0x5000)
    (record,) = made.driver.take_faults().records
    assert str(record) == "00:03.1 read of 0x5000: the root entry is not present (LRT.2, reason 0x01)"


def test_reading_faults_ends_even_if_they_keep_coming() -> None:
    """A device that faults faster than records are read does not hold the reader for ever."""
    made = rig(LEGACY[0].replace(NFR=3))
    made.unit.faults.compress = False
    made.unit.translate(A, 0)

    def fault_again(_kind: str, _address: int) -> None:
        made.unit.translate(A, 0x1000)

    made.platform.observers.append(fault_again)
    assert len(made.driver.take_faults().records) == 8
    made.platform.observers.clear()


def test_map_into_takes_permissions_as_bits() -> None:
    """A page to write only."""
    made = rig()
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    map_into(domain, 0, G, 4096, 2)
    assert made.unit.translate(A, 0, WRITE) == G
    assert isinstance(made.unit.translate(A, 0), Blocked)


# --- Whole lives, on every kind of unit


@pytest.mark.parametrize("caching", [0, 1])
@pytest.mark.parametrize("kind", ["queue", "registers", "write buffer", "scalable", "first stage", "nested"])
def test_a_device_goes_through_every_state(kind: str, caching: int) -> None:
    """Blocked, attached, mapped, replaced, unmapped, passed through, blocked: the unit follows at once."""
    cap, ecap = LEGACY if kind in ("queue", "registers", "write buffer") else SCALABLE
    cap = cap.replace(CM=caching, RWBF=int(kind == "write buffer"), PSI=int(kind != "registers"))
    made = rig(cap, ecap.replace(QI=int(kind != "registers")), scalable=kind in ("scalable", "first stage", "nested"))
    driver, ask = made.driver, made.unit.translate
    driver.block(A)
    driver.block(0x0280)
    if driver.scalable:
        driver.attach(A + 1, driver.second_stage())
        driver.block(A)
        driver.block(A + 1, 64)
    assert isinstance(ask(A, G), Blocked)
    parent = driver.second_stage() if kind != "first stage" else None
    if kind == "nested" and parent is not None:
        parent.map(TABLES, TABLES, M)
        parent.map(4 * G, 4 * G, 2 * G)
    domain: Domain = driver.first_stage(parent) if parent is None or kind == "nested" else parent
    for _ in range(2):
        driver.attach(A, domain)
        assert isinstance(ask(A, G), Blocked)
        domain.map(G, 5 * G, 4 * M)
        assert ask(A, G) == 5 * G
        domain.map(G + 4 * K, 4 * G, 4 * K, write=False)
        assert (ask(A, G + 4 * K), isinstance(ask(A, G + 4 * K, WRITE), Blocked)) == (4 * G, True)
        domain.unmap(G, 2 * M)
        assert isinstance(ask(A, G), Blocked)
        assert ask(A, G + 2 * M) == 5 * G + 2 * M
        if kind == "nested" and parent is not None:
            parent.unmap(5 * G, G)
            assert isinstance(ask(A, G + 2 * M), Blocked)
            parent.map(5 * G, 5 * G, G)
        domain.unmap(0, 4 * G - 32 * M)
        driver.pass_through(A)
        assert ask(A, 0x1234) == 0x1234
        driver.block(A)
        driver.block(A + 1)
        assert isinstance(ask(A, 0x1234), Blocked)
    driver.release(domain)
    driver.disable()
    assert ask(A, 0x1234) == 0x1234


@pytest.mark.parametrize("caching", [0, 1])
def test_interrupts_follow_the_table_at_once(caching: int) -> None:
    """Set, replaced, taken away; the message names the index, handle bit 15 too."""
    made = rig(LEGACY[0].replace(CM=caching))
    table = made.driver.remap_interrupts(1 << 9)
    assert table.message(0x8005) == (0xFEE00000 | 5 << 5 | 1 << 4 | 1 << 2, 0)
    for index in (5, 0x105):
        address, data = table.message(index)
        assert isinstance(made.unit.interrupt(A, address, data), Blocked)
        for vector in (0x31, 0x42):
            table.set(index, Irte(P=1, V=vector))
            assert made.unit.interrupt(A, address, data) == Interrupt(vector, 0)
        table.set(index, None)
        assert isinstance(made.unit.interrupt(A, address, data), Blocked)


def test_protected_memory_is_given_up_when_all_is_blocked() -> None:
    """`enable` clears PMEN.EPM at its end."""
    platform, pages = prepared(LEGACY[0].replace(PLMR=1), LEGACY[1])
    platform.write_mmio(BASE + 0x64, 1 << 31, 4)
    Driver(platform, BASE, pages).enable()
    assert platform.read_mmio(BASE + 0x64, 4) == 0


def test_an_address_beside_a_remembered_one_is_walked_from_the_root() -> None:
    """No table on its way is remembered."""
    made = rig()
    domain = made.driver.second_stage()
    made.driver.attach(A, domain)
    domain.map(0, G, 4 * K)
    assert made.unit.translate(A, 0) == G
    assert isinstance(made.unit.translate(A, 8 * G), Blocked)
