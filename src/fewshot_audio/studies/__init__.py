"""Work over many runs: cross-validation, search, reports, the paper's matrix."""
