"""Tests of VT-d."""
