"""Enrolling clips one by one, of files and of events: what cannot be used is told, and the rest goes on."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fewshot_audio.errors import DataError, on_one_line

if TYPE_CHECKING:
    from fewshot_audio.audio.preprocessing import Preprocessing
    from fewshot_audio.progress import Progress
    from fewshot_audio.recognition.clips import LoadedClip
    from fewshot_audio.recognition.recognizer import Recognizer


class NamedClip(NamedTuple):
    """A clip, or why there is none.

    Attributes:
        class_name: what it is enrolled as; None for the background.
        origin: the file, or the row of a table, that it is from.
        clip: the clip; an error names the file.
    """

    class_name: str | None
    origin: str
    clip: "LoadedClip | DataError"


class Report(NamedTuple):
    """What is said at the end: of what was taken in spite of damage, and of what was not used."""

    remarks: list[str]
    problems: list[str]


def load_files(files: Sequence[tuple[str | None, Path]], preprocessing: "Preprocessing") -> Iterator[NamedClip]:
    """Load files one after another, each with its class; None for the background."""
    from fewshot_audio.recognition.background import background_clips
    from fewshot_audio.recognition.clips import as_text, load_clips

    for name, path in files:
        try:
            (clip,) = (background_clips if name is None else load_clips)(path, preprocessing)
        except DataError as error:
            yield NamedClip(name, "", error)
        else:
            yield NamedClip(name, as_text(path), clip)


def enroll_clips(
    recognizer: "Recognizer",
    clips: Iterable[NamedClip],
    total: int,
    report: Report,
    progress: "Progress",
    *,
    strict: bool,
) -> None:
    """Enroll clips one by one.

    Args:
        recognizer: gets the clips.
        clips: each with what it is enrolled as.
        total: how many there are.
        report: gets what is to be said of damaged clips, and of those that cannot be used.
        progress: reports the clips done.
        strict: whether damaged clips are not used.
    """
    for done, (name, origin, clip) in enumerate(clips):
        progress("enrolling", done, total, on_one_line(name or "background"))
        try:
            if isinstance(clip, DataError):
                raise clip
            if clip.damage and strict:
                report.problems.append(on_one_line(f"{origin}: {clip.damage}"))
                continue
            if name is None:
                recognizer.enroll_background(clip)
            else:
                recognizer.enroll(name, clip)
            if clip.damage:
                report.remarks.append(on_one_line(f"{origin}: {clip.damage}"))
        except DataError as error:
            is_named = not origin or str(error).startswith(origin)
            report.problems.append(on_one_line(str(error) if is_named else f"{origin}: {error}"))
