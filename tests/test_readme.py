"""README and docs: every output shown is real, every file named is there, and the test command is what CI runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest
from iommuman.cli.main import main
from iommuman.iommu.qemu import Description

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [README, *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]
SHOWN = [shown for page in PAGES for shown in re.findall(r"```console\n\$ iommuman (.*?)\n(.*?)```", page, re.DOTALL)]


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_shown_output_is_real(
    command: str,
    shown: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    need_qemu: Callable[[str], Description],
) -> None:
    """Each command that the README or a document shows writes what stands below it; `…` stands for lines left out."""
    if "--platform qemu" in command:
        need_qemu("virt" if "virt" in command else "q35")
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    arguments = shlex.split(command)
    wants_errors = arguments[-2:] == ["2>&1", ">/dev/null"]
    main(arguments[:-2] if wants_errors else arguments)
    captured = capsys.readouterr()
    written = captured.err if wants_errors else captured.out
    parts = [re.escape(part) for part in shown.rstrip("\n").split("\n…")]
    assert re.fullmatch(r"(?:\n[^\n]*)*".join(parts), written.rstrip("\n"))


def test_there_are_commands_to_check() -> None:
    """There is at least one run of each command that answers from files."""
    wanted = {"dump", "who", "check", "config", "diff", "prove", "dma", "capture"}
    assert {command.split()[0] for command, _ in SHOWN} >= wanted


def test_all_captured_boards_are_judged() -> None:
    """The boards that the README counts are those of which there is what Linux said."""
    boards = len(list((ROOT / "fixtures/boards").glob("*/linux/verdict.json")))
    assert re.findall(r"booted on the (\d+) captured boards", README) == [str(boards)] * 2


def test_linked_files_are_there() -> None:
    """No link of the README or a document leads nowhere."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text())]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []


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
