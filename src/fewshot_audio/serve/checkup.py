"""The check-up: a recognizer's diagnosis of its enrolled clips, as sentences for the page."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from fewshot_audio.errors import on_one_line, plural
from fewshot_audio.recognition.advice import decided_by
from fewshot_audio.serve.schemas import Finding

if TYPE_CHECKING:
    from fewshot_audio.recognition.diagnosis import Diagnosis

MAX_FINDINGS = 50  # nobody reads more


def checkup_findings(diagnosis: "Diagnosis") -> list[Finding]:
    """The findings of a diagnosis, the most important first."""
    findings = islice(_findings(diagnosis), MAX_FINDINGS)
    return [Finding(kind=finding.kind, message=on_one_line(finding.message)) for finding in findings]


def _findings(diagnosis: "Diagnosis") -> Iterator[Finding]:
    answers = [(clip.class_name, clip.answer) for clip in diagnosis.clips if clip.answer is not None]
    if answers:
        correct = sum(answer == class_name for class_name, answer in answers)
        clips = f"{correct} of {plural(len(answers), 'clip')} {'is' if correct == 1 else 'are'}"
        message = f"Left out one at a time, {clips} recognized by the others."
        yield Finding(kind="good" if correct == len(answers) else "accuracy", message=message)
    if diagnosis.choice:
        yield Finding(kind="head", message=decided_by(diagnosis))
    for pair in diagnosis.collisions:
        yield Finding(
            kind="collision",
            message=f"“{pair.first}” and “{pair.second}” are confused: {pair.confused} of their {pair.clips} clips "
            "are recognized as the other. Add more and clearer clips of both.",
        )
    for clip in diagnosis.outliers:
        message = f"“{clip.clip}” of “{clip.class_name}” is unlike the others. Listen to whether it belongs there."
        yield Finding(kind="outlier", message=message)
    for name, count in Counter(clip.class_name for clip in diagnosis.silent).items():
        clips = "1 clip is" if count == 1 else f"{count} clips are"
        message = f"{clips} mostly silence in “{name}”. If the sound is short, cut the recording closer to it."
        yield Finding(kind="silence", message=message)
    for clip in diagnosis.duplicates:
        message = f"“{clip.clip}” of “{clip.class_name}” is the same recording as “{clip.duplicate_of}”."
        yield Finding(kind="duplicate", message=message)
