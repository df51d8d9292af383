"""Datasets on disk: preparation, layout, splits and the packed segment store."""
