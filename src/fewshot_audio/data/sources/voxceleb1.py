"""VoxCeleb1 (Nagrani et al., 2017): the published tree of cut segments, or whole recordings and a table of segments."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar
from unicodedata import normalize

from fewshot_audio.audio.recordings import Entry, class_of, walk
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput, printable
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.sources.table import read_table
from fewshot_audio.errors import DataError

SEGMENTS, SPEAKERS = "voxceleb1.csv", "vox1_meta.csv"
_IN_BRACKETS = re.compile(r"\[([\w-]{11})\]$")  # how yt-dlp ends a file name by default


@dataclass(frozen=True)
class VoxCeleb1:
    """Speech of 1251 speakers; the class is the speaker, ``group`` the video that a segment was cut from.

    The root has ``wav/<speaker>/<video>/<n>.wav``; or, if there is no ``wav`` folder, ``voxceleb1.csv`` with the
    columns uri, start, end (in seconds) and speaker, and whole recordings at any depth, named by their video
    (``<video>.wav``, or ``... [<video>].wav``). Speakers' names become ids if ``vox1_meta.csv`` lists them.
    Speakers with fewer than 20 recordings are left out.
    """

    root: Path
    name: ClassVar[str] = "voxceleb1"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits(least_clips=20)

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        """Yield every file of the tree; or every row of the table, then every recording that no row names."""
        if (self.root / "wav").is_dir():
            yield from self._tree()
        elif (self.root / SEGMENTS).is_file():
            yield from self._cuts()
        else:
            raise DataError(
                f"{self.root} is not VoxCeleb1: expected wav/<speaker>/<video>/<n>.wav, or {SEGMENTS} and whole "
                "recordings named by their video"
            )

    def _tree(self) -> Iterator[Recording | SkippedInput]:
        ids = self._ids()
        for item in ClassFolders(self.root / "wav").recordings():
            if isinstance(item, Recording):
                video, inside, _ = item.clip.partition("/")
                item = replace(item, group=video if inside else "")
            yield replace(item, source=f"wav/{item.source}", class_name=ids.get(item.class_name, item.class_name))

    def _cuts(self) -> Iterator[Recording | SkippedInput]:
        ids, files = self._ids(), self._files()
        # If a video exists in several formats, the first path counts.
        videos = {_video(file.path): file for file in reversed(files) if file.problem is None}
        numbers: Counter[tuple[str, str]] = Counter()
        used_videos: set[str] = set()
        for line, row in read_table(self.root / SEGMENTS, ("uri", "start", "end", "speaker")):
            try:
                start, end = float(row["start"]), float(row["end"])
            except ValueError as error:
                raise DataError(f"{self.root / SEGMENTS}, line {line}: {error}") from error
            video = normalize("NFC", row["uri"].rpartition("/")[2])
            speaker = class_of(ids.get(row["speaker"], row["speaker"]))
            numbers[speaker, video] += 1
            clip = f"{video}/{numbers[speaker, video]:05d}"
            source = f"{SEGMENTS}: {speaker}/{clip} ({start:g} to {end:g} s)"
            if video not in videos:
                yield SkippedInput(source, speaker, Reason.MISSING, f"no recording is named by the video {video}")
            else:
                used_videos.add(video)
                yield Recording(source, speaker, clip, AudioFile(videos[video].path, (start, end)), video)
        for file in files:
            video, source = _video(file.path), printable(file.name)
            if file.problem is not None:
                yield SkippedInput(source, "", file.problem.reason, file.problem.detail)
            elif video not in used_videos:
                yield SkippedInput(source, "", Reason.NOT_LISTED, f"no row of {SEGMENTS} names the video {video}")
            elif file != videos[video]:
                yield SkippedInput(source, "", Reason.DUPLICATE, f"the same video as {printable(videos[video].name)}")

    def _files(self) -> list[Entry]:
        """List every file below the root except the tables."""
        return [file for file in walk(self.root) if file.path.name not in (SEGMENTS, SPEAKERS)]

    def _ids(self) -> dict[str, str]:
        """Map speakers' names to ids."""
        table = self.root / SPEAKERS
        if not table.is_file():
            return {}
        rows = read_table(table, ("VoxCeleb1 ID", "VGGFace1 ID"))
        return {row["VGGFace1 ID"]: row["VoxCeleb1 ID"] for _, row in rows}


def _video(path: Path) -> str:
    """Return the video in the name of a whole recording."""
    match = _IN_BRACKETS.search(path.stem)
    return match[1] if match else normalize("NFC", path.stem)
