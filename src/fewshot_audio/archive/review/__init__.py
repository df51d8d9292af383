"""Reviewing an index: people say which of its windows hold a sound, and a recognizer learns from it."""
