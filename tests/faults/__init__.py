"""Faults of any origin: decoding, attribution, explanation."""
