"""What logs lost of themselves: which of it counts, and which is only said."""

from __future__ import annotations

import json

from iommuman.base import Finding, Origin
from iommuman.faults import Fault
from iommuman.faults.report.losses import MOST_BUFFERS, Losses
from iommuman.faults.report.out import from_json_lines, json_line

from .sample import fault


def lost(losses: Losses, buffer: str, count: int = 3, *, name: str = "b") -> list[Fault]:
    """Return the notices of packets that a buffer lost."""
    return list(losses.lost_in(buffer, name, count, 5, Origin("log")))


def test_packets_of_a_buffer_of_faults_count() -> None:
    """A buffer named `faults` lost as many faults as packets, at the time that is told, each time."""
    losses = Losses()
    (notice,) = lost(losses, "a.1 faults", 7, name="faults")
    assert (notice.lost, notice.count, notice.time, notice.clock, notice.driver) == (True, 7, 5, "utc", "slog2")
    assert len(lost(losses, "a.1 faults", name="faults")) == 1
    (notice,) = losses.lost_in("m.1 faults", "faults", 1, 5, Origin("log"), monotonic=True)
    assert notice.clock == "boot"


def test_another_buffer_is_spoken_of_once_it_has_a_fault() -> None:
    """What it lost is kept back until a fault is read from it, and told without a number."""
    losses = Losses()
    assert lost(losses, "a.1 b", 7) == lost(losses, "a.1 b", 8) == []
    (notice,) = losses.fault_in("a.1 b")
    assert (notice.lost, notice.count, notice.facts) == (True, 0, (("packets", 7),))
    assert list(losses.fault_in("a.1 b")) == []
    assert len(lost(losses, "a.1 b")) == 1
    assert lost(losses, "a.1 other") == []


def test_the_buffers_that_are_told_apart_are_limited() -> None:
    """However many buffers a log names, memory stays bounded."""
    losses = Losses()
    for number in range(MOST_BUFFERS + 10):
        assert lost(losses, f"{number}") == []
        assert len(list(losses.fault_in(f"{number}"))) == (number < MOST_BUFFERS)
    assert lost(losses, f"{MOST_BUFFERS + 1}") == []
    assert len(losses._waiting) == MOST_BUFFERS


def packet(**attributes: object) -> str:
    """Return a line as `slog2info --json` writes it."""
    resource = {"service.name": "a", "slog2.file": "a.1"}
    found = {"slog2.buffer": "faults", "slog2.type": "UNSYNC", **attributes}
    return json.dumps({"Timestamp": 9, "SeverityNumber": 24, "Body": "", "Attributes": found, "Resource": resource})


def test_lost_packets_in_json_lines() -> None:
    """What `slog2info --json` says of lost packets is a notice too; a line without a number is none."""
    findings: list[Finding] = []
    other = {"slog2.buffer": "b"}
    mixed = json.dumps(json.loads(json_line(fault(0))) | {"Resource": {"slog2.file": "a.1"}})
    lines = [packet(lost=4), packet(lost="x"), packet(), packet(lost=2, **other), mixed, json.dumps([]), "{}"]
    lines.append(packet(lost=1, **{"slog2.monotonic": True}))
    found = list(from_json_lines(lines, "log", findings.append))
    assert [(one.lost, one.count, one.clock) for one in found] == [
        (True, 4, "utc"),
        (False, 1, "utc"),
        (True, 1, "boot"),
    ]
    assert found[0].origin == Origin("log", line=1)
    assert [str(one.message) for one in findings] == ["the line is no JSON object"]
