"""Tests of `topology/`."""
