"""QEMU's test protocol: one command a line, one answer a line (qemu/qemu, system/qtest.c)."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from ..errors import IommuError, failure

PATIENCE = 30.0
"""Seconds that an answer may take."""
LONGEST = 1 << 20
"""Bytes of an answer; longer ones come from no command that is sent here."""


class Qtest:
    """A connection to a QEMU. Methods raise IommuError (`QEMU-QTEST`) where QEMU refuses, is silent, or has ended."""

    def __init__(self, link: socket.socket, patience: float = PATIENCE) -> None:
        """Use a connected socket; an answer may take `patience` seconds."""
        link.settimeout(patience)
        self._link = link
        self._rest = b""

    def command(self, text: str) -> str:
        """Send one command, and return what its answer has after `OK`. Notices of interrupts are passed over."""
        return self.batch([text])[0]

    def batch(self, texts: Sequence[str]) -> list[str]:
        """Send commands in one go, and return their answers: one trip there and back instead of one each."""
        answers: list[str] = []
        try:
            self._link.sendall("".join(f"{text}\n" for text in texts).encode())
            while len(answers) < len(texts):
                answer = self._line()
                if answer.startswith("IRQ"):
                    continue
                answers.append(answer)
        except OSError as error:
            raise _failed(texts[len(answers)], str(error) or "no answer") from None
        for text, answer in zip(texts, answers, strict=True):
            if answer != "OK" and not answer.startswith("OK "):
                raise _failed(text, answer[:200])
        return [answer[3:] for answer in answers]

    def number(self, text: str) -> int:
        """Send one command, and return the number that it answers."""
        answer = self.command(text)
        try:
            return int(answer, 16)
        except ValueError:
            raise _failed(text, answer[:200]) from None

    def _line(self) -> str:
        while b"\n" not in self._rest:
            if len(self._rest) > LONGEST:
                raise OSError(f"an answer of more than {LONGEST} bytes")
            part = self._link.recv(65536)
            if not part:
                raise OSError("QEMU has ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace").strip()


def _failed(command: str, answer: str) -> IommuError:
    return failure("QEMU-QTEST", f"QEMU does not do '{command[:60]}'", found=answer)
