"""Choice, calibration and refitting of decisions."""

import dataclasses

import numpy as np
import pytest

from fewshot_audio.recognition.decision import choose, maker
from fewshot_audio.recognition.decision.calibrate import fit_temperature, fit_threshold, most_telling
from fewshot_audio.recognition.decision.choose import HEADS, choose_head
from fewshot_audio.recognition.decision.decision import EMBEDDING_SHARES, Decision, block_shares
from fewshot_audio.recognition.decision.examples import Counts, Examples, Features
from fewshot_audio.recognition.decision.left_out import LeftOut
from fewshot_audio.recognition.decision.maker import DecisionMaker, DecisionState
from tests.recognition.decision.clips import centers, clip, examples

CLEAR, NOISE = 0.3, 30.0


def nearest_mean(train: Examples, test: Examples) -> Counts:
    """Prototypes of embeddings."""
    means = train.clip_means(train.features["embedding"])
    prototypes = np.stack([means[train.labels == label].mean(axis=0) for label in range(train.n_classes)])
    asked = test.clip_means(test.features["embedding"])
    answers: Counts = np.square(asked[:, None] - prototypes).sum(axis=-1).argmin(axis=1)
    return answers


def features_of(clips: Examples, number: int) -> Features:
    rows = clips.clip_of == number
    return {block: values[rows] for block, values in clips.features.items()}


def test_both_is_the_default_and_another_head_wins_only_if_it_is_clearly_better() -> None:
    assert choose_head(examples(embedding=CLEAR, timbre=CLEAR), nearest_mean).head == "both"
    choice = choose_head(examples(classes=8, clips=10, embedding=NOISE, timbre=1.0, seed=2), nearest_mean)
    assert choice.head == "timbre"
    assert choice.accuracies["timbre"] > choice.accuracies["both"] + 0.05
    assert list(choice.accuracies) == list(HEADS)
    assert choice.clips == 80


def test_a_difference_within_one_standard_error_keeps_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 clips, one head has ``better`` more right than "both" has: one standard error is about one clip."""
    clips = examples()

    def judged(better: int) -> str:
        class Fake:
            def __init__(self, blocks: tuple[str, ...]) -> None:
                self.right = 10 + better * (blocks == ("embedding",)) - 5 * (blocks == ("timbre",))

            def answers(self, _: float) -> Counts:
                return np.where(np.arange(20) < self.right, clips.labels, -1)

        monkeypatch.setattr(choose.LeftOut, "of", lambda _, blocks, __: Fake(blocks))
        return choose_head(clips, lambda _, test: 0 * test.labels).head

    assert [judged(better) for better in (0, 1, 2)] == ["both", "both", "embedding"]


def test_the_fixed_head_is_taken_and_all_are_measured() -> None:
    choice = choose_head(examples(embedding=NOISE), nearest_mean, "embedding")
    assert choice.head == "embedding"
    assert set(choice.accuracies) == set(HEADS)


def left_out_with(logits: np.ndarray, labels: Counts) -> LeftOut:
    clips = Examples({"embedding": logits, "timbre": logits}, np.arange(len(labels)), labels)
    return LeftOut(clips, logits, np.zeros((1, *logits.shape)))


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_factor_of_the_logits(factor: float) -> None:
    random = np.random.default_rng(0)
    logits = 2 * random.normal(size=(3000, 5))
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)  # classes as likely as the logits say
    assert fit_temperature(left_out_with(factor * logits, labels)) == pytest.approx(factor, rel=0.12)


def test_a_few_lucky_clips_do_not_make_it_certain() -> None:
    logits = 0.5 * np.eye(4)
    assert 0.2 < fit_temperature(left_out_with(logits, np.arange(4))) < 1


@pytest.mark.parametrize("false_alarm", [0.05, 0.2])
def test_the_threshold_lets_the_stated_share_through(false_alarm: float) -> None:
    random = np.random.default_rng(0)
    scores = np.exp(0.1 + 0.3 * random.normal(size=4000))
    assert (scores > fit_threshold(scores, false_alarm, 3000)).mean() == pytest.approx(false_alarm, abs=0.01)


def test_copies_of_clips_do_not_widen_what_is_called_unknown() -> None:
    """Scores of 0, or nearly so, are of clips that were judged by copies of themselves."""
    scores = np.exp(0.1 + 0.3 * np.random.default_rng(0).normal(size=200))
    clean = fit_threshold(scores, 0.05, 150)
    assert fit_threshold(np.append(scores, np.zeros(20)), 0.05, 150) == clean
    assert fit_threshold(np.append(scores, np.full(8, 0.01)), 0.05, 150) == pytest.approx(clean, rel=0.15)
    assert 1.2 < fit_threshold(np.zeros(5), 0.05, 150) < 1.5


def test_scores_of_clips_that_are_left_out_of_few_are_taken_for_larger_than_those_of_new_clips() -> None:
    scores = np.exp(0.1 + 0.3 * np.random.default_rng(0).normal(size=200))
    many, some, few, fewest = (fit_threshold(scores, 0.05, freedom) for freedom in (1e9, 50, 10, 2))
    assert some == pytest.approx(many * np.exp(-0.01))
    assert few == pytest.approx(many * np.exp(-0.05))
    assert fewest == pytest.approx(many)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_two_clips_of_each_class_do_not_make_everything_unknown(classes: int) -> None:
    decision = Decision.fit(examples(classes, 2, embedding=0.5, timbre=0.5), "both", 0.05)
    random, noise = np.random.default_rng(9), {"embedding": 0.5, "timbre": 0.5}
    asked = [clip(label, centers(classes), noise, random) for label in range(classes) for _ in range(20)]  # type: ignore[arg-type]
    alarms = [decision.distances(features).min() > decision.calibration.threshold for features in asked]
    assert np.mean(alarms) < 0.25
    assert decision.calibration.threshold < 4


def test_many_classes_of_two_clips_are_fitted_without_a_warning() -> None:
    """scikit-learn takes labels of which there are few each for numbers; warnings are errors here."""
    clips = examples(25, 2)
    short: list[Features] = [
        {block: rows[:1] for block, rows in features_of(clips, number).items()} for number in range(50)
    ]
    assert Decision.fit(Examples.of(short, clips.labels), "both", 0.05).calibration.clips == 50


def test_equal_scores_leave_room_for_others() -> None:
    assert 1.2 < fit_threshold(np.ones(5), 0.05, 4) < 1.5


def test_the_block_that_tells_unknown_sounds_counts_in_distances() -> None:
    def share_of_embedding(embedding: float, timbre: float) -> float:
        clips = examples(classes=6, embedding=embedding, timbre=timbre)
        shares = EMBEDDING_SHARES["both"]
        blocks = ("embedding", "timbre")
        return shares[most_telling(LeftOut.of(clips, blocks, [block_shares(share, blocks) for share in shares]))]

    assert share_of_embedding(0.9, NOISE) >= 0.8
    assert share_of_embedding(NOISE, 1.1) <= 0.2


def test_probabilities_are_the_mean_over_segments_at_the_temperature() -> None:
    clips = examples()
    decision = Decision.fit(clips, "both", 0.05)
    number = int(np.argmax(np.bincount(clips.clip_of)))
    features = features_of(clips, number)
    expected = []
    for segment in range(len(features["timbre"])):
        row = decision.model.rows({block: values[segment : segment + 1] for block, values in features.items()})
        logits = (
            decision.model.logistic.weights @ row[0] + decision.model.logistic.bias
        ) / decision.calibration.temperature
        expected.append(np.exp(logits) / np.exp(logits).sum())
    assert len(expected) > 1
    assert decision.probabilities(features) == pytest.approx(np.mean(expected, axis=0))


def test_it_recognizes_new_clips_and_keeps_what_it_states() -> None:
    enrolled, random = examples(classes=10, embedding=0.6, timbre=0.6, seed=1), np.random.default_rng(9)
    decision = Decision.fit(enrolled, "both", 0.05)
    means, noise = centers(10), {"embedding": 0.6, "timbre": 0.6}
    asked = [(label, clip(label, means, noise, random)) for label in range(10) for _ in range(30)]  # type: ignore[arg-type]
    right = [decision.probabilities(features).argmax() == label for label, features in asked]
    confidence = [decision.probabilities(features).max() for _, features in asked]
    alarms = [decision.distances(features).min() > decision.calibration.threshold for _, features in asked]
    strangers = [clip(label, centers(10, seed=5), noise, random) for label in range(10)]  # type: ignore[arg-type]
    assert np.mean(right) > 0.8
    assert abs(np.mean(right) - np.mean(confidence)) < 0.08
    assert np.mean(alarms) < 0.1
    assert (
        np.mean([decision.distances(features).min() > decision.calibration.threshold for features in strangers]) > 0.5
    )


def test_the_same_clips_give_the_same_bits() -> None:
    first, second = (Decision.fit(examples(), "both", 0.05) for _ in range(2))
    assert first.calibration == second.calibration
    assert (first.model.logistic.weights == second.model.logistic.weights).all()


# Keeping up to date


@pytest.fixture
def decisions() -> DecisionMaker:
    return DecisionMaker(nearest_mean, 0.05)


def test_a_first_decision_is_chosen_and_calibrated(decisions: DecisionMaker) -> None:
    state = decisions.update(DecisionState(), examples())
    assert state.choice is not None
    assert state.decision is not None
    assert state.decision.calibration.clips == 20


def test_a_clip_more_refits_and_keeps_choice_and_calibration(decisions: DecisionMaker) -> None:
    state = decisions.update(DecisionState(), examples(clips=5))
    more = examples(clips=6).part(np.arange(24) != 5)
    more = more.part(np.arange(23) < 22)
    after = decisions.update(state, more)
    assert after.choice is state.choice
    assert state.decision is not None
    assert after.decision is not None
    assert after.decision.calibration is state.decision.calibration
    assert (after.decision.model.logistic.weights != state.decision.model.logistic.weights).any()


def test_many_more_clips_are_calibrated_anew_and_twice_as_many_chosen_anew(decisions: DecisionMaker) -> None:
    state = decisions.update(DecisionState(), examples(clips=5))
    for clips, is_chosen in ((6, False), (10, True)):
        after = decisions.update(state, examples(clips=clips))
        assert (after.choice is not state.choice) == is_chosen
        assert after.decision is not None
        assert after.decision.calibration.clips == 4 * clips


def test_a_fixed_head_stays(decisions: DecisionMaker) -> None:
    state = decisions.update(DecisionState("timbre"), examples(clips=5))
    assert decisions.update(state, examples(clips=20)).head == "timbre"
    assert decisions.update(DecisionState("prototypes"), examples()).head == "prototypes"


def test_clips_that_allow_no_decision_leave_prototypes_until_they_do(decisions: DecisionMaker) -> None:
    state = decisions.update(DecisionState(), examples())
    without = decisions.update(state, None)
    assert without.head == "prototypes"
    assert decisions.update(without, examples()).head == state.head


def test_prototypes_can_be_chosen(decisions: DecisionMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = dataclasses.replace(choose_head(examples(), nearest_mean), head="prototypes")
    monkeypatch.setattr(maker, "choose_head", lambda *_: choice)
    state = decisions.update(DecisionState(), examples())
    assert state == DecisionState(None, choice, None)
    assert decisions.update(state, examples(clips=6)).head == "prototypes"
