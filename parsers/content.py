"""Tells what the bytes of one file are by what they begin with, and reads them.

What a reader needs is imported when a file asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import files
from .errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base import Finding
    from .containers.memory_image import Image
    from .memory_map import MemoryRange
    from .sources import Inputs

    _Reader = Callable[[bytes, str, Inputs, int], None]

NOT_IN_A_FOLDER = "a configuration; give it with --config"
"""Why a configuration that lies beside the tables is passed over: it is the user who says that it holds."""

NO_SOURCE = "no table, acpidump text, device tree or PCI topology"
"""Why a file is passed over that holds something else."""

SAME = "the same as "
"""Why a file is passed over that was read already; the name under which it was follows."""

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\3\4", b"PK\5\6")
"""What gzip, bzip2, xz and ZIP files begin with."""

_HEADERLESS = {b"RSD ": "RSDP", b"FACS": "FACS"}
_POINTER = b"RSD PTR "
_FEWEST_IN_AN_IMAGE = 1 << 20
"""Bytes of the smallest image of memory: the root pointer is below the first MiB, or at its end."""

_TREE = b"\xd0\x0d\xfe\xed"
_START = 4096
_FIRST_LETTERS = (*(bytes([letter]) for letter in b"#@adfrsu"), b"")
"""What option words, comments and names of included files begin with; nothing: the first word comes later."""


def read_content(data: bytes, name: str, inputs: Inputs, depth: int = 0) -> None:
    """Read the content of one file by what it begins with; what is nothing of ours is added to `passed_over`.

    Args:
        data: the content.
        name: of the file, for provenance.
        inputs: takes what is found.
        depth: how many archives it is inside of.

    Raises:
        ParseError: it is one of ours, and cannot be read at all.
    """
    if len(data) > files.MAX_FILE:
        inputs.passed_over.append((name, f"larger than {files.MAX_FILE >> 20} MiB"))
        return
    text = _decoded(data)
    read = _reader(text)
    if read is None:
        inputs.passed_over.append((name, _why_not(data)))
    elif data in inputs.contents:  # read twice, every unit in it would be there twice
        inputs.passed_over.append((name, f"{SAME}{inputs.contents[data]}"))
    else:
        inputs.contents[data] = name
        read(text, name, inputs, depth)


def _why_not(data: bytes) -> str:
    """Return why a content is nothing of ours."""
    if not data:
        return "empty"
    if name := _HEADERLESS.get(data[:4]):
        return f"{name} is no table with a header"
    if _is_elf(data) and data[16:18] in (b"\4\0", b"\0\4"):
        return "an ELF core file; images of memory are read when they are raw, from address 0"
    return NOT_IN_A_FOLDER if _is_configuration(data) else NO_SOURCE


def is_only_configuration(data: bytes) -> bool:
    """Tell whether a file that the user named is a configuration, and nothing else."""
    return _is_configuration(data) and _reader(_decoded(data)) is None


def read_large(path: str, name: str, inputs: Inputs) -> bool:
    """Read what a file holds that is too large for anything but an image of memory; tell whether it is one.

    Raises:
        OSError: it cannot be opened.
    """
    import os

    from .containers.memory_image import FileImage

    descriptor = files.open_file(path)
    try:
        image = FileImage(descriptor)
        return not _is_elf(image.read(0, _START)) and _add_image(image, name, inputs)
    finally:
        os.close(descriptor)


def _decoded(data: bytes) -> bytes:
    """Return text without a byte order mark, in UTF-8: PowerShell writes UTF-16 when output is sent to a file."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace").encode("utf-8", "replace")
    return data.removeprefix(b"\xef\xbb\xbf")


def _reader(data: bytes) -> _Reader | None:
    """Return what reads a content; None when it is nothing of ours."""
    return next((read for looks_like, read in _KINDS if looks_like(data)), None)


def _is_configuration(data: bytes) -> bool:
    """Tell a configuration by its first word; by its first letter first: to import what reads words takes time."""
    if data[:_START].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in _FIRST_LETTERS:
        return False
    from .smmu_config import is_configuration

    return is_configuration(data)


def _looks_packed(data: bytes) -> bool:
    if data.startswith(_PACKED) or data[257:262] == b"ustar":
        return True
    if not data[148:156].strip(b" \0").isdigit():  # where an old tar archive has the checksum of its first header
        return False
    from .containers.tar import is_tar

    return is_tar(data)


def _read_packed(data: bytes, name: str, inputs: Inputs, depth: int) -> None:
    from .containers.packed import read_packed

    read_packed(data, name, inputs, depth)


def _looks_like_tree(data: bytes) -> bool:
    return data.startswith(_TREE)


def _read_tree(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .devicetree import read_devicetree

    if int.from_bytes(data[4:8]) < len(data):
        from .containers.trees import trees_in

        pieces = list(trees_in(data))
        if pieces and pieces[0][0]:  # the header of the first is damaged
            pieces.insert(0, (0, data[: pieces[0][0]]))
        if len(pieces) > 1:
            for offset, piece in pieces:
                _add_tree(piece, f"{name}@0x{offset:x}", inputs)
            return
    tree = read_devicetree(data, name)
    if tree.node("/images") is not None and tree.node("/configurations") is not None:
        inputs.passed_over.append((name, "a FIT image; take the device tree out of it with dumpimage"))
    else:
        inputs.trees.append(tree)


def _looks_like_it_holds_trees(data: bytes) -> bool:
    if _TREE not in data:
        return False
    from .containers.trees import trees_in

    return next(trees_in(data), None) is not None


def _read_trees(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .containers.trees import trees_in

    for offset, piece in trees_in(data):
        _add_tree(piece, f"{name}@0x{offset:x}", inputs)


def _add_tree(data: bytes, name: str, inputs: Inputs) -> None:
    """Add one of several trees; what is wrong with it does not stop the others."""
    try:
        read_content(data, name, inputs)
    except ParseError as error:
        inputs.findings.append(error.finding)


def _looks_like_pci(data: bytes) -> bool:
    if data[:64].lstrip()[:1] != b"{":
        return False
    from .pci import is_pci_file

    return is_pci_file(data)


def _read_pci(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .pci import parse_pci

    inputs.pci.append(parse_pci(data, name))


def _looks_like_table(data: bytes) -> bool:
    from .acpi import is_table

    return is_table(data)


def _read_table(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .acpi import parse_table

    if int.from_bytes(data[4:8], "little") < len(data):
        from .containers.tables import tables_in

        pieces = list(tables_in(data))
        if len(pieces) > 1:
            for offset, piece in pieces:
                _add_table(piece, f"{name}@0x{offset:x}", inputs)
            return
    inputs.tables.append(parse_table(data, name, neighbours=False))


def _add_table(data: bytes, name: str, inputs: Inputs) -> None:
    """Add one of several tables; what is wrong with it does not stop the others."""
    from .acpi import is_table, parse_table
    from .containers.tables import structure_name

    if data in inputs.contents:
        inputs.passed_over.append((name, f"{SAME}{inputs.contents[data]}"))
    elif not is_table(data):
        inputs.passed_over.append((name, f"{structure_name(data)} is no table with a header"))
    else:
        inputs.contents[data] = name
        try:
            inputs.tables.append(parse_table(data, name, neighbours=False))
        except ParseError as error:
            inputs.findings.append(error.finding)


def _looks_like_image(data: bytes) -> bool:
    if len(data) < _FEWEST_IN_AN_IMAGE or _is_elf(data) or _POINTER not in data:
        return False
    from .containers.memory_image import BytesImage, has_pointer

    return has_pointer(BytesImage(data))


def _is_elf(data: bytes) -> bool:
    return data.startswith(b"\x7fELF")


def _read_image(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .containers.memory_image import BytesImage

    _add_image(BytesImage(data), name, inputs)


def _add_image(image: Image, name: str, inputs: Inputs) -> bool:
    """Add the tables of an image of memory; tell whether it is one."""
    from .containers.memory_image import read_image

    tables = read_image(image, name, inputs.findings)
    for address, table in tables or ():
        _add_table(table, f"{name}@0x{address:x}", inputs)
    return tables is not None


def _looks_like_acpidump(data: bytes) -> bool:
    from .acpi.acpidump import is_acpidump

    return is_acpidump(data)


def _read_acpidump(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .acpi import is_table, parse_table
    from .acpi.acpidump import parse_acpidump

    dumped, findings = parse_acpidump(data, name)
    inputs.findings.extend(findings)
    for table in dumped:
        if not is_table(table.data):
            inputs.passed_over.append((f"{name}:{table.line}", f"{table.name} is no table with a header"))
            continue
        try:
            inputs.tables.append(parse_table(table.data, name, neighbours=False))
        except ParseError as error:  # too large: the other tables of the dump are read all the same
            inputs.findings.append(error.finding)


def _looks_like_iomem(data: bytes) -> bool:
    if b" : " not in data[:64]:
        return False
    from .memory_map import is_iomem

    return is_iomem(data)


def _read_iomem(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .memory_map import parse_iomem

    add_memory(parse_iomem(data, name), inputs)


def _looks_like_log(data: bytes) -> bool:
    if b": [mem 0x" in data or b"efi: " in data:
        from .memory_map import has_memory_log

        if has_memory_log(data):
            return True
    if b"to iommu group " not in data and b"DRHD base: 0x" not in data:
        return False
    from .kernel_log import parse_boot_log

    return not parse_boot_log(data).empty


def _read_log(data: bytes, name: str, inputs: Inputs, _: int) -> None:
    from .kernel_log import parse_boot_log
    from .memory_map import parse_memory_log

    add_memory(parse_memory_log(data, name), inputs)
    boot = parse_boot_log(data, name)
    if not boot.empty:
        inputs.kernel_logs.append(boot)


def add_memory(found: tuple[tuple[MemoryRange, ...], tuple[Finding, ...]], inputs: Inputs) -> None:
    """Add a memory map, and what is wrong with it."""
    ranges, findings = found
    inputs.memory.extend(ranges)
    inputs.findings.extend(findings)


# Cheapest first.
_KINDS: tuple[tuple[Callable[[bytes], bool], _Reader], ...] = (
    (_looks_like_tree, _read_tree),
    (_looks_packed, _read_packed),
    (_looks_like_table, _read_table),
    (_looks_like_pci, _read_pci),
    (_looks_like_iomem, _read_iomem),
    (_looks_like_acpidump, _read_acpidump),
    (_looks_like_log, _read_log),
    (_looks_like_image, _read_image),
    (_looks_like_it_holds_trees, _read_trees),
)
