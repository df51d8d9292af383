"""Search over config keys by validation accuracy: Optuna's sampler and pruner, our trainings."""
