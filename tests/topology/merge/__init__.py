"""Tests of laying a configuration over a board."""
