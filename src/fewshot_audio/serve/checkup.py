"""The check-up: a recognizer's diagnosis of its enrolled clips, in few sentences, and the one thing to do next."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from fewshot_audio.errors import on_one_line, plural
from fewshot_audio.recognition.advice import ENOUGH_CLIPS, RELIABLE, decided_by
from fewshot_audio.serve.schemas import Finding, Findings

if TYPE_CHECKING:
    from fewshot_audio.recognition.diagnosis import Diagnosis

MAX_COLLISIONS = 5
MAX_NAMES = 3  # in a sentence


def checkup(diagnosis: "Diagnosis") -> Findings:
    """The findings of a diagnosis, the most important first, and what to do next."""
    findings = [Finding(kind=finding.kind, message=on_one_line(finding.message)) for finding in _findings(diagnosis)]
    return Findings(findings=findings, next=on_one_line(next_step(diagnosis)))


def _findings(diagnosis: "Diagnosis") -> Iterator[Finding]:
    answers = [(clip.class_name, clip.answer) for clip in diagnosis.clips if clip.answer is not None]
    if answers and len({clip.class_name for clip in diagnosis.clips}) > 1:  # one alone is always right
        correct = sum(answer == class_name for class_name, answer in answers)
        clips = f"{correct} of {plural(len(answers), 'clip')} {'is' if correct == 1 else 'are'}"
        message = f"Each compared with the others as if it were new: {clips} recognized."
        yield Finding(kind="good" if correct == len(answers) else "accuracy", message=message)
    for pair in islice(diagnosis.collisions, MAX_COLLISIONS):
        yield Finding(
            kind="collision",
            message=f"“{pair.first}” and “{pair.second}” are confused: {pair.confused} of their {pair.clips} clips "
            "are recognized as the other.",
        )
    if diagnosis.outliers:
        names = _listed([f"“{clip.clip}” of “{clip.class_name}”" for clip in diagnosis.outliers])
        verb = "is unlike the others of its class" if len(diagnosis.outliers) == 1 else "are unlike the others"
        yield Finding(kind="outlier", message=f"{names} {verb}.")
    silent = Counter(clip.class_name for clip in diagnosis.silent)
    if silent:
        names = _listed([f"{plural(count, 'clip')} of “{name}”" for name, count in silent.items()])
        yield Finding(kind="silence", message=f"Mostly silence: {names}.")
    if diagnosis.duplicates:
        names = _listed([f"“{clip.clip}” of “{clip.class_name}”" for clip in diagnosis.duplicates])
        yield Finding(kind="duplicate", message=f"The same recording as another clip: {names}.")
    if diagnosis.choice:
        yield Finding(kind="head", message=decided_by(diagnosis))


def next_step(diagnosis: "Diagnosis") -> str:
    """The one thing that helps most now."""
    counts = Counter(clip.class_name for clip in diagnosis.clips)
    if len(counts) == 1:
        (name,) = counts
        return f"Teach a second sound, or a background, that “{name}” can be told from."
    if diagnosis.duplicates:
        clip = diagnosis.duplicates[0]
        return f"Remove “{clip.clip}” of “{clip.class_name}”: it is there twice."
    fewest, count = min(counts.items(), key=lambda item: item[1])
    if count == 1:
        return f"Add a second clip of “{fewest}”: one does not show how well it is recognized."
    if diagnosis.outliers:
        clip = diagnosis.outliers[0]
        return f"Listen to “{clip.clip}” of “{clip.class_name}”: does it belong there? If not, move or remove it."
    if diagnosis.collisions:
        pair = max(diagnosis.collisions, key=lambda pair: pair.confused / pair.clips)
        return f"Add clearer clips of “{pair.first}” and “{pair.second}”; if they are one sound, give them one name."
    if diagnosis.silent and (diagnosis.accuracy or 0) < RELIABLE:
        clip = diagnosis.silent[0]
        return f"Cut “{clip.clip}” of “{clip.class_name}” closer to the sound: most of it is silence."
    if count < ENOUGH_CLIPS:
        return f"Add clips of “{fewest}”: it has {count}, and {ENOUGH_CLIPS} are a good number."
    return "Nothing: ask about sounds that it has not heard."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
