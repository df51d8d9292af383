"""The paths in a dataset folder, and the folder that belongs to a dataset's name."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.errors import DataError

ALIASES = {"voxceleb1": "voxceleb", "esc-50": "esc-50-master", "esc50": "esc-50-master", "birdclef2020": "birdclef"}


@dataclass(frozen=True)
class DatasetFolder:
    """One dataset on disk, ``ROOT/NAME``: features (and waveforms), splits and normalization numbers."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def features(self) -> Path:
        """``features/<class>/<clip>.npy``: float32 (segments, mels, frames), or (mels, frames)."""
        return self.path / "features"

    @property
    def waveforms(self) -> Path:
        """``waveforms_npy/<class>/<clip>.npy``: float32 (segments, samples), z-normalized per clip.

        Other tools keep whole recordings there, (samples,), which are cut into segments when they are packed.
        """
        return self.path / "waveforms_npy"

    @property
    def splits(self) -> Path:
        """``splits.npy``: three lists of class names (train, validation, test)."""
        return self.path / "splits.npy"

    @property
    def norm_stats(self) -> Path:
        """``norm_stats/glob_norm.npy``: float (2, 1, 1), mean and standard deviation of the training classes.

        ``read_norm`` also reads a ``glob_norm.py`` of another tool.
        """
        return self.path / "norm_stats" / "glob_norm.npy"

    @property
    def wave_stats(self) -> Path:
        """``norm_stats/wave_stats.json``: mean spectral centroid, bandwidth and flatness of the training classes."""
        return self.path / "norm_stats" / "wave_stats.json"

    @property
    def preprocessing(self) -> Path:
        """``preprocessing.json``: how the features were made; absent in folders made by other tools."""
        return self.path / "preprocessing.json"

    def read_preprocessing(self) -> Preprocessing | None:
        """Read ``preprocessing.json``; None if there is none.

        Raises:
            DataError: it cannot be used; names it.
        """
        file = self.preprocessing
        return Preprocessing.from_json(file.read_text(encoding="utf-8"), str(file)) if file.is_file() else None

    @property
    def clips(self) -> Path:
        """``clips.csv``: one row per prepared clip (class, clip, source, group, segments, seconds)."""
        return self.path / "clips.csv"

    @property
    def skipped(self) -> Path:
        """``skipped.csv``: one row per input that was not prepared, with its reason."""
        return self.path / "skipped.csv"


def find_dataset(root: Path, name: str) -> DatasetFolder:
    """Find ``ROOT/NAME``, ignoring case and accepting the usual aliases of the benchmark's names.

    Raises:
        DataError: there is no such folder, or several; lists the folders in ``root``.
    """
    if not root.is_dir():
        raise DataError(f"data root {str(root)!r} is not a folder (dataset {name!r} was looked for there)")
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if name in folders:
        return DatasetFolder(root / name)
    names = {name.lower(), ALIASES.get(name.lower(), name.lower())}
    matches = [folder for folder in folders if folder.lower() in names]
    if len(matches) == 1:
        return DatasetFolder(root / matches[0])
    if matches:
        raise DataError(f"dataset {name!r} matches several folders in {str(root)!r}: {', '.join(matches)}")
    nearest = difflib.get_close_matches(name.lower(), [folder.lower() for folder in folders], n=1)
    hint = f"; nearest: {next(f for f in folders if f.lower() == nearest[0])!r}" if nearest else ""
    content = ", ".join(folders) if folders else "no folders"
    raise DataError(f"dataset {name!r} not found in {str(root)!r} (found: {content}){hint}")
