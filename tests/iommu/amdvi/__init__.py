"""Tests of AMD-Vi."""
