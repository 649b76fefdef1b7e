"""Sources to a topology. What reads a table is imported when there is such a table: start-up time is a feature."""

from __future__ import annotations

from collections.abc import Sequence

from ..base import Finding, Origin
from ..parsers.acpi import Raw, Table
from ..parsers.sources import Inputs, read_sources
from .builder import TopologyBuilder
from .model import Source
from .topology import Topology


def load_topology(
    paths: Sequence[str],
    configurations: Sequence[str] = (),
    *,
    keep: bool = False,
    board_module: str = "",
    named: bool = False,
) -> Topology:
    """Read files, folders, `/sys` trees or `live`, and return what they say together.

    Args:
        paths: the sources; none gives a topology of the configurations alone.
        configurations: `.smmu` files to lay over what the sources say, each over those before it.
        keep: what the sources say stays where a configuration differs from it.
        board_module: name or file of a board module that is laid over the sources before any configuration.
        named: tables that declare no IOMMU give names to what those that do only number; it takes longer.

    Raises:
        ParseError: one of them cannot be opened, or none holds anything of use.
    """
    inputs = load_inputs(paths, configurations, board_module=board_module)
    return assemble(inputs, keep=keep, named=named)


def load_inputs(paths: Sequence[str], configurations: Sequence[str] = (), *, board_module: str = "") -> Inputs:
    """Read what `load_topology` makes a topology of; arguments and errors are the same."""
    named = bool(board_module)
    inputs = read_sources(paths, more_units=named) if paths or not (configurations or board_module) else Inputs()
    for path in configurations:
        from ..parsers.smmu_config import read_configuration

        before = named or bool(inputs.configurations)
        inputs.configurations.append(read_configuration(path, more_units=before))
    if board_module:
        from ..parsers.board_module import read_board_module

        inputs.modules.append(read_board_module(board_module))
    return inputs


def assemble(inputs: Inputs, *, keep: bool = False, named: bool = False) -> Topology:
    """Return the topology that the given inputs describe; for `keep` and `named` see `load_topology`."""
    builder = TopologyBuilder()
    builder.findings.extend(inputs.findings)
    for view in inputs.kernel_views:
        builder.kernel_views.append(view)
        builder.findings.extend(view.findings)
    # PCI first: VT-d scopes lead through its bridges. MCFG last: it only adds segments that nothing else speaks of.
    if inputs.pci:
        _add_pci(builder, inputs)
    for table in inputs.tables:
        builder.findings.extend(table.findings)
        used = table.signature in USED and not isinstance(table.body, Raw)
        builder.sources.append(Source(table.source, table.signature, table.size, used))
        _add_table(builder, table)
    for tree in inputs.trees:
        from .from_devicetree import add_devicetree

        builder.sources.append(Source(tree.source, "devicetree", tree.size))
        builder.sources.extend(Source(name, "overlay", size) for name, size in tree.overlays)
        add_devicetree(builder, tree)
    for table in inputs.tables:
        if table.signature == "MCFG":
            _add_segments(builder, table)
    if inputs.pci:
        from .from_pci import add_function_segments

        add_function_segments(builder)
    ignored: set[str] = set()
    if inputs.configurations or inputs.modules:
        from .configured import add_configurations

        ignored = add_configurations(builder, inputs, keep=keep)
    if named:
        from .named import add_names

        add_names(builder, inputs.tables)
    _note_silence(builder, inputs, ignored)
    return Topology(builder, inputs.passed_over)


USED = ("DMAR", "IORT", "IVRS", "MCFG", "RIMT", "VIOT")
"""Signatures of the tables that go into a topology."""

DECLARING = {"DMAR": "VT-d", "IORT": "SMMU", "IVRS": "AMD-Vi", "RIMT": "RISC-V IOMMU", "VIOT": "virtio-iommu"}
"""Signatures of the tables that declare IOMMUs, and which."""


def _note_silence(builder: TopologyBuilder, inputs: Inputs, ignored: set[str]) -> None:
    """Note why it is no answer that no source names an IOMMU: tables that are not read, or none that could.

    A configuration that names units is such an answer, and so is one that says which tables are not to be used.
    """
    declaring = [table for table in inputs.tables if table.signature in DECLARING and table.signature not in ignored]
    unread = [table for table in declaring if table.signature not in USED or isinstance(table.body, Raw)]
    for table in unread:
        builder.findings.append(
            Finding(
                "SOURCE-UNREAD",
                "warning",
                Origin(table.source, table.signature),
                f"a table that declares IOMMUs ({DECLARING[table.signature]}) is not read",
                advice="devices for which nothing else names an IOMMU may have one",
            )
        )
    if unread:
        names = " and ".join(dict.fromkeys(table.signature for table in unread))
        builder.silence = f"the sources have {names}, which is not read and may name one"
    elif not declaring and not inputs.trees and not ignored and not builder.iommus:
        builder.silence = (
            "no source given could name one; give the DMAR, IVRS, IORT, RIMT or VIOT table, or the device tree"
        )


def _add_pci(builder: TopologyBuilder, inputs: Inputs) -> None:
    from .from_pci import add_pci

    for pci in inputs.pci:
        builder.sources.append(Source(pci.source, "pci", pci.size))
        add_pci(builder, pci)


def _add_table(builder: TopologyBuilder, table: Table) -> None:
    """Add a table that speaks of IOMMUs; a damaged one may have no body to add."""
    if table.signature == "DMAR":
        from ..parsers.acpi.dmar import Dmar
        from .from_dmar import add_dmar

        if isinstance(table.body, Dmar):
            add_dmar(builder, table, table.body)
    elif table.signature == "IORT":
        from ..parsers.acpi.iort import Iort
        from .from_iort import add_iort

        if isinstance(table.body, Iort):
            add_iort(builder, table, table.body)
    elif table.signature == "IVRS":
        from ..parsers.acpi.ivrs import Ivrs
        from .from_ivrs import add_ivrs

        if isinstance(table.body, Ivrs):
            add_ivrs(builder, table, table.body)
    elif table.signature == "RIMT":
        from ..parsers.acpi.rimt import Rimt
        from .from_rimt import add_rimt

        if isinstance(table.body, Rimt):
            add_rimt(builder, table, table.body)
    elif table.signature == "VIOT":
        from ..parsers.acpi.viot import Viot
        from .from_viot import add_viot

        if isinstance(table.body, Viot):
            add_viot(builder, table, table.body)


def _add_segments(builder: TopologyBuilder, table: Table) -> None:
    from ..parsers.acpi.mcfg import Mcfg
    from .from_pci import add_segments

    if isinstance(table.body, Mcfg):
        add_segments(builder, table, table.body)
