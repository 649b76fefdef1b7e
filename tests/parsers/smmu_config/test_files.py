"""Files of a configuration: includes, what is no text, and the bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from iommuman.parsers import ParseError
from iommuman.parsers.smmu_config import parse_configuration, parse_words, read_configuration

from tests.parsers.smmu_config.helpers import files, no_files, read, without_origins

MIB = 1 << 20


def test_an_include_stands_for_its_words(tmp_path: Path) -> None:
    """Files are included anywhere, in one another, relative to the file that includes them, or by absolute path."""
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "units.smmu").write_text("unit m 0x1000,1,2,0 # the only one\n")
    (tmp_path / "boards" / "region.smmu").write_text("0x80000000,")
    (tmp_path / "boards" / "board.smmu").write_text("smmu armsmmu @units.smmu allow a @region.smmu 4K")
    (tmp_path / "type.smmu").write_text("vtd")
    top = tmp_path / "top.smmu"
    top.write_text(f"@boards/board.smmu device mem:1 a use m 5 smmu @{tmp_path}/type.smmu require")
    configuration = read_configuration(str(top))
    assert configuration.source == str(top)
    assert without_origins(configuration) == read(
        "smmu armsmmu unit m 0x1000,1,2,0 allow a 0x80000000,4K device mem:1 a use m 5 smmu vtd require"
    )
    assert str(configuration.units[0].origin) == f"{tmp_path}/boards/units.smmu:1:1"


def test_a_command_line_includes_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`@file` on a command line is looked for in the current folder; a name with a space is one name."""
    (tmp_path / "my board.smmu").write_text("debug 2")
    monkeypatch.chdir(tmp_path)
    assert parse_words(["@my board.smmu", "foreground"]).debug == 2


def test_an_option_may_begin_in_a_file_and_end_outside() -> None:
    """One stream of words: what a file leaves open, the next words complete."""
    configuration = parse_configuration("@a 4K device mem:1", "x", files({"a": "allow name 0x1000,"}))
    assert configuration.findings == ()
    assert configuration.allows[0].length == 4096


def test_a_file_may_be_included_twice() -> None:
    """Only a file within itself is refused."""
    configuration = parse_configuration("device mem:1 @a device mem:2 @a", "x", files({"a": "reserved 1,1"}))
    assert [len(device.reserved) for device in configuration.devices] == [1, 1]
    assert configuration.findings == ()


def test_a_cycle_is_refused_and_named() -> None:
    """The message names the way round, and reading goes on behind it."""
    contents = {"d/b.smmu": "debug 1 @../d/c.smmu foreground", "d/c.smmu": "@./b.smmu debug 2"}
    configuration = parse_configuration(
        "@d/b.smmu", "a.smmu", files(contents | {"d/../d/c.smmu": contents["d/c.smmu"]})
    )
    assert [str(finding) for finding in configuration.findings] == [
        "d/../d/c.smmu:1:1: the file includes itself: d/b.smmu → d/c.smmu → d/b.smmu; take one of these includes out"
    ]
    assert (configuration.debug, configuration.foreground) == (2, True)


def test_a_cycle_on_disk_is_refused(tmp_path: Path) -> None:
    """A file that includes itself by another name of its folder ends too."""
    (tmp_path / "folder").symlink_to(tmp_path)
    (tmp_path / "a.smmu").write_text("debug 1 @folder/a.smmu")
    findings = read_configuration(str(tmp_path / "a.smmu")).findings
    assert [finding.rule for finding in findings] == ["CONFIG-INCLUDE"]
    assert findings[0].expected == "at most 16 files deep"


def test_what_cannot_be_included_is_reported_at_its_word(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe or a name with NUL is an error of the including file."""
    os.mkfifo(tmp_path / "pipe")
    text = "debug 1\n  @gone.smmu @. @pipe @nul\0 foreground"
    configuration = parse_configuration(text, str(tmp_path / "a.smmu"))
    assert [(finding.origin.line, finding.origin.column) for finding in configuration.findings] == [
        (2, 3),
        (2, 14),
        (2, 17),
        (2, 23),
    ]
    assert {finding.rule for finding in configuration.findings} == {"CONFIG-INCLUDE"}
    assert configuration.foreground


def test_an_include_that_is_no_text_is_reported_inside_it() -> None:
    """What is wrong with the bytes of an included file is told with their place."""

    def opener(_path: str) -> bytes:
        return b"debug 1\n\xff\xfe"

    (finding,) = parse_configuration("@latin foreground", "", opener).findings
    assert str(finding).startswith("latin:2:1: the file is no text: the byte 0xff at offset 0x8 is no UTF-8")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"debug 1 \xe9", ":1:9: the file is no text: the byte 0xe9 at offset 0x8 is no UTF-8"),
        (b"# \xc3\xbc\n\xe9", ":2:1: the file is no text: the byte 0xe9 at offset 0x5 is no UTF-8"),
        (b"debug 1\r\nxy\0z", ":2:3: the file is no text: the byte 0x00 at offset 0xb is NUL"),
        ("debug 1".encode("utf-16"), ":1:1: the file is no text: the byte 0xff at offset 0x0 is no UTF-8"),
        (b"\xed\xa0\x80", ":1:1: the file is no text: the byte 0xed at offset 0x0 is no UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes, said: str) -> None:
    """A first file with bytes that no text has is refused with the place of the first."""
    path = tmp_path / "a.smmu"
    path.write_bytes(data)
    with pytest.raises(ParseError) as caught:
        read_configuration(str(path))
    assert str(caught.value) == f"{path}{said}; save it as UTF-8 text"
    assert "^" in caught.value.finding.excerpt


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    """What some editors put before UTF-8 text is no part of it."""
    path = tmp_path / "a.smmu"
    path.write_bytes(b"\xef\xbb\xbfdebug 2")
    assert read_configuration(str(path)).debug == 2


@pytest.mark.parametrize("name", ["gone.smmu", "", ".", "nul\0", "x" * 5000])
def test_a_first_file_that_cannot_be_opened(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first file must be there, and be a file."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParseError, match="this cannot be opened") as caught:
        read_configuration(name)
    assert caught.value.finding.rule == "CONFIG-OPEN"


def test_a_file_has_a_mebibyte_at_most(tmp_path: Path) -> None:
    """A larger first file is refused; a larger included one is reported."""
    path = tmp_path / "a.smmu"
    path.write_bytes(b"#" * MIB)
    assert read_configuration(str(path)).findings == ()
    path.write_bytes(b"#" * (MIB + 1))
    with pytest.raises(ParseError, match="the configuration is larger than 1 MiB"):
        read_configuration(str(path))
    (finding,) = parse_configuration(f"@{path}").findings
    assert finding.rule == "CONFIG-LARGE"
    with pytest.raises(ParseError, match="larger than 1 MiB"):
        parse_configuration("#" * (MIB + 1), "a.smmu", no_files)


def test_includes_that_grow_without_end_are_cut() -> None:
    """Files that include each other twice would be 2^16; reading stops at a thousand."""
    contents = {str(depth): f"@{depth + 1} @{depth + 1}" for depth in range(14)} | {"14": "debug 1"}
    configuration = parse_configuration("@0", "x", files(contents))
    assert configuration.findings[0].expected == "at most 1000 files in all"
    assert configuration.debug == 1


def test_includes_of_many_bytes_are_cut() -> None:
    """All included files together have 16 MiB at most."""
    configuration = parse_configuration("@a " * 17 + "debug 1 use x device mem:1 y", "x", files({"a": "#" * MIB}))
    (finding,) = configuration.findings
    assert str(finding) == "x:1:49: the included files are larger than 16 MiB in all; what follows is not read"
    assert configuration.debug == 0


def test_words_are_bounded() -> None:
    """Of all files together 300,000 words are read, and what is missing is not reported as unknown."""
    many = "foreground " * 60_000
    text = f"device mem:1 later {many} @a @a @a @a @a allow later 0,1"
    configuration = parse_configuration(text, "x", files({"a": many}))
    (finding,) = configuration.findings
    assert finding.message == "there are more than 300000 words"
    assert configuration.foreground
