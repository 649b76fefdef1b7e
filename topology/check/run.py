"""Runs the rules over a board."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from ...base import Finding, Origin
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
    ivrs,
    machine,
    machine_memory,
    machine_names,
    mcfg,
    reading,
    reading_config,
    reading_containers,
    reading_devicetree,
    reading_dmar,
    reading_iort,
    reading_ivrs,
    reading_machine,
    reading_memory,
    reading_rimt,
    reading_viot,
    viot_rimt,
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
    *reading_ivrs.RULES,
    *ivrs.RULES,
    *reading_viot.RULES,
    *reading_rimt.RULES,
    *viot_rimt.RULES,
    *mcfg.RULES,
    *reading_machine.RULES,
    *reading_containers.RULES,
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


LIMIT = 1000
"""Findings of one rule after which no more are looked for: a hostile table can break a rule in millions of places."""


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
            looked = list(islice(rule.look(rule, board), LIMIT + 1))
            found += looked[:LIMIT]
            if len(looked) > LIMIT:
                found.append(_more(rule, looked[LIMIT]))
    order = {source.name: index for index, source in enumerate(board.topology.sources)}
    last = len(order)
    unique = dict.fromkeys(found)
    return tuple(sorted(unique, key=lambda one: (order.get(one.origin.source, last), one.origin.offset or 0)))


def _more(rule: Rule, first: Finding) -> Finding:
    """Return the finding that stands for all of a rule from one on that is not listed."""
    origin = Origin(first.origin.source, first.origin.part)
    message = f"{rule.id} has more than {LIMIT} findings; the others are not looked for"
    return Finding("CHECK-MORE", rule.severity, origin, message, advice="mend those that are listed first")
