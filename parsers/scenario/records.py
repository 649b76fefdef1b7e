"""What a scenario says, as records: VMs, their memory and devices, guest managers, monitors, and events in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...base import Finding, Origin
from ..qvm import Dma

GuestKind = Literal["qnx", "linux"]
"""What runs in a VM: a QNX guest can have a manager of its own, a Linux guest cannot."""

Architecture = Literal["arm", "x86", ""]
"""Of a guest; empty where nothing says so."""

Action = Literal[
    "start", "stop", "kill", "map", "unmap", "withdraw", "guest-start", "guest-stop", "guest-kill", "guest-map",
    "guest-unmap", "guest-move", "read", "write", "poll",
]  # fmt: skip
"""What happens; `docs/scenario.md` describes each."""


@dataclass(frozen=True, slots=True)
class Ram:
    """Memory of a VM.

    Attributes:
        guest: first guest-physical address.
        host: the host-physical address that it is.
        length: in bytes.
        access: letters `r`, `w`, `x`: what its devices may do there.
        shared: another VM may have the same memory, if it says so as well.
    """

    guest: int
    host: int
    length: int
    access: str = "rw"
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """A device that is passed through to a VM.

    Attributes:
        device: its name on the board, or its place as a qvm configuration names it: `pci:0:18.0`,
            `pci:0x8086/0x1234`, `mem:0xe6ef0000`.
        dma: whether it does DMA.
        guest: where the guest sees it: `0:5.0` (a PCI function; the bus is 0), `mem:0x1000`; empty: chosen for it.
    """

    device: str
    dma: Dma
    guest: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """Memory that a guest's manager grants: `length` bytes at device address `start`.

    `target` is the guest-physical address, when it is another one.
    """

    start: int
    length: int
    access: str = "rw"
    target: int | None = None


@dataclass(frozen=True, slots=True)
class GuestObject:
    """Devices, by their names in the guest, that a guest's manager grants the same memory."""

    name: str
    devices: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Vm:
    """A virtual machine.

    Attributes:
        name: unique in the scenario.
        memory: guest-physical to host-physical.
        devices: passed through.
        unity: guest-physical addresses are host-physical ones.
        guest: see `GuestKind`.
        arch: of the guest.
        libfdt: the guest has a usable device-tree library.
        manager: what the guest's manager narrows its devices to; None: the guest has no manager.
    """

    name: str
    memory: tuple[Ram, ...] = ()
    devices: tuple[Passed, ...] = ()
    unity: bool = False
    guest: GuestKind = "qnx"
    arch: Architecture = ""
    libfdt: bool = True
    manager: tuple[GuestObject, ...] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens; which of the attributes an action has, `docs/scenario.md` says.

    Attributes:
        action: see `Action`.
        origin: where the event stands.
        vm: name of the VM.
        device: name of the device: on the board, or for `guest-move` in the guest.
        object: name of the guest's object.
        address: device address (`read`, `write`, `guest-map`, `guest-unmap`), or guest-physical (`map`, `unmap`).
        target: physical address of it: the host's for `map`, the guest's for `guest-map`; None: the same.
        length: in bytes.
        access: letters of `r`, `w`, `x`.
        expect: the verdict that the scenario expects: of an access `allowed` or `denied`, of all else `done` or
            `refused`; empty: none.
    """

    action: Action
    origin: Origin
    vm: str = ""
    device: str = ""
    object: str = ""
    address: int = 0
    target: int | None = None
    length: int = 1
    access: str = "rw"
    expect: Literal["allowed", "denied", "done", "refused", ""] = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens on a board.

    Attributes:
        source: name of the file.
        vms: in the order of the file.
        monitors: names of clients that only watch.
        events: in the order in which they happen.
        manager: the host has a manager.
        findings: what of the file was not understood, and passed over.
    """

    source: str
    vms: tuple[Vm, ...] = ()
    monitors: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    manager: bool = True
    findings: tuple[Finding, ...] = ()
