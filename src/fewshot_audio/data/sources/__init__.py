"""One small module per source of recordings."""
