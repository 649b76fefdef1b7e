"""The one exception of this layer."""

from __future__ import annotations

from ..base import Finding, IommumanError, Origin


class IommuError(IommumanError):
    """Memory that cannot be reached, hardware that lacks what was asked of it, or a request that makes no sense."""


def failure(rule: str, message: str, part: str = "", **details: str) -> IommuError:
    """Make the exception for a finding of severity `error`.

    Args:
        rule: stable identifier of the finding, upper case.
        message: what is wrong.
        part: the unit it happened in, such as `VT-d at 0xfed90000`.
        details: `field`, `found`, `expected`, `clause`, `advice` of the `Finding`.
    """
    return IommuError(Finding(rule, "error", Origin("", part), message, **details))
