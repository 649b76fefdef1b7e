"""How the tests of the command line run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from iommuman.cli.main import main


class Ran(NamedTuple):
    """What a command did: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Return a function that runs a command line in this process."""

    def call(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capsys.readouterr())

    return call
