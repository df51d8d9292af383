"""The web page and the JSON API over a recognizer."""
