"""Choices of the command line that need no heavy import."""

from enum import StrEnum


class Format(StrEnum):
    """Output formats of ``classify``."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    raven = "raven"
    audacity = "audacity"
