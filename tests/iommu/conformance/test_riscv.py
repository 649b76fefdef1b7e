"""The RISC-V model held to QEMU's: a few random configurations each time; docs/iommu-riscv.md tells of longer runs."""

from __future__ import annotations

from collections.abc import Callable

from iommuman.iommu.qemu import Description

from .harness import Bench, Report
from .riscv import Riscv
from .riscv_known import KNOWN


def test_the_model_agrees_with_qemu(need_qemu: Callable[[str], Description]) -> None:
    """The same verdict, bytes and record for every access, but for differences that are known by name."""
    need_qemu("virt-riscv")
    bench = Bench(Riscv())
    report = Report("virt-riscv", bench.machine.text, 20)
    try:
        done = list(bench.run(20, range(60), report))
    finally:
        bench.close()
    assert len(done) == 60
    assert not report.unexplained, "\n".join(str(one) for one in report.unexplained[:5])
    assert report.allowed > 500
    assert set(report.known) <= {known.name for known in KNOWN}
