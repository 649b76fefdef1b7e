"""Seeds of fuzzing, and what it found once, keep the promises; without atheris."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .seeds import FINDS, finds, seeds
from .targets import TARGETS

FOUND = [(target, path) for target in TARGETS for path in finds(target)]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_keep_the_promises(target: str) -> None:
    """What fuzzing begins with breaks no promise, and is answered at once."""
    begun = seeds(target)
    assert begun
    for seed in begun:
        started = time.process_time()
        TARGETS[target](seed)
        assert time.process_time() - started < 10


@pytest.mark.parametrize(("target", "path"), FOUND, ids=lambda one: one.name if isinstance(one, Path) else one)
def test_finds_keep_the_promises(target: str, path: Path) -> None:
    """An input that broke a promise once does not break it again."""
    started = time.process_time()
    TARGETS[target](path.read_bytes())
    assert time.process_time() - started < 10


def test_every_find_has_a_target() -> None:
    """No folder of finds is left behind when a target gets another name."""
    assert {path.name for path in FINDS.iterdir()} <= TARGETS.keys()
