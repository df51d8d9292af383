"""What version 0.1 wrote, every later version reads and answers the same. See ``tests/fixtures/README.md``.

The numbers were computed on one machine in fp32 on one thread. On another processor, or with another version of torch,
sums are rounded otherwise: hence the tolerances. Only names and files that stay are used here: the command line,
``Recognizer``, and ``read_configs`` and ``check_configs``.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fewshot_audio import Recognizer
from fewshot_audio.config import check_configs, read_configs
from fewshot_audio.errors import ConfigError, FewShotError
from tests.compatibility.conftest import RETIRED, V0_1, american, assert_holds, leaves, read
from tests.compatibility.observe import (
    BUNDLES,
    EVALUATIONS,
    SEGMENTS,
    bundle_answers,
    named_keys,
    recognizer_answers,
)
from tests.compatibility.sounds import KINDS, questions, sound, write_recordings, write_support, write_wav
from tests.shell import Shell

PROBABILITY = 1e-4
"""By how much probabilities and distances of a bundle may differ: nothing but an embedding is computed."""

FITTED = 5e-3
"""The same where the calibration was fitted anew: the search for a temperature ends at steps of 0.001."""

LOSS = 1e-3
"""By how much, relatively, losses of training may differ."""

VALIDATED = 0.1
"""The same of validation, and by how much embeddings of a network that was trained further may differ: biases before a
batch normalization have no gradient but rounding errors, which Adam makes whole steps of. Only evaluation sees them."""

FLIPPED = 0.06
"""By how much accuracies may then differ: a few of 36 validation queries, and of 120 test queries, near a tie."""

EXPERIMENTS = ["plain", "attention", "relation-pooled", "residual-pooled", "waveforms"]
"""Experiments to resume. Not "pretrained": 0.1 asks for the pretrained encoder's own folder before it looks further."""

PROSE = ("ci95_over", "interval")
"""Keys of results that hold a sentence."""

ANSWERS, RESULTS = (
    read(V0_1 / kind / "expected.json") | read(V0_1 / kind / "expected-pooled.json") for kind in ("bundles", "runs")
)
DATASETS = read(V0_1 / "dataset" / "expected.json")
CONFIGS = read(V0_1 / "configs" / "expected.json")
COMMANDS = read(V0_1 / "commands.json")


def needs(name: str) -> None:
    """Skip what needs an optional package where that is not installed."""
    if name == "pretrained":
        pytest.importorskip("transformers")


def as_found(path: Path, to: Path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(path, to)


def run_of(runs: Path, name: str) -> Path:
    return runs / name if name == "joined" else runs / name / "run-1"


def pair_of(run: Path) -> list[object]:
    """``-e ... -m ...`` of a run."""
    return ["-e", run / "experiment_config.json", "-m", run / "model_config.json"]


def rows_of(path: Path) -> list[dict[str, float]]:
    """Metrics by epoch, without how long it took."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def without(value: Any, *keys: str) -> Any:
    """The value without these keys, and without what is said in prose, anywhere in it."""
    if isinstance(value, dict):
        return {key: without(entry, *keys) for key, entry in value.items() if key not in (*keys, *PROSE)}
    return [without(entry, *keys) for entry in value] if isinstance(value, list) else value


def assert_same_rows(actual: list[dict[str, float]], expected: list[dict[str, float]], loss: float = LOSS) -> None:
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        for key, value in theirs.items():
            rel, atol = (0.0, FLIPPED) if key.endswith("accuracy") else (VALIDATED if key == "val_loss" else loss, 1e-6)
            assert ours[key] == pytest.approx(value, rel=rel, abs=atol), key


def assert_same_answers(actual: list[dict[str, Any]], expected: list[dict[str, Any]], atol: float) -> None:
    """Numbers are close, labels equal; but 0.1 let segments vote for ``best``, which is the most probable class now."""
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        best = max(theirs["probabilities"], key=theirs["probabilities"].get)
        theirs["label"] = best if theirs["label"] == theirs["best"] else theirs["label"]
        theirs["best"] = best
        assert_holds(ours, theirs, rel=atol, abs=atol)
        assert list(ours["probabilities"]) == list(theirs["probabilities"])


# Bundles


@pytest.fixture(params=BUNDLES)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each bundle."""
    needs(request.param)
    return as_found(V0_1 / "bundles" / request.param, tmp_path / request.param)


def assert_answers_as_ever(recognizer: Recognizer, name: str) -> None:
    expected = ANSWERS[name]
    actual = bundle_answers(recognizer, name)
    for key in ("answers", "answers_with_another_class"):
        assert_same_answers(actual[key], expected[key], PROBABILITY)
    for key in ("classes", "clips", "sample_rate"):
        assert actual[key] == expected[key]
    for key in ("segment_seconds", "temperature", "unknown_threshold", "distances"):
        assert actual[key] == pytest.approx(expected[key], rel=PROBABILITY, abs=PROBABILITY)
    one_clip = 1 / len(expected["distances"])  # whose segments vote for another class than the most probable one
    assert actual["accuracy"] == pytest.approx(expected["accuracy"], abs=1.01 * one_clip)


def test_a_bundle_answers_as_ever_and_is_saved_again(bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    recognizer.save(bundle.with_name("again"))
    recognizer.save(bundle)  # over the old one
    assert_answers_as_ever(recognizer, bundle.name)
    for folder in (bundle, bundle.with_name("again")):
        assert_answers_as_ever(Recognizer.load(folder), bundle.name)


def test_files_are_classified_as_ever(shell: Shell, tmp_path: Path) -> None:
    bundle = as_found(V0_1 / "bundles" / "plain", tmp_path / "plain")
    asked = questions(SEGMENTS["Sounds"])
    for number, name in ((1, "two"), (2, "three")):
        write_wav(tmp_path / "asked" / f"{name}.wav", asked[number])
    for expected in ANSWERS["plain"]["commands"]:
        line = ["classify", bundle, tmp_path / "asked", *expected["options"], "-o", tmp_path / "answers"]
        assert shell(*line, "--format", "json").code == 0
        actual = read(tmp_path / "answers")
        assert actual["version"] == expected["json"]["version"]
        for ours, theirs in zip(actual["files"], expected["json"]["files"], strict=True):
            assert Path(ours.pop("file")).name == theirs.pop("file")
            events = ours.pop("events"), theirs.pop("events")
            assert_holds(ours, theirs)
            assert theirs["windows"] >= 1
            for our_event, their_event in zip(*events, strict=True):
                assert_holds(our_event, their_event, abs=PROBABILITY)
        assert shell(*line, "--format", "csv").code == 0
        header = (tmp_path / "answers").read_text().splitlines()[0].split(",")
        assert header[: len(expected["csv_columns"])] == expected["csv_columns"]


def test_a_bundle_is_changed_in_place(shell: Shell, tmp_path: Path) -> None:
    bundle = as_found(V0_1 / "bundles" / "relation-pooled", tmp_path / "relation")
    wav = write_wav(tmp_path / "new.wav", questions(SEGMENTS["Sounds"])[3])
    rename = ["--rename", "class drone", "low"]
    assert shell("enroll", bundle, wav, "--add", "new", "--remove", "class bell", *rename).code == 0
    assert Recognizer.load(bundle).classes == ["low", "class siren", "new"]


# Runs


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, several in EVALUATIONS.items() for number in range(len(several))]
)
def test_a_run_is_evaluated_as_ever(
    name: str, number: int, runs: Path, data_root: Path, shell: Shell, tmp_path: Path
) -> None:
    needs(name)
    expected = RESULTS[name][number]
    assert expected["options"] == EVALUATIONS[name][number]
    line = ["evaluate", run_of(runs, name), "--data-root", data_root, *expected["options"]]
    outcome = shell(*line, "--json", tmp_path / "found.json")
    assert outcome.code == 0, outcome.err
    # Few queries and none near a tie: on any machine each is answered the same. What is fitted or averaged is close.
    fitted = "--open-set" in expected["options"] or "linear-probe" in expected["options"]
    assert_holds(read(tmp_path / "found.json"), expected["result"], abs=FITTED if fitted else 1e-6)


@pytest.mark.parametrize("name", ["plain", "attention", "waveforms"])
def test_a_run_is_enrolled_with_as_ever(name: str, runs: Path, data_root: Path, shell: Shell, tmp_path: Path) -> None:
    """The same clips give the answers of the bundle that 0.1 made of the same run, its frozen views included."""
    bundle = {"attention": "views"}.get(name, name)
    seconds = SEGMENTS[BUNDLES[bundle]]
    support = write_support(tmp_path / "support", seconds)
    line = ["enroll", "--model", run_of(runs, name), "--support", support, "--data-root", data_root]
    outcome = shell(*line, "-o", tmp_path / "made", "--head", "prototypes")
    assert outcome.code == 0, outcome.err
    recognizer = Recognizer.load(tmp_path / "made")
    expected = ANSWERS[bundle]
    assert recognizer.classes == expected["classes"]
    assert_same_answers(recognizer_answers(recognizer, questions(seconds)), expected["answers"], FITTED)


def test_a_network_that_was_shipped_enrolls_as_ever(tmp_path: Path) -> None:
    """Version 0.1 shipped the network of this bundle."""
    recognizer = Recognizer.load(V0_1 / "bundles" / "shipped")
    names = recognizer.classes
    for name in names:
        recognizer.remove(name)
    support = write_support(tmp_path / "support", SEGMENTS["shipped"])
    for name in names:
        recognizer.enroll(name, sorted((support / name).iterdir()))
    recognizer.choose_head("prototypes")
    assert_answers_as_ever(recognizer, "shipped")


def test_runs_are_joined_as_ever(runs: Path, data_root: Path, shell: Shell, tmp_path: Path) -> None:
    several = [runs / "plain" / f"run-{number}" for number in (1, 2)]
    assert shell("join", *several, "-o", tmp_path / "joined").code == 0
    expected = RESULTS["joined"][0]
    line = ["evaluate", tmp_path / "joined", "--data-root", data_root, *expected["options"]]
    assert shell(*line, "--json", tmp_path / "found.json").code == 0
    assert_holds(read(tmp_path / "found.json"), expected["result"])


@pytest.fixture
def resume(data_root: Path, shell: Shell) -> Callable[..., dict[str, Any]]:
    """Resume an experiment's folder with the configs of one of its runs; returns its ``results.json``."""

    def go_on(folder: Path, run: int = 1, *more: object) -> dict[str, Any]:
        line = ["train", *pair_of(folder / f"run-{run}"), "--data-root", data_root, "--output", folder.parent]
        outcome = shell(*line, "--resume", *more)
        assert outcome.code == 0, outcome.err
        results: dict[str, Any] = read(folder / "results.json")
        return results

    return go_on


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_finished_experiment_is_left_as_it_is(
    name: str, resume: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folder = as_found(V0_1 / "runs" / name, tmp_path / name)
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    results = resume(folder)
    expected = read(V0_1 / "runs" / name / "results.json")
    assert_holds(without(results, "versions"), without(expected, "versions"))
    for path in files.keys() - {folder / "results.json"}:
        assert path.read_bytes() == files[path], path.name
    assert not list(folder.rglob("tensorboard"))  # nothing was trained


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_trained_run_that_was_not_tested_is_tested(
    name: str, resume: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Killed before its result was written: the state is read, and the network tested."""
    folder = as_found(V0_1 / "runs" / name, tmp_path / name)
    for written in (
        folder / "results.json",
        folder / "run-1" / "result.json",
        folder / "run-1" / "test_accuracies.npy",
    ):
        written.unlink()
    results, old = resume(folder), V0_1 / "runs" / name
    expected = read(old / "results.json")
    assert_holds(without(results, "versions", "seconds"), without(expected, "versions", "seconds"))
    actual, expected = (np.load(path / "run-1" / "test_accuracies.npy") for path in (folder, old))
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_an_unfinished_run_goes_on_to_the_same_end(
    resume: Callable[..., dict[str, Any]], runs: Path, shell: Shell, tmp_path: Path
) -> None:
    """Killed after the first of two epochs on a machine that was given run 2; then gathered with the other's run 1."""
    folder = as_found(V0_1 / "runs" / "stopped", tmp_path / "plain")
    started = rows_of(folder / "run-2" / "metrics.csv")
    assert len(started) == 1
    (result,) = resume(folder, 2, "--runs", "2")["runs"]
    rows = rows_of(folder / "run-2" / "metrics.csv")
    assert_holds(rows[0], started[0])
    old = V0_1 / "runs" / "plain"
    ended = rows_of(old / "run-2" / "metrics.csv")
    assert_same_rows(rows, ended)
    same_bits = rows[1]["train_loss"] == ended[1]["train_loss"]  # as on the machine of 0.1: then all is the same
    if same_bits:
        assert rows == ended
    assert_same_embeddings(folder / "run-2", old / "run-2", 1e-6 if same_bits else VALIDATED)
    expected = read(old / "run-2" / "result.json")
    assert_holds(without(result, "seconds"), without(expected, "seconds"), abs=1e-6 if same_bits else FLIPPED)
    other = as_found(runs / "plain", tmp_path / "other")
    shutil.rmtree(other / "run-2")
    assert shell("gather", other, folder, "-o", tmp_path / "gathered").code == 0
    results, expected = (read(path / "results.json") for path in (tmp_path / "gathered", old))
    assert_holds(without(results, "versions", "seconds"), without(expected, "versions", "seconds"), abs=FLIPPED)


def assert_same_embeddings(ours: Path, theirs: Path, atol: float) -> None:
    asked = questions(SEGMENTS["Sounds"])
    actual, expected = (Recognizer.from_run(run).embed(asked, rate=16_000) for run in (ours, theirs))
    np.testing.assert_allclose(actual, expected, atol=atol)


# Datasets


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_described_as_ever(name: str, data_root: Path, shell: Shell, tmp_path: Path) -> None:
    outcome = shell("info", data_root / name, "--json", tmp_path / "found.json")
    assert outcome.code == 0
    assert_holds(read(tmp_path / "found.json"), DATASETS[name])
    assert f"{DATASETS[name]['classes']} classes, {DATASETS[name]['clips']} clips" in outcome.out


@pytest.mark.parametrize("name", ["attention", "waveforms"])
def test_training_starts_from_an_old_dataset(
    name: str, runs: Path, data_root: Path, shell: Shell, tmp_path: Path
) -> None:
    """With an old pair of configs, into a new folder: the first epoch is the old run's."""
    run = run_of(runs, name)
    line = ["train", *pair_of(run), "--data-root", data_root, "--output", tmp_path, "--set", "num_epochs=1"]
    assert shell(*line).code == 0
    loss = LOSS if name == "attention" else 0.1  # the vocoder of waveform views does not bear rounding well
    assert_same_rows(rows_of(tmp_path / name / "run-1" / "metrics.csv"), rows_of(run / "metrics.csv")[:1], loss)


@pytest.mark.parametrize("name", DATASETS)
def test_preparing_again_keeps_what_is_prepared(name: str, shell: Shell, tmp_path: Path) -> None:
    """The journal is read: from the same recordings nothing is computed again and the same files are written."""
    folder = as_found(V0_1 / "dataset" / name, tmp_path / name)
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    clips = [path for path in folder.rglob("*.npy") if path.parent.name in DATASETS[name]["clips_by_class"]]
    written = [path.stat().st_mtime_ns for path in clips]
    counts = DATASETS[name]["clips_by_class"]
    source = write_recordings(
        tmp_path / "recordings", {kind: counts[kind.replace("?", "_")] for kind in KINDS}, SEGMENTS[name]
    )
    write_wav(source / "buzz" / "short.wav", sound(1, 99, 0.019))  # 20 ms, refused by that version, are used now
    line = ["prepare", "folder", "--source", source, "--data-root", tmp_path, "--name", name, "--way", 3]
    line += ["--segment-seconds", SEGMENTS[name], *(["--waveforms"] if DATASETS[name]["waveforms"] else [])]
    outcome = shell(*line)
    assert outcome.code == 0, outcome.err
    assert [path.stat().st_mtime_ns for path in clips] == written
    assert len(clips) == DATASETS[name]["clips"] * (1 + DATASETS[name]["waveforms"])
    worded = {"skipped.csv", "splits.npy"}  # reasons are told in words, and a list is pickled as that version does
    for path, data in before.items():
        assert (folder / path).read_bytes() == data or path.name in worded, path
    assert shell("info", folder, "--json", tmp_path / "found.json").code == 0
    assert_holds(read(tmp_path / "found.json"), DATASETS[name])


# Configs


def without_retired(folder: Path, to: Path) -> list[Path]:
    """A copy of a pair of configs in which what later versions do not have is at its default."""
    to.mkdir()
    files = []
    for name in ("experiment_config.json", "model_config.json"):
        values = read(folder / name)
        for key, default in RETIRED.items():
            *above, last = key.split(".")
            section = values.get(above[0], {}) if above else values
            if last in section:
                section[last] = default
        for section in values.values():
            if isinstance(section, dict) and section.get("pooling") == "attention":
                section["pooling"] = "mean"
        files.append(to / name)
        files[-1].write_text(json.dumps(values))
    return files


@pytest.mark.parametrize("name", CONFIGS)
def test_a_pair_of_configs_means_what_it_meant(name: str, tmp_path: Path) -> None:
    """Every key of the file keeps its value, and every key that it leaves out its default; later keys may be added."""
    files = without_retired(V0_1 / "configs" / name, tmp_path / name)
    expected = CONFIGS[name]
    pair = read_configs(files[0], files[1])
    for what, file, config in zip(("experiment", "model"), files, pair, strict=True):
        assert_holds(leaves(config.model_dump()), leaves(read(file)) | expected[what], rel=0, abs=0)
    if "refused" in expected:  # and what is to be done is said
        with pytest.raises(ConfigError, match=re.escape(expected["refused"])):
            check_configs(*pair)
        pair = read_configs(files[0], files[1], expected["settings"])
    warnings = [named_keys(warning) for warning in expected["warnings"] if not named_keys(warning) & RETIRED.keys()]
    assert [named_keys(warning) for warning in check_configs(*pair)] == warnings


@pytest.mark.parametrize("name", ["options", "choices", "warnings"])
def test_a_pair_of_configs_with_retired_values_is_refused_for_each_of_them(name: str) -> None:
    files = [V0_1 / "configs" / name / f"{what}_config.json" for what in ("experiment", "model")]
    values = leaves(read(files[0])) | leaves(read(files[1]))
    used = {key for key, default in RETIRED.items() if values.get(key, default) != default}
    used |= {key for key, value in values.items() if value == "attention"}
    assert len(used) > 2
    with pytest.raises(ConfigError) as error:
        read_configs(files[0], files[1])
    lines = str(error.value).splitlines()
    assert len(lines) == len(used)
    for key in used:
        assert any(f"key {key!r}: version 0.1 of fewshot-audio was the last to have it" in line for line in lines)


@pytest.mark.parametrize(("name", "key"), [("relation", "Hybrid.pooling"), ("residual", "learn_score_scale")])
def test_what_was_trained_with_a_retired_value_is_refused(name: str, key: str, runs: Path, shell: Shell) -> None:
    retired = rf"{key}': version 0\.1 of fewshot-audio was the last to have it"
    with pytest.raises(FewShotError, match=retired):
        Recognizer.load(V0_1 / "bundles" / name)
    outcome = shell("evaluate", run_of(runs, name))
    assert outcome.code == 1
    assert re.search(retired, " ".join(outcome.err.split()))


def test_the_old_spelling_of_a_value_can_be_set(data_root: Path, runs: Path, shell: Shell, tmp_path: Path) -> None:
    run = run_of(runs, "attention")
    line = ["train", *pair_of(run), "--data-root", data_root, "--output", tmp_path, "--set", "num_epochs=1"]
    assert shell(*line, "--set", "embedding_transform=centre_l2").code == 0
    written = read(tmp_path / "attention" / "run-1" / "experiment_config.json")
    assert american(written["embedding_transform"]) == "center_l2"


# Searches: results are found again by a digest of the configs' values, in which defaults are left out


@pytest.fixture
def base(runs: Path, data_root: Path) -> list[object]:
    """What both searches started from."""
    settings = ["relation_head=false", "n_way_train=2", "n_way_validation=2"]
    settings += ["n_training_tasks=2", "n_validation_tasks=4"]
    line = [*pair_of(run_of(runs, "relation-pooled")), "--data-root", data_root]
    return [*line, *(part for setting in settings for part in ("--set", setting))]


def test_a_finished_cross_validation_trains_nothing(base: list[object], shell: Shell, tmp_path: Path) -> None:
    folder = as_found(V0_1 / "searches-pooled", tmp_path / "searches")
    files = {path.name: path.read_bytes() for path in (folder / "crossval" / "trainings").iterdir()}
    line = ["crossval", *base, "--candidates", folder / "candidates.json", "--folds", 2, "--epochs", 1]
    outcome = shell(*line, "--tasks", 20, "--shots", "2,1", "-o", folder / "crossval")
    assert outcome.code == 0, outcome.err
    assert {path.name: path.read_bytes() for path in (folder / "crossval" / "trainings").iterdir()} == files
    actual, expected = (read(path / "crossval" / "crossval.json") for path in (folder, V0_1 / "searches-pooled"))
    assert_holds(without(actual, "versions"), without(expected, "versions"))


def test_a_finished_search_is_recognized(base: list[object], shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    folder = as_found(V0_1 / "searches-pooled", tmp_path / "searches")
    line = ["tune", *base, "--set", "embedding_transform=centre_l2", "--space", folder / "space.json", "--epochs", 1]
    outcome = shell(*line, "--trials", 2, "-o", folder / "tune")
    assert outcome.code == 0, outcome.err
    for name in ("trials.csv", "best/experiment_config.json", "best/model_config.json"):
        actual, expected = (path / "tune" / name for path in (folder, V0_1 / "searches-pooled"))
        if name.endswith("json"):
            assert_holds(read(actual), read(expected))
        else:
            assert actual.read_text() == expected.read_text()


# The command line


def spellings() -> Iterable[tuple[str, str, list[str]]]:
    """Each name of each option of each command, with as many values as it takes."""
    for command, known in COMMANDS.items():
        for option in known["options"]:
            for name in option["names"]:
                yield command, name, ["1"] * option["values"]


def test_every_old_option_is_accepted(shell: Shell) -> None:
    """``--help`` stops a command when its options are parsed, before their values are looked at."""
    refused = []
    for command, name, values in spellings():
        line = [*([command] if command else []), name, *values, "--help"]
        outcome = shell(*line)
        if outcome.code != 0 or ("Usage: " not in outcome.out and name != "--version"):  # which stops it, too
            refused.append((*line, outcome.err))
    assert not refused
    assert shell("train", "--data-rot", "1", "--help").code == 2  # so this test can fail


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_names_every_old_argument_and_choice(command: str, shell: Shell) -> None:
    words = set(re.findall(r"[\w-]+", shell(*([command] if command else []), "--help").out.lower()))
    known = COMMANDS[command]
    names = {argument["name"] for argument in known["arguments"]} | (set(COMMANDS) - {""} if not command else set())
    choices = {choice for each in known["arguments"] + known["options"] for choice in each.get("choices", ())}
    assert not {name.lower() for name in names | choices} - words
