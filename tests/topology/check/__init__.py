"""Tests of `topology/check/`."""
