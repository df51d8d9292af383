"""Networks: encoders, fusion of views, heads, ensembles, pretrained encoders, and the views of a segment."""
