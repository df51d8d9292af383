"""Datasets: sources of recordings, preparation, downloads, the dataset folder, the store, splits, episodes."""
