"""The training and evaluation loops over episodes, and what a run needs to resume."""
