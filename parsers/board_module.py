"""Board modules: what a board's firmware does not say of its IOMMUs, as a small TOML file.

They are the counterpart of QNX's `smmu-cfg-<name>.so`: the last field of a `unit` names one. A module says the same
things as a configuration, and a few that a `.smmu` file cannot (`docs/configuration.md` has every key). It is found by
name in the folders of `IOMMUMAN_BOARDS`, in the current folder of its user's file, and among those that come with
iommuman; for what TOML cannot say, a distribution has an entry point of the group `iommuman.boards`: a callable without
arguments that returns a `Configuration`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ..base import Finding, Origin, parse_pci_address
from .errors import ParseError
from .smmu_config import (
    Configuration,
    DeviceEntry,
    DeviceSpec,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    SocRevision,
    Unit,
    Use,
)

MAX_BYTES = 1 << 20
"""Bytes of the largest module that is read."""

FOLDERS = "IOMMUMAN_BOARDS"
"""Environment variable that names folders of modules, parted as those of PATH."""

GROUP = "iommuman.boards"
"""Group of entry points that make modules in Python."""

TYPES = ("armsmmu", "rcar3", "vtd", "smmuv3", "amdvi", "riscv")
ADDRESS_LIMIT, ID_LIMIT = 1 << 64, 1 << 32
_PACKAGED = os.path.join(os.path.dirname(__file__), "boards")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_TOP = ("title", "origin", "notes", "main", "unit", "device", "group")
_MAIN = ("base", "interrupt", "fault-bit", "chips")
_CHIP = ("soc", "revision")
_UNIT = (
    "name", "type", "base", "context-interrupt", "global-interrupt", "status-bit", "bypass", "reserved-ids",
)  # fmt: skip
_DEVICE = ("address", "pci", "name", "use", "reserved", "note")
_USE = ("unit", "id", "count", "ignored-bits")
_RESERVED = ("start", "length")
_GROUP = ("unit", "id", "ignored-bits", "addresses", "names", "why")


def find_board_module(name: str, origin: Origin, findings: list[Finding], beside: str = "") -> Configuration | None:
    """Return the module of a name; None when there is none, or when it cannot be read, which is reported.

    Args:
        name: as the last field of `unit` says it.
        origin: where it is asked for.
        findings: takes what went wrong.
        beside: the folder of the file that asks for it.
    """
    try:
        return read_board_module(name, beside, origin)
    except ParseError as error:
        findings.append(error.finding)
        return None


def read_board_module(name: str, beside: str = "", origin: Origin | None = None) -> Configuration:
    """Return a module by its name, or the path of its file.

    Args:
        name: a path when it has a slash or ends in `.toml`, else a name.
        beside: a folder to look in after those of `IOMMUMAN_BOARDS`.
        origin: where it is asked for, for messages.

    Raises:
        ParseError: there is no such module, or it cannot be read at all.
    """
    if "/" in name or name.endswith(".toml"):
        return _read_file(name)
    if _NAME.fullmatch(name):
        for folder in _folders(beside):
            path = os.path.join(folder, f"{name}.toml")
            if os.path.isfile(path):
                return _read_file(path)
        made = _entry_point(name)
        if made is not None:
            return made
    known = sorted({*_known(beside)})
    advice = f"there are {', '.join(known[:8])}" if known else ""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    advice = f"did you mean {near[0]}?" if near else advice
    raise ParseError(
        Finding("BOARD-ABSENT", "error", origin or Origin(""), f"there is no board module {name!r}", advice=advice)
    )


def _folders(beside: str) -> Iterator[str]:
    """Iterate over the folders that may have modules."""
    yield from filter(None, os.environ.get(FOLDERS, "").split(os.pathsep))
    if beside:
        yield beside
    yield _PACKAGED


def _known(beside: str) -> Iterator[str]:
    """Iterate over the names of the modules that are files."""
    for folder in _folders(beside):
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        yield from (name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def _entry_point(name: str) -> Configuration | None:
    """Return the module that an installed distribution makes in Python; None when none has the name."""
    from importlib.metadata import entry_points

    for point in entry_points(group=GROUP, name=name):
        try:  # it is not our code: whatever it raises is said
            made = point.load()()
        except Exception as error:
            text = f"its entry point fails: {type(error).__name__}: {error}"
            raise ParseError(Finding("BOARD-ENTRY-POINT", "error", Origin(name, point.value), text)) from error
        if isinstance(made, Configuration):
            return made
        text = f"its entry point returns {type(made).__name__}, and no Configuration"
        raise ParseError(Finding("BOARD-ENTRY-POINT", "error", Origin(name, point.value), text))
    return None


def _read_file(path: str) -> Configuration:
    from .files import read_file

    try:
        data = read_file(path, MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ParseError(Finding("BOARD-OPEN", "error", Origin(path), f"this cannot be opened: {reason}")) from error
    # A module that comes with iommuman is known by its name; where it is installed would say nothing.
    packaged = os.path.dirname(path) == _PACKAGED
    return parse_board_module(data, f"iommuman/boards/{os.path.basename(path)}" if packaged else path)


def parse_board_module(data: bytes, source: str) -> Configuration:
    """Return what a module says; what is wrong in it is in its findings, and left out.

    Raises:
        ParseError: it is too large, or no TOML.
    """
    import tomllib

    if len(data) > MAX_BYTES:
        text = "the board module is too large"
        expected = f"at most {MAX_BYTES >> 10} KiB"
        raise ParseError(Finding("BOARD-SIZE", "error", Origin(source), text, expected=expected))
    try:
        document = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        text = f"this is no TOML: {str(error) or 'it is nested too deep'}"
        raise ParseError(Finding("BOARD-TOML", "error", Origin(source), text)) from error
    return _Reader(source).module(document)


class _Reader:
    """Reads one document; every value is looked at before it is used."""

    def __init__(self, source: str) -> None:
        """Start without findings."""
        self.source = source
        self.findings: list[Finding] = []

    def module(self, document: dict[str, Any]) -> Configuration:
        """Return all that the document says."""
        top = self.keys(document, "", _TOP)
        self.text(top, "title", "", needed=True)
        self.texts(top, "origin", "", needed=True)
        notes = [Finding("BOARD-NOTE", "note", Origin(self.source), text) for text in self.texts(top, "notes", "")]
        units = [self.unit(one, path) for one, path in self.tables(top, "unit")]
        kept = tuple(unit for unit in units if unit is not None)
        devices = [self.device(one, path) for one, path in self.tables(top, "device")]
        for one, path in self.tables(top, "group"):
            devices += self.group(one, path)
        types = {unit.type: SmmuType(unit.type, unit.origin) for unit in kept}
        if "main" in top and isinstance(top["main"], dict):
            main = self.main(self.keys(top["main"], "main", _MAIN))
            types["rcar3"] = SmmuType("rcar3", self.at("main"), main=main)
        elif "main" in top:
            self.wrong("main", top["main"], "a table")
        return Configuration(
            self.source, tuple(types.values()), kept, tuple(one for one in devices if one is not None),
            findings=(*self.findings, *notes),
        )  # fmt: skip

    def at(self, path: str) -> Origin:
        """Return the place of a key."""
        return Origin(self.source, path)

    def wrong(self, path: str, found: object, expected: str) -> None:
        """Report a value that is not what it should be."""
        shown = repr(found)
        shown = shown if len(shown) <= 40 else shown[:37] + "..."  # noqa: PLR2004 - enough to know it again
        self.findings.append(
            Finding("BOARD-VALUE", "error", self.at(path), "a value cannot be used", found=shown, expected=expected,
                    advice="it is left out")
        )  # fmt: skip

    def keys(self, table: dict[str, Any], path: str, known: Iterable[str]) -> dict[str, Any]:
        """Return a table, reporting the keys that nobody knows."""
        for key in table:
            if key not in known:
                near = difflib.get_close_matches(key, list(known), 1, 0.6)
                advice = f"did you mean {near[0]!r}?" if near else "it is left out"
                text = f"there is no key {key!r}"
                expected = f"one of {', '.join(known)}"
                place = self.at(f"{path}.{key}".lstrip("."))
                self.findings.append(Finding("BOARD-KEY", "error", place, text, expected=expected, advice=advice))
        return table

    def tables(self, table: dict[str, Any], key: str) -> Iterator[tuple[dict[str, Any], str]]:
        """Iterate over an array of tables, each with its path."""
        found = table.get(key, [])
        if not isinstance(found, list):
            self.wrong(key, found, f"an array of tables, [[{key}]]")
            return
        for index, one in enumerate(found):
            if isinstance(one, dict):
                yield one, f"{key}[{index}]"
            else:
                self.wrong(f"{key}[{index}]", one, "a table")

    def missing(self, path: str, key: str, expected: str) -> None:
        """Report a key that must be there."""
        text = f"the key {key!r} is missing"
        self.findings.append(Finding("BOARD-MISSING", "error", self.at(path), text, expected=expected))

    def text(self, table: dict[str, Any], key: str, path: str, *, needed: bool = False) -> str:
        """Return a text; empty when it is not there."""
        found = table.get(key, "")
        if not isinstance(found, str):
            self.wrong(f"{path}.{key}".lstrip("."), found, "a text")
            return ""
        if needed and not found:
            self.missing(path, key, "a text")
        return str(found)

    def texts(self, table: dict[str, Any], key: str, path: str, *, needed: bool = False) -> list[str]:
        """Return a list of texts."""
        found = table.get(key, [])
        if isinstance(found, list) and all(isinstance(one, str) for one in found):
            if needed and not found:
                self.missing(path, key, "a list of texts")
            return list(found)
        self.wrong(f"{path}.{key}".lstrip("."), found, "a list of texts")
        return []

    def number(
        self, table: dict[str, Any], key: str, path: str, limit: int = ID_LIMIT, *, needed: bool = False
    ) -> int | None:
        """Return a number from 0 to below a limit; None when it is not there."""
        found = table.get(key)
        if found is None:
            if needed:
                self.missing(path, key, "a number")
            return None
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < limit:
            self.wrong(f"{path}.{key}", found, f"a number from 0 to 0x{limit - 1:x}")
            return None
        return found

    def numbers(self, table: dict[str, Any], key: str, path: str, limit: int = ID_LIMIT) -> tuple[int, ...]:
        """Return a list of numbers."""
        found = table.get(key, [])
        if not isinstance(found, list):
            self.wrong(f"{path}.{key}", found, "a list of numbers")
            return ()
        read = [self.number({str(index): one}, str(index), f"{path}.{key}", limit) for index, one in enumerate(found)]
        return tuple(one for one in read if one is not None)

    def main(self, table: dict[str, Any]) -> MainUnit | None:
        """Return the main-memory IPMMU of an R-Car."""
        base = self.number(table, "base", "main", ADDRESS_LIMIT, needed=True)
        interrupt = self.number(table, "interrupt", "main", needed=True)
        bit = self.number(table, "fault-bit", "main", 32, needed=True)
        chips = []
        for one, inner in self.tables(table, "chips"):
            path = f"main.{inner}"
            self.keys(one, path, _CHIP)
            soc = self.number(one, "soc", path, 1 << 16, needed=True)
            revision = self.number(one, "revision", path, 1 << 16, needed=True)
            chips += [SocRevision(soc, revision)] if soc is not None and revision is not None else []
        if base is None or interrupt is None or bit is None:
            return None
        return MainUnit(base, interrupt, bit, tuple(chips))

    def unit(self, table: dict[str, Any], path: str) -> Unit | None:
        """Return one unit."""
        self.keys(table, path, _UNIT)
        name = self.text(table, "name", path, needed=True)
        kind = self.text(table, "type", path, needed=True)
        base = self.number(table, "base", path, ADDRESS_LIMIT, needed=True)
        bypass = table.get("bypass")
        if bypass is not None and not isinstance(bypass, bool):
            self.wrong(f"{path}.bypass", bypass, "true or false")
            bypass = None
        if kind and kind not in TYPES:
            self.wrong(f"{path}.type", kind, f"one of {', '.join(TYPES)}")
            return None
        if not name or not kind or base is None:
            return None
        return Unit(
            name, kind, base, self.at(path),
            context_interrupt=self.number(table, "context-interrupt", path),
            global_interrupt=self.number(table, "global-interrupt", path),
            status_bit=self.number(table, "status-bit", path, 32),
            bypass=bypass,
            reserved_ids=self.numbers(table, "reserved-ids", path),
        )  # fmt: skip

    def device(self, table: dict[str, Any], path: str) -> DeviceEntry | None:
        """Return one device."""
        self.keys(table, path, _DEVICE)
        spec = self.spec(table, path)
        inner = ((one, f"{path}.{name}") for one, name in self.tables(table, "use"))
        uses = [self.use(one, where) for one, where in inner]
        reserved = [self.reserved(one, f"{path}.{name}") for one, name in self.tables(table, "reserved")]
        note = self.text(table, "note", path)
        if note:
            self.findings.append(Finding("BOARD-NOTE", "note", self.at(path), note))
        if spec is None:
            return None
        return DeviceEntry(
            spec, self.at(path), uses=tuple(use for use in uses if use),
            reserved=tuple(one for one in reserved if one),
        )  # fmt: skip

    def spec(self, table: dict[str, Any], path: str) -> DeviceSpec | None:
        """Return which device a table is of."""
        given = [key for key in ("address", "pci", "name") if key in table]
        if len(given) != 1:
            self.wrong(path, given, "one of address, pci and name")
            return None
        if given == ["address"]:
            base = self.number(table, "address", path, ADDRESS_LIMIT)
            return None if base is None else MmioSpec(base)
        text = self.text(table, given[0], path)
        if given == ["name"]:
            return NamedSpec(text) if self.named(text, f"{path}.name") else None
        ends = [parse_pci_address(part) for part in text.split("-")]
        first, last = ends[0], ends[-1]
        if len(ends) > 2 or first is None or last is None or last[1] < first[1]:  # noqa: PLR2004 - a range has two ends
            self.wrong(f"{path}.pci", text, "a PCI function, 0000:02:01.0, or a range, 0000:02:00.0-02:1f.7")
            return None
        return PciSpec(first[0], first[1], last[1])

    def named(self, text: str, path: str) -> bool:
        """Tell whether a text is the name of a device."""
        if text.startswith(("dt:/", "acpi:\\")):
            return True
        self.wrong(path, text, "dt:/… or acpi:\\…")
        return False

    def use(self, table: dict[str, Any], path: str) -> Use | None:
        """Return one use of a unit."""
        self.keys(table, path, _USE)
        unit = self.text(table, "unit", path, needed=True)
        first = self.number(table, "id", path)
        count = self.number(table, "count", path)
        ignored = self.number(table, "ignored-bits", path)
        if not unit or ("id" in table and first is None):
            return None
        return Use(unit, self.at(path), first, count or 1, ignored or 0)

    def reserved(self, table: dict[str, Any], path: str) -> Reserved | None:
        """Return one reserved region."""
        self.keys(table, path, _RESERVED)
        start = self.number(table, "start", path, ADDRESS_LIMIT, needed=True)
        length = self.number(table, "length", path, ADDRESS_LIMIT, needed=True)
        if start is None or length is None:
            return None
        if not length or start + length > ADDRESS_LIMIT:
            self.wrong(path, length, "at least one byte, below 2^64")
            return None
        return Reserved(start, length, self.at(path))

    def group(self, table: dict[str, Any], path: str) -> list[DeviceEntry]:
        """Return devices that share an ID, and note that they do."""
        self.keys(table, path, _GROUP)
        use = self.use({key: value for key, value in table.items() if key in _USE}, path)
        specs: list[DeviceSpec] = [MmioSpec(base) for base in self.numbers(table, "addresses", path, ADDRESS_LIMIT)]
        names = self.texts(table, "names", path)
        specs += [NamedSpec(name) for name in names if self.named(name, f"{path}.names")]
        if use is None or use.first is None:
            self.missing(path, "id", "the ID that the devices share")
            return []
        text = f"{len(specs)} devices share ID 0x{use.first:x} of {use.unit}: they cannot be told apart"
        why = self.text(table, "why", path)
        self.findings.append(Finding("BOARD-GROUP", "note", self.at(path), text + (f" ({why})" if why else "")))
        return [DeviceEntry(spec, self.at(path), uses=(use,)) for spec in specs]
