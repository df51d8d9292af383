"""Search over config keys by validation accuracy, with the sampler and the pruner of Optuna."""
