"""Tests of the device tree reader."""
