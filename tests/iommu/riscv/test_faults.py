"""Faults: memory that refuses or is damaged at each step, exact records, DTF, ATS requests, translated requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from iommuman.iommu.riscv.model.values import Completion

from .rig import (
    DDT,
    DID,
    G_ROOT,
    GPA,
    PA,
    PDT,
    RWX_U,
    S_ROOT,
    VA,
    WINDOW,
    A,
    D,
    G,
    R,
    Rig,
    U,
    V,
    W,
    X,
    capabilities,
    first,
    nested,
    second,
)

EN_ATS, EN_PRI, T2GPA, DTF, PDTV, PRPR = 2, 4, 8, 16, 32, 64
GADE, SADE = 128, 256


def with_directories(**options: Any) -> Rig:
    """Return a rig with two levels of device directory, and nested tables and a process directory of two levels."""
    rig = Rig(mode=3, **options)
    table, below = 0x16000, 0x17000
    rig.put(DDT, table >> 2 | 1)
    rig.dc(1 | PDTV, 8 << 60 | 7 << 44 | G_ROOT >> 12, 0, 2 << 60 | PDT + WINDOW >> 12, at=table)
    rig.put(PDT, below + WINDOW >> 2 | 1)
    rig.put(below + 16 * 3, 1, 8 << 60 | S_ROOT + WINDOW >> 12)
    rig.leaf(S_ROOT, VA, GPA, RWX_U, through=WINDOW)
    rig.leaf(G_ROOT, GPA, PA, RWX_U)
    rig.leaf(G_ROOT, WINDOW, 0, RWX_U, 1)
    return rig


STEPS = {
    "non-leaf device directory entry": (DDT, 257, 268),
    "device context": (0x16000 + 64 * DID, 257, 268),
    "second word of the device context": (0x16000 + 64 * DID + 8, 257, 268),
    "non-leaf process directory entry": (PDT, 265, 269),
    "process context": (0x17000 + 48, 265, 269),
    "first-stage entry": (S_ROOT + 8 * (VA >> 30), 5, 274),
    "second-stage entry on the way to a directory": (G_ROOT + 8 * (WINDOW >> 30), 5, 274),
    "second-stage entry": (G_ROOT + 8 * (GPA >> 30), 5, 274),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("caching", [True, False])
def test_memory_that_refuses_at_each_step(step: str, caching: bool) -> None:
    """An access fault and a corruption have their own cause at each step; healed, it goes on."""
    place, refused, damaged = STEPS[step]
    rig = with_directories(caching=caching)
    for kind, cause in (("access", refused), ("corruption", damaged)):
        rig.memory.inject(place, kind)  # type: ignore[arg-type]
        assert rig.cause(process_id=3) == cause
        rig.memory.heal()
    assert rig.cause(process_id=3, write=True, privileged=True) == 260
    assert rig.send(process_id=3).address == PA
    assert [record.cause for record in rig.faults()] == [refused, damaged, 260]


@pytest.mark.parametrize(("access", "cause"), [({}, 5), ({"write": True}, 7), ({"instruction": True}, 1)])
def test_access_faults_are_those_of_the_access(access: dict[str, bool], cause: int) -> None:
    """What a table access runs into is reported as the transaction's own, as TTYP says it."""
    rig = second()
    rig.memory.inject(G_ROOT + 8 * (VA >> 30))
    assert rig.cause(**access) == cause
    (record,) = rig.faults()
    assert (record.write, record.execute) == (cause == 7, cause == 1)


@pytest.mark.parametrize("make", [first, second])
def test_updates_that_memory_refuses(make: Callable[..., Rig]) -> None:
    """A and D that cannot be written are an access fault, or corruption."""
    rig = make(flags=RWX_U & ~A, tc=1 | SADE | GADE)
    (*_, place) = rig.leaf(S_ROOT if make is first else G_ROOT, VA, PA, RWX_U & ~A)
    rig.memory.inject(place, on="write")
    assert rig.cause() == 5
    rig.memory.heal()
    rig.memory.inject(place, "corruption", on="write")
    assert rig.cause() == 274


def test_a_record_by_hand() -> None:
    """A write by process 0xABCDE with supervisor privilege, device 0x18, in its 32 bytes."""
    rig = Rig()
    rig.dc(1 | PDTV, 0, 0, 3 << 60 | PDT >> 12)
    assert rig.cause(0x1234_5678_9ABC, write=True, process_id=0xABCDE, privileged=True) == 266
    assert rig.memory.read(0x3000, 32) == b"".join(
        word.to_bytes(8, "little") for word in (0x000018_0F_ABCDE_10A, 0, 0x1234_5678_9ABC, 0)
    )
    outcome = rig.send(VA, device_id=0x20, instruction=True)
    assert outcome.record == (0x000020_04_00000_102).to_bytes(8, "little") + bytes(8) + VA.to_bytes(
        8, "little"
    ) + bytes(8)
    rig = second(flags=V)
    rig.send()
    assert rig.memory.read(0x3018, 8) == (VA & ~3).to_bytes(8, "little")


TYPES = {
    ("untranslated", "instruction"): 1, ("untranslated", ""): 2, ("untranslated", "write"): 3,
    ("translated", "instruction"): 5, ("translated", ""): 6, ("translated", "write"): 7, ("ats_request", ""): 8,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "access"), TYPES)
def test_transaction_types(kind: str, access: str) -> None:
    """TTYP tells what was sent."""
    rig = Rig()
    outcome = rig.send(kind=kind, **({access: True} if access else {}))
    assert outcome.cause == 258
    assert int.from_bytes(outcome.record[:8], "little") >> 34 & 0x3F == TYPES[kind, access]
    assert rig.faults()[0].transaction == TYPES[kind, access]


def test_dtf_silences_what_the_device_context_leads_to() -> None:
    """With DTF only causes that 3.2 lists are reported; the transaction aborts all the same."""
    rig = second(flags=V, tc=1 | DTF)
    for fields, cause in (({}, 21), ({"process_id": 1}, 260), ({"kind": "translated"}, 260)):
        assert rig.cause(**fields) == cause
    assert rig.faults() == []
    rig.dc(1 | DTF | 1 << 12)
    rig.command((3, 0))
    assert rig.cause() == 259, "no valid context says so"
    assert len(rig.faults()) == 1
    rig = with_directories()
    rig.dc(1 | PDTV | DTF, 8 << 60 | 7 << 44 | G_ROOT >> 12, 0, 2 << 60 | PDT + WINDOW >> 12, at=0x16000)
    for place in (PDT, 0x17000 + 48):
        for kind in ("access", "corruption"):
            rig.memory.inject(place, kind)
            assert rig.cause(process_id=3) in (265, 269)
            rig.memory.heal()
    assert rig.cause(process_id=3, privileged=True) == 260
    assert rig.faults() == []


def ats(rig: Rig, **fields: Any) -> Completion:
    """Return the answer to a translation request."""
    outcome = rig.send(kind="ats_request", **fields)
    assert outcome.completion is not None
    return outcome.completion


@pytest.mark.parametrize("flags", range(1, 16))
def test_permissions_in_completions(flags: int) -> None:
    """Denied permissions are no fault: they are clear in the answer; X counts with R and only if asked for."""
    rig = second(flags=flags | U | A | D, tc=1 | EN_ATS)
    wrong = not flags & V or not flags & (R | X) or flags & (R | W) == W
    for write in (False, True):
        for execute in (False, True):
            outcome = rig.send(kind="ats_request", write=write, instruction=execute)
            found = outcome.completion
            assert found is not None
            assert outcome.result == "done"
            assert outcome.address == (None if wrong else PA)
            assert (found.status, found.read) == ("success", bool(flags & R and not wrong))
            assert found.write == bool(flags & W and write and not wrong)
            assert found.execute == bool(flags & X and flags & R and execute and not wrong)
    assert rig.faults() == []


def test_dirty_pages_and_requests() -> None:
    """D is set where write permission is asked for and there is any; else the page stays clean."""
    rig = nested(flags1=RWX_U & ~D, flags2=RWX_U & ~D, tc=1 | EN_ATS | SADE | GADE)
    (*_, one) = rig.leaf(S_ROOT, VA, GPA, RWX_U & ~D, through=WINDOW)
    (*_, two) = rig.leaf(G_ROOT, GPA, PA, RWX_U & ~D)
    assert ats(rig) == Completion("success", read=True)
    assert not (rig.memory.read_u64(one) | rig.memory.read_u64(two)) & D
    assert ats(rig, write=True) == Completion("success", read=True, write=True)
    assert rig.memory.read_u64(one) & rig.memory.read_u64(two) & D
    rig = second(flags=RWX_U & ~(W | D), tc=1 | EN_ATS | GADE)
    assert ats(rig, write=True) == Completion("success", read=True)


def test_completions_of_processes() -> None:
    """Privilege and the Global field come with a process ID; ENS clear is an unsupported request."""
    rig = Rig()
    rig.dc(1 | EN_ATS | PDTV, 0, 0, 1 << 60 | PDT >> 12)
    rig.put(PDT + 16, 3 | 5 << 12, 8 << 60 | S_ROOT >> 12)
    rig.put(PDT + 32, 1, 0)
    rig.leaf(S_ROOT, VA, PA, (RWX_U | G) & ~U)
    assert ats(rig, process_id=1, privileged=True) == Completion("success", read=True, privileged=True, shared=True)
    assert ats(rig, process_id=1) == Completion("success"), "U is clear"
    assert ats(rig, process_id=2, privileged=True).status == "unsupported request"
    rig = first(flags=RWX_U | G, tc=1 | EN_ATS)
    assert ats(rig) == Completion("success", read=True)


@pytest.mark.parametrize(
    ("place", "kind", "status", "reported"),
    [
        (DDT + 64 * DID, "access", "unsupported request", 257),
        (DDT + 64 * DID, "corruption", "completer abort", 268),
        (PDT + 16 * 3, "access", "completer abort", 265),
        (S_ROOT + 8 * (VA >> 30), "access", "completer abort", 5),
        (S_ROOT + 8 * (VA >> 30), "corruption", "completer abort", 274),
    ],
)
def test_requests_that_fail(place: int, kind: str, status: str, reported: int) -> None:
    """Configuration errors abort, permanent ones are unsupported, and both are reported (2.6)."""
    rig = Rig()
    rig.dc(1 | EN_ATS | PDTV, 0, 0, 1 << 60 | PDT >> 12)
    rig.put(PDT + 16 * 3, 1, 8 << 60 | S_ROOT >> 12)
    rig.memory.inject(place, kind)  # type: ignore[arg-type]
    outcome = rig.send(kind="ats_request", process_id=3)
    assert outcome.completion == Completion(status)  # type: ignore[arg-type]
    assert outcome.result == "abort"
    assert [record.cause for record in rig.faults()] == [reported]
    rig.memory.heal()
    assert ats(rig, process_id=3) == Completion("success"), "nothing is mapped: no permission, and no report"
    assert ats(rig, process_id=4) == Completion("success")
    assert rig.faults() == []


def test_requests_where_there_is_no_ats() -> None:
    """Off, Bare, EN_ATS clear and an invalid context are unsupported requests."""
    for mode, cause in ((0, 256), (1, 260), (2, 258)):
        rig = Rig(mode=mode)
        outcome = rig.send(kind="ats_request")
        assert (outcome.cause, outcome.completion) == (cause, Completion("unsupported request"))
        assert [record.cause for record in rig.faults()] == [cause]
    assert second().send(kind="ats_request").cause == 260
    assert second(capabilities(PAS=32), tc=1 | EN_ATS).send(kind="ats_request").cause == 5


def test_translated_requests() -> None:
    """They are taken at their word; with T2GPA they are guest physical addresses, and so are answers."""
    rig = second(tc=1 | EN_ATS)
    assert rig.send(kind="translated").address == VA
    assert rig.send(1 << 56, kind="translated").result == "abort"
    assert second().send(kind="translated").cause == 260
    rig = nested(tc=1 | EN_ATS | T2GPA)
    outcome = rig.send(kind="ats_request", write=True)
    assert outcome.address == GPA
    assert rig.send(GPA, kind="translated").address == PA
    assert rig.cause(VA, kind="translated") == 21
    rig = Rig()
    rig.dc(1 | EN_ATS | PDTV, 0, 0, 1 << 60 | PDT >> 12)
    assert rig.send(kind="translated", process_id=3).address == VA, "no process context is looked at"
    assert rig.cause(kind="translated", process_id=256) == 260
