"""The windows that a recognizer is least sure of: those whose answer teaches most."""

import numpy as np

from fewshot_audio.archive.classify import SILENT, answer_index
from fewshot_audio.archive.halves import Singles
from fewshot_audio.archive.index import Index
from fewshot_audio.archive.search import NOTHING
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.recognizer import Recognizer


def margins(index: Index, recognizer: Recognizer, name: str) -> tuple[Singles, Singles]:
    """Probabilities of a class, and how near they are to those of the best other class.

    Args:
        index: the index.
        recognizer: its network made the embeddings; two classes or more are enrolled.
        name: of the class.

    Returns:
        The probabilities (windows,); and (windows,), the larger the less sure, at most 0: minus the distance between
        the two probabilities. Both are ``NOTHING`` for silent windows.

    Raises:
        DataError: only one class is enrolled, or another network made the embeddings.
    """
    if len(recognizer.classes) < 2:
        raise DataError(f"a margin is between two classes, but only {recognizer.classes} is enrolled")
    answers = answer_index(index, recognizer)
    place = answers.classes.index(name)
    own = answers.probabilities[:, place].copy()
    others = np.delete(answers.probabilities, place, axis=1).max(axis=1)
    nearness = -np.abs(own - others)
    for values in (own, nearness):
        values[answers.labels == SILENT] = NOTHING
    return own, nearness
