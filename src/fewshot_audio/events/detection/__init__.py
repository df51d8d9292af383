"""The detector: a few marked events of a recording in, all the others out, with onsets and offsets."""
