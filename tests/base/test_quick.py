"""Objects of frozen dataclasses, made fast."""

from __future__ import annotations

import copy
import pickle
import timeit
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest
from iommuman.base import Origin
from iommuman.base.quick import quick


@dataclass(frozen=True, slots=True)
class Base:
    """A record with one field."""

    name: str


@dataclass(frozen=True, slots=True)
class Derived(Base):
    """A record with more fields."""

    number: int
    more: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Named(Base):
    """A record with a field that is given by its name."""

    rest: bytes = field(default=b"", kw_only=True)
    number: int


def test_objects_are_those_of_the_class() -> None:
    """What is made is of the class itself, equal to what the class makes, and as frozen."""
    make = quick(Derived)
    one = make("a", 1)
    assert type(one) is Derived
    assert one == Derived("a", 1)
    assert hash(one) == hash(Derived("a", 1))
    assert repr(one) == "Derived(name='a', number=1, more=())"
    assert make(name="a", number=2, more=(3,)) == Derived("a", 2, (3,))
    with pytest.raises(FrozenInstanceError):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        make("a")  # type: ignore[call-arg]


def test_fields_that_are_given_by_name() -> None:
    """They are given by name here as well, wherever they stand among the others."""
    make = quick(Named)
    assert make("a", 1, rest=b"x") == Named("a", 1, rest=b"x")
    assert make("a", 1) == Named("a", 1)
    with pytest.raises(TypeError):
        make("a", 1, b"x")  # type: ignore[call-arg]


def test_a_class_whose_base_is_frozen_is_made_as_fast() -> None:
    """Fields are stored without a call of Python, whatever the base does."""
    slow, fast = (min(timeit.repeat(lambda: make("a", 1), number=2000, repeat=9)) for make in (Derived, quick(Derived)))  # noqa: B023
    assert fast < slow * 0.8


def test_objects_can_be_copied_and_kept() -> None:
    """Copies, replacements and pickles are what they are for any dataclass."""
    one = quick(Origin)("file", line=3)
    assert copy.copy(one) == pickle.loads(pickle.dumps(one)) == Origin("file", line=3)  # noqa: S301 - our own bytes
    assert replace(one, line=4) == Origin("file", line=4)
    assert [each.name for each in fields(one)] == ["source", "part", "offset", "length", "line", "column"]
