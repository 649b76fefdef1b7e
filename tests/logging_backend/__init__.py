"""Tests of `logging_backend`."""
