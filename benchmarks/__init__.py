"""Figures, as ratios measured in one run: `tox -e bench`, or `python -m benchmarks NAME`."""
