"""The one door to ACPI tables: bytes to a `Table`, and back to the same bytes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from ...base import Finding, Origin
from ...base.quick import quick
from ..errors import ParseError
from .layout import MisfitError
from .record import FieldValue, Raw, Record, Report
from .sdt import SdtHeader, checksum

if TYPE_CHECKING:
    from .dmar import Dmar
    from .fadt import Fadt
    from .hpet import Hpet
    from .iort import Iort
    from .ivrs import Ivrs
    from .madt import Madt
    from .mcfg import Mcfg
    from .rimt import Rimt
    from .slit import Slit
    from .srat import Srat
    from .viot import Viot

    Body = Dmar | Fadt | Hpet | Iort | Ivrs | Madt | Mcfg | Rimt | Slit | Srat | Viot | Raw
    BodyReader = Callable[[bytes, int, Report], Body]

_origin = quick(Origin)

HEADER_SIZE = SdtHeader.LAYOUT.size
MAX_SIZE = 16 << 20
"""Bytes of the largest table that is read; the largest in the field are DSDTs of about 1 MiB."""

CLAUSE = "ACPI 6.5 §5.2.6"

_READERS = {
    b"APIC": ("madt", "read_madt", 8),
    b"DMAR": ("dmar", "read_dmar", 12),
    b"FACP": ("fadt", "read_fadt", 80),
    b"HPET": ("hpet", "read_hpet", 20),
    b"IORT": ("iort", "read_iort", 12),
    b"IVRS": ("ivrs", "read_ivrs", 12),
    b"MCFG": ("mcfg", "read_mcfg", 8),
    b"RIMT": ("rimt", "read_rimt", 12),
    b"SLIT": ("slit", "read_slit", 8),
    b"SRAT": ("srat", "read_srat", 12),
    b"VIOT": ("viot", "read_viot", 12),
}
"""Signature to module, function, and size of the body's fixed part in bytes. Modules are imported when a table needs
them: an IORT has no use for what a DMAR costs to import."""

NEIGHBOURS = frozenset({b"APIC", b"FACP", b"HPET", b"SLIT", b"SRAT"})
"""Signatures of the tables that declare no IOMMU and are only held against those that do. Nearly every machine has
them: to read them takes longer (10 ms to import, 1 µs an entry) than to read the table that matters."""


@dataclass(frozen=True, slots=True)
class Table:
    """A system description table.

    Attributes:
        source: name of the file that it came from.
        header: its header.
        body: what follows the header, as records of the table's own format; raw bytes for tables without one here.
        trailing: bytes of the input after the table's end.
        findings: what is wrong with it.
        size: bytes of the table that were there, header included.
    """

    source: str
    header: SdtHeader
    body: Body
    trailing: bytes
    findings: tuple[Finding, ...]
    size: int

    @property
    def signature(self) -> str:
        """The signature as text, such as `DMAR`."""
        return self.header.signature.decode("latin-1")

    def origin(self, record: Record | Raw, length: int | None = None) -> Origin:
        """Return where a record of this table stands; `length` in bytes when not that of its fixed part."""
        if length is None:
            length = len(record.data) if isinstance(record, Raw) else record.layout.size
        return _origin(self.source, self.signature, record.offset, length)

    def fields(self) -> Iterator[FieldValue]:
        """Iterate over every field of the table, in the order of the records."""
        yield from self.header.fields()
        yield from self.body.fields()


def is_table(data: bytes) -> bool:
    """Tell whether the bytes begin as a table does: a signature, and a length and revision that can be."""
    if len(data) < HEADER_SIZE:
        return False
    signature, length, revision = data[:4], int.from_bytes(data[4:8], "little"), data[8]
    plausible = all(byte in _SIGNATURE for byte in signature)
    return plausible and signature not in _HEADERLESS and HEADER_SIZE <= length <= MAX_SIZE and revision < 32  # noqa: PLR2004


_SIGNATURE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_!"
"""What signatures are made of: `ASF!` and `iBFT` are two of the odd ones."""

_HEADERLESS = (b"FACS", b"S3PT", b"CDAT")
"""Signatures of structures that have no table header (ACPI 6.5 §5.2.10)."""


def parse_table(data: bytes, source: str = "", *, neighbours: bool = True) -> Table:
    """Read one table.

    What is damaged but readable becomes a finding; `build_table` gives the same bytes back in any case.

    Args:
        data: the table; bytes after its end are kept as `trailing`.
        source: name of the file, for provenance and messages.
        neighbours: whether the bodies of `NEIGHBOURS` are read; if not, they are raw until `read_body` reads them.

    Raises:
        ParseError: fewer than 36 bytes, or more than 16 MiB.
    """
    if not HEADER_SIZE <= len(data) <= MAX_SIZE:
        raise ParseError(
            Finding(
                "ACPI-SIZE",
                "error",
                Origin(source),
                "this is no ACPI table",
                found=f"{len(data)} bytes",
                expected=f"{HEADER_SIZE} to {MAX_SIZE}",
                clause=CLAUSE,
                advice="dump the table again, for instance from /sys/firmware/acpi/tables",
            )
        )
    header = SdtHeader.read(data, 0)
    report = Report(source, header.signature.decode("latin-1"))
    size = _table_size(header, len(data), report)
    table = data if size == len(data) else data[:size]
    if (right := checksum(table)) != header.checksum:
        report(
            "ACPI-CHECKSUM", "error", 9, 1, "the bytes of the table do not add up to 0", field="Checksum",
            found=f"0x{header.checksum:02x}", expected=f"0x{right:02x}", clause=CLAUSE,
            advice="the table is read as it is; firmware and operating systems may refuse it",
        )  # fmt: skip
    body: Body = Raw(HEADER_SIZE, table[HEADER_SIZE:])
    if neighbours or header.signature not in NEIGHBOURS:
        body = _read_body(table, header, report)
    return Table(source, header, body, data[size:], _all_findings(report), size)


def read_body(table: Table) -> Table:
    """Return the table with its body read, if it is one of `NEIGHBOURS` that was not; else the table as it is."""
    if table.header.signature not in NEIGHBOURS or not isinstance(table.body, Raw):
        return table
    report = Report(table.source, table.signature)
    body = _read_body(table.header.fixed() + table.body.data, table.header, report)
    fresh = (finding for finding in _all_findings(report) if finding not in table.findings)
    return replace(table, body=body, findings=(*table.findings, *fresh))


def _all_findings(report: Report) -> tuple[Finding, ...]:
    """Return what was found, and how much more there was than is listed."""
    if not report.suppressed:
        return tuple(report.findings)
    origin = Origin(report.source, report.signature)
    text = f"{report.suppressed} more findings are not listed"
    more = Finding("ACPI-MORE", "error", origin, text, advice="mend those that are listed first")
    return (*report.findings, more)


def _table_size(header: SdtHeader, available: int, report: Report) -> int:
    """Return how many bytes belong to the table."""
    if HEADER_SIZE <= header.length <= available:
        if header.length < available:
            report(
                "ACPI-TRAILING", "warning", header.length, available - header.length,
                "bytes follow the end of the table", field="Length", found=str(header.length),
                expected=str(available), clause=CLAUSE, advice="they are not part of the table",
            )  # fmt: skip
        return header.length
    report(
        "ACPI-LENGTH", "error", 4, 4, "the table's length cannot be", field="Length", found=str(header.length),
        expected=f"{HEADER_SIZE} to {available}", clause=CLAUSE,
        advice=f"the {available} bytes that are there are read; dump the table again if it was cut short",
    )  # fmt: skip
    return available


def _read_body(data: bytes, header: SdtHeader, report: Report) -> Body:
    """Read what follows the header."""
    raw = Raw(HEADER_SIZE, data[HEADER_SIZE:])
    if header.signature not in _READERS:
        return raw
    module, name, fixed = _READERS[header.signature]
    if len(raw.data) < fixed:
        report(
            "ACPI-LENGTH", "error", 4, 4, f"the table is too short to be a {report.signature}", field="Length",
            found=str(len(data)), expected=f"at least {HEADER_SIZE + fixed}", clause=CLAUSE,
            advice="what follows the header is kept as raw data",
        )  # fmt: skip
        return raw
    reader = cast("BodyReader", getattr(importlib.import_module(f".{module}", __package__), name))
    return reader(data, HEADER_SIZE, report)


def build_table(table: Table) -> bytes:
    """Return the bytes of a table: those that it was read from, as far as no record was changed.

    Lengths and the checksum are written as they stand; see `seal_table`.

    Raises:
        ParseError: a value does not fit its field.
    """
    try:
        body = table.body.data if isinstance(table.body, Raw) else table.body.to_bytes()
        return table.header.fixed() + body + table.trailing
    except MisfitError as error:
        field = error.field
        origin = Origin(table.source, table.signature, error.place + field.offset, field.size)
        raise _misfit(origin, str(error.value), field=field.name, expected=error.expected) from error
    except (ValueError, TypeError) as error:  # an object name that is no Latin-1, a path element over 255
        raise _misfit(Origin(table.source, table.signature), str(error)) from error


def _misfit(origin: Origin, found: str, **details: str) -> ParseError:
    text, advice = "a value does not fit its field", "give the field a value that it can hold"
    return ParseError(Finding("ACPI-BUILD", "error", origin, text, found=found, advice=advice, **details))


def seal_table(table: Table) -> Table:
    """Return the table with the length and checksum of its header made right, as for a table that was changed."""
    plain = replace(table, trailing=b"")
    size = len(build_table(plain))
    sized = replace(plain, header=replace(table.header, length=size), size=size)
    return replace(sized, header=replace(sized.header, checksum=checksum(build_table(sized))))
