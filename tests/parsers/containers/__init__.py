"""Tests of `parsers/containers`; what is read was made by other programs."""
