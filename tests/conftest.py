"""What all tests share: where the fixtures are, and what happens when an external tool is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings
from iommuman.iommu import IommuError
from iommuman.iommu.qemu import MACHINES, Description, installed

# A busy machine must not fail a test; and continuous integration tries the same cases at each run.
settings.register_profile("steady", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
BOARDS = FIXTURES / "boards"
HANDMADE = FIXTURES / "handmade"
CORPUS = ROOT.parent / "shared" / "corpus"
"""Real tables and trees beside a checkout, where they are present."""


def missing(what: str) -> None:
    """Skip a test for want of an external tool; fail where IOMMUMAN_REQUIRE_TOOLS says that all of them are there."""
    if os.environ.get("IOMMUMAN_REQUIRE_TOOLS"):
        pytest.fail(f"{what}, and IOMMUMAN_REQUIRE_TOOLS is set")
    pytest.skip(what)


@pytest.fixture
def need_tool() -> Callable[[str, str], str]:
    """Return a function that gives the path of a program, or skips the test saying which Debian package has it."""

    def need(program: str, package: str) -> str:
        found = shutil.which(program)
        if found is None:
            missing(f"{program} is not installed (Debian: {package})")
        return str(found)

    return need


@pytest.fixture
def need_qemu() -> Callable[[str], Description]:
    """Return a function that gives a machine of QEMU by name, or skips the test saying what is not installed."""

    def need(name: str) -> Description:
        try:
            installed(MACHINES[name])
        except IommuError as error:
            missing(str(error))
        return MACHINES[name]

    return need


def tables(*signatures: str) -> list[Path]:
    """Return the fixture tables with these signatures, damaged ones included."""
    return sorted(path for name in signatures for path in FIXTURES.rglob(f"{name}.bin"))


def corpus_files(*kinds: str) -> list[Path]:
    """Return the files of the corpus of these kinds; none where the corpus is not present."""
    index = CORPUS / "index.tsv"
    if not index.is_file():
        return []
    rows = (line.split("\t") for line in index.read_text().splitlines()[1:])
    return [CORPUS / row[0] for row in rows if row[1] in kinds]
