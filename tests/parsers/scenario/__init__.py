"""Tests of `parsers/scenario/`."""
