"""The rules of a DMAR: for each a table that breaks it, and one that barely does not, from the modules beside this."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from iommuman.topology.check import Rule, dmar, dmar_regions, dmar_scopes

from . import test_dmar, test_dmar_regions, test_dmar_scopes
from .boards import Case, assert_complete, said

RULES = (
    (dmar.RULES, test_dmar.CASES),
    (dmar_scopes.RULES, test_dmar_scopes.CASES),
    (dmar_regions.RULES, test_dmar_regions.CASES),
)
CASES = [pytest.param(rules, case, id=case.rule) for rules, cases in RULES for case in cases]


@pytest.mark.parametrize(("rules", "case"), CASES)
def test_a_table_that_breaks_a_rule_is_told_where_and_how(rules: Sequence[Rule], case: Case) -> None:
    """Each finding has the severity, the place and the words that were written by hand, and there are no others."""
    assert said(rules, case.rule, case.breaks()) == list(case.says)


@pytest.mark.parametrize(("rules", "case"), CASES)
def test_a_table_that_barely_keeps_a_rule_is_not_told(rules: Sequence[Rule], case: Case) -> None:
    """One bit, byte or page further, nothing is said."""
    assert said(rules, case.rule, case.keeps()) == []


@pytest.mark.parametrize(("rules", "cases"), RULES)
def test_every_rule_has_its_cases_and_its_words(rules: Sequence[Rule], cases: Sequence[Case]) -> None:
    """No rule is without a table that breaks it; titles and remedies are clauses, the rest sentences with a source."""
    assert_complete(rules, cases, "VT-d specification 4.1 §8")
