"""Tests of `parsers/`."""
