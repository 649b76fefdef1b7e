"""loguru and the standard library's logging as ways into a set."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from iommuman.logging_backend import SetWriter, Severity, Slog2Handler, slog2_sink
from iommuman.logging_backend.names import (
    LEVEL_NUMBERS,
    LOGURU_LEVELS,
    parse_severity,
    severity_from_level,
    severity_name,
)
from loguru import logger

from .helpers import make, read, texts


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[SetWriter]:
    """Give a set, and take all of loguru's sinks away before and after."""
    logger.remove()
    with make(tmp_path, 32) as made:
        yield made
    logger.remove()


def test_levels_and_severities() -> None:
    """Loguru's and logging's levels become severities by table, and severities levels again."""
    found = {severity_from_level(level): level for level in (60, 50, 40, 30, 25, 20, 10, 5)}
    assert found == dict(enumerate(LEVEL_NUMBERS))
    assert [severity_from_level(level) for level in (0, 6, 11, 22, 26, 35, 45, 51)] == [7, 6, 5, 4, 3, 2, 1, 0]
    for severity, name in enumerate(LOGURU_LEVELS):
        assert severity_from_level(logger.level(name).no) == max(severity, 1)
    assert [severity_name(number) for number in (0, 7, 8, -1)] == ["SHUTDOWN", "DEBUG2", "UNKNOWN", "UNKNOWN"]
    assert [parse_severity(text) for text in ("3", "warning", "SLOG2_ERROR", "8", "x", "\u00b2")] == [
        3,
        3,
        2,
        None,
        None,
        None,
    ]
    assert Severity(5).name == "INFO"


def test_loguru_records_are_packed(tmp_path: Path, writer: SetWriter) -> None:
    """Message, level, time, extra fields and code of a record become those of the packet."""
    logger.add(slog2_sink(writer), format="", level=0)
    before = time.time_ns() // 1000 * 1000
    logger.trace("plain")
    logger.bind(code=77, device="0000:02:01.0", sid=66).warning("fault at {:#x}", 4096)
    logger.bind(code=70000).success("odd code")
    with logger.contextualize(task=1):
        logger.patch(lambda record: record["extra"].update(patched=True)).info("context")
    plain, fault, odd, context = read(tmp_path)
    assert (plain.text, plain.severity, plain.code, plain.fields) == ("plain", 7, 0, {})
    assert (fault.text, fault.severity, fault.code) == ("fault at 0x1000", 3, 77)
    assert fault.fields == {"device": "0000:02:01.0", "sid": 66}
    assert (odd.code, odd.fields, odd.severity) == (0, {"code": 70000}, 4)
    assert context.fields == {"task": 1, "patched": True}
    assert before <= plain.timestamp <= context.timestamp <= time.time_ns()


def test_loguru_code_alone_and_source(tmp_path: Path, writer: SetWriter) -> None:
    """A code without other fields needs none; with `source`, logger, function and line are fields."""
    number = logger.add(slog2_sink(writer), format="")
    logger.bind(code=5).info("code")
    logger.remove(number)
    logger.add(slog2_sink(writer, source=True), format="")
    logger.info("where")
    code, where = read(tmp_path)
    assert (code.code, code.fields) == (5, {})
    assert where.fields["function"] == "test_loguru_code_alone_and_source"
    assert where.fields["logger"] == __name__
    assert isinstance(where.fields["line"], int)


@pytest.mark.parametrize("enqueue", [False, True])
def test_loguru_exceptions_are_whole(tmp_path: Path, writer: SetWriter, *, enqueue: bool) -> None:
    """A traceback is kept to its last line, also when records pass through loguru's queue."""
    logger.add(slog2_sink(writer), format="", enqueue=enqueue, backtrace=False, diagnose=False)

    def fail(depth: int) -> None:
        if not depth:
            raise ValueError("x" * 3000)
        fail(depth - 1)

    try:
        fail(2)
    except ValueError:
        logger.exception("went wrong")
    logger.complete()
    (packet,) = read(tmp_path)
    assert packet.severity == 2
    assert packet.text.startswith("went wrong\n")
    assert "\nTraceback (most recent call last):\n" in packet.text
    assert packet.text.count("fail(") >= 2
    assert packet.text.endswith("ValueError: " + "x" * 3000)


def test_loguru_exception_without_any_text(tmp_path: Path, writer: SetWriter) -> None:
    """When neither traceback nor formatted text is at hand, type and value are still kept."""
    exception = SimpleNamespace(type=ValueError, value=ValueError("x"), traceback=None)
    level, now = SimpleNamespace(no=40), datetime.now(UTC)
    record = {"message": "m", "exception": exception, "time": now, "level": level, "extra": {}}

    class Message(str):
        __slots__ = ("record",)
        record: dict[str, object]

    message = Message("m")
    message.record = record
    slog2_sink(writer)(message)
    assert read(tmp_path)[0].text == "m\nValueError: x"


def test_loguru_exception_outside_of_one(tmp_path: Path, writer: SetWriter) -> None:
    """Where there is no exception, or one that was never raised, the text says so, as loguru's own does."""
    logger.add(slog2_sink(writer), format="")
    logger.exception("no exception")
    logger.opt(exception=ValueError("never raised")).error("an object")
    assert texts(tmp_path) == ["no exception\nNoneType: None", "an object\nValueError: never raised"]


def test_loguru_times(tmp_path: Path, writer: SetWriter) -> None:
    """Times are exact to the microsecond in any year and zone; one without a zone is local."""
    moments = {
        datetime(2026, 11, 21, 1, 35, 52, 886001, UTC): 1_795_224_952_886_001_000,
        datetime(2026, 11, 21, 3, 35, 52, 886001, timezone(timedelta(hours=2))): 1_795_224_952_886_001_000,
        datetime(2300, 1, 1, 0, 0, 0, 123457, UTC): 10_413_792_000_123_457_000,
        datetime(2026, 11, 21, 1, 35, 52, 1): int(datetime(2026, 11, 21, 1, 35, 52).timestamp()) * 10**9 + 1000,  # noqa: DTZ001
    }
    logger.add(slog2_sink(writer), format="")
    for number, moment in enumerate(moments):
        logger.configure(patcher=lambda record: record.__setitem__("time", moment))  # noqa: B023 - used at once
        logger.bind(code=number).info("x")
    logger.configure(patcher=lambda _: None)
    assert {packet.code: packet.timestamp for packet in read(tmp_path)} == dict(enumerate(moments.values()))


def test_loguru_from_threads(tmp_path: Path, writer: SetWriter) -> None:
    """Records of many threads through the queue are all there, with the times at which they were made."""
    logger.add(slog2_sink(writer), format="", enqueue=True)
    workers = [
        threading.Thread(target=lambda who=who: [logger.info(f"{who} {i}") for i in range(50)]) for who in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    logger.complete()
    found = read(tmp_path)
    assert len(found) == 200
    for who in range(4):
        assert [p.text for p in found if p.text[0] == str(who)] == [f"{who} {i}" for i in range(50)]


@pytest.fixture
def log(writer: SetWriter) -> Iterator[logging.Logger]:
    """Give a standard logger that writes into the set."""
    made = logging.Logger("iommuman.test")  # noqa: LOG001 - one that no other test shares
    made.addHandler(Slog2Handler(writer))
    yield made
    made.handlers.clear()


def test_standard_logging(tmp_path: Path, log: logging.Logger) -> None:
    """Message, level, time, extras and code of a record become those of the packet; tracebacks and stacks are whole."""
    log.debug("low %d", 5)
    log.critical("bad", extra={"code": 9, "sid": 66})
    log.warning("odd", extra={"code": "x"})
    try:
        raise ValueError("wrong")  # noqa: TRY301 - to be caught here
    except ValueError:
        log.exception("caught", stack_info=True)
    low, bad, odd, caught = read(tmp_path)
    assert (low.text, low.severity, low.fields) == ("low 5", 6, {})
    assert (bad.severity, bad.code, bad.fields) == (1, 9, {"sid": 66})
    assert (odd.code, odd.fields) == (0, {"code": "x"})
    assert caught.text.startswith("caught\nTraceback")
    assert "ValueError: wrong\nStack (most recent call last):" in caught.text
    assert abs(low.timestamp - time.time_ns()) < 10_000_000_000


def test_standard_logging_with_a_formatter(tmp_path: Path, log: logging.Logger) -> None:
    """A formatter makes the text; a traceback another handler made already is used."""
    record = log.makeRecord("n", 40, "f", 1, "m", (), None)
    record.exc_text = "made before"
    log.handle(record)
    log.handlers[0].setFormatter(logging.Formatter("<%(name)s> %(message)s"))
    log.info("x")
    assert [packet.text for packet in read(tmp_path)] == ["m\nmade before", "<iommuman.test> x"]


def test_a_message_that_cannot_be_formatted(
    tmp_path: Path, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments that do not fit go to logging's own error handling, and the program goes on."""
    seen: list[logging.LogRecord] = []
    monkeypatch.setattr(Slog2Handler, "handleError", lambda _, record: seen.append(record))
    log.info("%d", "text")
    log.info("fine")
    assert len(seen) == 1
    assert [packet.text for packet in read(tmp_path)] == ["fine"]


def test_loguru_is_imported_by_nobody_but_its_user() -> None:
    """The package works without loguru, and does not spend the time to load it."""
    import subprocess

    command = "import sys, iommuman.logging_backend; sys.exit('loguru' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", command], check=False).returncode
