"""Sources by name: the built-in ones, and classes from outside that register themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from fewshot_audio.audio.rejection import Reason
from fewshot_audio.data.preparation_plan import PreparationPlan
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import AudioFile, Recording, SkippedInput
from fewshot_audio.data.sources.registry import SOURCES, register_source
from fewshot_audio.errors import ConfigError, DataError
from tests.cli.conftest import read
from tests.data.recordings import class_folders
from tests.shell import Shell, shell

__all__ = ["shell"]


@register_source()
class Flat:
    """Files whose names begin with their class."""

    name: ClassVar[str] = "flat-files"
    segment_seconds: ClassVar[float] = 0.25
    limits: ClassVar[SourceLimits] = SourceLimits(least_clips=2)

    def __init__(self, root: Path) -> None:
        self.root = root

    def recordings(self) -> Iterator[Recording | SkippedInput]:
        for path in sorted(self.root.glob("*.wav")):
            class_name, _, clip = path.stem.partition("-")
            yield Recording(path.name, class_name, clip, AudioFile(path))


def test_a_registered_source_is_prepared_resumed_and_looked_at(tmp_path: Path, shell: Shell) -> None:
    source = tmp_path / "recordings"
    source.mkdir()
    for path in class_folders(tmp_path / "tree").rglob("*.wav"):
        path.rename(source / f"{path.parent.name}-{path.name}")
    line = ["prepare", "flat-files", "--source", source, "--data-root", tmp_path / "data", "--workers", 1]
    outcome = shell(*line)
    assert outcome.code == 0, outcome.err
    assert "45 inputs: 45 prepared" in outcome.out
    folder = tmp_path / "data" / "flat-files"
    assert read(folder / "preprocessing.json")["segment_seconds"] == 0.25
    assert '"source": "flat-files"' in (folder / ".prepare.jsonl").read_text().splitlines()[0]
    assert "(45 of them earlier)" in shell(*line).out
    assert "15 classes, 45 clips" in shell("info", folder).out
    assert "source 'flat-files' needs --source DIR" in " ".join(shell(*line[:2]).err.split())


def test_what_a_source_yields_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Flat(tmp_path)
    skipped: Any = ("a.wav", "dog", "too_quiet", "too quiet")
    with pytest.raises(DataError, match=r"a\.wav: there is no reason 'too_quiet', expected one of not_audio, no_class"):
        SkippedInput(*skipped)
    silent: Any = ("a.wav", "dog", "silent", "below -60 dBFS")  # the text of the code will do
    assert SkippedInput(*silent) == SkippedInput("a.wav", "dog", Reason.SILENT, "below -60 dBFS")
    monkeypatch.setattr(Flat, "recordings", lambda _: [SkippedInput(*silent)])
    with pytest.raises(DataError, match=r"1 input skipped \(1 silent\); the first is 'a.wav': below -60 dBFS"):
        PreparationPlan.of(source)
    monkeypatch.setattr(Flat, "recordings", lambda _: [("a.wav", "dog")])
    with pytest.raises(DataError, match=r"source 'flat-files' yields \('a.wav', 'dog'\), expected Recording or "):
        PreparationPlan.of(source)


def test_a_folder_that_is_missing_is_named(tmp_path: Path, shell: Shell) -> None:
    outcome = shell("prepare", "flat-files", "--source", tmp_path / "gone")
    assert outcome.code == 2
    assert "there is no such folder" in " ".join(outcome.err.split())


def test_a_class_that_lacks_something_is_no_source() -> None:
    with pytest.raises(
        ConfigError, match=r"has no segment_seconds, limits; each has name, segment_seconds, limits, rec"
    ):

        @register_source()  # type: ignore[type-var]
        class Half:
            name = "half"

            def recordings(self) -> list[Recording]:
                return []

    assert "half" not in SOURCES.names


def test_a_name_belongs_to_one_source() -> None:
    with pytest.raises(ConfigError, match=r"source 'esc50' of .* has the name of another one, .*esc50:Esc50"):

        @register_source()
        class Mine(Flat):
            name = "esc50"


def test_an_unknown_source_is_told_the_nearest_and_all(shell: Shell) -> None:
    outcome = shell("prepare", "esc51")
    assert outcome.code == 2
    text = " ".join(outcome.err.split())
    assert "there is no source 'esc51', did you mean 'esc50'?" in text
    assert all(repr(name) in text for name in SOURCES.built_in)
