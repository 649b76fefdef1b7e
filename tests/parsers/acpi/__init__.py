"""Tests of `parsers/acpi/`."""
