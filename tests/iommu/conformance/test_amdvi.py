"""AMD-Vi: that the comparison would see a model that is not right, though QEMU's differences are many."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from iommuman.iommu.platform import RegisterBlock
from iommuman.iommu.qemu import Description

from .amdvi import QUIRKS, Amdvi
from .harness import Bench, Report


class Wrong(Amdvi):
    """A model that is not right: it lets some accesses pass, refuses some, or goes beside."""

    def __init__(self, what: str) -> None:
        """Choose what is wrong."""
        super().__init__()
        self.what = what

    def access(self, model: RegisterBlock, address: int, *, write: bool) -> int | None:
        """Make an access, wrongly."""
        found = super().access(model, address, write=write)
        if self.what == "lets pass" and found is None and not write:
            return 0x2000000
        if self.what == "refuses" and write:
            return None
        return found + 4 if self.what == "goes beside" and found is not None else found


@pytest.mark.parametrize("what", ["lets pass", "refuses", "goes beside"])
def test_a_wrong_model_is_found(need_qemu: Callable[[str], Description], what: str) -> None:
    """None of it passes for a known difference."""
    need_qemu("q35-amd")
    bench = Bench(Wrong(what))
    report = Report(what, "", 1)
    try:
        for _ in bench.run(1, range(5), report):
            pass
    finally:
        bench.close()
    assert len(report.unexplained) > 20


def test_every_difference_has_clause_and_place() -> None:
    """By name."""
    assert all(clause.startswith("AMD 48882") and source for clause, source in QUIRKS.values())
