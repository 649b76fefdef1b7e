"""What docs/faults.md shows is what happens."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from iommuman.faults import Fault
from iommuman.faults.report.out import json_line

from ...conftest import ROOT
from .sample import session

DOCUMENT = (ROOT / "docs" / "faults.md").read_text()


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the report prints what stands below it."""
    monkeypatch.chdir(ROOT)
    found = re.search(r"```python\n(.*?draw_text.*?)```\n\n```text\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    run: Callable[[str, dict[str, object]], None] = exec
    run(found[1], {})
    assert capsys.readouterr().out == found[2]


def test_the_sample_is_the_session() -> None:
    """The log of the example holds the hand-made session, and the line that is shown is one of it."""
    lines = (ROOT / "tests/faults/report/samples/session.jsonl").read_text().splitlines()
    assert lines == [json_line(one) for one in session()]
    assert f"```json\n{lines[1]}\n```" in DOCUMENT


def test_every_attribute_is_described() -> None:
    """Each field of a fault has its attribute in the document."""
    names = [name for name in Fault.__slots__ if name != "origin"]
    assert [name for name in names if f"`fault.{name}`" not in DOCUMENT] == []
