"""The one exception class of the parsers."""

from __future__ import annotations

from ..base import IommumanError


class ParseError(IommumanError):
    """Input that cannot be read at all; damage that leaves something readable is a `Finding` instead."""
