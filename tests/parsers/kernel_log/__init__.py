"""Tests of the reader of kernel logs."""
