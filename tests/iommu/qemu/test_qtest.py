"""The test protocol, with a QEMU that is played."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from iommuman.iommu import IommuError
from iommuman.iommu.qemu.qtest import LONGEST, Qtest


@pytest.fixture
def played() -> Iterator[Callable[..., Qtest]]:
    """Return a function that makes a connection whose other side has sent these bytes already."""
    with contextlib.ExitStack() as stack:

        def play(*answers: bytes) -> Qtest:
            ours, theirs = (stack.enter_context(one) for one in socket.socketpair())
            for answer in answers:
                theirs.sendall(answer)
            return Qtest(ours, patience=0.2)

        yield play


def test_answers_are_matched_and_interrupts_passed_over(played: Callable[..., Qtest]) -> None:
    """Lines that tell of interrupts are no answers, wherever they come; answers may arrive in pieces."""
    qtest = played(b"IRQ raise 3\nOK 0x12\nIRQ lower 3\nO", b"K\nOK 0xffffffffffffffff\n")
    assert qtest.command("readl 0x0") == "0x12"
    assert qtest.batch(["writel 0x0 0x1", "readq 0x8"]) == ["", "0xffffffffffffffff"]


@pytest.mark.parametrize("answer", [b"FAIL Unknown command 'x'\n", b"ERR\n", b"OKAY\n", b"\n", b"\xff\xfe\n"])
def test_what_is_not_ok_is_refused(played: Callable[..., Qtest], answer: bytes) -> None:
    """Every other answer is one error, which names the command."""
    with pytest.raises(IommuError, match="QEMU does not do 'readl 0x0'"):
        played(answer).command("readl 0x0")


@pytest.mark.parametrize("answer", [b"OK\n", b"OK nonsense\n"])
def test_a_number_is_a_number(played: Callable[..., Qtest], answer: bytes) -> None:
    """Where a number is asked for, anything else is refused."""
    with pytest.raises(IommuError) as caught:
        played(answer).number("readl 0x0")
    assert caught.value.finding.rule == "QEMU-QTEST"


def test_silence_has_an_end(played: Callable[..., Qtest]) -> None:
    """A QEMU that does not answer is given up."""
    with pytest.raises(IommuError, match="timed out"):
        played(b"OK").command("readl 0x0")


def test_an_end_is_told() -> None:
    """A QEMU that has ended is said to have ended, before and after the command is sent."""
    ours, theirs = socket.socketpair()
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(IommuError, match="QEMU has ended"):
        Qtest(ours).command("readl 0x0")
    theirs.close()
    with pytest.raises(IommuError, match="Broken pipe"):
        Qtest(ours).command("readl 0x0")
    ours.close()


def test_answers_are_bounded() -> None:
    """A line without an end is given up before it fills memory."""
    ours, theirs = socket.socketpair()
    qtest = Qtest(ours, patience=5)
    qtest._rest = b"x" * (LONGEST + 1)
    with pytest.raises(IommuError, match="an answer of more than"):
        qtest.command("readl 0x0")
    ours.close()
    theirs.close()
