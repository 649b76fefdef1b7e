"""The one exception of this layer."""

from __future__ import annotations

from ..base import Finding, IommumanError, Origin


class Slog2Error(IommumanError):
    """A log cannot be made or cannot be read at all; the text names the file, what was found and what to do."""


def refuse(
    rule: str, source: str, message: str, *, found: str = "", expected: str = "", advice: str = ""
) -> Slog2Error:
    """Return the error for something about `source` that nothing can be made of."""
    return Slog2Error(Finding(rule, "error", Origin(source), message, found=found, expected=expected, advice=advice))
