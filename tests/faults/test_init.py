"""What `iommuman.faults` gives, and what it costs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import iommuman.faults


def test_the_record_alone_imports_no_reader() -> None:
    """Parsers, topology and models come with the modules that need them."""
    script = "import sys, iommuman.faults\nprint(*(name for name in sys.modules if name.startswith('iommuman.')))"
    names = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {name.split(".")[1] for name in names} == {"base", "faults"}
    assert {name for name in names if name.startswith("iommuman.faults.")} == {
        "iommuman.faults.errors", "iommuman.faults.fault",
    }  # fmt: skip


def test_what_is_said_to_be_elsewhere_is_there() -> None:
    """Every module and function that the docstring names."""
    named = re.findall(r"`((?:from_log|raw|attribute|explain|causes|report)[\w.]*)`", iommuman.faults.__doc__ or "")
    assert len(named) == 7
    for name in named:
        module, _, attribute = name.partition(".")
        found = import_module(f"iommuman.faults.{module}")
        assert not attribute or callable(getattr(found, attribute))
