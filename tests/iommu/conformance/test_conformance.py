"""A short run of each architecture, and that a difference would be seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Description

from .harness import Access, Bench, Configuration, Difference, Report, Seen
from .suite import ARCHITECTURES
from .vtd import Vtd

SEED = 20


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_model_and_qemu_agree(need_qemu: Callable[[str], Description], name: str) -> None:
    """Verdicts, bytes that move and records are the same but for the differences that are known by name."""
    architecture = ARCHITECTURES[name]()
    need_qemu(architecture.machine)
    bench = Bench(architecture)
    report = Report(name, bench.machine.text, SEED)
    try:
        for _ in bench.run(SEED, range(40), report):
            pass
    finally:
        bench.close()
    assert [str(one) for one in report.unexplained] == []
    assert report.accesses == 2400
    assert report.allowed > 200
    assert report.records > 200 or not architecture.watched
    assert str(report).startswith(f"{name}: 2400 accesses over 40 configurations")


class Wrong(Vtd):
    """A model that is not right: it lets one page more pass, or writes a byte beside, or forgets a record."""

    def __init__(self, what: str) -> None:
        """Choose what is wrong."""
        super().__init__("q35")
        self.what = what
        self.calls = 0

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Make an access, wrongly."""
        found = super().access(model, address, write=write)
        if self.what == "verdict" and found is None:
            return 0x2000000
        return None if found is None else found + 4 * (self.what == "place")

    def records(self, seen: list[tuple[int, ...]], read: Callable[[int, int], bytes]) -> list[tuple[int, ...]]:
        """Return the records; those of the model, which are asked for last, without their reason."""
        found = super().records(seen, read)
        self.calls += 1
        if self.what == "record" and self.calls % 2 == 0:
            return [(status, low, high & ~(0xFF << 32)) for status, low, high in found]
        return found


@pytest.mark.parametrize("what", ["verdict", "place", "record"])
def test_a_wrong_model_is_found(need_qemu: Callable[[str], Description], what: str) -> None:
    """A verdict, a place or a record that is wrong does not pass for a known difference."""
    need_qemu("q35")
    bench = Bench(Wrong(what))
    report = Report(what, "", 1)
    try:
        for _ in bench.run(1, range(5), report):
            pass
    finally:
        bench.close()
    assert report.unexplained
    assert "QEMU mark" in str(report.unexplained[0])


@pytest.mark.parametrize("note", ["no snoop", "snp", "xd"])
def test_bits_that_qemu_accepts_excuse_only_what_the_model_refuses(note: str) -> None:
    """An access that the model lets pass, and QEMU lets go elsewhere, is not known for a bit in some entry."""
    configuration = Configuration([], [], "", {"mode": 1, "pass": 0, "aw": 2, "first": 1, note: 1})
    silent = (0, 0, 0)
    ours, theirs = Seen(5, silent), Seen(6, silent)
    access = Access(0x1000, None)
    assert not [one.name for one in Vtd("q35").known if one.applies(Difference(configuration, 0, access, ours, theirs))]
    refused = Difference(configuration, 0, access, Seen(0, silent), theirs)
    assert [one for one in Vtd("q35").known if one.applies(refused)]
