"""Tests that take minutes: run by `tox -e hardware`."""
