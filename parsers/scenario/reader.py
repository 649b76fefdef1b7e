"""Scenario files to records. Everything that is wrong is named with its place; `docs/scenario.md` has all keys."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, cast, get_args

from ...base import Finding, Origin
from ..errors import ParseError
from ..qvm import Qvm, read_qvm
from .fields import Fields
from .records import Action, Architecture, Event, GuestKind, GuestObject, Passed, Ram, Scenario, Vm, Window

MOST_BYTES = 1 << 20
"""Size of a scenario or qvm configuration; a longer file is none."""

ACTIONS: dict[str, tuple[str, ...]] = {
    "start": ("vm",),
    "stop": ("vm",),
    "kill": ("vm",),
    "map": ("vm", "address", "host", "size", "access"),
    "unmap": ("vm", "address", "size"),
    "withdraw": ("vm", "device"),
    "guest-start": ("vm",),
    "guest-stop": ("vm",),
    "guest-kill": ("vm",),
    "guest-map": ("vm", "object", "address", "target", "size", "access"),
    "guest-unmap": ("vm", "object", "address", "size"),
    "guest-move": ("vm", "object", "device"),
    "read": ("device", "address", "size"),
    "write": ("device", "address", "size"),
    "poll": (),
}
"""Keys of each action, beside `do` and `expect`."""


def read_scenario(path: str) -> Scenario:
    """Read a scenario file, and the qvm configurations that it names, which are beside it.

    Raises ParseError: it cannot be opened, or is no TOML. All else that is wrong is in `findings`, with severity
    `error`: such a scenario is not to be played.
    """
    return parse_scenario(_text_of(path), path)


def parse_scenario(text: str, source: str = "") -> Scenario:
    """Read a scenario from text; raises ParseError when it is no TOML."""
    if len(text) > MOST_BYTES:
        raise ParseError(Finding("SCENARIO-SIZE", "error", Origin(source), "the file is too long to be a scenario"))
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__
        raise ParseError(
            Finding("SCENARIO-TOML", "error", Origin(source), f"this is no TOML: {reason}"[:300])
        ) from error
    return _Reader(source, document).scenario()


def _text_of(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParseError(Finding("SCENARIO-OPEN", "error", Origin(path), f"this cannot be opened: {reason}")) from error
    if len(data) > MOST_BYTES:
        raise ParseError(Finding("SCENARIO-SIZE", "error", Origin(path), "the file is too long to be a scenario"))
    return data.decode("utf-8", "replace")


class _Reader:
    def __init__(self, source: str, document: dict[str, Any]) -> None:
        self.source = source
        self.findings: list[Finding] = []
        self.top = Fields(source, "", document, self.findings)
        self.objects: dict[str, set[str]] = {}
        self.names: set[str] = set()

    def scenario(self) -> Scenario:
        """Return the whole."""
        self.top.known("manager", "monitors", "vm", "event")
        manager = self.top.flag("manager", default=True)
        monitors = self.top.texts("monitors")
        vms = tuple([self._vm(fields) for fields in self.top.tables("vm")])
        events = [self._event(fields) for fields in self.top.tables("event")]
        found = tuple(event for event in events if event is not None)
        return Scenario(self.source, vms, monitors, found, manager, tuple(self.findings))

    # --- VMs

    def _vm(self, fields: Fields) -> Vm:
        fields.known(
            "name", "memory", "devices", "unity", "guest", "arch", "libfdt", "manager", "qvm", "ram_host"
        )  # fmt: skip
        name = fields.text("name", required=True)
        if name in self.names:
            fields.wrong("name", "two VMs have this name", name, "names of their own")
        self.names.add(name)
        memory = [ram for one in fields.tables("memory") if (ram := self._ram(one)) is not None]
        devices = [self._passed(one) for one in fields.tables("devices")]
        unity = fields.flag("unity", default=False)
        qvm = fields.text("qvm")
        if qvm:
            self._add_qvm(fields, qvm, memory, devices, unity=unity)
        elif fields.has("ram_host"):
            fields.wrong("ram_host", "there is no qvm configuration that it could be for", "", 'qvm = "…" beside it')
        manager = fields.table("manager")
        self.objects[name] = set()
        return Vm(
            name, tuple(memory), tuple(devices), unity,
            cast("GuestKind", fields.text("guest", get_args(GuestKind)) or "qnx"),
            cast("Architecture", fields.text("arch", ("arm", "x86"))),
            fields.flag("libfdt", default=True),
            None if manager is None else self._objects(name, manager),
        )  # fmt: skip

    def _ram(self, fields: Fields) -> Ram | None:
        fields.known("guest", "host", "size", "access", "shared")
        guest, host, size = fields.number("guest"), fields.number("host"), fields.number("size")
        access, shared = fields.access(), fields.flag("shared", default=False)
        if guest is None or host is None or size is None:
            return None
        return Ram(guest, host, size, access, shared)

    def _passed(self, fields: Fields) -> Passed:
        fields.known("device", "dma", "guest")
        dma = fields.text("dma", ("d", "n"))
        return Passed(
            fields.text("device", required=True), "d" if dma == "d" else "n" if dma else "", fields.text("guest")
        )

    def _objects(self, vm: str, manager: Fields) -> tuple[GuestObject, ...]:
        manager.known("objects")
        found = []
        for fields in manager.tables("objects"):
            fields.known("name", "devices", "memory")
            name = fields.text("name", required=True)
            if name in self.objects[vm]:
                fields.wrong("name", "two objects of the guest have this name", name, "names of their own")
            self.objects[vm].add(name)
            windows = []
            for one in fields.tables("memory"):
                one.known("address", "target", "size", "access")
                start, size = one.number("address"), one.number("size")
                target = one.number("target") if one.has("target") else None
                if start is not None and size is not None:
                    windows.append(Window(start, size, one.access(), target))
            found.append(GuestObject(name, fields.texts("devices"), tuple(windows)))
        return tuple(found)

    # --- qvm configurations

    def _add_qvm(
        self, fields: Fields, name: str, memory: list[Ram], devices: list[Passed], *, unity: bool
    ) -> None:  # fmt: skip
        """Add what a qvm configuration says; where its memory is in the host, it does not say."""
        try:
            found = read_qvm(_text_of(str(Path(self.source).parent / name)), name)
        except ParseError as error:
            fields.wrong("qvm", error.finding.message, name, "a qvm configuration beside the scenario")
            return
        self.findings += found.findings
        ram = [one for one in found.memory if not one.rom]
        hosts = fields.numbers("ram_host")
        if not unity and len(hosts) != len(ram):
            fields.wrong(
                "ram_host", "it has to say where in the host each ram line is", f"{len(hosts)} addresses",
                f"{len(ram)}, in the order of {name}",
            )  # fmt: skip
        for number, one in enumerate(ram):
            host = one.start if unity else hosts[number] if number < len(hosts) else None
            if host is not None:
                memory.append(Ram(one.start, host, one.length))
        devices += _passed_by(found)

    # --- Events

    def _event(self, fields: Fields) -> Event | None:
        action = fields.text("do", ACTIONS, required=True)
        if not action:
            return None
        keys = ACTIONS[action]
        fields.known("do", *keys, "expect")
        dma = action in ("read", "write")
        before = len(self.findings)
        vm, thing = (fields.text(key, required=True) if key in keys else "" for key in ("vm", "object"))
        if vm and vm not in self.names:
            fields.wrong("vm", "there is no such VM", vm, ", ".join(sorted(self.names)) or "a VM of the file")
        elif vm and thing and thing not in self.objects[vm]:
            known = ", ".join(sorted(self.objects[vm]))
            fields.wrong("object", "the guest's manager has no such object", thing, known or "an object")
        device = fields.text("device", required=True) if "device" in keys else ""
        address = fields.number("address") if "address" in keys else 0
        size = fields.number("size", 1 if dma else None) if "size" in keys else 1
        other = next((key for key in ("host", "target") if key in keys and (key == "host" or fields.has(key))), None)
        target = None if other is None else fields.number(other)
        access = fields.access() if "access" in keys else "rw"
        expect = fields.text("expect", ("allowed", "denied") if dma else ("done", "refused"))
        if dma and size is not None and not 1 <= size <= 1 << 16:
            fields.wrong("size", "an access has 1 byte to 64 KiB", hex(size), "a size from 1 to 65536")
        elif (address or 0) + (size or 0) > 1 << 64:
            fields.wrong("size", "this ends beyond 64 bits of address", hex(size or 0), "a range within 64 bits")
        if len(self.findings) > before:
            return None
        return Event(
            cast("Action", action), fields.origin, vm, device, thing, address or 0, target, size or 0, access,
            cast("Any", expect),
        )  # fmt: skip


def _passed_by(qvm: Qvm) -> list[Passed]:
    """Return the devices that a qvm configuration passes through, by their first location that names one."""
    found = []
    for one in qvm.passes:
        places = [place for place in one.locations if place.kind in ("pci", "mem")]
        if places:
            first = next((place for place in places if place.kind == "pci"), places[0])
            same = first.host == f"{first.kind}:{first.guest}"
            guest = "" if same or "/" in first.guest else first.guest if first.kind == "pci" else f"mem:{first.guest}"
            found.append(Passed(first.host, one.dma, guest))
    return found
