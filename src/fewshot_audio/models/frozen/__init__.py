"""Frozen encoders from elsewhere: what a file and its description make of a waveform. Needs no torch."""
