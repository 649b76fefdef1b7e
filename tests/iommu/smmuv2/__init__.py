"""Tests of the SMMUv2."""
