"""Eight writers and four readers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from .helpers import amount

ROOT = Path(__file__).resolve().parents[2]


def test_every_packet_is_delivered_once_or_counted_as_lost(tmp_path: Path) -> None:
    """Of 8 processes' packets each of 4 readers gets every one once and in order, or is told how many it missed."""
    seconds = amount("SECONDS", 4)

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.logging_backend.stress", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    readers = [start("read", str(tmp_path), "8") for _ in range(4)]
    time.sleep(0.5)
    writers = [start("write", str(tmp_path), str(who), str(seconds)) for who in range(8)]
    stored: dict[str, int] = {}
    for writer in writers:
        output = writer.communicate(timeout=seconds + 60)[0]
        assert writer.returncode == 0
        stored |= json.loads(output)
    totals = []
    for reader in readers:
        output = reader.communicate(timeout=120)[0]
        assert reader.returncode == 0
        counts: dict[str, tuple[int, int]] = json.loads(output)
        assert {key: got + lost for key, (got, lost) in counts.items()} == stored
        totals.append((sum(got for got, _ in counts.values()), sum(lost for _, lost in counts.values())))
    sys.stdout.write(f"stored {sum(stored.values())}; read and lost by each reader: {totals}\n")
    assert all(got > 1000 for got, _ in totals)
