"""Augmentation: views of a segment (spectrogram, waveform), and random changes of the training inputs themselves."""
