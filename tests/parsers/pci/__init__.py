"""Tests of `parsers/pci/`."""
