"""What a diagnosis means, in plain sentences: how well the classes are told apart, why, and what to do next."""

from collections.abc import Iterator

from fewshot_audio.errors import plural
from fewshot_audio.functional.statistics import wilson_interval
from fewshot_audio.recognition.decision.choose import HEADS, Head
from fewshot_audio.recognition.diagnosis import Diagnosis

RELIABLE, USABLE = 0.85, 0.6
LEAST_SURE = 0.55
"""Lower end of the 95 % interval of the accuracy below which there are too few clips to call them reliable."""
ENOUGH_CLIPS = 5
MOST_NAMES = 3

HEAD_NAMES: dict[Head, str] = {
    "both": "the network's embedding and the timbre",
    "embedding": "the network's embedding",
    "timbre": "the timbre",
    "prototypes": "the nearest prototype of the network's embeddings",
}


def advice(diagnosis: Diagnosis) -> Iterator[str]:
    """Sentences for the person who enrolled the clips."""
    yield decided_by(diagnosis)
    if diagnosis.accuracy is None:
        yield "One clip of a class does not show how well it is recognized: add more, up to five of each."
        return
    if len(diagnosis.class_accuracy) == 1:
        yield "There is one class: enroll another, or a background, that it can be told from."
        return
    judged = [clip for clip in diagnosis.clips if clip.answer is not None]
    correct = sum(clip.answer == clip.class_name for clip in judged)
    yield f"{correct} of {plural(len(judged), 'clip')} recognized when left out: {_verdict(correct, len(judged))}."
    if diagnosis.accuracy < RELIABLE:
        yield from _remedies(diagnosis)


def decided_by(diagnosis: Diagnosis) -> str:
    """Which head decides, and how the others did; or for want of which clips prototypes decide."""
    choice, head = diagnosis.choice, diagnosis.head
    single = [name for name, accuracy in diagnosis.class_accuracy.items() if accuracy is None]
    if single and len(single) < len(diagnosis.class_accuracy):
        return (
            f"Decided by {HEAD_NAMES[head]}, until {'this class has' if len(single) == 1 else 'these classes have'} "
            f"two clips or more: {_listed(single)}."
        )
    if choice is None or (head == "prototypes" and choice.head != head):
        return f"Decided by {HEAD_NAMES[head]}."
    of_clips = "" if choice.clips == len(diagnosis.clips) else f", of the {choice.clips} clips when it was chosen"
    figures = ", ".join(f"{name} {100 * choice.accuracies[name]:.0f} %" for name in HEADS)
    return (
        f"Decided by {HEAD_NAMES[head]} (head {head}). Right when left out{of_clips}: {figures}; for comparison, plain "
        f"MFCC statistics with logistic regression {100 * choice.plain:.0f} %."
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def _verdict(correct: int, judged: int) -> str:
    accuracy = correct / judged
    if accuracy < USABLE:
        return "too few to rely on"
    if accuracy < RELIABLE:
        return "usable, with mistakes"
    least, most = wilson_interval(correct, judged)
    if least < LEAST_SURE:
        return f"too few clips to tell how many others will be: from {100 * least:.0f} to {100 * most:.0f} %"
    return "the classes are told apart well"


def _remedies(diagnosis: Diagnosis) -> Iterator[str]:
    counts = {name: sum(clip.class_name == name for clip in diagnosis.clips) for name in diagnosis.class_accuracy}
    few = [name for name, count in counts.items() if count < ENOUGH_CLIPS]
    if few:
        yield f"Add clips: {plural(len(few), 'class')} with fewer than {ENOUGH_CLIPS}, such as {few[0]}."
    if diagnosis.collisions:
        worst = max(diagnosis.collisions, key=lambda pair: pair.confused / pair.clips)
        yield f"Listen to {worst.first} and {worst.second}: if they sound alike, join them or add clips that differ."
    if diagnosis.accuracy is not None and diagnosis.accuracy < USABLE and not few:
        yield "A network trained on sounds of this kind may tell them apart: fewshot-audio train, then --model RUN."
