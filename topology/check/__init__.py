"""Rules that sources and configurations are held to; each knows its clause, what systems do about it, and a remedy."""

from __future__ import annotations

from .board import Board
from .rule import Judge, Look, Rule
from .run import RULES, check, rule_of

__all__ = ["RULES", "Board", "Judge", "Look", "Rule", "check", "rule_of"]
