"""Commands that run out of memory: a clear message, and nothing is damaged."""

import logging
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import soundfile

from fewshot_audio.config import ExperimentConfig, ModelConfig
from fewshot_audio.files import write_json
from tests.engine.comparison import outcome
from tests.recognition import recognizers
from tests.soak.commands import memory, run
from tests.soak.reliability import record
from tests.tiny import tiny_configs

TRIALS = 24
LARGEST = 600 << 20  # bytes beyond those of the imported packages, which all of these commands can do with
CLASSES, CLIPS = 9, 6

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def home(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, recordings of six classes, a trained experiment and its configs."""
    home = tmp_path_factory.mktemp("home")
    recognizers.recognizer().save(home / "bundle")
    for number in range(CLASSES):
        (home / "recordings" / f"class {number}").mkdir(parents=True)
        for clip in range(CLIPS):
            seconds = 40 if clip == 0 else 1
            sound = recognizers.sound(number % 3, 10 * number + clip, samples=16_000 * seconds)
            soundfile.write(home / "recordings" / f"class {number}" / f"{clip}.wav", sound, 16_000)
    configs: tuple[ExperimentConfig, ModelConfig] = tiny_configs()
    for name, config in zip(("e.json", "m.json"), configs, strict=True):
        write_json(home / name, config.model_dump())
    code, messages = run(training(home, tiny_dataset, home / "experiments"))
    assert code == 0, messages
    return home


def training(home: Path, data_root: Path, output: Path) -> list[str | Path]:
    return ["train", "-e", home / "e.json", "-m", home / "m.json", "--data-root", data_root, "--output", output]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for temporary files, locks and logs."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".tmp", ".lock") and "tensorboard" not in path.parts
    }


def limited(
    fault: str,
    chance: random.Random,
    arguments: Callable[[Path], Sequence[str | Path]],
    folder: Path,
    result: Callable[[Path], object],
    trials: int = TRIALS,
) -> None:
    """Run a command in random memory, then again without a limit: it ends as if nothing had happened.

    Args:
        fault: for the record.
        chance: draws the limits.
        arguments: returns the command for the folder of a trial.
        folder: has the folder "0" for the undisturbed trial, and those of all trials.
        result: what a finished command has written.
    """
    (folder / "0").mkdir(parents=True)
    code, messages = run(arguments(folder / "0"))
    assert code == 0, messages
    undisturbed, refused, wrong, reasons = result(folder / "0"), 0, 0, set()
    for trial in range(1, trials + 1):
        (folder / str(trial)).mkdir()
        limit = int(LARGEST ** chance.uniform(0.6, 1))
        code, messages = run(arguments(folder / str(trial)), memory(limit))
        words = " ".join(messages.split())
        assert code == 0 or (code == 1 and "not enough memory" in words), f"{code}, limit {limit}: {messages}"
        assert "Traceback" not in messages, messages
        refused += code != 0
        reasons.add(words[-100:] if code else "")
        if code:
            code, messages = run(arguments(folder / str(trial)))
            assert code == 0, messages
        wrong += result(folder / str(trial)) != undisturbed
        shutil.rmtree(folder / str(trial))
    logging.getLogger(__name__).warning("%d of %d refused: %s", refused, trials, reasons)
    assert refused > 0
    record(f"memory limit of {fault}", trials=trials, lost=0, wrong=wrong)


def test_enroll(home: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        if not (folder / "bundle").exists():
            shutil.copytree(home / "bundle", folder / "bundle")
        return ["enroll", folder / "bundle", "--add", "new", home / "recordings" / "class 0"]

    def enrolled(folder: Path) -> set[str]:
        return {name for name in contents(folder / "bundle") if name.startswith("support")}

    limited("`enroll --add`", chance, arguments, tmp_path, enrolled)


def test_classify(home: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        return ["classify", home / "bundle", home / "recordings", "--format", "csv", "-o", folder / "answers.csv"]

    limited("`classify -o`", chance, arguments, tmp_path, contents)


def test_prepare(home: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        return [
            "prepare",
            "folder",
            "--source",
            home / "recordings",
            "--data-root",
            folder,
            "--workers",
            "1",
            "--way",
            "2",
        ]

    limited("`prepare`", chance, arguments, tmp_path, contents)


def test_train(home: Path, tiny_dataset: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        return [*training(home, tiny_dataset, folder), "--resume"]

    limited("`train`", chance, arguments, tmp_path, lambda folder: outcome(folder / "tiny"))


def test_export(home: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        return ["export", home / "bundle", "--onnx", folder / "network.onnx"]

    limited("`export`", chance, arguments, tmp_path, lambda folder: set(contents(folder)), trials=10)


def test_report(home: Path, tiny_dataset: Path, tmp_path: Path, chance: random.Random) -> None:
    def arguments(folder: Path) -> list[str | Path]:
        return ["report", home / "experiments" / "tiny", "--data-root", tiny_dataset, "-o", folder / "report.html"]

    limited("`report`", chance, arguments, tmp_path, lambda folder: set(contents(folder)), trials=10)
