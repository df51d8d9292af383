"""Naive float64 re-statements of the formulas in plain Python: slow, obvious, and independent of the package."""
