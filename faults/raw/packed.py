"""Records of an event queue on their way into a log, packed: no object is made of any of them.

A packed record is the time, the two address words as the hardware wrote them, and what all faults alike have in
common: the ID, the code, the access, and a number that stands for who sends the ID. `CODES`, `TEXT` and `NAMES` are
what a log needs to say one in words; `Packer.sources` says whom a number stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from ...base import Origin
from ..fault import Fault
from .queue import format_of
from .record import Format

CODES = "QQIIIHB"
TEXT = "fault at %#lx (second word %#lx) ID %#x source %u code %#x unit %u access %u"
NAMES = ("address", "second", "identifier", "source", "code", "unit", "access")
ACCESSES = ("", "read", "write", "execute", "atomic", "translation", "interrupt")
"""Words for the number that `access` is."""

MOST_KEYS = 65536
"""Records that differ in more than their addresses are remembered up to this number, then forgotten."""
MOST_SOURCES = 65536
"""Numbers that are given out; one more ID is number 0, which stands for nobody."""
NO_IDENTIFIER = 0xFFFFFFFF

_TAIL = Struct("<IIIHB")
_TIME = Struct("<Q")
_NONE = bytes(8)
"""The second word of records that have none."""


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a number of a packed record stands for: the ID, and who sends it, in words."""

    number: int
    identifier: int | None
    words: str


class _Tails(dict[bytes, bytes]):
    """The packed end of a record by all of it but its address words; made when it is first asked for."""

    def __init__(self, make: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: bytes) -> bytes:
        if len(self) >= MOST_KEYS:
            self.clear()
        tail = self[key] = self._make(key)
        return tail


class Packer:
    """Packs the records of one queue of one unit.

    Attributes:
        sources: whom the numbers stand for that have been given out, in their order; number 1 is the first.
    """

    def __init__(
        self, architecture: str, *, unit: int = 0, kind: str = "", who: Callable[[Fault], str] | None = None
    ) -> None:
        """Take the records of an architecture.

        Args:
            architecture: see `ARCHITECTURES`.
            unit: a number for the unit, up to 65535.
            kind: see `from_queue`.
            who: says in words who sends the ID of a fault; asked once for each ID.

        Raises:
            FaultError: there is no such architecture or kind.
        """
        self.sources: list[Named] = []
        self._form: Format = format_of(architecture, kind)
        self._unit = unit
        self._who = who
        self._numbers: dict[int | None, int] = {}
        self._tails = _Tails(self._tail)

    def pack(self, data: bytes, time: int) -> bytes:
        """Return the packed records of whole records, all with one time (nanoseconds since 1970).

        Vacant places are packed too, with code 0 and ID 0: give what lies between a queue's head and tail. Bytes after
        the last whole record are not read.
        """
        form, tails, now = self._form, self._tails, _TIME.pack(time)
        over = len(data) % form.size
        if over:
            data = data[:-over]
        at = form.address_at
        if form.second_mask:
            both = Struct(f"{at}s{form.size - at}s").iter_unpack(data)
            return b"".join([part for key, words in both for part in (now, words, tails[key])])
        rows = Struct(f"{at}s8s{form.size - at - 8}s").iter_unpack(data)
        return b"".join([part for head, word, end in rows for part in (now, word, _NONE, tails[head + end])])

    def _tail(self, key: bytes) -> bytes:
        """Return the packed end of the records with all of this but their address words."""
        form = self._form
        raw = key[: form.address_at] + bytes(form.size - len(key)) + key[form.address_at :]
        fault = form.decode(raw, Origin(""), "")
        identifier = NO_IDENTIFIER if fault.identifier is None else fault.identifier & 0xFFFFFFFF
        return _TAIL.pack(identifier, self._number(fault), fault.code or 0, self._unit, ACCESSES.index(fault.access))

    def _number(self, fault: Fault) -> int:
        """Return the number of who sends the ID of a fault; a new one for an ID that is new."""
        known = self._numbers.get(fault.identifier)
        if known is not None:
            return known
        if len(self.sources) >= MOST_SOURCES:
            return 0
        number = self._numbers[fault.identifier] = len(self.sources) + 1
        self.sources.append(Named(number, fault.identifier, self._who(fault) if self._who else ""))
        return number
