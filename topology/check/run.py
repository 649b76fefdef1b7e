"""Runs the rules over a board."""

from __future__ import annotations

from collections.abc import Callable

from ...base import Finding
from . import (
    acpi,
    configuration,
    devicetree,
    dmar,
    dmar_quirks,
    dmar_regions,
    dmar_scopes,
    grants,
    iort_fields,
    iort_maps,
    iort_rmr,
    iort_units,
    machine,
    machine_memory,
    machine_names,
    mcfg,
    reading,
    reading_config,
    reading_devicetree,
    reading_dmar,
    reading_iort,
    reading_memory,
)
from .board import Board
from .rule import Rule

RULES: tuple[Rule, ...] = (
    *reading.RULES,
    *acpi.RULES,
    *reading_dmar.RULES,
    *dmar.RULES,
    *dmar_scopes.RULES,
    *dmar_regions.RULES,
    *dmar_quirks.RULES,
    *reading_iort.RULES,
    *iort_fields.RULES,
    *iort_units.RULES,
    *iort_maps.RULES,
    *iort_rmr.RULES,
    *mcfg.RULES,
    *reading_memory.RULES,
    *machine.RULES,
    *machine_memory.RULES,
    *machine_names.RULES,
    *reading_devicetree.RULES,
    *devicetree.RULES,
    *reading_config.RULES,
    *configuration.RULES,
    *grants.RULES,
)
"""All rules, in the order of the documentation; modules beside this one declare them, one for each kind of input."""


def rule_of(identifier: str) -> Rule | None:
    """Return the rule with this identifier."""
    return next((rule for rule in RULES if rule.id == identifier), None)


def check(board: Board, wanted: Callable[[str], bool] = lambda _: True) -> tuple[Finding, ...]:
    """Return what is wrong with a board, in the order of its sources and of the places in them.

    Args:
        board: what to look at.
        wanted: tells whether findings of the rule with this identifier are asked for.
    """
    found = [finding for finding in board.topology.findings if wanted(finding.rule)]
    for rule in RULES:
        if rule.look is not None and wanted(rule.id):
            found += rule.look(rule, board)
    order = {source.name: index for index, source in enumerate(board.topology.sources)}
    last = len(order)
    unique = dict.fromkeys(found)
    return tuple(sorted(unique, key=lambda one: (order.get(one.origin.source, last), one.origin.offset or 0)))
