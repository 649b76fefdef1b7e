"""Tests of SMMUv3: layout, model, driver, and one against the other."""
