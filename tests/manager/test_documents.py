"""The documents of the manager say what the code does."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from iommuman.manager.calls import CALLS, MOST_ENTRIES, Failure, MmioId, NamedId, PciId, StatusRecord
from iommuman.manager.errors import Reason
from iommuman.manager.incidents import MOST_STORED
from iommuman.manager.protocol import MOST_REPLY, MOST_REQUEST
from iommuman.manager.service import ServiceLimits
from iommuman.manager.session import Limits

from tests.conftest import ROOT

MANAGER = (ROOT / "docs" / "manager.md").read_text()
PROTOCOL = (ROOT / "docs" / "manager-protocol.md").read_text()


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example prints what stands below it."""
    monkeypatch.chdir(ROOT)
    example, shown = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", MANAGER, re.DOTALL)[0]
    exec(example, {})  # noqa: S102 - it is ours
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", CALLS)
def test_each_call_is_described_with_its_fields(name: str) -> None:
    """The table of calls has every call, with every field of it and of its result."""
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PROTOCOL, re.MULTILINE)
    cells = row.split("|")
    call, result = CALLS[name]
    for record, cell in ((call, cells[2]), (result, cells[3])):
        assert [field.name for field in fields(record) if f"`{field.name}`" not in cell] == []


def test_other_records_are_described() -> None:
    """Devices, records of refused accesses and errors are described with every field, and every reason."""
    for record in (PciId, MmioId, NamedId):
        assert [field.name for field in fields(record) if f'"{field.name}"' not in PROTOCOL] == []
    for other in (StatusRecord, Failure):
        assert [field.name for field in fields(other) if f"`{field.name}`" not in PROTOCOL] == []
    assert [reason for reason in Reason.__args__ if f"`{reason}`" not in PROTOCOL] == []  # type: ignore[attr-defined]


def test_limits_are_those_of_the_code() -> None:
    """Numbers in the documents are the defaults."""
    service, client = ServiceLimits(), Limits()
    numbers = [
        service.connections, service.clients_per_user, client.objects, client.mappings, client.pages,
        int(service.seconds), MOST_STORED,
    ]  # fmt: skip
    rows = re.search(r"\| what \| most \|\n\|---\|---\|\n(.*?)\n\n", MANAGER, re.DOTALL)
    assert rows is not None
    assert [int(row.split("|")[2].replace(",", "")) for row in rows[1].splitlines()] == numbers
    assert f"2 to {MOST_REQUEST:,} towards the service and 2 to {MOST_REPLY:,} from it" in PROTOCOL
    assert f"1 to {MOST_ENTRIES:,}" in PROTOCOL
    assert f"For {service.grace:g} seconds" in MANAGER


def test_every_test_that_is_named_is_there() -> None:
    """The table of promises names tests that there are."""
    named = re.findall(r"`([a-z_/.]+\.py)::(test_[a-z0-9_]+)`", MANAGER)
    assert len(named) > 20
    here = ROOT / "tests" / "manager"
    assert [name for path, name in named if f"def {name}(" not in (here / path).read_text()] == []
