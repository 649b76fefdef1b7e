"""Lays board modules and configurations over what the sources say, in their order: modules are the board's side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from ..base import Finding, Origin
from ..parsers.smmu_config import Configuration
from ..parsers.sources import Inputs
from .builder import TopologyBuilder
from .merge import ignored_tables, merge
from .model import Source


def add_configurations(builder: TopologyBuilder, inputs: Inputs, *, keep: bool) -> set[str]:
    """Add all of them; return the signatures of the tables that they say are not to be used.

    Args:
        builder: all other sources have been added to it.
        inputs: has the configurations, and the board modules that were named beside them.
        keep: the board's facts stay where a configuration differs; a module's always go before the firmware's.
    """
    for module in (*inputs.modules, *_named_modules(builder, inputs)):
        builder.sources.append(Source(module.source, "board-module", _size(module.source)))
        merge(builder, module)
    for configuration in inputs.configurations:
        builder.sources.append(Source(configuration.source, "configuration", _size(configuration.source)))
        merge(builder, configuration, keep=keep)
    ignored = ignored_tables(inputs.configurations)
    builder.findings[:] = [_of_ignored(one) if one.origin.part in ignored else one for one in builder.findings]
    return ignored


def _of_ignored(finding: Finding) -> Finding:
    """Return a finding of a table that is not used as what it is then: worth knowing, and no reason to stop."""
    advice = "; ".join(filter(None, (finding.advice, "the configuration ignores this table")))
    return replace(finding, severity="note", advice=advice)


def _named_modules(builder: TopologyBuilder, inputs: Inputs) -> Iterator[Configuration]:
    """Read the board modules that units name, each once; what goes wrong is a finding at the unit."""
    named: dict[str, tuple[Origin, str]] = {}
    for configuration in inputs.configurations:
        for unit in configuration.units:
            if unit.board_module:
                named.setdefault(unit.board_module, (unit.origin, os.path.dirname(configuration.source) or "."))
    loaded = {module.source.rpartition("/")[2].removesuffix(".toml") for module in inputs.modules}
    for name, (origin, folder) in named.items():
        if name in loaded:
            continue
        from ..parsers.board_module import find_board_module

        module = find_board_module(name, origin, builder.findings, folder)
        if module is not None:
            yield module


def _size(source: str) -> int:
    """Return the size of a file in bytes; 0 for what is none."""
    try:
        return os.stat(source).st_size
    except (OSError, ValueError):
        return 0
