"""Recognition: a trained network enrols a person's own sounds and recognises them in new recordings."""
