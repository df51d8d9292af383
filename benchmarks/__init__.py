"""Speed, measured: each module is a command that prints a table of ratios within one run."""
