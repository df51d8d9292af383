"""From choices to what a recognizer learns: yes are clips of the class, no are background, by the rows of the index."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.review.choices import Choice, current_choices
from fewshot_audio.errors import on_one_line
from fewshot_audio.recognition.changes import Learn
from fewshot_audio.recognition.encoder_blocks import encoder_block
from fewshot_audio.recognition.enrolled import EnrolledClip

MOST_TAUGHT = 500
"""Windows of each class, and of the background, that are taught: the latest ones. An answer takes longer with more."""
LONGEST_FILE = 1000  # characters of a file's name in that of a clip


class WindowNumbers:
    """Finds the windows of an index by file and time."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._place = {recording.file: number for number, recording in enumerate(index.recordings)}

    def __call__(self, choice: Choice) -> int | None:
        """The number of a choice's window; None if the index has none there."""
        description, number = self._index.description, self._place.get(choice.file)
        window = round(choice.start * description.rate / description.hop)
        if number is None or window >= self._index.recordings[number].windows:
            return None
        first = int(self._index.first_windows[number])
        _, start, _ = self._index.times(first + window)
        return first + window if abs(start - choice.start) < 1e-3 else None  # another hop has other windows


def clip_name(choice: Choice) -> str:
    """What the clip is called that a window becomes."""
    return f"{on_one_line(choice.file)[-LONGEST_FILE:]} {round(choice.start, 4):g}-{round(choice.end, 4):g} s"


def lesson(index: Index, choices: Sequence[Choice]) -> Learn:
    """What a recognizer is to learn from all choices that were made until now.

    A window that holds a class by any choice that counts is a clip of it; one that only lacks classes is background.
    Silent windows, and those that the index does not have any more, teach nothing.

    Args:
        index: its network and encoders are those of the recognizer.
        choices: of all classes, in the order in which they were made, those that were taken back among them.
    """
    of_classes: dict[str, dict[tuple[str, float], Choice]] = {}
    negative: dict[tuple[str, float], Choice] = {}
    for asked in dict.fromkeys(choice.asked for choice in choices):
        for window, choice in current_choices(choices, asked).items():
            if choice.answer in ("yes", "other"):
                of_classes.setdefault(choice.other or asked, {})[window] = choice
            elif choice.answer == "no":
                negative[window] = choice
    positive = {window for own in of_classes.values() for window in own}
    background = [choice for window, choice in negative.items() if window not in positive]
    clips = _clips(index, [*(choice for own in of_classes.values() for choice in _latest(own)), *_latest(negative)])
    return Learn(
        frozenset(map(clip_name, choices)),
        {name: _of(clips, _latest(own)) for name, own in of_classes.items()},
        _of(clips, background[-MOST_TAUGHT:]),
    )


def _latest(choices: Mapping[tuple[str, float], Choice]) -> list[Choice]:
    return list(choices.values())[-MOST_TAUGHT:]


def _of(clips: Mapping[str, EnrolledClip], choices: Iterable[Choice]) -> tuple[EnrolledClip, ...]:
    names = dict.fromkeys(clip_name(choice) for choice in choices)
    return tuple(clips[name] for name in names if name in clips)


def _clips(index: Index, choices: Iterable[Choice]) -> dict[str, EnrolledClip]:
    """The windows of choices as clips, by name."""
    find = WindowNumbers(index)
    numbers = {clip_name(choice): (find(choice), choice.file) for choice in choices}
    windows = {name: (number, file) for name, (number, file) in numbers.items() if number is not None}
    where = np.array([number for number, _ in windows.values()], dtype=np.int64)
    rows = {block: index.rows(block, where) for block in index.description.blocks}
    clips = {}
    for place, (name, (_, file)) in enumerate(windows.items()):
        timbre = rows["timbre"][place : place + 1]
        if timbre.any():
            embedding = rows["embedding"][place].reshape(index.description.rows, -1)
            encoded = {own: rows[encoder_block(own)][place : place + 1] for own in index.description.encoders}
            group = on_one_line(file)[-LONGEST_FILE:]
            clips[name] = EnrolledClip(name, 1, embedding, 0.0, timbre, group, encoded)
    return clips
