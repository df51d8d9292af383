"""Indexes of archives: making, reading, searching and answering from them."""
