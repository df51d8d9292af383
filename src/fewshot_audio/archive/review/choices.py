"""What reviewers say about windows, and what of it counts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

from fewshot_audio.archive.recordings import LONGEST_NAME, check_name
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.recognition.enrolled import LONGEST_NAME as LONGEST_CLASS
from fewshot_audio.recognition.enrolled import checked_name, is_text

Answer: TypeAlias = Literal["yes", "no", "other", "unsure", "undo"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
LONGEST_REVIEWER = 100
LATEST = 1e9  # seconds: 30 years of sound


@dataclass(frozen=True)
class Choice:
    """What a reviewer says about a window.

    Args:
        file: the window's recording, by its name in the index.
        start: of the window, in seconds from the start of the recording.
        end: of the window.
        asked: the class that was asked for.
        answer: whether it is in the window; "other": another class is; "unsure": nobody can tell, so it teaches
            nothing; "undo": what this reviewer said last about this window is taken back.
        other: the class that is in the window, if the answer is "other"; else "".
        reviewer: who says so.
        time: when, ISO 8601 with its offset from UTC.
    """

    file: str
    start: float
    end: float
    asked: str
    answer: Answer
    other: str
    reviewer: str
    time: str

    @property
    def window(self) -> tuple[str, float]:
        """The window that is meant: its recording, and its start to a tenth of a millisecond."""
        return self.file, round(self.start, 4)

    def values(self) -> dict[str, Any]:
        """The values by name, as a line of a journal holds them."""
        return asdict(self)


COLUMNS = tuple(field.name for field in fields(Choice))


def choice_of(values: Mapping[str, object]) -> Choice:
    """The choice of values that anybody may have written.

    Raises:
        DataError: a key is missing or unknown, or a value is none that a choice has; says which.
    """
    if set(values) != set(COLUMNS):
        shown = on_one_line(", ".join(sorted(map(str, values)))[:200])
        raise DataError(f"a choice with {shown or 'nothing'}, expected {', '.join(COLUMNS)}")
    file, start, end, asked, answer, other, reviewer, time = (values[name] for name in COLUMNS)
    if not isinstance(file, str) or not 0 < len(file) <= LONGEST_NAME or not is_text(file):
        raise _unusable("file", file, f"text of 1 to {LONGEST_NAME} characters")
    check_name(file)
    if answer not in ANSWERS:
        raise _unusable("answer", answer, f"one of {', '.join(ANSWERS)}")
    return Choice(
        file,
        *_span(start, end),
        _class("asked", asked),
        answer,
        _other(answer, other),
        _reviewer(reviewer),
        _time(time),
    )


def _span(start: object, end: object) -> tuple[float, float]:
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:
            raise _unusable(name, value, f"seconds from 0 to {LATEST:g}")
    assert isinstance(start, int | float)
    assert isinstance(end, int | float)
    if end <= start:
        raise DataError(f"end is {end:g}, expected more than start, {start:g}")
    return float(start), float(end)


def _class(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > 2 * LONGEST_CLASS:
        raise _unusable(name, value, "the name of a class")
    return checked_name(value)


def _other(answer: str, value: object) -> str:
    if answer == "other":
        return _class("other", value)
    if value != "":
        raise _unusable("other", value, f"nothing, since the answer is {answer}")
    return ""


def _reviewer(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_REVIEWER or not value.isprintable():
        raise _unusable("reviewer", value, f"a printable name of 1 to {LONGEST_REVIEWER} characters")
    return value.strip()


def _time(value: object) -> str:
    try:
        return datetime.fromisoformat(str(value)[:40]).isoformat(timespec="seconds")
    except ValueError as error:
        raise _unusable("time", value, "a time such as 2024-01-31T23:59:00+00:00") from error


def _unusable(name: str, value: object, expected: str) -> DataError:
    return DataError(f"{name} is {on_one_line(repr(value)[:60])}, expected {expected}")


def current_choices(choices: Iterable[Choice], asked: str) -> dict[tuple[str, float], Choice]:
    """What counts for a class: of each window the last choice, whoever made it, that was not taken back.

    Args:
        choices: in the order in which they were made.
        asked: the class.

    Returns:
        The choices by window, in the order in which they were made.
    """
    made: dict[tuple[str, float], list[Choice]] = {}
    for choice in choices:
        if choice.asked != asked:
            continue
        own = made.setdefault(choice.window, [])
        if choice.answer != "undo":
            own.append(choice)
            made[choice.window] = made.pop(choice.window)  # it comes last now
            continue
        last = next((place for place in reversed(range(len(own))) if own[place].reviewer == choice.reviewer), None)
        if last is not None:
            del own[last]
    return {window: own[-1] for window, own in made.items() if own}


def gain(choices: Iterable[Choice]) -> list[int]:
    """How many windows with the sound were found after each look: the answers yes among the first 1, 2, 3 ...

    Args:
        choices: that count, as ``current_choices`` gives them.
    """
    curve, positives = [], 0
    for choice in choices:
        positives += choice.answer == "yes"
        curve.append(positives)
    return curve
