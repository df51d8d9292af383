"""From the internet to a dataset in its published layout: catalog, transfer, extraction."""
