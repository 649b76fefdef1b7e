"""A log that survives its writer: buffer sets in shared memory as QNX's slogger2 has them, and readers of them.

Writers call `register` and log through the `SetWriter` it returns; readers call `snapshot`, `read_saved` or follow with
a `Follower`. Text of `slog2info` goes out through `text_out` and comes in through `text_in`; loguru and `logging` write
through `loguru_sink` and `stdlib_handler`.
"""

from __future__ import annotations

from .directory import Limits, default_directory
from .errors import Slog2Error
from .follow import Follower, follow
from .header import BufferConfig, SetHeader
from .loguru_sink import slog2_sink
from .names import NO_LOG_VERBOSITY, DataType, PacketFlag, RegisterFlag, Severity
from .packet import Packet, Stream
from .reader import buffer_infos, clear, packets, read_saved, save, snapshot
from .schema import Schema
from .stdlib_handler import Slog2Handler
from .writer import Placement, SetConfig, SetWriter, register

__all__ = [
    "NO_LOG_VERBOSITY",
    "BufferConfig",
    "DataType",
    "Follower",
    "Limits",
    "Packet",
    "PacketFlag",
    "Placement",
    "RegisterFlag",
    "Schema",
    "SetConfig",
    "SetHeader",
    "SetWriter",
    "Severity",
    "Slog2Error",
    "Slog2Handler",
    "Stream",
    "buffer_infos",
    "clear",
    "default_directory",
    "follow",
    "packets",
    "read_saved",
    "register",
    "save",
    "slog2_sink",
    "snapshot",
]
