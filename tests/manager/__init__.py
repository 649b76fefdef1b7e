"""Tests of `manager/`."""
