"""How a recognizer decides: from features of segments to probabilities and an unknown score."""
