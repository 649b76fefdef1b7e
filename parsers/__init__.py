"""Readers of firmware tables and trees: bytes and text of one format to records of that format, and back."""

from __future__ import annotations

from .errors import ParseError

__all__ = ["ParseError"]
