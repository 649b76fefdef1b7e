"""Archives, made by Python's own modules, and what is read from them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Sequence

from iommuman.parsers.content import read_content
from iommuman.parsers.sources import Inputs

from tests.parsers.acpi.test_sdt import sealed

SSDT = sealed(b"SSDT", b"body")
DMAR = sealed(b"DMAR", bytes(12))
MCFG = sealed(b"MCFG", bytes(8))
FILES = (("board/DMAR.bin", DMAR), ("board/MCFG.bin", MCFG), ("board/SSDT.bin", SSDT))


def tar(*entries: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.GNU_FORMAT, pack: str = "") -> bytes:
    """Return a tar archive of files and other entries; `pack`: `gz`, `bz2` or `xz`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{pack}", format=form) as archive:  # type: ignore[call-overload]
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return made.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return an entry that is a link, a folder or a device."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, stream: bool = False) -> bytes:
    """Return a ZIP file; `stream`: sizes stand behind the files, as where the output cannot be gone back in."""
    made = _Stream() if stream else io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return made.getvalue()


class _Stream(io.BytesIO):
    """An output that cannot be gone back in."""

    def seekable(self) -> bool:
        """Say so."""
        return False

    def tell(self) -> int:
        """Refuse to say where it is, as pipes do."""
        raise OSError

    def seek(self, *_: object) -> int:
        """Refuse."""
        raise OSError


def read(data: bytes, name: str = "a") -> Inputs:
    """Return what is in the content of a file."""
    inputs = Inputs()
    read_content(data, name, inputs)
    return inputs


def found(inputs: Inputs) -> list[tuple[str, str]]:
    """Return signatures and sources of the tables."""
    return [(table.signature, table.source) for table in inputs.tables]


def sentences(inputs: Inputs) -> Sequence[str]:
    """Return what went wrong, in short."""
    return [f"{finding.rule} {finding.origin}: {finding.message}" for finding in inputs.findings]
