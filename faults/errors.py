"""The one exception class of the faults."""

from __future__ import annotations

from ..base import IommumanError


class FaultError(IommumanError):
    """Input from which no fault can be read, or a question about faults that has no answer."""
