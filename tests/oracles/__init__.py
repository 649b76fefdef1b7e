"""Independent readers that tests hold this project's answers against; none of them imports the project."""

from __future__ import annotations

__all__ = ["OracleMissing"]


class OracleMissing(RuntimeError):  # noqa: N818 - it says what is the matter, and tests skip on it
    """A program or library that judges is not installed here; tests skip on it."""
