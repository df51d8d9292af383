"""The clips of a support folder, which holds a folder of clips for each class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fewshot_audio.audio.recordings import class_of, is_folder, list_folder, walk
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.errors import DataError, on_one_line, plural
from fewshot_audio.recognition.clips import as_text
from fewshot_audio.recognition.enrolled import checked_name


class SupportClips(NamedTuple):
    """The clips to be enrolled, and lines for the user.

    Attributes:
        clips: class and file of each.
        remarks: what is left out by intention, such as files that are no recordings.
        problems: what ought to be a clip or a class, but cannot be used.
    """

    clips: list[tuple[str, Path]]
    remarks: list[str]
    problems: list[str]


def list_support(folder: Path) -> SupportClips:
    """List the clips in a folder of class folders, at any depth; links are followed.

    Raises:
        DataError: there is no such folder, or no clip in it; says what is there instead.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    listing = SupportClips([], [], [])
    unusable: set[str] = set()
    n_others = 0
    for name, path, problem in walk(folder):
        class_folder, _, rest = name.partition("/")
        if problem is not None and problem.reason == Reason.NOT_AUDIO:
            n_others += 1
        elif problem is not None:
            lines = listing.remarks if problem.reason == Reason.LINK_LOOP else listing.problems
            lines.append(_line(path, str(problem)))
        elif not rest:
            listing.problems.append(_line(path, "is not in a class folder"))
        elif class_folder not in unusable:
            try:
                listing.clips.append((checked_name(as_text(class_folder)), path))
            except DataError as error:
                unusable.add(class_folder)
                listing.problems.append(_line(folder / class_folder, str(error)))
    listing.remarks.extend(other_files(n_others))
    if not listing.clips:
        missing = f"{folder}: no sound files in folders of classes"
        advice = "put the clips of each sound into a folder of its own"
        raise DataError("\n".join([*listing.problems, *listing.remarks, f"{missing} ({advice})"]))
    classes = {name for name, _ in listing.clips}
    for entry in list_folder(folder):
        if is_folder(entry) and entry.name not in unusable and class_of(as_text(entry.name)) not in classes:
            listing.remarks.append(_line(Path(entry.path), "no recordings in this class folder"))
    return listing


def other_files(count: int) -> Iterator[str]:
    """A line about files that are no recordings by their extensions, if there are any."""
    if count:
        yield f"{plural(count, 'other file')} {'is no recording' if count == 1 else 'are no recordings'}"


def _line(path: Path, text: str) -> str:
    return on_one_line(f"{as_text(path)}: {text}")
