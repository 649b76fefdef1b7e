"""Which devices the DSDT and the SSDTs of a machine declare, by path.

AML is a language, and `iasl` of ACPICA reads it: each table is disassembled with the others for its externals, and
`asl` reads what comes out. Only what a table plainly states is known: a `_CRS` or `_HID` that is a method is not run.

Results are kept in `$XDG_CACHE_HOME/iommuman` (`~/.cache/iommuman`), named by the content of the tables.

Entry point: `namespace`.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...base import Finding, Origin
from .asl import AcpiMemory, Declared, canonical, read_asl
from .table import Table, build_table

SIGNATURES = ("DSDT", "SSDT", "PSDT")
"""Signatures of the tables that hold AML."""

MAX_TABLES = 256
MAX_AML = 16 << 20
"""Bytes of AML that are disassembled in all; large servers have 2 MiB."""

MAX_LISTING = 32 << 20
"""Bytes of a disassembly after which iasl is taken to have lost its way, as it does on some damaged tables."""

SECONDS = 30.0
"""Time that iasl gets for all tables; it needs some 10 ms for each."""

_MEMORY = 1 << 30
_FORMAT = 1
"""Raised when what is kept in the cache changes its meaning."""


@dataclass(frozen=True, slots=True)
class AcpiDevice:
    r"""A device that the namespace declares.

    Attributes:
        path: absolute, without `_` at the end of segments: `\_SB.PCI0`.
        hid: `_HID`, such as `PNP0A08`; None when there is none, or it has to be evaluated.
        cids: `_CID`.
        uid: `_UID`, a number or text, or None.
        adr: `_ADR`, or None.
        seg: `_SEG`, the PCI segment of a host bridge, or None (which means 0).
        bbn: `_BBN`, the first bus of a host bridge, or None (which means 0).
        memory: the memory in its `_CRS`.
        origin: the table that declares it, and the path.
    """

    path: str
    hid: str | None
    cids: tuple[str, ...]
    uid: int | str | None
    adr: int | None
    seg: int | None
    bbn: int | None
    memory: tuple[AcpiMemory, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Namespace:
    """The devices of a machine, in the order of their declarations, and what kept some from being known."""

    devices: tuple[AcpiDevice, ...]
    findings: tuple[Finding, ...]

    def device(self, path: str) -> AcpiDevice | None:
        r"""Return the device of a path in any spelling, such as `\_SB_.PCI0`; None when no table declares it."""
        wanted = canonical(path)
        return next((device for device in self.devices if device.path == wanted), None)


def namespace(tables: Sequence[Table]) -> Namespace | Finding:
    """Return the devices that the DSDT and SSDTs among the given tables declare.

    Returns:
        The namespace; or a finding that says why there is none: no such table, too much of it, no iasl.
    """
    chosen = sorted((table for table in tables if table.signature in SIGNATURES), key=_rank)
    if not chosen:
        text, advice = "no table declares the devices of the ACPI namespace", "give the DSDT and the SSDTs"
        return Finding("NAMESPACE-TABLES", "note", Origin(""), text, advice=advice)
    images = [build_table(table)[: table.size] for table in chosen]
    if len(images) > MAX_TABLES or sum(map(len, images)) > MAX_AML:
        return Finding(
            "NAMESPACE-SIZE", "warning", Origin(chosen[0].source), "there is too much AML to read",
            found=f"{len(images)} tables, {sum(map(len, images))} bytes",
            expected=f"at most {MAX_TABLES} tables, {MAX_AML} bytes", advice="give the tables of one machine",
        )  # fmt: skip
    place = _cache_place(images)
    known = _kept(place, len(images))
    if known is None:
        iasl = shutil.which("iasl")
        if iasl is None:
            text, advice = "the ACPI namespace cannot be read without iasl", "install it (Debian: acpica-tools)"
            return Finding("NAMESPACE-IASL", "note", Origin(chosen[0].source), text, advice=advice)
        known = _disassembled(iasl, images)
        if not known["failed"]:
            _keep(place, known)
    return _namespace(known, chosen)


def _rank(table: Table) -> bool:
    """Put the DSDT before the SSDTs, which add to it."""
    return table.signature != "DSDT"


def _namespace(known: dict[str, Any], tables: Sequence[Table]) -> Namespace:
    """Return the namespace with the names of the files that the tables came from."""
    devices = []
    for index, path, hid, cids, uid, adr, seg, bbn, memory in known["devices"]:
        origin = Origin(tables[index].source, f"{tables[index].signature} {path}")
        ranges = tuple(AcpiMemory(*one) for one in memory)
        devices.append(AcpiDevice(path, hid, tuple(cids), uid, adr, seg, bbn, ranges, origin))
    findings = tuple(
        Finding(
            "NAMESPACE-TABLE", "warning", Origin(tables[index].source, tables[index].signature),
            "iasl cannot disassemble the whole of this table", advice="devices that it declares may be missing",
        )
        for index in known["failed"]
    )  # fmt: skip
    return Namespace(tuple(devices), findings)


def _disassembled(iasl: str, images: Sequence[bytes]) -> dict[str, Any]:
    """Disassemble tables, and return their devices and the indices of those that could not be read whole."""
    objects: dict[str, Declared] = {}
    owners: dict[str, int] = {}
    failed = []
    deadline = time.monotonic() + SECONDS
    with tempfile.TemporaryDirectory(prefix="iommuman-", ignore_cleanup_errors=True) as folder:
        names = [f"t{index}.dat" for index in range(len(images))]
        for name, image in zip(names, images, strict=True):
            Path(folder, name).write_bytes(image)
        for index, name in enumerate(names):
            text = _disassemble(iasl, name, [other for other in names if other != name], folder, deadline)
            whole = bool(text) and read_asl(text, objects)
            for path in objects:
                owners.setdefault(path, index)
            if not whole:
                failed.append(index)
    devices = [
        [owners[path], path, one.hid, one.cids, one.uid, one.adr, one.seg, one.bbn, one.memory]
        for path, one in objects.items()
        if one.device
    ]
    return {"devices": devices, "failed": failed}


def _disassemble(iasl: str, name: str, others: Sequence[str], folder: str, deadline: float) -> str:
    """Return the disassembly of one table; empty when iasl gives none."""
    listing = Path(folder, name).with_suffix(".dsl")
    externals = ["-e", *others] if others else []
    # An external table that iasl cannot load keeps it from reading this one: without them, it reads what it can.
    for options in (externals, []) if externals else ([],):
        left = deadline - time.monotonic()
        if left <= 0:
            return ""
        _run([iasl, *options, "-d", name], folder, left)
        try:
            with listing.open("rb") as file:
                return file.read(MAX_LISTING).decode("latin-1")
        except OSError:
            continue
    return ""


def _run(command: Sequence[str], folder: str, seconds: float) -> None:
    """Run iasl in a folder, within bounds of time, memory and output."""
    try:
        subprocess.run(  # noqa: S603 - the program was found on PATH, and its arguments are names of ours
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False, timeout=seconds, preexec_fn=_limit,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return  # what it wrote until then is read


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_LISTING, MAX_LISTING))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _cache_place(images: Sequence[bytes]) -> Path | None:
    """Return the file that results for these tables are kept in; None when there is no home for it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    digest = hashlib.sha256(str(_FORMAT).encode())
    for image in images:
        digest.update(len(image).to_bytes(8) + image)
    return root / "iommuman" / f"namespace-{digest.hexdigest()}.json"


def _kept(place: Path | None, tables: int) -> dict[str, Any] | None:
    """Return a kept result, or None; a file that does not hold one is no result."""
    if place is None:
        return None
    try:
        with place.open("rb") as file:
            known = json.loads(file.read(MAX_LISTING))
        return known if _is_result(known, tables) else None
    except (OSError, ValueError, RecursionError):
        return None


def _is_result(known: object, tables: int) -> bool:
    """Tell whether an object is what `_disassembled` returns for so many tables, none of which failed."""
    if not isinstance(known, dict) or known.get("failed") != [] or not isinstance(known.get("devices"), list):
        return False
    return all(_is_device(device, tables) for device in known["devices"])


def _is_device(device: object, tables: int) -> bool:
    if not isinstance(device, list) or len(device) != 9:  # noqa: PLR2004
        return False
    index, path, hid, cids, uid, *numbers, memory = device
    return (
        isinstance(index, int)
        and 0 <= index < tables
        and isinstance(path, str)
        and isinstance(hid, str | None)
        and isinstance(cids, list)
        and all(isinstance(cid, str) for cid in cids)
        and isinstance(uid, int | str | None)
        and all(isinstance(number, int | None) for number in numbers)
        and isinstance(memory, list)
        and all(isinstance(one, list) and [type(part) for part in one] == [int, int, bool] for one in memory)
    )


def _keep(place: Path | None, known: dict[str, Any]) -> None:
    """Keep a result; a cache that cannot be written costs time and nothing else."""
    if place is None:
        return
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False) as file:
            json.dump(known, file)
        Path(file.name).replace(place)
    except OSError:
        return
