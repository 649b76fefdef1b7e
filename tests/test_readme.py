"""The README: every output shown is real, every file it names is there, and its test command is what CI runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest
from iommuman.cli.main import main

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SHOWN = re.findall(r"```console\n\$ iommuman (.*?)\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_shown_output_is_real(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command that the README shows writes what stands below it; `…` stands for lines left out."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    arguments = shlex.split(command)
    wants_errors = arguments[-2:] == ["2>&1", ">/dev/null"]
    main(arguments[:-2] if wants_errors else arguments)
    captured = capsys.readouterr()
    written = captured.err if wants_errors else captured.out
    parts = [re.escape(part) for part in shown.rstrip("\n").split("\n…")]
    assert re.fullmatch("(?:\n.*)*".join(parts), written.rstrip("\n"), re.DOTALL)


def test_there_are_commands_to_check() -> None:
    """The README shows at least one run of each command."""
    assert {command.split()[0] for command, _ in SHOWN} >= {"dump", "who", "capture"}


def test_linked_files_are_there() -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_ci_runs_the_command_of_the_readme() -> None:
    """The test command that people are told to type is the one that continuous integration runs."""
    command = "./bootstrap tox && .venv/bin/tox"
    assert f"\n    {command}\n" in README
    assert f"\n{command}\n" in (ROOT / ".ci" / "run").read_text()


def test_the_library_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example of the README runs as it stands."""
    monkeypatch.chdir(ROOT)
    examples: list[str] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run: Callable[[str, dict[str, object]], None] = exec
    for example in examples:
        run(example, {})
    assert "vtd@fed90000 0x208 fixtures/boards/q35-vtd/DMAR.bin: DMAR+0x78 (8 bytes)" in capsys.readouterr().out
