"""Baselines on test tasks against a loop over tasks, and the answers that every test gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fewshot_audio.data.episodes import Episodes
from fewshot_audio.engine.evaluate import TaskScores, evaluate_network
from fewshot_audio.errors import ConfigError
from fewshot_audio.experiments.dataset import Dataset
from fewshot_audio.experiments.evaluate_run import evaluate_run, open_test, score_baseline
from fewshot_audio.experiments.run_experiment import run_experiment
from fewshot_audio.experiments.run_folder import Run
from tests.tiny import tiny_configs

TASKS = 10


@pytest.fixture(scope="module", params=[1, 3], ids=["plain", "attention"])
def run(request: pytest.FixtureRequest, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment, model = tiny_configs({"n_testing_tasks": TASKS, "multi_segm": True}, scenario=request.param)
    output = tmp_path_factory.mktemp("systems")
    run_experiment(experiment, model, tiny_dataset, output)
    return Run.read(output / experiment.experiment_folder / "run-1")


def examine(run: Run, root: Path, system: str, **changes: Any) -> tuple[Dataset, TaskScores]:
    test = open_test(run, root, run.experiment.model_copy(update=changes))
    if system == "network":
        return test.dataset, evaluate_network(test.system, test.protocol)
    return test.dataset, score_baseline(system, test)


def test_answers_give_the_accuracy_and_belong_to_the_clips(run: Run, tiny_dataset: Path) -> None:
    dataset, scores = examine(run, tiny_dataset, "network")
    answers, classes = scores.answers, dataset.data.splits.test
    np.testing.assert_allclose((answers.answer == answers.truth).mean((1, 2)), scores.accuracy)
    store = dataset.data.store
    assert [store.classes[store.class_of[clip]] for clip in answers.clip.ravel()] == [
        classes[truth] for truth in answers.truth.ravel()
    ]
    assert (answers.probability <= 1).all()
    assert (answers.probability > 0).all()
    for task in range(TASKS):
        assert set(answers.answer[task].ravel()) <= set(answers.truth[task].ravel())


def test_a_clips_probability_is_the_mean_over_its_rows(run: Run, tiny_dataset: Path) -> None:
    """Of clips with one row each it is the softmax of the answer's score, the highest."""
    if run.experiment.use_attention:  # the loop in tests/engine covers the rows of views
        assert (examine(run, tiny_dataset, "network")[1].answers.probability > 1 / 3).all()
        return
    dataset, scores = examine(run, tiny_dataset, "network", multi_segm=False)
    network, store = run.trained_network().eval(), dataset.data.store
    sampler = Episodes(store.index, dataset.data.splits.test, 3, 2, 2, seed=0, phase="test")
    with torch.no_grad():
        for task in range(TASKS):
            episode = sampler.episode(0, task)

            def embed(segments: Any) -> torch.Tensor:
                return network.encode(network.normalize(torch.from_numpy(store.read(segments.ravel()))))

            centers = embed(episode.support).view(3, 2, -1).mean(1)
            distances = (embed(episode.query).unsqueeze(1) - centers).norm(dim=-1)
            best = (-distances).softmax(-1).amax(-1).view(3, 2)
            np.testing.assert_allclose(scores.answers.probability[task], best, atol=1e-5)


def log_mel(segment: np.ndarray) -> np.ndarray:
    return np.concatenate([segment.mean(1), segment.std(1)])


def test_log_mel_is_the_nearest_centroid_of_standardized_statistics(run: Run, tiny_dataset: Path) -> None:
    dataset, scores = examine(run, tiny_dataset, "log-mel", multi_segm=False)
    store, splits = dataset.data.store, dataset.data.splits
    training = np.stack(
        [log_mel(store.segments[store.index.offsets[c]]) for name in splits.train for c in store.index.by_class[name]]
    )
    mean, std = training.mean(0), training.std(0)
    sampler = Episodes(store.index, splits.test, 3, 2, 2, seed=0, phase="test")
    for task in range(TASKS):
        episode = sampler.episode(0, task)
        rows = {s: (log_mel(store.segments[s]) - mean) / std for s in {*episode.support.flat, *episode.query.flat}}
        centers = [np.mean([rows[s] for s in support], axis=0) for support in episode.support]
        right = [
            np.argmin([np.linalg.norm(rows[s] - center) for center in centers]) == label
            for label, queries in enumerate(episode.query)
            for s in queries
        ]
        assert scores.accuracy[task] == pytest.approx(np.mean(right))


def embeddings(run: Run, dataset: Dataset, segments: np.ndarray) -> np.ndarray:
    network = run.trained_network().eval()
    with torch.no_grad():
        raw = torch.from_numpy(dataset.data.store.read(segments))
        return network.encode(network.normalize(raw)).double().numpy()


@pytest.mark.parametrize("system", ["simpleshot", "linear-probe"])
def test_classifiers_on_the_encoder_against_a_loop(run: Run, tiny_dataset: Path, system: str) -> None:
    if run.experiment.use_attention:
        _, scores = examine(run, tiny_dataset, system)
        assert 1 / 3 < scores.accuracy.mean() <= 1
        return
    dataset, scores = examine(run, tiny_dataset, system, multi_segm=False)
    store, splits = dataset.data.store, dataset.data.splits
    firsts = [store.index.offsets[clip] for name in splits.train for clip in store.index.by_class[name]]
    center = embeddings(run, dataset, np.array(sorted(firsts))).mean(0)
    sampler = Episodes(store.index, splits.test, 3, 2, 2, seed=0, phase="test")
    for task in range(TASKS):
        episode = sampler.episode(0, task)
        support, query = (embeddings(run, dataset, part.ravel()) for part in (episode.support, episode.query))
        labels = np.repeat(np.arange(3), 2)
        if system == "simpleshot":
            support, query = (
                (rows - center) / np.linalg.norm(rows - center, axis=1, keepdims=True) for rows in (support, query)
            )
            support, query = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (support, query))
            centers = support.reshape(3, 2, -1).mean(1)
            answer = np.linalg.norm(query[:, None] - centers, axis=-1).argmin(1)
        else:
            support, query = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (support, query))
            answer = LogisticRegression(C=1.0, tol=1e-9, max_iter=5000).fit(support, labels).predict(query)
        assert scores.accuracy[task] == pytest.approx((answer == labels).mean())


def test_baselines_of_a_relation_network_score_by_distances(tiny_dataset: Path, tmp_path: Path) -> None:
    experiment, model = tiny_configs({"relation_head": True})
    run_experiment(experiment, model, tiny_dataset, tmp_path)
    run = Run.read(tmp_path / experiment.experiment_folder / "run-1")
    for system in ("log-mel", "simpleshot", "linear-probe", "untrained"):
        assert 0 < evaluate_run(run, tiny_dataset, experiment, system=system).accuracy <= 1


def test_an_unknown_system_is_refused(run: Run, tiny_dataset: Path) -> None:
    with pytest.raises(ConfigError, match="'svm': expected one of network, untrained, log-mel"):
        evaluate_run(run, tiny_dataset, run.experiment, system="svm")
