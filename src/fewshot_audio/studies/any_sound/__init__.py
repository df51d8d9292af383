"""The network that is shipped: trained on many collections of recordings at once, for sounds of any kind."""
