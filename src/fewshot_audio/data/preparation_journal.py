"""The journal that a preparation resumes from: the clips that are prepared."""

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.norm import Moments
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text

JOURNAL = ".prepare.jsonl"  # in the dataset folder
CHECKSUM_FIELDS = ("features_crc32", "waveforms_crc32")
CHECKSUM = b', "checksum": '  # the last key of a line: CRC-32 of the bytes before


@dataclass(frozen=True, slots=True)
class PreparedClip:
    """One prepared clip, under the names it has on disk; a line of the journal.

    Attributes:
        class_name: its class.
        clip: its name within the class.
        source: the input it was made from.
        fingerprint: of that input.
        segments: number of segments.
        samples: number of samples before they were cut into segments.
        moments: of its features.
        wave_stats: spectral statistics of its waveform, if waveforms are kept.
        features_crc32: CRC-32 of the file of its features; None if an earlier version prepared it.
        waveforms_crc32: CRC-32 of the file of its waveform, if waveforms are kept.
        damage: what is wrong with the recording, of which the rest was prepared; "" if nothing is.
    """

    class_name: str
    clip: str
    source: str
    fingerprint: str
    segments: int
    samples: int
    moments: Moments
    wave_stats: WaveStats | None
    features_crc32: int | None = None
    waveforms_crc32: int | None = None
    damage: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Class and clip as they are named on disk."""
        return self.class_name, self.clip


_FIELDS = tuple(field.name for field in dataclasses.fields(PreparedClip))
_MOMENTS = tuple(field.name for field in dataclasses.fields(Moments))
_encode = json.JSONEncoder(ensure_ascii=False).encode


class PreparationJournal:
    """The prepared clips: a header line with the settings, then one line per clip, appended when it is prepared.

    A line is written after its clip's files, which are then on disk unless its class was left out as too small. A line
    that was cut off when the process was killed, or is damaged, is ignored: its clip is prepared again.

    Args:
        folder: the dataset folder.
        header: how clips are prepared. The lines of a journal with another header are ignored.

    Attributes:
        clips: the prepared clips by class and name.
        fresh: whether there was no earlier preparation with the same header.
    """

    def __init__(self, folder: DatasetFolder, header: dict[str, Any]) -> None:
        self.path = folder.path / JOURNAL
        self.header = header
        self.clips: dict[tuple[str, str], PreparedClip] = {}
        self.fresh = True
        if self.path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            first, *lines = self.path.read_bytes().removesuffix(b"\n").split(b"\n")
            if json.loads(first) != self.header:
                return
            self.fresh = False
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError):
            return
        self.clips = {clip.key: clip for clip in _read_lines(lines)}

    def __enter__(self) -> Self:
        """Rewrite the journal, so that new lines follow complete ones, and open it to append."""
        self.compact()
        self._stream = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()

    def add(self, clips: Iterable[PreparedClip]) -> None:
        """Record clips whose files are on disk."""
        for clip in clips:
            self.clips[clip.key] = clip
            self._stream.write(_line(clip))
        self._stream.flush()

    def keep(self, keys: Iterable[tuple[str, str]], *, wave_stats: bool) -> None:
        """Drop all clips but those in ``keys``, and what is recorded of their waveforms unless ``wave_stats``."""
        clips = {key: self.clips[key] for key in keys}
        if not wave_stats:
            clips = {k: dataclasses.replace(c, wave_stats=None, waveforms_crc32=None) for k, c in clips.items()}
        self.clips = clips

    def compact(self) -> None:
        """Rewrite the journal with its clips in sorted order."""
        lines = [json.dumps(self.header, ensure_ascii=False) + "\n"]
        write_text(self.path, "".join(lines + [_line(self.clips[key]) for key in sorted(self.clips)]))


def read_journal(folder: DatasetFolder) -> Iterator[PreparedClip]:
    """Read the prepared clips of a folder, however they were prepared; none if it has no journal.

    Raises:
        DataError: the journal cannot be read.
    """
    path = folder.path / JOURNAL
    try:
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return _read_lines(lines[1:])


def _read_lines(lines: Iterable[bytes]) -> Iterator[PreparedClip]:
    """Read the lines that are as they were written."""
    for line in lines:
        content, mark, checksum = line.rpartition(CHECKSUM)
        if mark and checksum != b"%d}" % zlib.crc32(content):
            continue
        try:
            yield _from_json(json.loads(content + b"}" if mark else line))  # version 0.1 wrote no checksums
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue


def _line(clip: PreparedClip) -> str:
    # ``asdict`` would copy everything in depth, 300,000 times.
    values = {name: getattr(clip, name) for name in _FIELDS if name != "damage" or clip.damage}
    values["moments"] = {name: getattr(clip.moments, name) for name in _MOMENTS}
    values["wave_stats"] = clip.wave_stats and dataclasses.asdict(clip.wave_stats)
    if clip.features_crc32 is None:  # a line of version 0.1 stays as it was
        return _encode({name: value for name, value in values.items() if name not in CHECKSUM_FIELDS}) + "\n"
    content = _encode(values).removesuffix("}")
    return f"{content}{CHECKSUM.decode()}{zlib.crc32(content.encode())}}}\n"


def _from_json(values: dict[str, Any]) -> PreparedClip:
    stats = values["wave_stats"]
    nested = {"moments": Moments(**values["moments"]), "wave_stats": WaveStats(**stats) if stats else None}
    return PreparedClip(**{**values, **nested})
