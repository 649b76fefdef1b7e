"""PCI as firmware sets it up: configuration space, bus numbers, windows of bridges, addresses of functions.

Source: PCI Local Bus Specification 3.0 clause 6, PCI-to-PCI Bridge Architecture Specification 1.2 clause 3.2, PCI
Express Base Specification clause 7.2.2 (ECAM).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import failure
from .machines import Description, Function

COMMAND, HEADER, BAR_0, CAPABILITIES = 0x04, 0x0C, 0x10, 0x34
BUS_NUMBERS, MEMORY_WINDOW, PREFETCHABLE_WINDOW = 0x18, 0x20, 0x24
MEMORY_AND_MASTER = 0x6
CAP_MSI = 0x05
BRIDGES = frozenset({"pcie-root-port", "pci-bridge", "pcie-pci-bridge", "x3130-upstream", "xio3130-downstream"})
EXPANDER = "pxb-pcie"
_ALIGN = 1 << 20
"""Windows of bridges are whole MiB."""
_NOTHING = 0xFFFFFFFF


class Access(Protocol):
    """How configuration space and registers are reached; see `Qtest`."""

    def command(self, text: str) -> str:
        """Do one command."""
        ...

    def number(self, text: str) -> int:
        """Do one command that answers a number."""
        ...


@dataclass(frozen=True, slots=True)
class Placed:
    """A function as it was set up.

    Attributes:
        function: what it is.
        rid: its requester ID: bus, device and function number.
        bars: physical address of each memory BAR, by number.
        below: what is on the bus behind it.
    """

    function: Function
    rid: int
    bars: dict[int, int] = field(default_factory=dict)
    below: tuple[Placed, ...] = ()

    def walk(self) -> Iterator[Placed]:
        """Yield it and all that is behind it."""
        yield self
        for one in self.below:
            yield from one.walk()


class Configuration:
    """Configuration space of a machine."""

    def __init__(self, link: Access, description: Description) -> None:
        """Use a connection to a machine of this kind."""
        self._link = link
        self._ecam = description.ecam

    def read(self, rid: int, offset: int) -> int:
        """Return the doubleword at an offset (a multiple of 4) of a function; all ones where there is none."""
        if self._ecam is not None:
            return self._link.number(f"readl 0x{self._ecam + (rid << 12) + offset:x}")
        self._link.command(self._selection(rid, offset))
        return self._link.number("inl 0xcfc")

    def write(self, rid: int, offset: int, value: int) -> None:
        """Write the doubleword at an offset (a multiple of 4) of a function."""
        for text in self.writing(rid, offset, value):
            self._link.command(text)

    def writing(self, rid: int, offset: int, value: int) -> list[str]:
        """Return the commands that write a doubleword, for `Qtest.batch`."""
        if self._ecam is not None:
            return [f"writel 0x{self._ecam + (rid << 12) + offset:x} 0x{value:x}"]
        return [self._selection(rid, offset), f"outl 0xcfc 0x{value:x}"]

    def capability(self, rid: int, identifier: int) -> int | None:
        """Return the offset of a capability of a function; None when it has none. Chains that loop end."""
        at = self.read(rid, CAPABILITIES) & 0xFC
        for _ in range(48):  # as many as there is room for
            if at == 0:
                return None
            head = self.read(rid, at)
            if head & 0xFF == identifier:
                return at
            at = head >> 8 & 0xFC
        return None

    @staticmethod
    def _selection(rid: int, offset: int) -> str:
        return f"outl 0xcf8 0x{0x80000000 | rid << 8 | offset & 0xFC:x}"


class Enumerator:
    """Sets functions up: numbers buses depth first, and puts BARs one after another into the machine's window."""

    def __init__(self, configuration: Configuration, description: Description) -> None:
        """Work on a machine of this kind, of which nothing is set up yet."""
        self._configuration = configuration
        self._board = description
        self._next, length = description.window
        self._end = self._next + length
        self._last_bus = 0

    def place(self, functions: tuple[Function, ...]) -> tuple[Placed, ...]:
        """Set up the functions of the root bus, and all behind them; expanders last, for their bus numbers.

        Raises IommuError: `QEMU-PCI` a function does not answer, or there is no room for it.
        """
        ordered = sorted(functions, key=lambda one: one.bus)
        placed = {id(one): self._place(0, one) for one in ordered}
        return tuple(placed[id(one)] for one in functions)

    def _place(self, bus: int, function: Function) -> Placed:
        rid = bus << 8 | function.slot << 3 | function.number
        if function.device == EXPANDER:
            if function.bus <= self._last_bus:
                raise failure("QEMU-PCI", f"bus {function.bus} is taken already when the expander is set up")
            self._last_bus = function.bus
            return Placed(function, rid, below=tuple(self._place(function.bus, one) for one in function.below))
        if self._configuration.read(rid, 0) == _NOTHING:
            raise failure("QEMU-PCI", f"{function.device} does not answer at requester ID 0x{rid:x}")
        below = self._bridge(bus, rid, function) if function.device in BRIDGES else ()
        bars = self._bars(rid, 2 if function.device in BRIDGES else 6)
        self._configuration.write(rid, COMMAND, MEMORY_AND_MASTER)
        return Placed(function, rid, bars, below)

    def _bridge(self, bus: int, rid: int, function: Function) -> tuple[Placed, ...]:
        """Number the bus behind a bridge, set up what is there, and open the bridge's window for it."""
        self._last_bus += 1
        secondary = self._last_bus
        if secondary >= self._board.buses:
            raise failure("QEMU-PCI", f"this machine has {self._board.buses} buses and no more")
        self._configuration.write(rid, BUS_NUMBERS, 0xFF << 16 | secondary << 8 | bus)
        self._next = start = -(-self._next // _ALIGN) * _ALIGN
        below = tuple(self._place(secondary, one) for one in function.below)
        self._configuration.write(rid, BUS_NUMBERS, self._last_bus << 16 | secondary << 8 | bus)
        self._next = -(-self._next // _ALIGN) * _ALIGN
        limit = self._next - _ALIGN  # below the base: no window
        self._configuration.write(rid, MEMORY_WINDOW, limit & 0xFFF00000 | start >> 16 & 0xFFF0)
        self._configuration.write(rid, PREFETCHABLE_WINDOW, 0xFFF0)
        return below

    def _bars(self, rid: int, count: int) -> dict[int, int]:
        bars: dict[int, int] = {}
        number = 0
        while number < count:
            offset = BAR_0 + 4 * number
            self._configuration.write(rid, offset, _NOTHING)
            mask = self._configuration.read(rid, offset)
            wide = mask & 0x7 == 0x4
            if mask and not mask & 1:
                size = -(mask & ~0xF) & _NOTHING
                start = -(-self._next // size) * size
                if start + size > self._end:
                    raise failure("QEMU-PCI", f"there is no room for {size} bytes of requester ID 0x{rid:x}")
                self._configuration.write(rid, offset, start)
                if wide:
                    self._configuration.write(rid, offset + 4, 0)
                bars[number] = start
                self._next = start + size
            number += 2 if wide else 1
        return bars


def command_line(functions: tuple[Function, ...], bus: str) -> list[str]:
    """Return the arguments of QEMU that make functions on a bus, and all behind them."""
    arguments: list[str] = []
    serial = iter(range(1, 255))

    def add(function: Function, bus: str) -> None:
        number = next(serial)
        name = f"f{number}"
        words = [function.device, f"id={name}", f"bus={bus}", f"addr={function.slot:x}.{function.number}"]
        if function.device in ("pcie-root-port", "xio3130-downstream"):
            words += [f"chassis={number}", f"slot={number}"]
        elif function.device == "pci-bridge":
            words.append(f"chassis_nr={number}")
        elif function.device == EXPANDER:
            words.append(f"bus_nr={function.bus}")
        arguments.extend(("-device", ",".join((*words, *function.options))))
        for one in function.below:
            add(one, name)
        if function.device == "intel-hda":
            arguments.extend(
                ("-audiodev", f"none,id=a{number}", "-device", f"hda-output,bus={name}.0,audiodev=a{number}")
            )

    for function in functions:
        add(function, bus)
    return arguments
