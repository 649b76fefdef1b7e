"""Tests of `faults/report/`."""
