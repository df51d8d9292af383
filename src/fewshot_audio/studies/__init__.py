"""Work over many runs: cross-validation, hyper-parameter search, reports, the paper's matrix."""
