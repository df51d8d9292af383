"""Choosing without looking at a test class: cross-validation and search."""
