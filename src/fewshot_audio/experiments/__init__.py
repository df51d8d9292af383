"""An experiment on disk: run folders, results, tests of trained runs, ensembles."""
