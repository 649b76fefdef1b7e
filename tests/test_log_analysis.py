"""docs/log-analysis.md: every command and every program of the page runs, and writes what the page shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing

PAGE = (ROOT / "docs" / "log-analysis.md").read_text()
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)}


def blocks(section: str, language: str) -> list[str]:
    """Return the blocks of a language in a section."""
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which the page's logs have been made, as the page makes them, with a home of its own."""
    for name in ("fixtures", "logging_backend"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("IOMMUMAN_SLOG2_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("TZ", "UTC")
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    (script,) = blocks(next(iter(SECTIONS)), "sh")
    assert shell(script) == ""
    return tmp_path


def shell(script: str) -> str:
    """Run a script, and return what it writes."""
    return subprocess.run(["bash", "-ec", script], capture_output=True, text=True, timeout=120, check=True).stdout


def run_console(section: str) -> None:
    """Run the commands of a section, each of which writes what stands below it."""
    shown = [
        one for block in blocks(section, "console") for one in re.findall(r"^\$ (.*)\n([^$]*)", block, re.MULTILINE)
    ]
    assert len(shown) >= 3
    for command, output in shown:
        assert shell(command) == output, command


def run_python(section: str) -> None:
    """Run the program of a section, which writes what the block after it holds."""
    (program,), (output,) = blocks(section, "python"), blocks(section, "text")
    written = io.StringIO()
    run: Callable[[str, dict[str, object]], None] = exec
    with contextlib.redirect_stdout(written):
        run(program, {})
    assert written.getvalue().rstrip("\n") == output.rstrip("\n")


@pytest.mark.usefixtures("folder")
def test_jq(need_tool: Callable[[str, str], str]) -> None:
    """The filters for jq give what the page shows."""
    need_tool("jq", "jq")
    run_console("jq")


@pytest.mark.usefixtures("folder")
def test_lnav(need_tool: Callable[[str, str], str]) -> None:
    """With our formats installed, lnav answers by SQL what the page shows, of JSON, of text and of a kernel's log."""
    need_tool("lnav", "lnav")
    (install,) = blocks("lnav", "sh")
    shell(install)
    run_console("lnav")


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_duckdb() -> None:
    """DuckDB makes a table of JSON Lines, and answers what the page shows."""
    if find_spec("duckdb") is None:
        missing("duckdb is not installed (PyPI: duckdb)")
    run_python("DuckDB")


@pytest.mark.usefixtures("folder")
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_vector() -> None:
    """Vector's own language runs our program over the lines, and the sums of what it makes are those of the page."""
    if find_spec("vrl_python") is None:
        missing("vrl_python is not installed (PyPI: vrl-python)")
    run_python("Vector")


@pytest.mark.usefixtures("folder")
def test_vector_passes_other_lines_by() -> None:
    """A line that is no fault is aborted or fails, and a notice of lost faults counts no access."""
    if find_spec("vrl_python") is None:
        missing("vrl_python is not installed (PyPI: vrl-python)")
    from vrl_python import VRLRuntime

    program = (ROOT / "logging_backend" / "vector" / "faults.vrl").read_text()
    vector = VRLRuntime()
    for line in ("{}", "no JSON", '{"Attributes": {}}', '{"Attributes": {"fault.reason": 1}}'):
        with pytest.raises(RuntimeError):
            vector.execute(program, {"message": line})
    lost = '{"Body": "x", "Attributes": {"fault.reason": "x", "fault.lost": true, "fault.count": 7}}'
    assert vector.execute(program, {"message": lost}).processed_event == {
        "message": "x", "reason": "x", "lost": True, "refused": 0,
    }  # fmt: skip
