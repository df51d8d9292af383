"""The web page and the JSON API over a recognizer, and what protects the server."""
