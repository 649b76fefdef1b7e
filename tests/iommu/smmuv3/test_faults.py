"""Memory faults at each step, priorities, recording rules, stalls, ATS, and conflicts of cached entries."""

from __future__ import annotations

import pytest
from iommuman.iommu.smmuv3.layout import L1STD
from iommuman.iommu.smmuv3.layout import registers as regs
from iommuman.iommu.smmuv3.layout.queues import CfgiSteRange, Resume, StallTerm, TlbiAll, TlbiVmid
from iommuman.iommu.smmuv3.model import PRIVILEGED, WRITE

from .rig import AF, CONTEXT, NG, S1_RW, S2_RW, SID, STREAMS, Rig, capabilities, simple_stage1
from .test_translation import PA, VA, nested
from .test_validity import two_level_rig


@pytest.mark.parametrize("kind", ["access", "corruption"])
@pytest.mark.parametrize("granule", [12, 14, 16])
@pytest.mark.parametrize("stage", [1, 2])
def test_aborts_at_each_level_of_a_walk(kind: str, granule: int, stage: int) -> None:
    """A descriptor that cannot be read gives F_WALK_EABT with its address, stage and class; later the walk works."""
    rig = Rig()
    bits, start = (48, 4 - -(-(48 - granule) // (granule - 3))) if stage == 1 else (40, {12: 1, 14: 2, 16: 2}[granule])
    root = rig.page(0x20000)
    tg = {12: 0, 14: 2, 16: 1}[granule]
    if stage == 1:
        rig.stage1()
        rig.cd(TTB0=root, TG0=tg)
    else:
        rig.stage2(S2TTB=root, S2TG=tg)
    address = 0x1_2345_0000
    places = rig.leaf(root, granule, bits, start, address, 3, PA | (S1_RW if stage == 1 else S2_RW) | 2)
    for place in places:
        rig.memory.inject(place, kind)  # type: ignore[arg-type]
        assert rig.send(address, write=True, privileged=True).result == "abort"
        (event,) = rig.events()
        assert (event.name, event.stage, event.fetch_address) == ("F_WALK_EABT", stage, place)
        assert (event.during, event.address, event.write, event.privileged) == (
            "TT" if stage == 1 else "IN", address, True, True,
        )  # fmt: skip
        rig.memory.heal()
    assert rig.model.translate(SID, address, WRITE) == PA


def test_aborts_at_each_step_of_a_nested_translation() -> None:
    """Every structure read on the way of a nested translation, made unreadable in turn, gives the event of its kind."""
    rig, _, root2 = nested()
    rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)
    seen: dict[int, str] = {}
    original = type(rig.memory).read_u64
    places: list[int] = []

    class Noting(type(rig.memory)):  # type: ignore[misc]
        def read_u64(self, address: int) -> int:
            places.append(address)
            return original(self, address)

    rig.memory.__class__ = Noting
    assert rig.model.translate(SID, VA) == PA
    rig.memory.__class__ = Noting.__mro__[1]
    for place in dict.fromkeys([STREAMS + 64 * SID, CONTEXT, *places]):
        fresh, _, root2 = nested()
        fresh.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)
        fresh.memory.inject(place)
        assert fresh.model.translate(SID, VA) == -1
        (event,) = fresh.events()
        assert event.fetch_address == place
        seen[place] = f"{event.name} {event.stage} {event.during}"
    assert set(seen.values()) == {
        "F_STE_FETCH None None", "F_CD_FETCH None None", "F_WALK_EABT 1 TT", "F_WALK_EABT 2 CD", "F_WALK_EABT 2 IN",
    }  # fmt: skip
    # With the CD cached, the same stage 2 descriptors are read for the walk of stage 1.
    rig.command(TlbiAll(Opcode=0x30))
    rig.memory.inject(root2 + 8 * 4)
    assert rig.model.translate(SID, VA) == -1
    (event,) = rig.events()
    assert (event.name, event.stage, event.during) == ("F_WALK_EABT", 2, "TT")


def test_aborts_of_two_level_tables_and_of_updates() -> None:
    """L1STD, L1CD, VMS, and descriptors that cannot be written have their events too."""
    rig = two_level_rig(L1STD(Span=9, L2Ptr=0x20000).value)
    rig.memory.inject(0x18008)
    rig.send(0, 0x105)
    (event,) = rig.events()
    assert (event.name, event.fetch_address) == ("F_STE_FETCH", 0x18008)
    rig = Rig()
    rig.stage1(S1CDMax=8, S1Fmt=1, S1DSS=2)
    rig.memory.inject(CONTEXT)
    rig.send(0)
    rig.memory.heal()
    rig.send(0)
    rig.memory.write_u64(CONTEXT, 1 << 50 | 1)
    rig.command(CfgiSteRange(Opcode=4, Range=31))
    rig.send(0, substream_id=1)
    first, second, third = rig.events()
    assert (first.name, first.fetch_address) == ("F_CD_FETCH", CONTEXT)
    assert (second.name, second.substream_id) == ("C_BAD_SUBSTREAMID", 0)  # L1CD.V = 0, found without a substream
    assert (third.name, third.substream_id) == ("C_BAD_SUBSTREAMID", 1)  # L2Ptr out of range
    rig, _, _ = nested({"MPAM": 1}, S1MPAM=1, VMSPtr=0x7000)
    rig.memory.inject(0x7000)
    rig.send(VA)
    (event,) = rig.events()
    assert (event.name, event.fetch_address) == ("F_VMS_FETCH", 0x7000)
    rig = simple_stage1(attributes=S1_RW & ~AF, HA=1)
    root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
    place = rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW & ~AF | 2)[-1]
    rig.memory.inject(place, on="write")
    rig.send(VA)
    (event,) = rig.events()
    assert (event.name, event.fetch_address, event.during) == ("F_WALK_EABT", place, "TT")
    rig = Rig()
    rig.stage1(S1ContextPtr=1 << 47)
    rig.model.configuration.program(regs.STRTAB_BASE(ADDR=1 << 50), regs.STRTAB_BASE_CFG(LOG2SIZE=6), e2h=False)
    rig.send(0)
    assert rig.names() == ["F_STE_FETCH"]  # an address beyond the output size is not fetched


def test_address_size_faults_come_first() -> None:
    """A descriptor whose output is too large gives F_ADDR_SIZE before access flag and permission are looked at."""
    rig = simple_stage1(attributes=1 | 3 << 6, IPS=1)
    assert rig.send(VA, write=True).reason == "output of descriptor"
    rig.cd(CONTEXT + 64, TTB0=0x50000, IPS=2, ASID=8)
    rig.stage1(4, S1ContextPtr=CONTEXT + 64)
    rig.memory.write_u64(0x50000, 1 << 40 | 3)
    rig.send(0, 4)
    rig.ste(5, V=1, Config=6, S2T0SZ=24, S2SL0=1, S2PS=0, S2AA64=1, S2R=1, S2TTB=0x60000)
    rig.memory.write_u64(0x60000, 1 << 32 | 1)
    rig.send(0, 5)
    first, second, third = rig.events()
    assert (first.name, first.stage, first.during) == ("F_ADDR_SIZE", 1, "IN")
    assert (second.name, second.stage) == ("F_ADDR_SIZE", 1)
    assert (third.name, third.stage, third.ipa) == ("F_ADDR_SIZE", 2, 0)


def test_priority_of_events() -> None:
    """With everything wrong at once, mending one thing after another brings the events out in the order of 7.3.22."""
    rig = Rig()
    clear = CfgiSteRange(Opcode=4, Range=31)
    names = []

    def step() -> None:
        rig.command(clear, TlbiAll(Opcode=0x30))
        rig.send(VA, substream_id=5, write=True)
        (event,) = rig.events()
        names.append(f"{event.name} {event.stage or ''}")

    rig.memory.inject(STREAMS + 64 * SID, length=64)
    step()
    rig.memory.heal()
    rig.ste(V=0, S1CDMax=2)
    step()
    root1, root2 = rig.page(), rig.page(0x2000)
    ste = {"V": 1, "Config": 7, "S2T0SZ": 24, "S2SL0": 1, "S2PS": 2, "S2AA64": 1, "S2R": 1, "S2TTB": root2}
    ste |= {"S1ContextPtr": CONTEXT - 5 * 64 >> 9 << 9}
    rig.ste(**ste)
    step()
    rig.ste(**ste | {"S1CDMax": 3})
    step()
    at = (CONTEXT - 5 * 64 >> 9 << 9) + 5 * 64
    for page in (at >> 12, *range(0x100, 0x140)):
        rig.leaf(root2, 12, 40, 1, page << 12, 3, page << 12 | S2_RW | 2)
    rig.memory.inject(at, length=64)
    step()
    rig.memory.heal()
    step()
    rig.cd(at, TTB0=root1, T0SZ=30)
    step()
    rig.cd(at, TTB0=root1)
    rig.memory.inject(root1)
    step()
    rig.memory.heal()
    step()
    places = rig.leaf(root1, 12, 48, 0, VA, 3, 1 << 47 | 3)
    rig.cd(at, TTB0=root1, IPS=2)
    step()
    rig.memory.write_u64(places[-1], 0x60_0000_0000 | 3)
    step()
    rig.memory.write_u64(places[-1], 0x60_0000_0000 | 3 | AF)
    step()
    rig.memory.write_u64(places[-1], 0x60_0000_0000 | 3 | AF | 1 << 6)
    step()
    leaf = rig.leaf(root2, 12, 40, 1, 0x60_0000_0000, 3, 1 << 41 | 3)[-1]
    step()
    rig.memory.write_u64(leaf, 0x7000 | 3)
    step()
    rig.memory.write_u64(leaf, 0x7000 | 3 | AF)
    step()
    assert names == [
        "F_STE_FETCH ", "C_BAD_STE ", "C_BAD_SUBSTREAMID ", "F_TRANSLATION 2", "F_CD_FETCH ", "C_BAD_CD ",
        "F_TRANSLATION 1", "F_WALK_EABT 1", "F_TRANSLATION 1", "F_ADDR_SIZE 1", "F_ACCESS 1", "F_PERMISSION 1",
        "F_TRANSLATION 2", "F_ADDR_SIZE 2", "F_ACCESS 2", "F_PERMISSION 2",
    ]  # fmt: skip


@pytest.mark.parametrize(("a", "r", "s"), [(a, r, s) for a in (0, 1) for r in (0, 1) for s in (0, 1)])
def test_recording_rules(a: int, r: int, s: int) -> None:
    """A, R and S of a CD, S2R and S2S of an STE decide about abort, record and stall of translation faults only."""
    rig = Rig()
    root = rig.page()
    rig.stage1()
    rig.cd(TTB0=root, A=a, R=r, S=s)
    outcome = rig.send(VA)
    assert outcome.result == ("stall" if s else "abort" if a else "raz_wi")
    assert rig.names() == ["F_TRANSLATION"] * (r | s)
    rig.memory.inject(root)
    assert rig.send(0).result == "abort"
    assert rig.names() == ["F_WALK_EABT"]
    rig.stage2(4, S2R=r, S2S=s)
    assert rig.send(VA, 4).result == ("stall" if s else "abort")
    assert rig.names() == ["F_TRANSLATION"] * (r | s)


def test_stalls_are_resumed_or_ended() -> None:
    """CMD_RESUME retries, aborts or ends with RAZ/WI; a wrong stream or tag has no effect; CMD_STALL_TERM ends all."""
    rig = Rig(capabilities(STALL_MAX=2))
    root = rig.page()
    rig.stage1()
    rig.cd(TTB0=root, S=1)
    outcomes = [rig.send(VA, write=write) for write in (False, True, False)]
    assert [outcome.stag for outcome in outcomes] == [0, 1, None]
    assert outcomes[2].reason == "IDR5.STALL_MAX"
    first, second = rig.events()
    assert (first.stag, second.stag, first.write, second.write) == (0, 1, False, True)
    rig.command(Resume(Opcode=0x44, StreamID=4, STAG=0, Ac=1), Resume(Opcode=0x44, StreamID=SID, STAG=7))
    assert rig.model.finished == []
    rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW | 2)
    rig.command(Resume(Opcode=0x44, StreamID=SID, STAG=0, Ac=1))
    assert [outcome.address for _, outcome in rig.model.finished] == [PA, PA]  # the one that waited came next
    rig.command(Resume(Opcode=0x44, StreamID=SID, STAG=1))
    assert rig.model.finished[2][1].result == "raz_wi"
    stalled = rig.send(VA + 0x1000)
    rig.command(Resume(Opcode=0x44, StreamID=SID, STAG=stalled.stag or 0, Ac=1))
    assert rig.send(VA + 0x2000).stag == 1
    rig.command(Resume(Opcode=0x44, StreamID=SID, STAG=1, Ab=1))
    assert rig.model.finished[3][1].result == "abort"
    rig.command(StallTerm(Opcode=0x45, StreamID=SID))
    assert rig.model.finished[4][1].reason == "CMD_STALL_TERM"
    rig.send(VA + 0x3000)
    rig.write(regs.CR0(CMDQEN=1, EVENTQEN=1))
    assert rig.model.finished[5][1].reason == "SMMUEN"
    forced = Rig(capabilities(TERM_MODEL=1))
    forced.stage1()
    forced.cd(TTB0=forced.page(), S=1)
    forced.send(0)
    forced.command(Resume(Opcode=0x44, StreamID=SID, STAG=0))
    assert forced.model.finished[0][1].result == "abort"


def test_stall_events_wait_for_the_queue() -> None:
    """The event of a stalled transaction is not lost when the queue is full: it is written once there is room."""
    rig = Rig(capabilities(STALL_MAX=4))
    rig.stage1()
    rig.cd(TTB0=rig.page())
    rig.stage1(4, S1ContextPtr=CONTEXT + 64)
    rig.cd(CONTEXT + 64, TTB0=rig.page(), S=1)
    for number in range(16):
        rig.send(number << 12)
    assert rig.send(0x1000, 4).result == "stall"
    assert rig.read(regs.EVENTQ_PROD).OVFLG == 0
    assert [event.stag for event in rig.events()] == [None] * 16
    assert [event.stag for event in rig.events()] == [0]


def test_ats() -> None:
    """Translation requests and translated transactions: allowed by EATS, refused with their own events, else silent."""
    rig = simple_stage1()
    assert rig.send(VA, kind="ats_request").reason == "EATS"
    assert rig.send(PA, kind="translated").address == PA  # ATSCHK is 0
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1, ATSCHK=1))
    assert rig.send(PA, kind="translated", write=True).reason == "EATS"
    request, forbidden = rig.events()
    assert (request.name, request.address) == ("F_BAD_ATS_TREQ", VA)
    assert (forbidden.name, forbidden.address, forbidden.write) == ("F_TRANSL_FORBIDDEN", PA, True)
    rig.stage1(4, EATS=1)
    assert rig.send(VA, 4, kind="ats_request").address == PA
    assert rig.send(PA, 4, kind="translated").address == PA
    assert rig.send(0, 4, kind="ats_request").result == "abort"
    assert rig.send(0, 5, kind="ats_request").result == "abort"  # STE.V = 0
    rig.ste(6, V=1, Config=4, EATS=1)
    assert rig.send(0, 6, kind="ats_request").result == "abort"
    rig.ste(7, V=1)
    assert rig.send(0, 7, kind="ats_request").reason == "STE.Config"
    assert rig.names() == ["F_BAD_ATS_TREQ"]
    rig.write(regs.CR0(CMDQEN=1, EVENTQEN=1))
    assert rig.send(0, kind="ats_request").reason == "SMMUEN"
    assert rig.send(0, kind="translated").reason == "SMMUEN"
    assert rig.names() == ["F_BAD_ATS_TREQ", "F_TRANSL_FORBIDDEN"]


def test_split_stage_ats() -> None:
    """With EATS = 2 a request gets the IPA, and a translated transaction still goes through stage 2."""
    rig, _, root2 = nested(EATS=2)
    rig.write(regs.CR0(SMMUEN=1, CMDQEN=1, EVENTQEN=1, ATSCHK=1))
    assert rig.send(VA + 4, kind="ats_request").address == 0x50_0000_0004
    assert rig.send(0x50_0000_0004, kind="translated").reason == "descriptor"
    (event,) = rig.events()
    assert (event.name, event.stage) == ("F_TRANSLATION", 2)
    rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW | 2)
    assert rig.send(0x50_0000_0004, kind="translated").address == PA + 4
    rig.stage2(4, Config=7, S1CDMax=2, S1DSS=1, S1ContextPtr=CONTEXT, EATS=2)
    assert rig.send(0x123, 4, kind="ats_request").address == 0x123


def test_unsupported_transactions() -> None:
    """F_UUT tells the attributes as they came in, whether or not translation is enabled."""
    rig = Rig(enable=False)
    rig.write(regs.CR0(EVENTQEN=1))
    rig.send(0x1234, unsupported=True, instruction=True, substream_id=9)
    (event,) = rig.events()
    assert (event.name, event.address, event.instruction, event.substream_id) == ("F_UUT", 0x1234, True, 9)


@pytest.mark.parametrize("bbml", [0, 1, 2])
def test_conflicting_entries(bbml: int) -> None:
    """A table replaced by a block without break-before-make makes two entries match: a conflict unless BBML is 2."""
    rig = Rig(capabilities(BBML=bbml))
    root = rig.page()
    rig.stage1()
    rig.cd(TTB0=root)
    places = rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW | 2)
    assert rig.model.translate(SID, VA) == PA
    rig.memory.write_u64(places[2], PA | S1_RW)
    rig.command(TlbiVmid(Opcode=0x10, VMID=1))  # another VMID: nothing goes
    rig.model.tlb.space(("EL1", 0, 7)).tables.clear()
    assert rig.model.translate(SID, VA + 0x1000) == PA + 0x1000
    assert rig.model.translate(SID, VA) == (PA if bbml == 2 else -1)
    assert rig.names() == ([] if bbml == 2 else ["F_TLB_CONFLICT"])
    table = rig.stage2(4)
    places = rig.leaf(table, 12, 40, 1, 0, 3, PA | S2_RW | 2)
    assert rig.model.translate(4, 8) == PA + 8
    rig.memory.write_u64(places[1], PA | S2_RW)
    rig.model.tlb.space(("S2", 9, -1)).tables.clear()
    assert rig.model.translate(4, 0x1000) == PA + 0x1000
    rig.send(8, 4)
    events = rig.events()
    assert [(event.name, event.stage, event.ipa) for event in events] == (
        [] if bbml == 2 else [("F_TLB_CONFLICT", 2, 0)]
    )


def test_overlapping_stream_table_entries() -> None:
    """STE.CONT promises identical entries; another one in the span is F_CFG_CONFLICT."""
    rig = Rig()
    for sid in (8, 9):
        rig.ste(sid, V=1, Config=4, CONT=2)
    rig.ste(10, V=1, Config=4)
    rig.ste(12, V=1, Config=4)
    assert [rig.model.translate(sid, 0x40) for sid in (8, 9, 10, 12)] == [0x40, 0x40, -1, 0x40]
    (event,) = rig.events()
    assert (event.name, event.stream_id, event.reserved) == ("F_CFG_CONFLICT", 10, 0)


def test_cached_permissions_fault_without_a_walk() -> None:
    """A cached entry refuses what it does not grant, telling the stage, even if memory grants it by now."""
    rig = simple_stage1(attributes=AF | NG | 1 | 3 << 6)
    assert rig.model.translate(SID, VA) == PA
    root = (rig.memory.read_u64(CONTEXT + 8) >> 4 << 4) & (1 << 52) - 1
    rig.leaf(root, 12, 48, 0, VA, 3, PA | S1_RW | 2)
    assert rig.model.translate(SID, VA, WRITE) == -1
    assert rig.model.translate(SID, VA, PRIVILEGED | WRITE) == -1
    assert rig.names() == ["F_PERMISSION"] * 2
    rig = Rig()
    table = rig.stage2()
    place = rig.leaf(table, 12, 40, 1, 0, 3, PA | S2_RW & ~0x80 | 2)[-1]
    assert rig.model.translate(SID, 0) == PA
    rig.memory.write_u64(place, PA | S2_RW | 2)
    assert rig.model.translate(SID, 0, WRITE) == -1
    (event,) = rig.events()
    assert (event.name, event.stage) == ("F_PERMISSION", 2)


def test_a_read_only_entry_made_dirty_is_walked_again() -> None:
    """A write through a cached clean entry walks again and sets the page dirty, in one stage and in two."""
    clean = AF | NG | 3 | 3 << 6 | 1 << 51
    rig = simple_stage1(attributes=clean & ~2, HA=1, HD=1)
    assert rig.model.translate(SID, VA) == PA
    assert rig.model.translate(SID, VA, WRITE) == PA
    rig, table1, root2 = nested(S2HA=1, S2HD=1)
    root1 = rig.memory.read_u64(CONTEXT + 8) >> 4 << 4
    rig.cd(TTB0=root1, HA=1, HD=1)
    rig.memory.write_u64(table1, 0x50_0000_0000 | clean)
    place = rig.leaf(root2, 12, 40, 1, 0x50_0000_0000, 3, PA | S2_RW & ~0x80 | 2 | 1 << 51)[-1]
    assert rig.model.translate(SID, VA) == PA
    assert rig.model.translate(SID, VA, WRITE) == PA
    assert rig.memory.read_u64(place) >> 6 & 3 == 3
    assert rig.memory.read_u64(table1) >> 6 & 3 == 1


def test_decoding_is_remembered_by_value_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many different entries there are, what is remembered of them stays small, and right."""
    monkeypatch.setattr("iommuman.iommu.smmuv3.model.configuration._MOST_MEANINGS", 2)
    rig = Rig()
    for sid in range(8):
        rig.stage1(sid, S1ContextPtr=CONTEXT + 64 * sid)
        rig.cd(CONTEXT + 64 * sid, TTB0=0x40000 + 0x1000 * sid, ASID=sid)
        rig.memory.write_u64(0x40000 + 0x1000 * sid, 0x50003)
    rig.memory.write_u64(0x50000, PA | S1_RW)
    assert [rig.model.translate(sid, 8) for sid in (*range(8), 0, 1)] == [PA + 8] * 10
