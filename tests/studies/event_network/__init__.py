"""Tests of the training of the event network."""
