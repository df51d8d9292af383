"""Pure functions: losses, prototypes, votes, statistics, calibration curves, PCA, seeding."""
