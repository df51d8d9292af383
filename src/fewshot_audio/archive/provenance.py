"""Where and when a recording was made, and by what: from its name, and from what recorders write into its file.

Times are taken as they are written, without a time zone: whether a recorder's clock shows local time or UTC is not
known to this program.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from fewshot_audio.errors import on_one_line

STAMP = re.compile(r"(?<!\d)(\d{8})[_\-T](\d{6})(?!\d)")
"""20240131_235900, as AudioMoth, Song Meter and many others put it into names."""
FORMER_AUDIOMOTH = re.compile(r"[0-9A-F]{8}")
"""Hexadecimal seconds since 1970: names of AudioMoth before 2020."""
AUDIOMOTH_COMMENT = re.compile(r"Recorded at (\d\d:\d\d:\d\d) (\d\d/\d\d/\d{4}) .{0,40}?by (AudioMoth [0-9A-F]{16})")

CHUNK_BYTES = 1 << 16  # of a chunk that is read
MOST_CHUNKS = 64
LONGEST_TEXT = 200
_HEAD = 12  # bytes: RIFF, size, WAVE


@dataclass(frozen=True)
class Provenance:
    """Where, when and by what a recording was made; "" if that is not known. The time is ISO 8601 to the second."""

    time: str = ""
    site: str = ""
    recorder: str = ""


def provenance(path: Path, name: str) -> Provenance:
    """Read what is known of a recording.

    Its file is asked first (the chunk of GUANO, the comment of AudioMoth, the broadcast extension), then its name. The
    site is GUANO's or what stands before the time in the name, else the folder that the file is in.

    Args:
        path: the file.
        name: its path below the archive's folder.

    Example:
        >>> provenance(Path("missing.wav"), "north/POND_20240131_235900.wav")
        Provenance(time='2024-01-31T23:59:00', site='POND', recorder='')
        >>> provenance(Path("missing.wav"), "north/20240131_235900.WAV").site
        'north'
    """
    chunks = _chunks(path)
    guano = _guano(chunks.get(b"guan", b""))
    comment = AUDIOMOTH_COMMENT.search(_text(chunks.get(b"LIST", b"")))
    extension = chunks.get(b"bext", b"")
    by_name, site = _from_name(name)
    times = [_iso(guano.get("Timestamp", ""))]
    if comment:
        times.append(_parsed(f"{comment[2]} {comment[1]}", "%d/%m/%Y %H:%M:%S"))
    times += [_iso(_text(extension[320:330]).replace(":", "-") + "T" + _text(extension[330:338])), by_name]
    recorders = [
        " ".join(filter(None, (guano.get("Make"), guano.get("Model"), guano.get("Serial")))),
        comment[3] if comment else "",
        _text(extension[256:288]),
    ]
    first = [next(filter(None, values), "") for values in (times, (guano.get("Site", ""), site), recorders)]
    return Provenance(*(on_one_line(value.strip())[:LONGEST_TEXT] for value in first))


def _from_name(name: str) -> tuple[str, str]:
    """Time and site by a name."""
    path = PurePosixPath(name)
    folder = "" if path.parent == PurePosixPath() else path.parent.name
    stamp = STAMP.search(path.stem)
    if stamp:
        time = _parsed(stamp[1] + stamp[2], "%Y%m%d%H%M%S")
        return time, (path.stem[: stamp.start()].strip("_- ") if time else "") or folder
    if FORMER_AUDIOMOTH.fullmatch(path.stem) and not path.stem.isdecimal():
        seconds = int(path.stem, 16)
        return datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None).isoformat(), folder
    return "", folder


def _chunks(path: Path) -> dict[bytes, bytes]:
    """The beginning of each chunk that says something, of a wav file; none of other files."""
    chunks: dict[bytes, bytes] = {}
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
                for kind, content in _walk(stream):
                    chunks.setdefault(kind, content)
    except OSError:
        return {}
    return chunks


def _walk(stream: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for _ in range(MOST_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return
        kind, size = head[:4], int.from_bytes(head[4:], "little")
        start = stream.tell()
        if kind in (b"guan", b"bext", b"LIST"):
            yield kind, stream.read(min(size, CHUNK_BYTES))
        stream.seek(start + size + size % 2)


def _guano(content: bytes) -> Mapping[str, str]:
    """The keys of a GUANO chunk: lines "Key: value"."""
    lines = (line.partition(":") for line in content.decode("utf-8", "replace").split("\n"))
    return {key.strip(): value.strip().rstrip("\0") for key, colon, value in lines if colon}


def _text(content: bytes) -> str:
    return content.decode("latin-1").replace("\0", " ").strip()


def _iso(text: str) -> str:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None, microsecond=0).isoformat()
    except ValueError:
        return ""


def _parsed(text: str, form: str) -> str:
    try:
        return datetime.strptime(text, form).replace(tzinfo=None).isoformat()
    except ValueError:
        return ""
