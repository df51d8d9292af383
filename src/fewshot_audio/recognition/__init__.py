"""Recognition: a trained network enrolls a person's own sounds and recognizes them in new recordings."""
