"""printf formats, held against the C library's."""

from __future__ import annotations

import ctypes
import enum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iommuman.logging_backend.printf import MAX_TEXT, MAX_WIDTH, render

LIBC = ctypes.CDLL(None)


def c_library(form: str, *arguments: object) -> str:
    """Return what snprintf makes of it."""
    buffer = ctypes.create_string_buffer(8192)
    LIBC.snprintf(buffer, ctypes.c_size_t(8192), form.encode(), *arguments)
    return buffer.value.decode()


FLAGS = st.text("-+ #0", max_size=3)
WIDTH = st.one_of(st.just(""), st.integers(1, 40).map(str))
PRECISION = st.one_of(st.just(""), st.just("."), st.integers(0, 30).map(lambda number: f".{number}"))


@settings(max_examples=500, deadline=None)
@given(FLAGS, WIDTH, PRECISION, st.sampled_from("diuoxX"), st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_as_in_c(flags: str, width: str, precision: str, kind: str, value: int) -> None:
    """Any integer under any flags, width and precision prints as the C library prints it."""
    form = f"<%{flags}{width}{precision}ll{kind}>"
    assert render(form, (value,)) == c_library(form, ctypes.c_longlong(value))
    short = f"<%{flags}{width}{precision}{kind}>"
    small = ctypes.c_int(value & 0xFFFFFFFF).value
    assert render(short, (small,)) == c_library(short, ctypes.c_int(small))


@settings(max_examples=500, deadline=None)
@given(FLAGS, WIDTH, PRECISION, st.sampled_from("eEfFgG"), st.floats(allow_nan=False))
def test_floats_as_in_c(flags: str, width: str, precision: str, kind: str, value: float) -> None:
    """Any double, infinities included, prints as the C library prints it."""
    form = f"<%{flags}{width}{precision}{kind}>"
    assert render(form, (value,)) == c_library(form, ctypes.c_double(value))


@settings(max_examples=500, deadline=None)
@given(st.text("-", max_size=1), WIDTH, PRECISION, st.text("abcxyz", max_size=20))
def test_texts_as_in_c(flags: str, width: str, precision: str, value: str) -> None:
    """A text under any width and precision prints as the C library prints it."""
    form = f"<%{flags}{width}{precision}s|%%>"
    assert render(form, (value,)) == c_library(form, ctypes.c_char_p(value.encode()))


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(), st.lists(st.sampled_from(["%", "d", "5", "*", ".", "s", "x", "l", "c", "-", "0", "a "])).map("".join)
    ),
    st.lists(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none(), st.booleans())),
)
def test_nothing_raises(form: str, arguments: list[object]) -> None:
    """No pair of format and arguments raises."""
    assert len(render(form, arguments)) <= MAX_TEXT


@pytest.mark.parametrize(
    ("form", "arguments", "text"),
    [
        ("%d and %d", (1,), "1 and <missing>"),
        ("%d", (1, 2), "1"),
        ("%d", ("text",), "text"),
        ("%s", (b"bytes",), "bytes"),
        ("%s", (None,), "None"),
        ("%05.1f", (float("nan"),), "  nan"),
        ("%c%c%c", (65, 0x110000, "z"), "A\ufffdz"),
        ("%p", (4096,), "0x1000"),
        ("%p", (-1,), "0xffffffffffffffff"),
        ("%hhx %hx %x %lx", (-1, -1, -1, -1), "ff ffff ffffffff ffffffffffffffff"),
        ("%*d|%-*d|%.*f", (5, 7, 3, 8, 2, 1.5), "    7|8  |1.50"),
        ("%*d|%.*d", (-5, 7, -1, 3), "7    |3"),
        ("%*d", ("x", 7), "7"),
        ("100%", (), "100%"),
        ("%y %", (), "%y %"),
        ("%a %A", (1.0, 1.0), "0x1.0000000000000p+0 0X1.0000000000000P+0"),
        ("%f", (1 << 5000,), str(1 << 5000)),
        ("%.1f", (True,), "1.0"),
        ("%d", (1 << 100000,), hex(1 << 100000)),
        ("%s", (1 << 100000,), hex(1 << 100000)),
    ],
)
def test_cases(form: str, arguments: tuple[object, ...], text: str) -> None:
    """What C leaves undefined has a readable answer here."""
    assert render(form, arguments) == text


def test_hostile_widths_are_bounded() -> None:
    """Huge widths and precisions, given or taken from arguments, are cut, and so is the whole text."""
    assert len(render("%999999999d", (1,))) == MAX_WIDTH
    assert len(render("%.999999999d", (1,))) == MAX_WIDTH
    assert len(render("%.999999999f", (1.0,))) == MAX_WIDTH + 2
    assert len(render("%*d", (1 << 40, 1))) == MAX_WIDTH
    assert len(render("%1000d" * 5000, [1] * 5000)) == MAX_TEXT
    assert len(render("%" + "0" * 100 + "1000000d", (1,))) < 200


def test_enumerations_print_as_numbers() -> None:
    """An enumeration's member under %d is its number."""

    class Color(enum.IntEnum):
        RED = 3

    assert render("%d", (Color.RED,)) == "3"
