"""Sound: decoding, preprocessing into segments, log-mel features, augmentation."""
