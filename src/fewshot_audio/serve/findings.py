"""A recognizer's diagnosis of its clips, in words for the page."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from fewshot_audio.serve.messages import Finding

if TYPE_CHECKING:
    from fewshot_audio.recognition.diagnosis import Diagnosis

MOST = 50  # nobody reads more


def findings(diagnosis: "Diagnosis") -> list[Finding]:
    """What a person should know, the most important first."""
    return list(islice(_findings(diagnosis), MOST))


def _findings(diagnosis: "Diagnosis") -> Iterator[Finding]:
    judged = [clip for clip in diagnosis.clips if clip.answer is not None]
    if judged:
        right = sum(clip.answer == clip.class_name for clip in judged)
        message = f"Left out one at a time, {right} of {len(judged)} clips are recognized by the others."
        yield Finding(kind="good" if right == len(judged) else "accuracy", message=message)
    for pair in diagnosis.collisions:
        yield Finding(
            kind="collision",
            message=f"“{pair.first}” and “{pair.second}” sound alike to it: {pair.confused} of their {pair.clips} "
            "clips are taken for the other. Give more and clearer clips of both.",
        )
    for clip in diagnosis.outliers:
        message = f"“{clip.clip}” of “{clip.class_name}” is unlike the others. Listen whether it belongs there."
        yield Finding(kind="outlier", message=message)
    silent = Counter(clip.class_name for clip in diagnosis.silent)
    for name, count in silent.items():
        clips = "1 clip is" if count == 1 else f"{count} clips are"
        message = f"{clips} mostly silence in “{name}”. Where the sound is rare, cut closer to it."
        yield Finding(kind="silence", message=message)
    for clip in diagnosis.duplicates:
        message = f"“{clip.clip}” of “{clip.class_name}” is the same recording as “{clip.duplicate_of}”."
        yield Finding(kind="duplicate", message=message)
