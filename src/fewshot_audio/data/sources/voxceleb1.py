"""VoxCeleb1 (Nagrani et al., 2017): the published tree of cut segments, or whole recordings and a table of segments."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fewshot_audio.audio.decode import is_audio
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, Skipped, printable
from fewshot_audio.data.sources.folder import ClassFolders
from fewshot_audio.data.sources.table import read_table
from fewshot_audio.errors import DataError

SEGMENTS, SPEAKERS = "voxceleb1.csv", "vox1_meta.csv"
_IN_BRACKETS = re.compile(r"\[([\w-]{11})\]$")  # how yt-dlp ends a file name by default


@dataclass(frozen=True)
class VoxCeleb1:
    """Speech of 1251 speakers; the class is the speaker, ``group`` the video that a segment was cut from.

    Either ``wav/<speaker>/<video>/<n>.wav``; or, if there is no ``wav`` folder, ``voxceleb1.csv`` with the columns
    uri, start, end (in seconds) and speaker, and whole recordings anywhere below, named by their video
    (``<video>.wav``, or ``... [<video>].wav``). Speakers' names become ids if ``vox1_meta.csv`` lists them.
    Speakers with fewer than 20 recordings are left out.
    """

    root: Path
    name: ClassVar[str] = "voxceleb1"
    segment_seconds: ClassVar[float] = 5.0
    limits: ClassVar[SourceLimits] = SourceLimits(least_clips=20)

    def recordings(self) -> Iterator[Recording | Skipped]:
        """Every file of the tree; or every row of the table, then every recording that no row names."""
        if (self.root / "wav").is_dir():
            yield from self._tree()
        elif (self.root / SEGMENTS).is_file():
            yield from self._cuts()
        else:
            raise DataError(
                f"{self.root} is not VoxCeleb1: expected wav/<speaker>/<video>/<n>.wav, or {SEGMENTS} and whole "
                "recordings named by their video"
            )

    def _tree(self) -> Iterator[Recording | Skipped]:
        ids = self._ids()
        for item in ClassFolders(self.root / "wav").recordings():
            speaker = ids.get(item.class_name, item.class_name)
            source = f"wav/{item.source}"
            if isinstance(item, Skipped):
                yield Skipped(source, speaker, item.reason, item.detail)
            else:
                video, inside, _ = item.clip.partition("/")
                yield Recording(source, speaker, item.clip, item.sound, video if inside else "")

    def _cuts(self) -> Iterator[Recording | Skipped]:
        ids, videos = self._ids(), self._videos()
        numbers: Counter[tuple[str, str]] = Counter()
        used: set[str] = set()
        for line, row in enumerate(read_table(self.root / SEGMENTS, ("uri", "start", "end", "speaker")), 2):
            try:
                start, end = float(row["start"]), float(row["end"])
            except ValueError as error:
                raise DataError(f"{self.root / SEGMENTS}, line {line}: {error}") from error
            video = row["uri"].rpartition("/")[2]
            speaker = ids.get(row["speaker"], row["speaker"])
            numbers[speaker, video] += 1
            clip = f"{video}/{numbers[speaker, video]:05d}"
            source = f"{SEGMENTS}: {speaker}/{clip} ({start:g} to {end:g} s)"
            if video not in videos:
                yield Skipped(source, speaker, Reason.MISSING, f"no recording is named by the video {video}")
            else:
                used.add(video)
                yield Recording(source, speaker, clip, AudioFile(videos[video], (start, end)), video)
        for path in self._files():
            video = _video(path)
            source = printable(path.relative_to(self.root))
            if not is_audio(path):
                yield Skipped(source, "", Reason.NOT_AUDIO, f"extension {path.suffix!r}")
            elif video not in used:
                yield Skipped(source, "", Reason.NOT_LISTED, f"no row of {SEGMENTS} names the video {video}")
            elif path != videos[video]:
                yield Skipped(source, "", Reason.DUPLICATE, f"the same video as {videos[video].name}")

    def _files(self) -> list[Path]:
        """Every file below the root but the tables and hidden ones."""
        files = (path for path in self.root.rglob("*") if not path.is_dir() and path.name not in (SEGMENTS, SPEAKERS))
        return sorted(path for path in files if not path.name.startswith("."))

    def _videos(self) -> dict[str, Path]:
        """Whole recordings by video; if a video is there in several formats, the first path counts."""
        return {_video(path): path for path in reversed(self._files()) if is_audio(path)}

    def _ids(self) -> dict[str, str]:
        """Speakers' ids by name."""
        table = self.root / SPEAKERS
        if not table.is_file():
            return {}
        rows = read_table(table, ("VoxCeleb1 ID", "VGGFace1 ID"))
        return {row["VGGFace1 ID"]: row["VoxCeleb1 ID"] for row in rows}


def _video(path: Path) -> str:
    """The video that a whole recording is named by."""
    match = _IN_BRACKETS.search(path.stem)
    return match[1] if match else path.stem
