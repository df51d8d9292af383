"""``classify`` that is killed or fills the disk: the same command again writes what an undisturbed one writes."""

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import soundfile

from tests.recognition import recognizers
from tests.soak.commands import Command, killed, killed_at, largest_file, run
from tests.soak.reliability import record

TRIALS = 24
RECORDINGS = 16
OUTPUTS = {"csv": "answers.csv", "json": "answers.json", "raven": "labels"}

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and recordings of which one cannot be used."""
    home = tmp_path_factory.mktemp("home")
    recognizers.recognizer().save(home / "bundle")
    (home / "recordings").mkdir()
    for number in range(RECORDINGS):
        samples = recognizers.sound(number % 3, number, samples=8000 * (2 + number % 5))
        soundfile.write(home / "recordings" / f"{number:02} Käuzchen.wav", samples, 16_000)
    (home / "recordings" / "broken.wav").write_bytes(b"RIFF")
    return home


def scanning(home: Path, output: Path, kind: str) -> list[str | Path]:
    return ["classify", home / "bundle", home / "recordings", "--hop", "0.25", "--format", kind, "-o", output]


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for the temporary files of killed writes."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".tmp"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> dict[str, dict[str, bytes]]:
    """What each format's files are."""
    result = {}
    for kind, name in OUTPUTS.items():
        folder = home / f"undisturbed-{kind}"
        folder.mkdir()
        code, messages = run(scanning(home, folder / name, kind))
        assert (code, f"{RECORDINGS + 1} files" in messages) == (1, True), messages  # the broken one is reported
        result[kind] = contents(folder)
        assert result[kind]
    return result


def finished(code: int, messages: str, *signals: int) -> bool:
    """Whether a scan came to its end, which is exit code 1 for the broken recording."""
    if code == 1 and f"{RECORDINGS + 1} files" in messages:
        return True
    assert -code in signals, messages
    assert "Traceback" not in messages, messages
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_kills_at_random_moments(
    home: Path,
    undisturbed: dict[str, dict[str, bytes]],
    tmp_path: Path,
    chance: random.Random,
    number: signal.Signals,
) -> None:
    began = time.monotonic()
    run(scanning(home, tmp_path / "csv", "csv"))
    seconds = time.monotonic() - began
    kills = lost = wrong = trial = 0
    while kills < TRIALS:
        kind = chance.choice(list(OUTPUTS))
        folder = tmp_path / str(trial)
        folder.mkdir()
        arguments, answered = scanning(home, folder / OUTPUTS[kind], kind), 0
        journal = folder / f"{OUTPUTS[kind]}.journal"
        for _ in range(3):
            if finished(*killed(arguments, number, chance.uniform(0, seconds)), number):
                break
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            lost += lines < answered  # what was answered once is not answered again
            kills, answered = kills + 1, lines
        else:
            assert finished(*run(arguments))
        wrong += contents(folder) != undisturbed[kind]
        trial += 1
    record(f"{number.name} of `classify -o` at random moments", trials=kills, lost=lost, wrong=wrong)


def test_kills_before_operations_on_files(
    home: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path, chance: random.Random
) -> None:
    kills = wrong = 0
    last = dict.fromkeys(OUTPUTS, 40)  # more operations than a scan has, or the number that it has
    while kills < TRIALS:
        kind = chance.choice(list(OUTPUTS))
        folder = tmp_path / str(kills)
        folder.mkdir(exist_ok=True)
        arguments, operation = scanning(home, folder / OUTPUTS[kind], kind), chance.randint(1, last[kind])
        if finished(*run(arguments, killed_at(folder, operation)), signal.SIGKILL):
            last[kind] = operation
            shutil.rmtree(folder)
            continue
        assert finished(*run(arguments))
        wrong += contents(folder) != undisturbed[kind]
        kills += 1
    record("kill -9 of `classify -o` before an operation on a file", trials=kills, lost=0, wrong=wrong)


def test_limits_of_file_size(
    home: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path, chance: random.Random
) -> None:
    """The limit strikes in the journal or in the answers."""
    refusals = wrong = trial = 0
    while refusals < TRIALS:
        kind = chance.choice(list(OUTPUTS))
        folder = tmp_path / str(trial)
        folder.mkdir()
        arguments, limit = scanning(home, folder / OUTPUTS[kind], kind), chance.randrange(8000)
        code, messages = run(arguments, largest_file(limit))
        if f"{RECORDINGS + 1} files" not in messages:
            words = " ".join(messages.split())
            assert (code, "cannot be written: File too large" in words) == (1, True), messages
            refusals += 1
        assert finished(*run(arguments))
        wrong += contents(folder) != undisturbed[kind]
        trial += 1
    record("limit of the file size during `classify -o`", trials=refusals, lost=0, wrong=wrong)


def test_two_scans_with_one_output(home: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    wrong = 0
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        folder.mkdir()
        scans = [Command(scanning(home, folder / OUTPUTS["csv"], "csv")) for _ in range(2)]
        assert all(finished(*scan.end()) for scan in scans)
        wrong += contents(folder) != undisturbed["csv"]
    record("two `classify` with one output at once", trials=TRIALS, lost=0, wrong=wrong)


def test_a_clock_that_was_set_back(home: Path, undisturbed: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Files that are younger than the journal's clock says, or from before the epoch's first year, change nothing."""
    recordings = sorted((home / "recordings").iterdir())
    kept = [path.stat().st_mtime_ns for path in recordings]
    wrong = 0
    try:
        for number, moment in enumerate((time.time() + 10**8, 1.0, time.time() - 10**8)):
            for path in recordings:
                os.utime(path, (moment, moment))
            folder = tmp_path / str(number)
            folder.mkdir()
            arguments = scanning(home, folder / OUTPUTS["csv"], "csv")
            finished(*killed(arguments, signal.SIGKILL, 0.3), signal.SIGKILL)
            journal = folder / f"{OUTPUTS['csv']}.journal"
            if journal.exists():
                os.utime(journal, (moment + 10**7, moment + 10**7))
            assert finished(*run(arguments))
            wrong += contents(folder) != undisturbed["csv"]
    finally:
        for path, nanoseconds in zip(recordings, kept, strict=True):
            os.utime(path, ns=(nanoseconds, nanoseconds))
    record("`classify -o` continued with files of other years", trials=3, lost=0, wrong=wrong)
