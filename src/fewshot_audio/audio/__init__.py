"""Audio in: decoding, segments, log-mel features."""
