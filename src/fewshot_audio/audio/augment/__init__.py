"""View makers: augmented versions of a segment."""
