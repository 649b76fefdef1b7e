"""Configurations by chance, for what must hold for all of them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from iommuman.parsers.smmu_config import (
    Allow,
    Configuration,
    DeviceEntry,
    MainUnit,
    MmioSpec,
    NamedSpec,
    PciSpec,
    Reserved,
    SmmuType,
    SocRevision,
    Unit,
    Use,
)

from tests.parsers.smmu_config.helpers import NOWHERE

OPTION_WORDS = ("allow", "debug", "device", "foreground", "reserved", "smmu", "unit", "use")
TOP = 1 << 64
ADDRESSES = st.integers(0, TOP - 1)
NUMBERS = st.integers(0, (1 << 32) - 1)
BITS = st.integers(0, 31)
HIGHEST = {"armsmmu": 0xFFFF, "rcar3": 63, "smmuv3": 0xFFFFFFFF, "riscv": 0xFFFFFF}
LETTERS = st.characters(exclude_categories=("C", "Z"), exclude_characters=",")
NAMES = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name[0] not in "-@#" and name not in OPTION_WORDS)
MODULES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,7}", fullmatch=True)


@st.composite
def regions(draw: st.DrawFn) -> tuple[int, int]:
    """Draw a region that has an end."""
    start = draw(ADDRESSES)
    return start, draw(st.integers(1, TOP - start))


def main_units(kind: str) -> st.SearchStrategy[MainUnit | None]:
    """Draw what `smmu` says besides the firmware."""
    if kind != "rcar3":
        return st.none()
    chips = st.builds(SocRevision, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
    return st.builds(MainUnit, ADDRESSES, NUMBERS, BITS, st.lists(chips, max_size=2).map(tuple))


def types(kind: str) -> st.SearchStrategy[SmmuType]:
    """Draw a type of unit."""
    firmware = st.sampled_from(["", "require", "ignore"] if kind not in ("armsmmu", "rcar3") else [""])
    return st.builds(SmmuType, st.just(kind), st.just(NOWHERE), firmware, main_units(kind))


@st.composite
def units(draw: st.DrawFn, name: str, kind: str) -> Unit:
    """Draw a unit of a type."""
    unit = Unit(name, kind, draw(ADDRESSES), NOWHERE)
    if kind == "rcar3":
        return replace(unit, status_bit=draw(BITS))
    if kind == "smmuv3" and draw(st.booleans()):
        bypass = draw(st.none() | st.booleans())
        return replace(unit, context_interrupt=draw(NUMBERS), global_interrupt=draw(NUMBERS), bypass=bypass)
    if kind == "armsmmu":
        return replace(
            unit,
            context_interrupt=draw(NUMBERS),
            global_interrupt=draw(NUMBERS),
            bypass=draw(st.booleans()),
            reserved_ids=tuple(draw(st.lists(st.integers(0, 0xFFFF), max_size=3, unique=True))),
            board_module=draw(st.just("") | MODULES),
        )
    return unit


@st.composite
def uses(draw: st.DrawFn, of: list[Unit]) -> Use:
    """Draw a use of one of some units."""
    unit = draw(st.sampled_from(of))
    if unit.type not in HIGHEST:
        return Use(unit.name, NOWHERE)
    first = draw(st.integers(0, HIGHEST[unit.type]))
    most = 1 if unit.type == "rcar3" else HIGHEST[unit.type] - first + 1
    return Use(unit.name, NOWHERE, first, draw(st.integers(1, most)))


@st.composite
def pci_specs(draw: st.DrawFn) -> PciSpec:
    """Draw PCI functions."""
    first = draw(st.integers(0, 0xFFFF))
    return PciSpec(draw(st.integers(0, 0xFFFF)), first, draw(st.just(first) | st.integers(first, 0xFFFF)))


PATHS = st.text(LETTERS, max_size=8)
SPECS = (
    pci_specs()
    | st.builds(MmioSpec, ADDRESSES)
    | PATHS.map(lambda path: NamedSpec(f"acpi:\\{path}"))
    | PATHS.map(lambda path: NamedSpec(f"dt:/{path}"))
)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """Draw a configuration such as can be read."""
    kinds = draw(st.lists(st.sampled_from(["armsmmu", "rcar3", "vtd", "smmuv3", "amdvi", "riscv"]), max_size=4))
    kept = {(kind.type, kind.main and kind.main.revisions): kind for kind in [draw(types(kind)) for kind in kinds]}
    names = draw(st.lists(NAMES, max_size=4, unique=True)) if kinds else []
    some = [draw(units(name, draw(st.sampled_from(kinds)))) for name in names]
    allows = [
        Allow(name, *draw(regions()), *draw(st.sampled_from([(True, True), (True, False), (False, True)])), NOWHERE)
        for name in draw(st.lists(NAMES, max_size=3))
    ]
    devices = [
        DeviceEntry(
            draw(SPECS),
            NOWHERE,
            draw(st.sampled_from(["", *[one.name for one in allows]])),
            tuple(draw(st.lists(uses(some), max_size=3))) if some else (),
            tuple(Reserved(*draw(regions()), NOWHERE) for _ in range(draw(st.integers(0, 2)))),
        )
        for _ in range(draw(st.integers(0, 3)))
    ]
    return Configuration(
        "",
        tuple(kept.values()),
        tuple(some),
        tuple(devices),
        tuple(allows),
        draw(st.integers(0, 2)),
        draw(st.booleans()),
    )


SPACES = st.text(st.sampled_from(" \t\n\r"), min_size=1, max_size=4)
COMMENTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12).map(lambda text: f"#{text}\n")
GAPS = SPACES | st.builds("{} {}{}".format, SPACES, COMMENTS, SPACES | st.just(""))


@st.composite
def laid_out(draw: st.DrawFn, words: list[str]) -> str:
    """Draw a text of these words, with spaces, lines and comments between them."""
    text = draw(st.just("") | GAPS)
    return text + "".join(f"{word}{draw(GAPS)}" for word in words)
