"""A user's configuration laid over what the board's firmware says, or added beside it."""

from __future__ import annotations

from .apply import merge
from .kinds import TYPES, UnitType, ignored_tables, type_of

__all__ = ["TYPES", "UnitType", "ignored_tables", "merge", "type_of"]
