"""Trees that the installed QEMU makes at this moment: whichever version it is, we read what dtc reads."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from iommuman.topology import load_topology, route_rid

from tests.oracles import dts
from tests.topology.test_judges import holds_tree_to

MACHINES = {
    "virt,iommu=smmuv3,gic-version=3": ("smmuv3@9050000", "its"),
    "virt,iommu=smmuv3,gic-version=3,highmem=off": ("smmuv3@9050000", "its"),
    "virt,iommu=smmuv3,gic-version=2": ("smmuv3@9050000", "v2m"),
    "virt,gic-version=3,its=off": (None, None),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_fresh_tree_is_read_as_dtc_reads_it(
    need_tool: Callable[[str, str], str], tmp_path: Path, machine: str
) -> None:
    """The unit, the stream ID of a function and the MSI controller are those of the machine that QEMU was asked for."""
    qemu = need_tool("qemu-system-aarch64", "qemu-system-arm")
    need_tool("dtc", "device-tree-compiler")
    tree = tmp_path / "board.dtb"
    command = [qemu, "-M", f"{machine},dumpdtb={tree}", "-cpu", "max", "-nodefaults", "-display", "none"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    unit, controller = MACHINES[machine]
    topology = load_topology([str(tree)])
    route = route_rid(topology, 0, 0x18)
    assert route.iommu == unit
    assert route.stream == (None if unit is None else 0x18)
    assert (controller or "") in (route.msi_hops[-1].target if route.msi_hops else "")
    assert topology.findings == ()
    compared = holds_tree_to(dts.iommu_views(dts.read_tree(tree)), tree)
    assert (compared > 0) == (unit is not None)
