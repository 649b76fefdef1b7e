"""The calls of a client and their results, as records: what goes over the socket, and what a session carries out.

One record a call of libsmmu, and one for its result. `docs/manager-protocol.md` has them as a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, get_args

from .checks import choice, flag, integer, octets, optional, record, several, tagged, text
from .errors import ManagerError, Reason
from .incidents import Incident
from .mappings import Access, Granted
from .ports import AccessWord, Refusal

VERSION = 1
"""Of the protocol; a service and a client of different versions do not talk."""

MOST_ENTRIES = 1024
"""Ranges in one call."""

MOST_REGIONS = 256
"""Reserved regions in one answer."""

MOST_NAMES = 4096
"""Devices in one answer."""

LONGEST_NAME = 255
"""Characters of a name of a client or unit."""

LONGEST_PATH = 1024
"""Characters of a name of a device, which may be a path."""

LONGEST_TEXT = 1024
"""Characters of one part of an error."""

ANY = None
"""Any bus, device or function (libsmmu: `SMMU_PCI_FIELD_ANY`)."""

_U64 = (1 << 64) - 1
Number = Annotated[int, integer(0, _U64)]
ObjectNumber = Annotated[int, integer(1, (1 << 53) - 1)]
Flag = Annotated[bool, flag]
Name = Annotated[str, text(LONGEST_NAME)]
Names = Annotated[tuple[str, ...], several(text(LONGEST_PATH), 0, MOST_NAMES)]


# --- Devices


@dataclass(frozen=True, slots=True)
class PciId:
    """PCI functions by address (libsmmu: `struct smmu_devid_pci`); None for any bus, device or function."""

    kind: ClassVar[str] = "pci"
    bus: Annotated[int | None, optional(integer(0, 255))] = ANY
    device: Annotated[int | None, optional(integer(0, 31))] = ANY
    function: Annotated[int | None, optional(integer(0, 7))] = ANY
    segment: Annotated[int, integer(0, 0xFFFFFFFF)] = 0


@dataclass(frozen=True, slots=True)
class MmioId:
    """A device by the physical address and number of bytes of its registers (libsmmu: `struct smmu_devid_mmio`)."""

    kind: ClassVar[str] = "mmio"
    phys: Number
    length: Annotated[int, integer(1, 0xFFFFFFFF)]


@dataclass(frozen=True, slots=True)
class NamedId:
    """A device by the name that `iommuman who` takes."""

    kind: ClassVar[str] = "name"
    name: Annotated[str, text(LONGEST_PATH)]


DeviceId = PciId | MmioId | NamedId
"""Which devices are meant (libsmmu: `union smmu_devid`)."""

Devices = Annotated[DeviceId, tagged(pci=PciId, mmio=MmioId, name=NamedId)]


@dataclass(frozen=True, slots=True)
class Entry:
    """`length` bytes from `start`, as the device sees them (libsmmu: `struct smmu_map_entry`)."""

    start: Number
    length: Number


# --- Calls


@dataclass(frozen=True, slots=True)
class Attach:
    """The first call of a connection (libsmmu: `smmu_init`); `resume`: take up what a service before granted."""

    version: Annotated[int, integer(0, 0xFFFF)]
    name: Name
    abilities: Annotated[tuple[str, ...], several(text(16), 0, 8)]
    resume: Flag = False


@dataclass(frozen=True, slots=True)
class CreateObject:
    """libsmmu: `smmu_obj_create`."""

    manual_reserved: Flag = False


@dataclass(frozen=True, slots=True)
class DestroyObject:
    """libsmmu: `smmu_obj_destroy`."""

    object: ObjectNumber


@dataclass(frozen=True, slots=True)
class AddDevice:
    """libsmmu: `smmu_device_add_generic`, `_pci`, `_mmio`."""

    object: ObjectNumber
    device: Devices
    together: Flag = False


@dataclass(frozen=True, slots=True)
class RemoveDevice:
    """libsmmu: `smmu_device_add_*` with `sop` NULL."""

    device: Devices
    together: Flag = False


@dataclass(frozen=True, slots=True)
class ReportReserved:
    """libsmmu: `smmu_device_report_reserved`."""

    device: Devices
    offset: Annotated[int, integer(0, 0xFFFFFFFF)] = 0
    most: Annotated[int, integer(0, MOST_REGIONS)] = MOST_REGIONS


@dataclass(frozen=True, slots=True)
class MapEntries:
    """libsmmu: `smmu_mapping_add`; access 0 takes the ranges away, a target is `SMF_TARGET`."""

    object: ObjectNumber
    access: Annotated[int, integer(0, 7)]
    entries: Annotated[tuple[Entry, ...], several(record(Entry), 1, MOST_ENTRIES)]
    target: Annotated[int | None, optional(integer(0, _U64))] = None


@dataclass(frozen=True, slots=True)
class Watch:
    """libsmmu: `smmu_xfer_notify`."""


@dataclass(frozen=True, slots=True)
class ReadIncident:
    """libsmmu: `smmu_xfer_status`."""


@dataclass(frozen=True, slots=True)
class DmaAccess:
    """Let a device of a simulated board access memory once."""

    device: Devices
    address: Number
    length: Annotated[int, integer(1, 1 << 16)]
    write: Flag


# --- Results


@dataclass(frozen=True, slots=True)
class Done:
    """The call was carried out."""


@dataclass(frozen=True, slots=True)
class HeldObject:
    """An object that was taken up again: its number, its devices, how many stretches of memory it grants."""

    object: ObjectNumber
    devices: Names
    mappings: Annotated[int, integer(0, 1 << 32)]


@dataclass(frozen=True, slots=True)
class Attached:
    """The client is taken in; `objects` are those taken up again, in the order of their making."""

    objects: Annotated[tuple[HeldObject, ...], several(record(HeldObject), 0, MOST_NAMES)] = ()


@dataclass(frozen=True, slots=True)
class Created:
    """The object's number."""

    object: ObjectNumber


@dataclass(frozen=True, slots=True)
class Added:
    """Devices were added, or removed.

    Attributes:
        devices: names of the devices; those that share IDs with the one asked for are among them.
        remap: libsmmu's +1: a unit serves the object from now on that did not before. The object's mappings have
            been made there too; making them again does no harm.
    """

    devices: Names
    remap: Flag = False

    def __int__(self) -> int:
        """Return what libsmmu returns: 1 or 0."""
        return int(self.remap)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Reserved memory of a device: how many regions there are, and those from the offset on."""

    total: Annotated[int, integer(0, 0xFFFFFFFF)]
    regions: Annotated[tuple[Entry, ...], several(record(Entry), 0, MOST_REGIONS)]


@dataclass(frozen=True, slots=True)
class GrantedEntry:
    """One entry's `Granted`."""

    start: Number
    length: Annotated[int, integer(0, 1 << 64)]
    beyond: Annotated[tuple[Entry, ...], several(record(Entry), 0, 2)] = ()
    widened: Annotated[int, integer(0, 7)] = 0

    @classmethod
    def of(cls, granted: Granted) -> GrantedEntry:
        """Return what says the same."""
        beyond = tuple(Entry(*pair) for pair in granted.beyond)
        return cls(granted.start, granted.length, beyond, int(granted.widened))

    def granted(self) -> Granted:
        """Return it as the manager says it."""
        beyond = tuple((one.start, one.length) for one in self.beyond)
        return Granted(self.start, self.length, beyond, Access(self.widened))


@dataclass(frozen=True, slots=True)
class Mapped:
    """What each entry granted."""

    entries: Annotated[tuple[GrantedEntry, ...], several(record(GrantedEntry), 0, MOST_ENTRIES)]


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """One `Incident`, without structure."""

    time: Number
    unit: Name
    identifier: Annotated[int | None, optional(integer(0, _U64))]
    address: Annotated[int | None, optional(integer(0, _U64))]
    exact: Flag
    access: Annotated[AccessWord, choice(*get_args(AccessWord))]
    reason: Annotated[str, text(LONGEST_TEXT)]
    code: Number
    raw: Annotated[bytes, octets(256)]
    devices: Names
    object: Annotated[int | None, optional(integer(1, (1 << 53) - 1))]
    dropped: Flag

    @classmethod
    def of(cls, incident: Incident) -> StatusRecord:
        """Return what says the same."""
        one = incident.refusal
        return cls(
            incident.time, one.unit, one.identifier, one.address, one.exact, one.access, one.reason, one.code, one.raw,
            incident.devices[:MOST_NAMES], incident.object, incident.dropped,
        )  # fmt: skip

    def incident(self) -> Incident:
        """Return it as the manager says it."""
        refusal = Refusal(
            self.unit, self.identifier, self.address, self.exact, self.access, self.reason, self.code, self.raw
        )
        return Incident(self.time, refusal, self.devices, self.object, self.dropped)


@dataclass(frozen=True, slots=True)
class Status:
    """The oldest record; None when there is none."""

    incident: Annotated[StatusRecord | None, optional(record(StatusRecord))] = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an access.

    Attributes:
        allowed: all of it got through.
        physical: where its first byte got to; None when that was refused.
        refused: device address where it was refused first; None when it was allowed.
    """

    allowed: Flag
    physical: Annotated[int | None, optional(integer(0, _U64))] = None
    refused: Annotated[int | None, optional(integer(0, _U64))] = None


Call = (
    Attach | CreateObject | DestroyObject | AddDevice | RemoveDevice | ReportReserved | MapEntries | Watch
    | ReadIncident | DmaAccess
)  # fmt: skip
Result = Done | Attached | Created | Added | Reserved | Mapped | Status | Verdict

CALLS: dict[str, tuple[type[Call], type[Result]]] = {
    "attach": (Attach, Attached),
    "create": (CreateObject, Created),
    "destroy": (DestroyObject, Done),
    "add": (AddDevice, Added),
    "remove": (RemoveDevice, Added),
    "reserved": (ReportReserved, Reserved),
    "map": (MapEntries, Mapped),
    "watch": (Watch, Done),
    "status": (ReadIncident, Status),
    "dma": (DmaAccess, Verdict),
}
"""Calls by their names in messages, with their results."""

NAMES = {call: name for name, (call, _) in CALLS.items()}
"""Names of calls."""


DETAILS = ("field", "found", "expected", "clause", "advice")
"""Texts of a `Finding` that an error carries beside its message, where it has them."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A `ManagerError` in a message; texts are cut to what a message holds."""

    reason: Annotated[Reason, choice(*get_args(Reason))]
    rule: Annotated[str, text(64)]
    message: Annotated[str, text(LONGEST_TEXT)]
    part: Annotated[str, text(LONGEST_TEXT)] = ""
    field: Annotated[str, text(LONGEST_TEXT)] = ""
    found: Annotated[str, text(LONGEST_TEXT)] = ""
    expected: Annotated[str, text(LONGEST_TEXT)] = ""
    clause: Annotated[str, text(LONGEST_TEXT)] = ""
    advice: Annotated[str, text(LONGEST_TEXT)] = ""

    @classmethod
    def of(cls, error: ManagerError) -> Failure:
        """Return what says the same."""
        finding = error.finding
        details = {name: getattr(finding, name)[:LONGEST_TEXT] for name in DETAILS}
        part = finding.origin.part[:LONGEST_TEXT]
        return cls(error.reason, finding.rule[:64], finding.message[:LONGEST_TEXT], part, **details)

    def error(self) -> ManagerError:
        """Return it to be raised."""
        details = {name: getattr(self, name) for name in DETAILS}
        return ManagerError(self.reason, self.rule, self.message, self.part, **details)
