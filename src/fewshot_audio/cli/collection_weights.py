"""Weights of collections, as the commands that train shipped networks take them."""

from collections.abc import Collection, Mapping

from fewshot_audio.errors import DataError


def weight(text: str) -> tuple[str, float]:
    """A collection and its weight, of "name=2"."""
    name, _, value = text.rpartition("=")
    return name, float(value)


def check_weights(weights: Mapping[str, float], collections: Collection[str]) -> None:
    """Raise DataError for a weight of no collection, or one that is not above 0 and below 1000."""
    for name, value in weights.items():
        if name not in collections or not 0 < value < 1000:
            raise DataError(f"--weight {name}={value:g}: expected one of {', '.join(collections)}, a number > 0")
