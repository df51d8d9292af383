"""From the internet to a dataset in its published layout: catalogue, transfer, extraction."""
