"""How fast a log is written and read, beside other loggers in the same run.

Run with `python -m benchmarks log`. Each row is the best of several rounds of the same message; ratios are to
loguru's file sink, as it comes. picologging is left out where it is not installed. Files are made under the folder
that IOMMUMAN_BENCH_DIR names, else under the temporary one; `pack_into` is the floor: the same fields into a bytearray,
with no check, no lock, no ring and no file.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from iommuman.logging_backend import (
    BufferConfig,
    Placement,
    Schema,
    SetConfig,
    SetWriter,
    Slog2Handler,
    register,
    slog2_sink,
    snapshot,
)
from iommuman.logging_backend.text_in import TextOptions, parse_text
from iommuman.logging_backend.text_out import LineStyle, line_formatter

ROUNDS = 5
MESSAGE = "iommu fault: device 0000:02:01.0 address 0x12345000 read not present"
FAULT = Schema("QIHB", "fault at %#lx stream %#x reason %u access %u", ("iova", "stream_id", "reason", "access"))

Row = tuple[str, float]
"""What was done, and how many a second."""


def best(work: Callable[[], int]) -> float:
    """Return how many a second `work`, which returns how many it did, does at best."""
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        count = work()
        rates.append(count / (time.perf_counter() - start))
    return max(rates)


def make(folder: Path, *, mapped: bool = True) -> SetWriter:
    """Return a set with one buffer of 8 MiB."""
    config = SetConfig("bench", (BufferConfig("faults", 2048),), verbosity_level=7)
    return register(config, placement=Placement(directory=folder, mapped=mapped))


def floor(count: int) -> Row:
    """Pack the same fields into a bytearray."""
    memory, layout, payload = bytearray(1 << 20), struct.Struct("<QIHHHB68s"), MESSAGE.encode()

    def work() -> int:
        pack, now, at = layout.pack_into, time.time_ns, 0
        for _ in range(count):
            pack(memory, at, now(), 1, 2, 3, 68, 5, payload)
            at = (at + 96) % 1_000_000
        return count

    return "struct.pack_into a bytearray", best(work)


def slog2_rows(folder: Path, count: int) -> list[Row]:
    """Measure the ways into a set."""
    rows = []
    for name, mapped in (("slog2 log(), mapped file", True), ("slog2 log(), through system calls", False)):
        with make(folder, mapped=mapped) as writer:

            def texts(writer: SetWriter = writer) -> int:
                log = writer.log
                for _ in range(count):
                    log(0, 7, 5, MESSAGE)
                return count

            rows.append((name, best(texts)))
    with make(folder) as writer:
        pairs = {"device": "0000:02:01.0", "iova": 0x12345000}

        def fields() -> int:
            for _ in range(count):
                writer.log_fields(0, 7, 5, MESSAGE, pairs)
            return count

        def deferred() -> int:
            for i in range(count):
                writer.log_deferred(0, 7, 5, "fault at %#lx stream %#x", i, 66)
            return count

        now = time.time_ns()
        faults = [(now + i, i << 12, i & 0xFFFF, 3, 1) for i in range(10_000)]
        packed = FAULT.pack(faults)
        times = max(1, count // 10_000) * 5

        def burst_rows() -> int:
            for _ in range(times):
                writer.burst(0, 7, 5, FAULT, FAULT.pack(faults))
            return times * 10_000

        def burst_packed() -> int:
            for _ in range(times):
                writer.burst(0, 7, 5, FAULT, packed)
            return times * 10_000

        rows += [
            ("slog2 log_fields(), two fields", best(fields)),
            ("slog2 log_deferred(), two arguments", best(deferred)),
        ]
        rows += [("slog2 burst(), rows packed in the measure", best(burst_rows))]
        rows += [("slog2 burst(), records packed before", best(burst_packed))]
    return rows


def logging_rows(folder: Path, count: int) -> list[Row]:
    """Measure the standard library's logging into a file and into a set."""
    rows = []
    with make(folder) as writer:
        file = logging.FileHandler(folder / "logging.txt")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        for name, handler in (("logging, FileHandler", file), ("logging, Slog2Handler", Slog2Handler(writer))):
            logger = logging.getLogger(name)
            logger.propagate = False
            logger.setLevel(logging.INFO)
            logger.addHandler(handler)

            def work(logger: logging.Logger = logger) -> int:
                for _ in range(count):
                    logger.info(MESSAGE)
                return count

            rows.append((name, best(work)))
        file.close()
    return rows


def picologging_rows(folder: Path, count: int) -> list[Row]:
    """Measure picologging into a file, where it is installed."""
    if importlib.util.find_spec("picologging") is None:
        return []
    picologging = importlib.import_module("picologging")
    logger = picologging.getLogger("bench")
    logger.setLevel(picologging.INFO)
    handler = picologging.FileHandler(str(folder / "picologging.txt"))
    handler.setFormatter(picologging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)

    def work() -> int:
        for _ in range(count):
            logger.info(MESSAGE)
        return count

    return [("picologging, FileHandler", best(work))]


def loguru_rows(folder: Path, count: int) -> list[Row]:
    """Measure loguru: its file sink as it comes, a sink that does nothing, and ours."""
    from loguru import logger

    def work() -> int:
        for _ in range(count):
            logger.info(MESSAGE)
        return count

    rows = []
    with make(folder) as writer:
        sinks = (
            ("loguru, file sink", {"sink": folder / "loguru.txt"}),
            ("loguru, a sink that does nothing", {"sink": lambda _: None, "format": "{message}"}),
            ("loguru, slog2_sink", {"sink": slog2_sink(writer), "format": "{message}"}),
        )
        for name, options in sinks:
            logger.remove()
            logger.add(**options)
            rows.append((name, best(work)))
        logger.remove()
    return rows


def reading_rows(folder: Path) -> list[Row]:
    """Measure reading packets, making lines of them, and reading the lines."""
    with make(folder / "texts") as writer:
        for _ in range(80_000):
            writer.log(0, 7, 5, MESSAGE)
    with make(folder / "bursts") as writer:
        rows = FAULT.pack([(i, i << 12, i & 0xFFFF, 3, 1) for i in range(100_000)])
        writer.burst(0, 7, 5, FAULT, rows)
    line = line_formatter(LineStyle(severity=True))

    def read(name: str) -> int:
        return sum(map(len, snapshot(folder / name)))

    def write_text() -> int:
        count = 0
        for chunk in snapshot(folder / "texts"):
            "\n".join([line(packet) for packet in chunk])
            count += len(chunk)
        return count

    text = "\n".join(line(packet) for chunk in snapshot(folder / "texts") for packet in chunk)
    return [
        ("reading texts", best(lambda: read("texts"))),
        ("reading a burst", best(lambda: read("bursts"))),
        ("reading and text out", best(write_text)),
        ("text in", best(lambda: sum(1 for _ in parse_text(text, TextOptions())))),
    ]


def main(count: int = 100_000) -> None:
    """Measure with that many packets a round, and print a table."""
    folder = Path(tempfile.mkdtemp(prefix="iommuman-log-", dir=os.environ.get("IOMMUMAN_BENCH_DIR")))
    try:
        rows = [floor(count), *slog2_rows(folder / "sets", count)]
        rows += logging_rows(folder, count) + picologging_rows(folder, count) + loguru_rows(folder, count)
        rows += reading_rows(folder)
    finally:
        shutil.rmtree(folder)
    base = dict(rows)["loguru, file sink"]
    print(f"{'':44}{'a second':>12}{'x loguru file':>15}")
    for name, rate in rows:
        print(f"{name:44}{rate:12,.0f}{rate / base:15.1f}")


if __name__ == "__main__":
    main()
