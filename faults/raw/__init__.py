"""Raw fault records of every architecture: one decoder a module, and readers of dumps, registers and pasted words."""

from __future__ import annotations

from .queue import ARCHITECTURES, Reading, decode_many, format_of, formats, from_queue
from .record import Format
from .registers import from_registers
from .words import Candidate, from_words

__all__ = [
    "ARCHITECTURES",
    "Candidate",
    "Format",
    "Reading",
    "decode_many",
    "format_of",
    "formats",
    "from_queue",
    "from_registers",
    "from_words",
]
