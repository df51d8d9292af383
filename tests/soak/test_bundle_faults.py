"""Bundles under kills, full disks and other writers: a bundle always loads, and holds the old state or the new one."""

import logging
import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile

from fewshot_audio import Recognizer
from fewshot_audio.cli import main
from fewshot_audio.recognition.bundle import BUNDLE_FILE, LOCK_FILE, OWN_FILE
from tests.disks import small_disk
from tests.recognition import recognizers
from tests.soak.commands import Command, check_ended_well, killed, killed_at, largest_file, run
from tests.soak.reliability import record

TRIALS = 40
OPERATIONS = 20  # on files, that an addition has at least
NEW, NOTES = "whistle", "notes.txt"
State = dict[str, list[str]]

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a.wav"
    soundfile.write(path, recognizers.sound(0, 99, samples=8000), 16_000)
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle beside which a person keeps a file."""
    folder = tmp_path_factory.mktemp("bundles") / "birds"
    recognizers.recognizer().save(folder)
    (folder / NOTES).write_text("mine")
    return folder


def state(folder: Path) -> State:
    """The bytes of all embeddings by class; fails if the bundle does not load or the person's file is gone."""
    recognizer = Recognizer.load(folder)
    assert (folder / NOTES).read_text() == "mine"
    return {name: [row.tobytes().hex() for row in recognizer.support_embeddings(name)] for name in recognizer.classes}


def leftovers(folder: Path) -> set[str]:
    """Files in the folder that are neither part of the bundle nor the person's."""
    text = (folder / BUNDLE_FILE).read_text()
    others = {path.name for path in folder.iterdir()} - {BUNDLE_FILE, LOCK_FILE, NOTES}
    return {name for name in others if not OWN_FILE.fullmatch(name) or name.split("-")[1][:16] not in text}


def outcomes(folder: Path, old: State, new: State, *, finished: bool) -> tuple[int, int]:
    """Whether something is lost, and whether something is wrong, now and after the next save."""
    current = state(folder)
    lost = any(name not in current for name in old) or (finished and NEW not in current)
    wrong = current not in (old, new)
    Recognizer.load(folder).save(folder)
    wrong |= state(folder) != current or bool(leftovers(folder))
    return int(lost), int(wrong)


def adding(folder: Path, clip: Path, name: str = NEW) -> list[str | Path]:
    return ["enroll", folder, "--add", name, clip]


def added(bundle: Path, clip: Path, folder: Path) -> tuple[State, State, float]:
    """The state before and after an undisturbed addition, and the seconds that it takes."""
    shutil.copytree(bundle, folder)
    old = state(folder)
    run(adding(folder, clip))  # the first process is slow
    shutil.rmtree(folder)
    shutil.copytree(bundle, folder)
    began = time.monotonic()
    assert check_ended_well(*run(adding(folder, clip)))
    return old, state(folder), time.monotonic() - began


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_kills_at_random_moments(
    bundle: Path, clip: Path, tmp_path: Path, chance: random.Random, number: signal.Signals
) -> None:
    old, new, seconds = added(bundle, clip, tmp_path / "undisturbed")
    lost = wrong = kills = torn = 0
    while kills < TRIALS:
        folder = Path(shutil.copytree(bundle, tmp_path / str(kills)))
        finished = check_ended_well(*killed(adding(folder, clip), number, chance.uniform(0.3, 1.1) * seconds), number)
        kills, torn = kills + (not finished), torn + bool(leftovers(folder))
        results = outcomes(folder, old, new, finished=finished)
        lost, wrong = lost + results[0], wrong + results[1]
        shutil.rmtree(folder)
    logging.getLogger(__name__).warning("%d of %d kills left something", torn, kills)
    record(f"{number.name} of `enroll --add` at random moments", trials=kills, lost=lost, wrong=wrong)


def test_kills_before_every_operation_on_a_file(bundle: Path, clip: Path, tmp_path: Path) -> None:
    old, new, _ = added(bundle, clip, tmp_path / "undisturbed")
    lost = wrong = kills = torn = 0
    while True:
        folder = Path(shutil.copytree(bundle, tmp_path / str(kills)))
        finished = check_ended_well(*run(adding(folder, clip), killed_at(folder, kills + 1)), signal.SIGKILL)
        torn += bool(leftovers(folder))
        results = outcomes(folder, old, new, finished=finished)
        lost, wrong = lost + results[0], wrong + results[1]
        shutil.rmtree(folder)
        if finished:
            break
        kills += 1
    assert kills >= OPERATIONS
    assert torn > 0
    record("kill -9 of `enroll --add` before each operation on a file", trials=kills, lost=lost, wrong=wrong)


# -- full disks --------------------------------------------------------------------------------------------------------


def check_refusal(code: int, messages: str, reason: str) -> bool:
    """Whether the command succeeded; fails unless it did or said what cannot be written and why."""
    assert code in (0, 1), messages
    assert "Traceback" not in messages, messages
    assert code == 0 or (
        "cannot be written" in messages.replace("\n", " ") and reason in messages.replace("\n", " ")
    ), messages
    return code == 0


def test_limits_of_file_size(bundle: Path, clip: Path, tmp_path: Path, chance: random.Random) -> None:
    old, new, _ = added(bundle, clip, tmp_path / "undisturbed")
    largest = max(path.stat().st_size for path in (tmp_path / "undisturbed").iterdir())
    lost = wrong = refused = 0
    for trial in range(TRIALS):
        folder = Path(shutil.copytree(bundle, tmp_path / str(trial)))
        limit = chance.randrange(int(1.1 * largest))
        succeeded = check_refusal(*run(adding(folder, clip), largest_file(limit)), "File too large")
        refused += not succeeded
        assert succeeded or not leftovers(folder)
        results = outcomes(folder, old, new if succeeded else old, finished=succeeded)
        lost, wrong = lost + results[0], wrong + results[1]
    assert refused >= TRIALS // 2
    record("limit of the file size during `enroll --add`", trials=TRIALS, lost=lost, wrong=wrong)


def test_a_full_disk(bundle: Path, clip: Path, tmp_path: Path, chance: random.Random) -> None:
    old, new, _ = added(bundle, clip, tmp_path / "undisturbed")
    lost = wrong = refused = 0
    with small_disk(tmp_path / "disk", 2 << 20):
        for trial in range(TRIALS):
            folder = Path(shutil.copytree(bundle, tmp_path / "disk" / str(trial)))
            disk = os.statvfs(folder)
            other = tmp_path / "disk" / "other"
            with other.open("wb") as stream:  # a multiple of pages would leave as much as one that is a page smaller
                stream.write(bytes(max(0, disk.f_bavail * disk.f_frsize - chance.randrange(10) * 4096)))
            succeeded = check_refusal(*run(adding(folder, clip)), "No space left on device")
            refused += not succeeded
            current = state(folder)
            assert current == (new if succeeded else old)
            assert not leftovers(folder)
            other.unlink()
            results = outcomes(folder, old, new if succeeded else old, finished=succeeded)
            lost, wrong = lost + results[0], wrong + results[1]
            shutil.rmtree(folder)
    assert refused >= TRIALS // 4
    record("full disk during `enroll --add`", trials=TRIALS, lost=lost, wrong=wrong)


# -- other writers -----------------------------------------------------------------------------------------------------


def enroll_all(arguments: Sequence[str]) -> None:
    """The program that adds one class after the other, as commands do: ``FOLDER CLIP NAME ...``."""
    folder, clip, *names = arguments
    for name in names:
        main_returns(["enroll", folder, "--add", name, clip])


def main_returns(arguments: Sequence[str]) -> None:
    """Run a command that must succeed, and go on."""
    try:
        main(arguments)
    except SystemExit as error:
        if error.code:
            raise


def load_all(arguments: Sequence[str]) -> None:
    """The program that loads a bundle again and again until a file appears: ``FOLDER FILE``."""
    folder, mark = map(Path, arguments)
    while not mark.exists():
        print("state", *Recognizer.load(folder).classes, sep="\t")  # noqa: T201 - the parent reads it


def test_two_writers_and_a_reader(bundle: Path, clip: Path, tmp_path: Path) -> None:
    """All classes are there in the end, and the reader has seen every class of a state stay."""
    trials = lost = wrong = loads = 0
    for trial in range(20):
        folder = Path(shutil.copytree(bundle, tmp_path / str(trial)))
        names = [[f"{writer}-{number}" for number in range(3)] for writer in range(2)]
        mark = tmp_path / f"{trial}.end"
        reader = Command([folder, mark], program=load_all)
        writers = [Command([folder, clip, *part], program=enroll_all) for part in names]
        for writer in writers:
            assert check_ended_well(*writer.end())
        mark.touch()
        code, messages = reader.end()
        check_ended_well(code, messages)
        seen = [set(line.split("\t")[1:]) for line in messages.splitlines() if line.startswith("state")]
        loads += len(seen)
        wrong += any(not former <= later for former, later in pairwise(seen))
        lost += not {*names[0], *names[1]} <= set(state(folder))
        wrong += bool(leftovers(folder))
        trials += 1
        shutil.rmtree(folder)
    assert loads >= trials
    record("two `enroll --add` of one bundle at once, and a reader", trials=trials, lost=lost, wrong=wrong)
