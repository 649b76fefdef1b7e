"""Registers, command queue, event queue and PRI queue: full, empty, wrapping, overflowing, aborting."""

from __future__ import annotations

import pytest
from iommuman.iommu.bits import Bits
from iommuman.iommu.smmuv3.layout import queues
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.layout.queues import COMMANDS, Command, PageRequest, PageRequestEvent, PriResp, Sync

from .rig import COMMANDS as COMMAND_MEMORY
from .rig import CONTEXT, EVENTS, REQUESTS, S1_RW, S2_RW, SID, Rig, capabilities, simple_stage1
from .test_translation import PA, VA, nested

NOT_ILLEGAL = {opcode for opcode in COMMANDS if opcode != 0x07}
"""Commands of a fully equipped model; CFGI_VMS_PIDM needs MPAM."""


def good(opcode: int) -> Command:
    """Return a command that is legal."""
    return COMMANDS[opcode](Opcode=opcode)


@pytest.mark.parametrize("opcode", range(256))
def test_every_opcode(opcode: int) -> None:
    """Commands of the architecture are consumed; every other opcode stops the queue with CERROR_ILL."""
    rig = Rig()
    error = rig.command(Command(Opcode=opcode))
    assert error == (0 if opcode in NOT_ILLEGAL else 1)
    assert error == rig.read(regs.GERROR).CMDQ_ERR
    assert 1 - error == rig.read(regs.CMDQ_CONS).RD


@pytest.mark.parametrize("opcode", sorted(COMMANDS))
def test_every_reserved_bit_of_every_command(opcode: int) -> None:
    """A reserved bit, or SSec, in a command of the Non-secure queue is CERROR_ILL, one bit at a time."""
    layout = COMMANDS[opcode]
    rig = Rig(capabilities(MPAM=1))
    assert rig.command(good(opcode)) == 0
    secure = getattr(layout, "SSec", None)
    for bit in range(8, 128):
        if layout.reserved_mask >> bit & 1 or (secure is not None and secure.mask >> bit & 1):
            fresh = Rig(capabilities(MPAM=1))
            assert fresh.command(layout(good(opcode).value | 1 << bit)) == 1, bit


@pytest.mark.parametrize(("command", "caps"), [
    (good(0x05), {"S1P": 0}), (good(0x06), {"S1P": 0}), (good(0x10), {"S1P": 0}), (good(0x11), {"S1P": 0}),
    (good(0x12), {"S1P": 0}), (good(0x13), {"S1P": 0}), (good(0x20), {"Hyp": 0}), (good(0x21), {"Hyp": 0}),
    (good(0x22), {"Hyp": 0}), (good(0x23), {"S1P": 0}), (good(0x28), {"S2P": 0}), (good(0x2A), {"S2P": 0}),
    (good(0x40), {"ATS": 0}), (good(0x41), {"PRI": 0}), (good(0x44), {"STALL_MODEL": 1}),
    (good(0x45), {"STALL_MODEL": 1}), (Sync(Opcode=0x46, CS=3), {}), (PriResp(Opcode=0x41, Resp=3), {}),
    (queues.TlbiAddress(Opcode=0x12, TG=1), {}), (queues.TlbiAddress(Opcode=0x12, NUM=1), {}),
    (queues.TlbiAddress(Opcode=0x12, TG=1, NUM=1), {"RIL": 0}), (queues.TlbiAddress(Opcode=0x2A, TTL=1), {"RIL": 0}),
])  # fmt: skip
def test_commands_that_are_illegal_here(command: Command, caps: dict[str, int]) -> None:
    """Commands of features that are not there, and reserved parameter values, are CERROR_ILL."""
    assert Rig(capabilities(**caps)).command(command) == 1


def test_command_errors_stop_the_queue_until_acknowledged() -> None:
    """After an error nothing is consumed until GERRORN is written; then the queue goes on where it stopped."""
    rig = Rig()
    assert rig.command(good(0x46), Command(Opcode=0xFF), good(0x46)) == 1
    assert rig.read(regs.CMDQ_CONS).RD == 1
    rig.command(good(0x46))
    assert rig.read(regs.CMDQ_CONS).RD == 1
    rig.memory.write(COMMAND_MEMORY + 16, bytes(good(0x46)))
    rig.write(regs.GERRORN(CMDQ_ERR=1))
    cons = rig.read(regs.CMDQ_CONS)
    assert (cons.RD, cons.ERR) == (4, 0)
    rig.memory.inject(COMMAND_MEMORY + 4 * 16, on="read")
    assert rig.command(good(0x46)) == 2
    assert rig.read(regs.GERROR).CMDQ_ERR == 0  # toggled again
    rig.memory.heal()
    rig.write(regs.GERRORN(CMDQ_ERR=0))
    assert rig.read(regs.CMDQ_CONS).RD == 5


def test_command_queue_wraps() -> None:
    """Indexes run through the wrap bit; a full queue of 16 is consumed whole."""
    rig = Rig()
    for _ in range(5):
        assert rig.command(*[good(0x46)] * 16) == 0
        assert rig.read(regs.CMDQ_CONS).RD == rig.read(regs.CMDQ_PROD).WR


def test_sync_completion() -> None:
    """CMD_SYNC signals by nothing, by a message, by a wire; a message that aborts is a global error."""
    rig = Rig()
    rig.command(Sync(Opcode=0x46, CS=1, MSIData=0xCAFE, MSIAddress=0x7000))
    assert rig.memory.read(0x7000, 4) == bytes.fromhex("feca0000")
    rig.command(Sync(Opcode=0x46, CS=1), Sync(Opcode=0x46, CS=2))
    assert rig.model.interrupts == ["cmdq-sync"]
    rig.memory.inject(0x7000)
    rig.command(Sync(Opcode=0x46, CS=1, MSIAddress=0x7000))
    rig.command(Sync(Opcode=0x46, CS=1, MSIAddress=0x7000))
    assert rig.read(regs.GERROR).MSI_CMDQ_ABT_ERR == 1


def test_interrupts() -> None:
    """Event queue, PRI queue and global errors interrupt when enabled, by message where an address is given."""
    rig = Rig()
    rig.send(0, 63)
    rig.write(regs.IRQ_CTRL(EVENTQ_IRQEN=1, PRIQ_IRQEN=1, GERROR_IRQEN=1))
    assert rig.read(regs.IRQ_CTRLACK).value == 7
    rig.send(0, 63)
    rig.events()
    rig.send(0, 62)
    rig.send(0, 61)
    rig.model.page_request(PageRequest(StreamID=1))
    rig.command(Command(Opcode=0xFF))
    assert rig.model.interrupts == ["eventq", "priq", "gerror"]
    rig.events()
    rig.write(regs.EVENTQ_IRQ_CFG0(ADDR=0x7000))
    rig.write(regs.EVENTQ_IRQ_CFG1(DATA=0x55))
    rig.send(0, 62)
    assert rig.memory.read(0x7000, 4) == bytes.fromhex("55000000")
    rig.events()
    rig.memory.inject(0x7000)
    rig.send(0, 61)
    assert rig.read(regs.GERROR).MSI_EVENTQ_ABT_ERR == 1


def test_event_queue_wraps_and_overflows() -> None:
    """A full queue drops events and toggles OVFLG once, until OVACKFLG follows; indexes wrap."""
    rig = Rig()
    for lap in range(3):
        for number in range(20):
            rig.send(0, 32 + number)
        prod, cons = rig.read(regs.EVENTQ_PROD), rig.read(regs.EVENTQ_CONS)
        assert (prod.WR - cons.RD) % 32 == 16
        assert prod.OVFLG != cons.OVACKFLG
        assert [event.stream_id for event in rig.events()] == list(range(32, 48))
        prod, cons = rig.read(regs.EVENTQ_PROD), rig.read(regs.EVENTQ_CONS)
        assert (1 - lap % 2, 1 - lap % 2) == (prod.OVFLG, cons.OVACKFLG)
    rig.write(regs.CR0(SMMUEN=1))
    rig.send(0, 50)
    assert rig.read(regs.EVENTQ_PROD).WR == rig.read(regs.EVENTQ_CONS).RD
    assert rig.read(regs.EVENTQ_PROD).OVFLG == rig.read(regs.EVENTQ_CONS).OVACKFLG


def test_event_queue_that_cannot_be_written() -> None:
    """An abort sets EVENTQ_ABT_ERR, loses the event, and stops the queue until acknowledged."""
    rig = Rig()
    rig.memory.inject(EVENTS, length=32)
    rig.send(0, 40)
    assert rig.read(regs.GERROR).EVENTQ_ABT_ERR == 1
    rig.memory.heal()
    rig.send(0, 41)
    assert rig.events() == []
    rig.write(regs.GERRORN(EVENTQ_ABT_ERR=1))
    rig.send(0, 42)
    assert [event.stream_id for event in rig.events()] == [42]


def test_merging() -> None:
    """Events that differ only below the page merge while the first is unread, if MEV allows it; stalls never do."""
    for mev, merging, count in ((0, True, 4), (1, True, 2), (1, False, 4)):
        rig = Rig(merging=merging)
        rig.stage1(MEV=mev)
        rig.cd(TTB0=rig.page())
        for address in (0, 8, 0xFF8, 0x1000):
            rig.send(address)
        assert len(rig.events()) == count
        rig.send(0x1000)
        assert len(rig.events()) == 1
        rig.stage1(4, MEV=mev, S1ContextPtr=CONTEXT + 64)
        rig.cd(CONTEXT + 64, TTB0=rig.page(), S=1)
        rig.send(0, 4)
        rig.send(0, 4)
        assert len(rig.events()) == 2
        for _ in range(3):
            rig.send(0, 50)
        assert len(rig.events()) == (1 if merging else 3)  # C_BAD_STE may always be merged


def test_pri_queue() -> None:
    """Page requests are queued until the queue is full, then refused with an overflow; responses are noted."""
    rig = Rig()
    request = PageRequest(StreamID=9, R=1, Last=1, PRGIndex=3, Addr=0x5000)
    assert [rig.model.page_request(request) for _ in range(5)] == [True] * 4 + [False]
    assert rig.memory.read(REQUESTS, 16) == bytes(request)
    assert (rig.read(regs.PRIQ_PROD).WR, rig.read(regs.PRIQ_PROD).OVFLG) == (4, 1)
    rig.command(PriResp(Opcode=0x41, StreamID=9, PRGIndex=3, Resp=2))
    assert rig.model.page_responses[0].PRGIndex == 3
    rig.write(regs.PRIQ_CONS(RD=4, OVACKFLG=1))
    rig.memory.inject(REQUESTS)
    assert not rig.model.page_request(request)
    assert rig.read(regs.GERROR).PRIQ_ABT_ERR == 1
    assert not Rig(capabilities(PRI=0)).model.page_request(request)


def test_events_without_a_transaction() -> None:
    """A page request hint is recorded as it is."""
    rig = Rig()
    rig.model.record(PageRequestEvent(Number=0x24, StreamID=5, Span=4, uR=1, InputAddr=0x6000))
    (event,) = rig.events()
    assert (event.name, event.address, event.reserved) == ("E_PAGE_REQUEST", 0x6000, 0)


@pytest.mark.parametrize("layout", [
    layout for layout in vars(regs).values()
    if isinstance(layout, type) and issubclass(layout, Bits) and layout.size and layout.offset
])  # fmt: skip
def test_reserved_bits_of_every_register(layout: type[Bits]) -> None:
    """Reserved bits of each register, written one at a time, read as zeros and change nothing."""
    rig = Rig(enable=False)
    before = rig.model.read_register(layout.offset, layout.size)
    for bit in range(layout.width):
        if layout.reserved_mask >> bit & 1:
            rig.model.write_register(layout.offset, before | 1 << bit, layout.size)
            assert rig.model.read_register(layout.offset, layout.size) == before, bit


def test_registers_in_halves_and_locks() -> None:
    """64-bit registers take 32-bit halves, read-only and unknown ones nothing, and enables lock what they use."""
    rig = Rig(enable=False)
    rig.model.write_register(0x80, 0x12340, 4)
    rig.model.write_register(0x84, 0x77, 4)
    assert rig.model.read_register(0x80, 8) == 0x77_0001_2340
    assert rig.model.read_register(0x84, 4) == 0x77
    rig.model.write_register(0, 0xFFFFFFFF, 4)
    rig.model.write_register(0xF00, 0xFFFFFFFF, 4)
    assert (rig.read(regs.IDR0).value, rig.model.read_register(0xF00, 8)) == (rig.model.caps.idr0.value, 0)
    assert rig.model.read_register(0x0, 8) == rig.model.caps.idr1.value << 32 | rig.model.caps.idr0.value
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1, PRIQEN=1))
    for layout in (regs.CR2, regs.STRTAB_BASE, regs.STRTAB_BASE_CFG, regs.CMDQ_BASE, regs.CMDQ_CONS, regs.EVENTQ_BASE,
                   regs.EVENTQ_PROD, regs.PRIQ_BASE, regs.PRIQ_PROD):  # fmt: skip
        before = rig.read(layout).value
        rig.write(layout(before ^ layout.fields[-1].mask))
        assert rig.read(layout).value == before


# --- what is cached, and what makes it go -----------------------------------------------------------------------------

TLBI = queues.TlbiAddress


@pytest.mark.parametrize(("command", "gone"), [
    (good(0x30), True), (queues.TlbiVmid(Opcode=0x10), True), (queues.TlbiVmid(Opcode=0x10, VMID=1), False),
    (queues.TlbiAsid(Opcode=0x11, ASID=7), True), (queues.TlbiAsid(Opcode=0x11, ASID=8), False),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA), True), (TLBI(Opcode=0x12, ASID=7, Addr=VA, Leaf=1), True),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA + 0x1000), False), (TLBI(Opcode=0x12, ASID=8, Addr=VA), False),
    (TLBI(Opcode=0x13, Addr=VA), True), (TLBI(Opcode=0x13, VMID=1, Addr=VA), False),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA - 0x3000, TG=1, NUM=3), True),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA - 0x3000, TG=1, NUM=2), False),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA - 0x4000, TG=1, NUM=0, SCALE=3), True),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA, TG=1, TTL=3), True), (TLBI(Opcode=0x12, ASID=7, Addr=VA, TG=1, TTL=2), False),
    (TLBI(Opcode=0x12, ASID=7, Addr=VA, TG=2, NUM=1), False), (TLBI(Opcode=0x12, ASID=7, Addr=VA, TG=3, NUM=1), False),
    (good(0x20), False), (good(0x28), True), (TLBI(Opcode=0x2A, Addr=VA), False), (good(0x01), False),
    (queues.CfgiSteRange(Opcode=4, Range=31), False),
])  # fmt: skip
def test_stage1_entries_stay_until_a_command_names_them(command: Command, gone: bool) -> None:
    """After the table changed, the old translation is seen until an invalidation whose scope it is in."""
    rig = simple_stage1()
    assert rig.model.translate(SID, VA) == PA
    assert len(rig.model.tlb) == 1
    root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
    rig.leaf(root, 12, 48, 0, VA, 3, PA + 0x5000 | S1_RW | 2)
    assert rig.model.translate(SID, VA) == PA
    assert rig.command(command) == 0
    assert rig.model.translate(SID, VA) == (PA + 0x5000 if gone else PA)


@pytest.mark.parametrize(("e2h", "command", "gone"), [
    (0, good(0x20), True), (1, good(0x20), True), (0, TLBI(Opcode=0x22, Addr=VA), True),
    (1, TLBI(Opcode=0x22, Addr=VA, ASID=7), True), (1, TLBI(Opcode=0x22, Addr=VA, ASID=8), False),
    (1, queues.TlbiAsid(Opcode=0x21, ASID=7), True), (0, queues.TlbiAsid(Opcode=0x21, ASID=7), False),
    (0, TLBI(Opcode=0x23, Addr=VA), True), (1, TLBI(Opcode=0x23, Addr=VA), True), (0, good(0x30), False),
])  # fmt: skip
def test_el2_entries(e2h: int, command: Command, gone: bool) -> None:
    """Entries of EL2 go with the EL2 commands, by ASID with E2H only."""
    rig = Rig(enable=False)
    rig.write(regs.CR2(E2H=e2h))
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1))
    root = rig.page()
    rig.stage1(STRW=2)
    rig.cd(TTB0=root)
    place = rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW | 2)[-1]
    assert rig.model.translate(SID, VA) == PA
    rig.memory.write_u64(place, 0)
    assert rig.command(command) == 0
    assert rig.model.translate(SID, VA) == (-1 if gone else PA)


@pytest.mark.parametrize(("command", "gone"), [
    (TLBI(Opcode=0x2A, VMID=9, Addr=0x50_0000_0000), False), (queues.TlbiVmid(Opcode=0x28, VMID=9), True),
    (queues.TlbiVmid(Opcode=0x10, VMID=9), False), (queues.TlbiVmid(Opcode=0x28, VMID=8), False), (good(0x30), True),
])  # fmt: skip
def test_combined_entries_are_not_found_by_ipa(command: Command, gone: bool) -> None:
    """A change of stage 2 under both stages shows after invalidation by VMID; by IPA alone the combination stays."""
    rig, _, root2 = nested()
    place = rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)[-1]
    assert rig.model.translate(SID, VA) == PA
    rig.memory.write_u64(place, PA + 0x9000 | S2_RW | 2)
    rig.command(command)
    assert rig.model.translate(SID, VA) == (PA + 0x9000 if gone else PA)
    rig.command(TLBI(Opcode=0x2A, VMID=9, Addr=0x50_0000_0000), queues.TlbiVmid(Opcode=0x10, VMID=9))
    assert rig.model.translate(SID, VA) == PA + 0x9000


def test_table_descriptors_are_cached_and_leaf_invalidations_leave_them() -> None:
    """After a table was replaced, Leaf = 1 still walks the old one; Leaf = 0 finds the new one."""
    rig = simple_stage1()
    root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
    places = rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW | 2)
    assert rig.model.translate(SID, VA) == PA
    new = rig.page()
    rig.memory.write_u64(new + 8 * (VA >> 12 & 511), PA + 0x7000 | S1_RW | 2)
    rig.memory.write_u64(places[2], new | 3)
    rig.command(TLBI(Opcode=0x12, ASID=7, Addr=VA, Leaf=1))
    assert rig.model.translate(SID, VA) == PA
    rig.command(TLBI(Opcode=0x12, ASID=7, Addr=VA))
    assert rig.model.translate(SID, VA) == PA + 0x7000


def test_global_entries() -> None:
    """An entry with nG = 0 serves all ASIDs of its VMID and does not go with one ASID."""
    rig = simple_stage1(attributes=S1_RW & ~(1 << 11))
    rig.stage1(4, S1ContextPtr=CONTEXT + 64)
    rig.cd(CONTEXT + 64, TTB0=rig.page(), ASID=8)
    assert rig.model.translate(SID, VA) == PA
    assert rig.model.translate(4, VA) == PA
    rig.command(queues.TlbiAsid(Opcode=0x11, ASID=7))
    assert rig.model.translate(4, VA) == PA
    rig.command(TLBI(Opcode=0x12, ASID=1, Addr=VA))
    assert rig.model.translate(4, VA) == -1


@pytest.mark.parametrize(("command", "seen"), [
    (good(0x30), "old"), (queues.CfgiSte(Opcode=3, StreamID=SID, Leaf=1), "both"),
    (queues.CfgiSte(Opcode=3, StreamID=4), "old"), (queues.CfgiSteRange(Opcode=4, StreamID=SID, Range=0), "both"),
    (queues.CfgiSteRange(Opcode=4, StreamID=8, Range=1), "old"), (queues.CfgiSteRange(Opcode=4, Range=31), "both"),
    (queues.CfgiCd(Opcode=5, StreamID=SID), "cd"), (queues.CfgiCd(Opcode=5, StreamID=SID, SubstreamID=1), "old"),
    (queues.CfgiCdAll(Opcode=6, StreamID=SID), "cd"), (queues.CfgiCdAll(Opcode=6, StreamID=4), "old"),
])  # fmt: skip
def test_configuration_stays_until_a_command_names_it(command: Command, seen: str) -> None:
    """A changed STE or CD is seen after an invalidation of that stream, or that CD, and no earlier."""
    rig = simple_stage1()
    assert rig.model.translate(SID, VA) == PA
    assert len(rig.model.configuration) == 2
    other = rig.page()
    rig.leaf(other, 12, 48, 0, VA, 3, PA + 0x1000 | S1_RW | 2)
    rig.cd(TTB0=other, ASID=8)
    rig.cd(CONTEXT + 64, TTB0=other, ASID=9, EPD0=1)
    rig.stage1(S1ContextPtr=CONTEXT + 64)
    assert rig.command(command) == 0
    assert rig.model.translate(SID, VA) == {"old": PA, "cd": PA + 0x1000, "both": -1}[seen]
