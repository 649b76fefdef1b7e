"""`iommuman explain-rule`: a rule of `check` in words, or the list of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..base import printable
from . import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..topology.check import Rule


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    text = "such as IORT-MAP-OVERLAP; without one, or with what several begin with (IORT-MAP), rules are listed"
    parser.add_argument("rule", nargs="?", metavar="RULE", help=text)
    parser.add_argument("--markdown", action="store_true", help="list them as docs/checks.md does")
    parser.epilog = "Exit status: 0 answered, 2 wrong usage, or there is no such rule."
    parser.set_defaults(fail=parser.error)


def run(arguments: argparse.Namespace) -> int:
    """Explain the rule, or list all."""
    from ..topology.check import RULES, rule_of

    if arguments.markdown:
        from ..topology.draw.rules import draw_markdown

        if arguments.rule is not None:
            arguments.fail("--markdown lists all rules; leave RULE out")
        output.write(draw_markdown(RULES))
    elif arguments.rule is None:
        output.write(_listed(RULES))
    else:
        name = arguments.rule.upper()
        rule = rule_of(name)
        several = [one for one in RULES if one.id.startswith(f"{name}-")]
        if rule is None and not several:
            close = output.close_to(name, [one.id for one in RULES]) or "; leave RULE out to list all"
            arguments.fail(f"there is no rule {printable(repr(arguments.rule))}{close}")
        output.write(_listed(several) if rule is None else _explained(rule))
    return output.OK


def _listed(rules: Sequence[Rule]) -> str:
    """Return a line for each rule."""
    width = max(len(rule.id) for rule in rules)
    return "".join(f"{rule.id:{width}}  {rule.severity:7}  {rule.title}\n" for rule in rules)


def _explained(rule: Rule) -> str:
    """Return all that is known of a rule."""
    lines = [f"{rule.id} ({rule.severity}): {rule.title}", "", rule.meaning, rule.system, f"To mend it: {rule.fix}."]
    if rule.clause:
        lines.append(f"Asked for by: {rule.clause}.")
    if rule.judges:
        lines.append(f"Also looked for by: {', '.join(rule.judges)}.")
    if rule.look is None:
        lines.append("It is found while the source is read, so every command says it.")
    return "\n".join(lines) + "\n"
