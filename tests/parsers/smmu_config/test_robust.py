"""Hostile text: nothing but our error, in bounded time, with a bounded answer."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.base import IommumanError
from iommuman.parsers import ParseError
from iommuman.parsers.smmu_config import (
    Configuration,
    format_configuration,
    is_configuration,
    parse_configuration,
    parse_words,
    write_configuration,
)

from tests.parsers.smmu_config.helpers import no_files, without_origins
from tests.parsers.smmu_config.strategies import OPTION_WORDS, configurations

PIECES = st.sampled_from(
    [
        *OPTION_WORDS, "vtd", "armsmmu", "rcar3", "smmuv3", "amdvi", "riscv", "require", "ignore", "u", "a", "5",
        "0x1000", "1000,4K", "1,2", "1,2,3", "1,2,3,0", "1,2,3,0,4:5,imx8", "1,1,s", "pci:0:18.0", "mem:1", "dt:/x",
        "pci:0:1.0-0:2.0", "acpi:\\_SB", "1-2", ",", "@", "@x", "#", "# c\n", "\n", "-", ":", "devise", "uses", "st",
    ]
)  # fmt: skip


def outcome(text: str) -> Configuration | None:
    """Read and lay out a text, raising nothing but our error."""
    is_configuration(text.encode(errors="surrogatepass"))
    configuration = parse_configuration(text, "a", no_files)
    try:
        format_configuration(text, "a")
    except ParseError:
        return configuration
    return configuration


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever the characters are, the answer is a configuration with findings."""
    outcome(text)


@given(st.lists(PIECES | st.text(max_size=6), max_size=40), st.data())
def test_any_words(words: list[str], data: st.DataObject) -> None:
    """Words of the language in any order give a configuration, and what could be read of it can be written and read."""
    spaces = [data.draw(st.sampled_from([" ", "\n", " \t"])) for _ in words]
    found = outcome("".join(word + space for word, space in zip(words, spaces, strict=True)))
    assert found is not None
    again = parse_configuration(write_configuration(found), "", no_files)
    assert again.findings == ()
    assert write_configuration(again) == write_configuration(found)
    parse_words(words, opener=no_files)


@given(configurations(), st.data())
def test_damaged_configurations(configuration: Configuration, data: st.DataObject) -> None:
    """A text that lost, gained or changed a piece is read or has findings, and its layout means the same."""
    text = write_configuration(configuration)
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    found = outcome(damaged)
    assert found is not None
    if not found.findings:
        formatted = format_configuration(damaged)
        assert without_origins(parse_configuration(formatted, "", no_files)) == without_origins(found)


@given(st.binary(max_size=64))
def test_any_bytes(data: bytes) -> None:
    """Bytes of an included file never raise, and the file's own name is in what is said of them."""
    is_configuration(data)
    parse_configuration("@x", "", lambda _: data)


def test_surrogates_do_no_harm() -> None:
    """Text of a command line may have bytes that are no UTF-8."""
    (finding,) = parse_words(["debug", "\udcff"]).findings
    assert finding.rule == "CONFIG-VALUE"
    assert parse_words(["@\udcff"]).findings[0].rule == "CONFIG-INCLUDE"


def test_findings_are_bounded() -> None:
    """Of 20,000 errors a thousand are listed, and the others counted."""
    findings = parse_configuration("debug 5\n" * 20_000, "a.smmu").findings
    assert len(findings) == 1001
    assert str(findings[-1]) == "a.smmu: 19000 more errors of this configuration are not listed; mend the first ones"
    assert str(parse_configuration("debug 5\n" * 1001, "a.smmu").findings[-1]).startswith("a.smmu: 1 more error of")


@pytest.mark.parametrize(
    "text",
    [
        "x" * 317_000,
        "debug 5 " * 45_000,
        "smmu vdt\n" * 35_000,
        "dbug 1\n" * 35_000,
        "smmu vtd " + "".join(f"unit u{number} 1\n" for number in range(17_000)),
        "device mem:1 " + "".join(f"use u{number}\n" for number in range(30_000)),
        "".join(f"device mem:1 s{number}\n" for number in range(17_000)),
        "smmu armsmmu unit m 0,0,0,0," + ":".join("7" * 35_000),
        "smmu rcar3 1,1,1" + ",1.1" * 70_000,
        "allow a " + "," * 300_000,
        "allow a " + ", " * 45_000,
        "device " + "pci:" * 70_000,
        "device pci:" + "-" * 300_000,
        "#" + "\n#" * 130_000,
        "\r" * 300_000,
        "allow a 0,1," + "q" * 300_000,
    ],
    ids=lambda text: text[:24],
)
def test_time_is_bounded(text: str) -> None:
    """Whatever repeats a hundred thousand times takes seconds at most: nothing is quadratic."""
    begun = time.process_time()
    outcome(text)
    assert time.process_time() - begun < 8


def test_ten_thousand_lines_are_read_at_once() -> None:
    """A long configuration takes well below a second; the bound leaves room for a busy machine."""
    lines = [f"device mem:{number:#x} use m {number}\n" for number in range(9_998)]
    text = "smmu armsmmu\nunit m 0x51400000,64,66,1\n" + "".join(lines)
    begun = time.process_time()
    assert len(parse_configuration(text, "", no_files).devices) == 9_998
    assert time.process_time() - begun < 2


def test_errors_are_ours() -> None:
    """What is raised is the error of the parsers, under the root of all."""
    with pytest.raises(IommumanError):
        format_configuration("debug")


def test_reading_imports_little() -> None:
    """What only messages need is imported for them: start-up counts."""
    code = (
        "import sys; before = set(sys.modules);"
        "from iommuman.parsers.smmu_config import parse_configuration; parse_configuration('smmu vtd');"
        "print({'difflib', 'pathlib', 'construct', 'json', 'tempfile'} & (set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "set()\n"
