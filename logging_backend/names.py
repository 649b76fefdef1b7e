"""The numbers of slogger2, their names, and how other logging worlds count the same things.

Severities count down to the worst: 0 is a shutdown, 7 the finest detail. They look like the eight priorities of syslog
but are shifted: slogger2 has no "alert" and has two debug levels, so 1 is "critical" here and "alert" there.
The values are those of the QNX library reference (`slog2_register`, `slog2_packet_info_t`, `slogf`).
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum, IntFlag
from functools import lru_cache


class Severity(IntEnum):
    """Severity of a packet; a smaller number is worse. A set stores what is not above its verbosity."""

    SHUTDOWN = 0
    CRITICAL = 1
    ERROR = 2
    WARNING = 3
    NOTICE = 4
    INFO = 5
    DEBUG1 = 6
    DEBUG2 = 7


NO_LOG_VERBOSITY = 254
"""As a verbosity: store nothing."""

UNKNOWN_SEVERITY = 255
"""Severity of a packet read from text that has no severity column."""


class RegisterFlag(IntFlag):
    """Flags given when a set is registered (`slog2_register`).

    DISCARD_NEWLINE, the HINT_SKIP flags and LIMIT_RETRIES take effect here; the others are stored for readers only.
    """

    ALLOC_TYPE_SHMEM = 1 << 0
    TRY_REUSE_BUFFER_SET = 1 << 1
    DISCARD_NEWLINE = 1 << 2
    HINT_SKIP_BUFFER_0 = 1 << 3
    HINT_SKIP_BUFFER_1 = 1 << 4
    HINT_SKIP_BUFFER_2 = 1 << 5
    HINT_SKIP_BUFFER_3 = 1 << 6
    ALLOC_TYPE_PHYSICAL = 1 << 7
    LIMIT_RETRIES = 1 << 8
    QUIET = 1 << 9
    DYNAMIC_VERBOSITY = 1 << 10


class PacketFlag(IntFlag):
    """Flags of a packet as read (`slog2_packet_info_t.flags`)."""

    FIRSTPACKET = 0x1
    MONOTONIC = 0x2


class DataType(IntEnum):
    """What a packet as read is (`slog2_packet_info_t.data_type`)."""

    ASCII_STRING = 0
    BINARY = 1
    UNSYNC = 2
    ONLINE = 3


_LEVEL_STEPS = (6, 11, 21, 26, 31, 41, 51)


@lru_cache(maxsize=64)
def severity_from_level(level: int) -> int:
    """Return the severity of a `logging` or loguru level number.

    5 TRACE is DEBUG2, 10 DEBUG is DEBUG1, 20 INFO, 25 SUCCESS is NOTICE, 30 WARNING, 40 ERROR, 50 CRITICAL; anything
    above 50 is SHUTDOWN. A level between two of these counts as the upper one.
    """
    return 7 - bisect_right(_LEVEL_STEPS, level)


MAX_CODE = 0xFFFF
"""User codes have 16 bits."""

LEVEL_NUMBERS = (60, 50, 40, 30, 25, 20, 10, 5)
"""Level number of each severity for `logging` and loguru: the way back of `severity_from_level`."""

LOGURU_LEVELS = ("CRITICAL", "CRITICAL", "ERROR", "WARNING", "SUCCESS", "INFO", "DEBUG", "TRACE")
"""Name of loguru's built-in level for each severity; loguru has nothing above CRITICAL."""

OTEL_SEVERITY_NUMBERS = (24, 21, 17, 13, 10, 9, 5, 1)
"""OpenTelemetry SeverityNumber (1 to 24, 24 the worst) of each severity: FATAL4, FATAL, ERROR, WARN, INFO2, INFO,
DEBUG, TRACE (OpenTelemetry logs data model, "Severity fields")."""

SYSLOG_SEVERITIES = (0, 2, 3, 4, 5, 6, 7, 7)
"""RFC 5424 severity (table 2; also journald's PRIORITY) of each severity. By meaning, not by number: see above."""


def severity_name(severity: int) -> str:
    """Return the name of a severity in capitals, `UNKNOWN` when it is not one."""
    return Severity(severity).name if 0 <= severity <= Severity.DEBUG2 else "UNKNOWN"


def parse_severity(text: str) -> int | None:
    """Return the severity of a digit `0` to `7` or of a name in any case; None when the text is neither."""
    if text.isascii() and text.isdigit():
        return int(text) if len(text) == 1 and int(text) <= Severity.DEBUG2 else None
    member = Severity.__members__.get(text.upper().removeprefix("SLOG2_"))
    return None if member is None else member.value
