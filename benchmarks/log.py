"""How fast a log is written and read, beside other loggers in the same run.

Run with `python -m benchmarks log`. Each row is the best of many short rounds of the same message, and rows that are
to be compared take their rounds in turn, so that what else the machine does hits all alike; ratios are to loguru's file
sink, as it comes. picologging is left out where it is not installed. Files are made under the folder
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

ROUNDS = 15
MESSAGE = "iommu fault: device 0000:02:01.0 address 0x12345000 read not present"
FAULT = Schema("QIHB", "fault at %#lx stream %#x reason %u access %u", ("iova", "stream_id", "reason", "access"))

Row = tuple[str, float]
"""What was done, and how many a second."""


Work = Callable[[], int]
"""Does something many times, and returns how many."""


def best(works: dict[str, Work]) -> list[Row]:
    """Return how many a second each work does at best."""
    rates = dict.fromkeys(works, 0.0)
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.perf_counter()
            count = work()
            rates[name] = max(rates[name], count / (time.perf_counter() - start))
    return list(rates.items())


@contextmanager
def made(folder: Path, *, mapped: bool = True) -> Iterator[SetWriter]:
    """Give a set with one buffer of 8 MiB; a failed store would be a fast one, so in the end there must be none."""
    config = SetConfig("bench", (BufferConfig("faults", 2048),), verbosity_level=7)
    with register(config, placement=Placement(directory=folder, mapped=mapped)) as writer:
        yield writer
        if writer.failures:
            raise RuntimeError(f"stores failed: {writer.failures}")


def floor(count: int) -> list[Row]:
    """Pack the same fields into a bytearray."""
    memory, layout, payload = bytearray(1 << 20), struct.Struct("<QIHHHB68s"), MESSAGE.encode()

    def work() -> int:
        pack, now, at = layout.pack_into, time.time_ns, 0
        for _ in range(count):
            pack(memory, at, now(), 1, 2, 3, 68, 5, payload)
            at = (at + 96) % 1_000_000
        return count

    return best({"struct.pack_into a bytearray": work})


def slog2_rows(folder: Path, count: int) -> list[Row]:
    """Measure the ways into a set."""
    with made(folder) as writer, made(folder, mapped=False) as through:
        pairs = {"device": "0000:02:01.0", "iova": 0x12345000}

        def texts(writer: SetWriter) -> int:
            for _ in range(count):
                writer.log(0, 7, 5, MESSAGE)
            return count

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

        return best(
            {
                "slog2 log(), mapped file": lambda: texts(writer),
                "slog2 log(), through system calls": lambda: texts(through),
                "slog2 log_fields(), two fields": fields,
                "slog2 log_deferred(), two arguments": deferred,
                "slog2 burst(), rows packed in the measure": burst_rows,
                "slog2 burst(), records packed before": burst_packed,
            }
        )


def logging_rows(folder: Path, count: int) -> list[Row]:
    """Measure the standard library's logging into a file and into a set."""
    works: dict[str, Work] = {}
    with made(folder) as writer:
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

            works[name] = work
        rows = best(works)
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

    return best({"picologging, FileHandler": work})


def loguru_rows(folder: Path, count: int) -> list[Row]:
    """Measure loguru: its file sink as it comes, a sink that does nothing, and ours."""
    from loguru import logger

    def work(sink: dict[str, Any]) -> int:
        logger.remove()
        logger.add(**sink, catch=False)
        for _ in range(count):
            logger.info(MESSAGE)
        return count

    with made(folder) as writer:
        file = {"sink": folder / "loguru.txt"}
        nothing = {"sink": lambda _: None, "format": ""}
        ours = {"sink": slog2_sink(writer), "format": ""}
        rows = best(
            {
                "loguru, file sink": lambda: work(file),
                "loguru, a sink that does nothing": lambda: work(nothing),
                "loguru, slog2_sink": lambda: work(ours),
            }
        )
        logger.remove()
    return rows


def reading_rows(folder: Path) -> list[Row]:
    """Measure reading packets, making lines of them, and reading the lines."""
    with made(folder / "texts") as writer:
        for _ in range(80_000):
            writer.log(0, 7, 5, MESSAGE)
    with made(folder / "bursts") as writer:
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
    return best(
        {
            "reading texts": lambda: read("texts"),
            "reading a burst": lambda: read("bursts"),
            "reading and text out": write_text,
            "text in": lambda: sum(1 for _ in parse_text(text, TextOptions())),
        }
    )


def main(count: int = 25_000) -> None:
    """Measure with that many packets a round, and print a table."""
    folder = Path(tempfile.mkdtemp(prefix="iommuman-log-", dir=os.environ.get("IOMMUMAN_BENCH_DIR")))
    try:
        rows = floor(count) + slog2_rows(folder / "sets", count)
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
