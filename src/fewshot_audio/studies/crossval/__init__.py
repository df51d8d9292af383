"""Class-wise cross-validation: compares recipes on folds of the training and validation classes."""
