"""Few-shot audio classification: learn to recognise sounds from a handful of examples."""

__version__ = "0.1.0"
