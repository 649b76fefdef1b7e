"""qvm configurations: memory and devices are read, all else is named and passed over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iommuman.parsers.qvm import Location, QvmMemory, read_qvm

EXAMPLE = """\
# a guest on x86
system qnx7-guest
ram 0xa0000
rom 0xc0000,0x40000
ram 1024M
cpu
cpu sched 8 ram 32m
vdev ioapic
loc 0xf8000000
pass loc mem:0x2000,0x1000,r=0x1000
pass intr gic:37 loc pci:0:12.0=pci:0x8086/0x1234
loc pci:0x8086/0x1234,d
fdt pass loc io:0x3f8,8,n # a port
intr 4
reserve loc 0xa0000,0x20000
"""


def test_an_example_is_read() -> None:
    """Memory lies where QNX says; what belongs to a `pass` is with it, and what does not is passed over by name."""
    found = read_qvm(EXAMPLE, "x")
    assert found.system == "qnx7-guest"
    assert [(one.start, one.length, one.rom) for one in found.memory] == [
        (0, 0xA0000, False),
        (0xC0000, 0x40000, True),
        (0x100000, 1 << 30, False),
    ]
    assert isinstance(found.memory[0], QvmMemory)
    assert [one.locations for one in found.passes] == [
        (Location("mem", "0x2000", "mem:0x1000", 0x1000, "r"),),
        (
            Location("pci", "0:12.0", "pci:0x8086/0x1234", None, ""),
            Location("pci", "0x8086/0x1234", "pci:0x8086/0x1234", None, "d"),
        ),
        (Location("io", "0x3f8", "io:0x3f8", 8, "n"),),
    ]
    assert [one.interrupts for one in found.passes] == [(), ("gic:37",), ("4",)]
    assert [one.dma for one in found.passes] == ["", "d", "n"]
    assert [one.origin.line for one in found.passes] == [10, 11, 13]
    assert [(one.rule, one.severity, one.origin.line, one.found) for one in found.findings] == [
        ("QVM-OPTION", "note", line, word)
        for line, word in ((6, "cpu"), (7, "cpu"), (8, "vdev"), (9, "loc"), (15, "reserve"))
    ]


@pytest.mark.parametrize(
    ("letters", "held"),
    [
        ("rwd", "rwd"),
        ("+rwd-w", "rd"),
        ("m", "rwxcnst"),
        ("m-n+x", "rwxcst"),
        ("m-nd", "rwxcst"),
        ("r,w", "rw"),
        ("", ""),
    ],
)
def test_letters_are_added_and_removed(letters: str, held: str) -> None:
    """`+` and `-` hold for the letters behind them; `m` stands for seven."""
    (found,) = read_qvm(f"pass loc mem:0x1000,4K,{letters}", "x").passes
    assert found.locations[0].letters == held


def test_letters_stand_on_either_side_of_the_hosts_location() -> None:
    """QNX 8.0 writes the letters before it; they are read behind it as well."""
    for text in ("pci:0:5.0,rwd=pci:0:3.0", "pci:0:5.0=pci:0:3.0,rwd", "pci:0:5.0,rwd,=0:3.0"):
        (found,) = read_qvm(f"pass loc {text}", "x").passes
        assert found.locations == (Location("pci", "0:5.0", "pci:0:3.0", None, "rwd"),)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ram", "[start,]length"),
        ("ram 0", "[start,]length"),
        ("ram x", "[start,]length"),
        ("ram 1,2,3", "[start,]length"),
        ("ram 0xffffffffffffffff,2", "memory that ends within 64 bits"),
        ("ram 99999999999999999999", "[start,]length"),
        ("pass loc mem:here", "mem:address, io:port, pci:bus:device.function or pci:vendor/device"),
        ("pass loc usb:1", "mem:address, io:port, pci:bus:device.function or pci:vendor/device"),
        ("pass loc", "mem:address, io:port, pci:bus:device.function or pci:vendor/device"),
        ("pass loc pci:0:1.0,q", "a length, letters of rwxcemdnst, or =host"),
        ("pass loc pci:0:1.0,dn", "d or n (m stands for n as well)"),
    ],
)
def test_arguments_that_cannot_be_read_are_named(line: str, expected: str) -> None:
    """The place, what was found and what is expected; and the rest is read."""
    found = read_qvm(f"{line}\nram 4K", "x")
    (finding,) = found.findings
    assert (finding.severity, finding.origin.line, finding.expected) == ("error", 1, expected)
    assert found.memory[-1].length == 4096


def test_a_device_of_which_both_is_said_says_neither() -> None:
    """`d` in one place and `n` in another contradict each other."""
    assert read_qvm("pass loc mem:0x1000,d loc mem:0x2000,n", "x").passes[0].dma == ""


@given(st.text("ramopslci:0x1,=+-dnrw \n#", max_size=200))
def test_any_text_is_read(text: str) -> None:
    """Nothing makes reading fail, and memory lies within 64 bits."""
    for one in read_qvm(text, "x").memory:
        assert 0 <= one.start < one.start + one.length <= 1 << 64
