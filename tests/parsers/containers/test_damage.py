"""Damaged containers: every truncation, and mutants, are answered or refused by the one error class."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers import ParseError
from iommuman.parsers.content import read_content
from iommuman.parsers.sources import Inputs, read_sources

from tests.conftest import BOARDS, FIXTURES
from tests.damage import mutants, truncations
from tests.parsers.acpi.test_acpidump import write_new
from tests.parsers.containers.making import DMAR, SSDT, special, tar, zipped
from tests.parsers.containers.test_memory_image import memory, pointer, rsdt, xsdt

pytestmark = pytest.mark.damage

BOARD = BOARDS / "q35-vtd"
FILES = tuple((f"board/{name}", (BOARD / name).read_bytes()) for name in ("DMAR.bin", "HPET.bin", "MCFG.bin"))
LINKS = (special("board/link", tarfile.SYMTYPE, "DMAR.bin"), special("board/" + "n" * 120, tarfile.SYMTYPE, "m" * 120))
TREE = (BOARDS / "virt-gicv2m-dt" / "board.dtb").read_bytes()
IMAGE = memory(xf0000=pointer(0x1000, 0x1800), x1000=rsdt(0x2000, 0x3000), x1800=xsdt(0x2000), x2000=DMAR, x3000=SSDT)

CONTAINERS: dict[str, bytes] = {
    "tar, GNU": tar(*FILES, *LINKS, form=tarfile.GNU_FORMAT),
    "tar, pax": tar(*FILES, *LINKS, form=tarfile.PAX_FORMAT),
    "tar.gz": tar(*FILES, *LINKS, pack="gz"),
    "tar.bz2": tar(*FILES, *LINKS, pack="bz2"),
    "tar.xz": tar(*FILES, *LINKS, pack="xz"),
    "zip": zipped(*FILES),
    "zip, stored": zipped(*FILES, method=zipfile.ZIP_STORED),
    "zip, streamed": zipped(*FILES, stream=True),
    "gz": gzip.compress(FILES[0][1]),
    "bz2": bz2.compress(FILES[0][1]),
    "xz": lzma.compress(FILES[0][1]),
    "tables": b"".join(data for _, data in FILES),
    "trees": (TREE + bytes(100)) * 2,
    "tree behind something": b"kernel" * 20 + TREE,
    "dump in UTF-16": "".join(write_new(name[6:10], data) for name, data in FILES).encode("utf-16"),
    "genuine /sys": (FIXTURES / "sys" / "virt-smmuv3-acpi.tar.gz").read_bytes(),
}


def exercise(data: bytes) -> Inputs | None:
    """Read a container; return what was found, None when it was refused."""
    inputs = Inputs()
    try:
        read_content(data, "damaged", inputs)
    except ParseError:
        return None
    return inputs


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_truncation_is_answered_or_refused_in_one_way(name: str) -> None:
    """Cut at any length, a container gives what is left of it; nothing is lost without a word."""
    data = CONTAINERS[name]
    whole = exercise(data)
    assert whole is not None
    for cut in truncations(data, used=2000):
        inputs = exercise(cut)
        if inputs is None or len(inputs.tables) + len(inputs.trees) == len(whole.tables) + len(whole.trees):
            continue
        said = inputs.findings or inputs.passed_over or any(table.findings for table in inputs.tables)
        # Between two tables or trees a cut cannot be seen: such a file has no end of its own.
        assert said or name in ("tables", "trees", "dump in UTF-16")


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_mutant_is_answered_or_refused_in_one_way(name: str) -> None:
    """With one byte changed, a container is read or refused by the one error class."""
    for mutant in mutants(CONTAINERS[name]):
        exercise(mutant)


def test_every_mutant_of_the_lists_in_memory_is_answered() -> None:
    """With one byte changed in the pointer, the lists or the tables, an image is read, or it is none."""
    used = ((0xF0000, 36), (0x1000, 44), (0x1800, 44), (0x2000, 48), (0x3000, 40))
    for place, size in used:
        for offset in range(place, place + size):
            changed = bytearray(IMAGE)
            changed[offset] ^= 0x55
            assert exercise(bytes(changed)) is not None
    for length in range(1 << 20, 0, -40_009):
        assert exercise(IMAGE[:length]) is not None


@pytest.mark.parametrize("name", ["tar, GNU", "tar.gz", "zip", "genuine /sys"])
def test_damage_in_a_file_that_is_named_is_told(name: str, tmp_path: Path) -> None:
    """By way of the command's own entry, mutants give an answer or the one error class."""
    path = tmp_path / "damaged"
    for mutant in mutants(CONTAINERS[name], 30):
        path.write_bytes(mutant)
        try:
            inputs = read_sources([str(path)])
        except ParseError:
            continue
        assert inputs.found


@given(
    st.binary(max_size=600),
    st.sampled_from([b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\0", b"RSD PTR "]),
)
def test_any_bytes_are_answered(body: bytes, head: bytes) -> None:
    """Whatever follows the beginning of a container is read without any exception but ours."""
    exercise(head + body)
    exercise(head + body + b"PK\1\2" + body + b"PK\5\6" + bytes(18))
    exercise(body.ljust(257, b"\0")[:257] + b"ustar\0" + bytes(249) + body)


@given(st.text("0123456789 =\npath", max_size=80), st.sampled_from([b"x", b"g", b"X", b"L", b"K"]))
def test_any_extended_headers_are_answered(text: str, letter: bytes) -> None:
    """Whatever stands in an extended header is read to an end, and the entry behind it is found."""
    info = special("x", letter)
    data = text.encode()
    info.size = len(data)
    head = info.tobuf(tarfile.USTAR_FORMAT) + data.ljust((len(data) + 511) // 512 * 512, b"\0")
    inputs = exercise(head + tar(("entry", DMAR)))
    assert inputs is not None
    assert len(inputs.tables) + len(inputs.passed_over) + len(inputs.findings) >= 1
