"""Training of the network by which events are detected, on soundscapes that are mixed while it learns."""
