"""Networks: encoders, fusion of views, heads."""
