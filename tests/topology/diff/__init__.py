"""Tests of `topology/diff/`."""
