"""The loops of training and evaluation; they know no folders but the one they are given."""
