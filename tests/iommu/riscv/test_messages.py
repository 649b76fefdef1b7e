"""Messages: MSI page tables, memory-resident interrupt files, and the IOMMU's own interrupts."""

from __future__ import annotations

import pytest
from iommuman.iommu.riscv.layout import PageRequest
from iommuman.iommu.riscv.model import Transaction
from iommuman.iommu.riscv.model.values import Completion, Mrif

from .rig import DID, G_ROOT, MSIS, PA, RWX_U, VA, Rig, capabilities

FILE = 0x2800_0000
"""Guest physical address of the first virtual interrupt file; the mask lets four lie 4 KiB apart, and four 16 MiB."""
MASK = 0x3003
IMSIC = 0x2_4000_0000
MRIF_AT, NOTICE = 0x60_0200, 0x70_0000


def messages(first: int = IMSIC >> 2 | 7, second: int = 0, *, tc: int = 1, stage: int = 8, **caps: int) -> Rig:
    """Return a rig with a second stage and MSI page table whose entry 5 has these words."""
    rig = Rig(capabilities(**caps))
    iohgatp = stage << 60 | 7 << 44 | G_ROOT >> 12 if stage else 0
    rig.dc(tc, iohgatp, 0, 0, 1 << 60 | MSIS >> 12, MASK, FILE >> 12 | 0x1001)
    rig.put(MSIS + 16 * 5, first, second)
    rig.leaf(G_ROOT, VA, PA, RWX_U)
    return rig


AT = FILE + 0x100_1000
"""File 5: bit 12 and bit 24 of the address are set, bits 0 and 2 of its number."""


@pytest.mark.parametrize("stage", [8, 0])
def test_a_message_is_translated(stage: int) -> None:
    """The number is gathered from the bits of the mask; the page offset stays; other pages go by the second stage."""
    rig = messages(stage=stage)
    for _ in range(2):
        assert rig.send(AT + 0x123, write=True).address == IMSIC + 0x123
        assert rig.model.translate(DID, AT) == IMSIC
    assert rig.send(VA).address == (PA if stage else VA)
    assert rig.cause(FILE, write=True) == 262
    assert rig.cause(AT, instruction=True) == 1
    assert [record.cause for record in rig.faults()] == [262, 1]


WRONG = {
    "V": ((IMSIC >> 2 | 6, 0), 262),
    "M = 0": ((IMSIC >> 2 | 1, 0), 263),
    "M = 2": ((IMSIC >> 2 | 5, 0), 263),
    "C": ((1 << 63 | IMSIC >> 2 | 7, 0), 263),
    **{f"bit {bit}": ((IMSIC >> 2 | 7 | 1 << bit, 0), 263) for bit in (*range(3, 10), *range(54, 63))},
    **{f"bit {64 + bit}": ((IMSIC >> 2 | 7, 1 << bit), 263) for bit in range(64)},
    **{f"MRIF bit {bit}": ((MRIF_AT >> 2 | 3 | 1 << bit, 0), 263) for bit in (*range(3, 7), *range(54, 63))},
    **{f"MRIF bit {64 + bit}": ((MRIF_AT >> 2 | 3, 1 << bit), 263) for bit in (*range(54, 60), 61, 62, 63)},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries(name: str) -> None:
    """Each condition has its cause; what is not valid is not remembered, what is misconfigured may be."""
    words, cause = WRONG[name]
    assert messages(*words).cause(AT, write=True) == cause


def test_entries_that_cannot_be_read() -> None:
    """Access faults and corruption of the table have causes of their own."""
    for kind, cause in (("access", 261), ("corruption", 270)):
        rig = messages()
        rig.memory.inject(MSIS + 16 * 5 + 8, kind)  # type: ignore[arg-type]
        assert rig.cause(AT, write=True) == cause
    rig = messages(PAS=32)
    assert rig.cause(AT, write=True) == 7, "the output is beyond capabilities.PAS"
    rig.dc(1, 0, 0, 0, 1 << 60 | 1 << 30, MASK, FILE >> 12)
    rig.command((3, 0), (0x81, 0))
    assert rig.cause(AT, write=True) == 261, "and so is the table"


def test_files_in_memory() -> None:
    """An MRIF entry says where the pending bit is and where the notice goes."""
    rig = messages(MRIF_AT >> 2 | 3, NOTICE >> 2 | 0x155 | 1 << 60)
    outcome = rig.send(AT, write=True)
    assert (outcome.result, outcome.address) == ("done", None)
    assert outcome.mrif == Mrif(MRIF_AT, NOTICE, 0x555)
    assert rig.model.translate(DID, AT, 1) == -1, "no address"
    assert messages(MRIF_AT >> 2 | 3, MSI_MRIF=0).cause(AT, write=True) == 263


def deliver(rig: Rig, data: int, at: int = AT) -> int:
    """Send a message, and return its cause."""
    return rig.model.message(Transaction(DID, at, write=True), data).cause


def test_messages_into_files() -> None:
    """The pending bit is set; the notice is written if the identity is enabled."""
    rig = messages(MRIF_AT >> 2 | 3, NOTICE >> 2 | 0x155)
    assert deliver(rig, 70) == 0
    assert rig.memory.read_u64(MRIF_AT + 16) == 1 << 6
    assert rig.memory.read_u64(NOTICE) == 0
    rig.put(MRIF_AT + 24, 1 << 7)
    assert deliver(rig, 71 << 24, AT + 4) == 0, "big-endian at offset 4"
    assert rig.memory.read_u64(MRIF_AT + 16) == 3 << 6
    assert rig.memory.read_u64(NOTICE) == 0x155
    before = rig.memory.read(MRIF_AT, 512)
    for data, at in ((0, AT), (2048, AT), (70, AT + 8)):
        assert deliver(rig, data, at) == 0
    assert rig.memory.read(MRIF_AT, 512) == before, "these are no messages"
    for kind, cause in (("access", 264), ("corruption", 271)):
        rig.memory.inject(MRIF_AT, kind)  # type: ignore[arg-type]
        assert deliver(rig, 5) == cause
        rig.memory.heal()
    assert [record.cause for record in rig.faults()] == [264, 271]


def test_messages_into_memory() -> None:
    """Four bytes are written; the memory's refusal is not the IOMMU's."""
    rig = messages()
    assert deliver(rig, 0x1234) == 0
    assert rig.memory.read(IMSIC, 8) == (0x1234).to_bytes(8, "little")
    assert deliver(rig, 1, FILE) == 262
    rig.memory.inject(IMSIC)
    outcome = rig.model.message(Transaction(DID, AT, write=True), 1)
    assert (outcome.result, outcome.cause) == ("abort", 0)


def test_translation_requests_for_files() -> None:
    """A basic entry is a translation without execution; a file in memory may be used untranslated only."""
    rig = messages(tc=3)
    outcome = rig.send(AT, kind="ats_request", write=True, instruction=True)
    assert (outcome.address, outcome.completion) == (IMSIC, Completion("success", read=True, write=True))
    rig = messages(MRIF_AT >> 2 | 3, tc=3)
    outcome = rig.send(AT, kind="ats_request", write=True)
    assert outcome.address is None
    assert outcome.completion == Completion("success", read=True, write=True, untranslated_only=True)
    assert messages(0, tc=3).send(AT, kind="ats_request").completion == Completion("success")


# --- the IOMMU's own interrupts


def vectors(rig: Rig) -> None:
    """Let commands use vector 1, faults 2, page requests 3; their messages go to 0x90_0000 on."""
    rig.write(0x2F8, 0x3021, 8)
    for vector in range(4):
        rig.write(0x300 + 16 * vector, 0x90_0000 + 16 * vector, 8)
        rig.write(0x308 + 16 * vector, 0x100 + vector)
    for csr in (0x48, 0x4C, 0x50):
        rig.write(csr, 3)


def sent(rig: Rig, vector: int) -> int:
    """Return, and clear, the message of a vector."""
    found = rig.memory.read_u64(0x90_0000 + 16 * vector)
    rig.put(0x90_0000 + 16 * vector, 0)
    return found


def test_messages_of_faults() -> None:
    """One message when the pending bit becomes set; the next one only after it was cleared."""
    rig = messages()
    vectors(rig)
    rig.send(0)
    assert (rig.read(0x54), sent(rig, 2)) == (2, 0x102)
    rig.send(0)
    assert sent(rig, 2) == 0
    rig.write(0x54, 2)
    assert rig.read(0x54) == 0
    rig.send(0)
    assert sent(rig, 2) == 0x102


def test_masked_messages_come_later() -> None:
    """A message of a masked vector is kept until the mask is cleared."""
    rig = messages()
    vectors(rig)
    rig.write(0x32C, 1)
    rig.send(0)
    assert (rig.read(0x54), sent(rig, 2)) == (2, 0)
    rig.write(0x32C, 0)
    assert sent(rig, 2) == 0x102
    rig.write(0x32C, 0)
    assert sent(rig, 2) == 0


def test_conditions_that_stay_are_pending_again() -> None:
    """While an error flag is set, clearing the pending bit sets it again."""
    rig = messages()
    vectors(rig)
    assert rig.command((127, 0)) & 1 << 10
    assert (rig.read(0x54), sent(rig, 1)) == (1, 0x101)
    rig.write(0x54, 1)
    assert (rig.read(0x54), sent(rig, 1)) == (1, 0x101)
    rig.write(0x48, 3 | 1 << 10)
    rig.write(0x54, 1)
    assert (rig.read(0x54), sent(rig, 1)) == (1, 0x101), "the command is still there"


def test_a_message_that_cannot_be_written() -> None:
    """It is reported as cause 273 with its address, of no transaction."""
    rig = messages()
    vectors(rig)
    rig.memory.inject(0x90_0020)
    rig.send(0)
    assert [(record.cause, record.value) for record in rig.faults()] == [(21, None), (273, 0x90_0020)]


def test_wired_interrupts() -> None:
    """With fctl.WSI wires are raised; a fence may raise one; without IGS for messages there is no table."""
    rig = Rig(capabilities(IGS=1), mode=0)
    assert rig.read(8) == 2
    rig.write(0x2F8, 0x3021, 8)
    rig.write(0x300, 0x90_0000, 8)
    assert rig.read(0x300, 8) == 0
    rig.write(0x48, 3)
    rig.write(0x4C, 3)
    rig.send()
    assert rig.model.wires == [2]
    assert rig.command((2 | 1 << 11, 0)) & 1 << 11
    assert rig.model.wires == [2, 1]


def test_the_choice_of_interrupts() -> None:
    """With both, fctl.WSI can be written while everything is off; not otherwise, and not with messages alone."""
    rig = Rig(mode=0)
    rig.write(8, 2)
    assert rig.read(8) == 0, "queues are on"
    for csr in (0x48, 0x4C, 0x50):
        rig.write(csr, 0)
    rig.write(8, 7)
    assert rig.read(8) == 2
    rig.write(0x10, 1, 8)
    rig.write(8, 0)
    assert rig.read(8) == 2, "it translates"
    rig = Rig(capabilities(IGS=0), mode=0)
    for csr in (0x48, 0x4C, 0x50):
        rig.write(csr, 0)
    rig.write(8, 2)
    assert rig.read(8) == 0


# --- page requests

ATS_PRI = 1 | 2 | 4


def requesting(tc: int = ATS_PRI, **options: int) -> Rig:
    """Return a rig whose device may ask for pages."""
    rig = Rig(mode=options.get("mode", 2))
    rig.dc(tc)
    return rig


REQUEST = PageRequest(DID=DID, R=1, L=1, PRGI=7, ADDR=0x1000, PV=1, PID=3)


def test_page_requests_are_queued() -> None:
    """They lie in the queue as they came, and raise an interrupt; nothing is answered."""
    rig = requesting()
    vectors(rig)
    assert rig.model.page_request(REQUEST) == ""
    assert rig.memory.read(0x5000, 16) == bytes(REQUEST)
    assert (rig.read(0x44), rig.read(0x54), sent(rig, 3)) == (1, 8, 0x103)
    for _ in range(2):
        assert rig.model.page_request(REQUEST) == ""
    assert rig.model.page_request(REQUEST) == "success", "the queue is full: the device may try again"
    assert rig.read(0x50) & 1 << 9
    rig.write(0x40, 3)
    assert rig.model.page_request(REQUEST) == "success", "until the flag is cleared"
    assert rig.model.page_request(REQUEST.replace(L=0)) == ""
    assert rig.model.page_request(REQUEST.replace(R=0)) == "", "a stop marker"
    rig.write(0x50, 3 | 1 << 9)
    assert rig.model.page_request(REQUEST) == ""
    rig.write(0x40, 2)
    rig.memory.inject(0x5000, length=64)
    assert rig.model.page_request(REQUEST) == "response failure"
    assert rig.read(0x50) & 1 << 8
    assert rig.model.page_request(REQUEST) == "response failure"
    rig.write(0x50, 1 << 8)
    assert rig.read(0x50) == 0
    assert rig.model.page_request(REQUEST) == "response failure", "the queue is off"
    assert rig.faults() == []


@pytest.mark.parametrize(
    ("tc", "mode", "answer", "cause"),
    [
        (ATS_PRI, 0, "response failure", 256),
        (ATS_PRI, 1, "invalid request", 260),
        (0, 2, "response failure", 258),
        (1 | 4, 2, "response failure", 259),
        (1 | 2, 2, "invalid request", 260),
        (1 | 2 | 16, 2, "invalid request", None),
    ],
)
def test_page_requests_that_are_refused(tc: int, mode: int, answer: str, cause: int | None) -> None:
    """The IOMMU answers itself and reports a message request, with its message code; not with DTF."""
    rig = requesting(tc, mode=mode)
    assert rig.model.page_request(REQUEST) == answer
    expected = [] if cause is None else [(cause, 9, 4, DID, 3)]
    found = [(one.cause, one.transaction, one.value, one.device_id, one.process_id) for one in rig.faults()]
    assert found == expected


def test_page_requests_of_devices_too_wide() -> None:
    """The device ID is looked up as any."""
    assert requesting().model.page_request(REQUEST.replace(DID=64)) == "invalid request"
