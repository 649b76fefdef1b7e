"""docs/kernel-log.md: its example is real."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "kernel-log.md").read_text()


def test_the_example_prints_what_is_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The program runs as it stands, and prints what stands below it."""
    monkeypatch.chdir(ROOT)
    program = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    shown = re.findall(r"```text\n(.*?)```", TEXT, re.DOTALL)
    run: Callable[[str, dict[str, object]], None] = exec
    run(program[0], {})
    assert [capsys.readouterr().out] == shown
