"""The fitted parts of a decision, against definitions written out in loops."""

import numpy as np
import pytest

from fewshot_audio.recognition.decision.distances import ClassDistances
from fewshot_audio.recognition.decision.examples import MOST_SEGMENTS, Block, Examples, Floats
from fewshot_audio.recognition.decision.left_out import FOLDS, LeftOut
from fewshot_audio.recognition.decision.logistic import Logistic, softmax
from fewshot_audio.recognition.decision.model import DecisionModel, Shares, fit_emphasis
from fewshot_audio.recognition.decision.standardize import FARTHEST, Standardizer, fit_standardizers, join, length
from fewshot_audio.recognition.decision.variances import PRIOR_CLIPS
from tests.recognition.decision.clips import WIDTHS, examples

BOTH: tuple[Block, ...] = ("embedding", "timbre")
EVEN: Shares = {"embedding": 0.5, "timbre": 0.5}


def test_rows_weigh_so_that_classes_and_clips_count_alike() -> None:
    features = {"embedding": np.zeros((6, 1)), "timbre": np.zeros((6, 1))}
    clips = Examples(features, np.array([0, 0, 1, 2, 2, 2]), np.array([0, 0, 1]))  # type: ignore[arg-type]
    assert clips.weights == pytest.approx([0.75, 0.75, 1.5, 1, 1, 1])


def test_a_long_clip_is_thinned_evenly() -> None:
    rows = np.arange(100.0)[:, None]
    clips = Examples.of([{"embedding": rows, "timbre": rows}], np.array([0]))
    assert len(clips.clip_of) == MOST_SEGMENTS
    assert clips.features["timbre"][[0, -1], 0].tolist() == [0, 99]
    assert np.ptp(np.diff(clips.features["embedding"][:, 0])) <= 1


def test_folds_have_clips_of_every_class_and_keep_copies_together() -> None:
    clips = examples(classes=3, clips=7)
    first = np.flatnonzero(clips.clip_of == 0)
    copied = {block: np.concatenate([rows, rows[first]]) for block, rows in clips.features.items()}
    count = len(clips.labels)
    with_copy = Examples(copied, np.append(clips.clip_of, [count] * len(first)), np.append(clips.labels, 0))
    folds = with_copy.folds(FOLDS)
    assert np.stack(folds).sum(axis=0).tolist() == [1] * (count + 1)
    assert all(fold[0] == fold[count] for fold in folds)
    for fold in folds:
        assert set(with_copy.labels[~fold]) == {0, 1, 2}


def test_folds_in_turn_leave_two_clips_of_some_class() -> None:
    clips = examples(classes=4, clips=2)
    folds = clips.folds(FOLDS, in_turn=True)
    assert np.stack(folds).sum(axis=0).tolist() == [1] * 8
    for fold in folds:
        rest = np.bincount(clips.labels[~fold])
        assert rest.min() == 1
        assert rest.max() == 2


def test_folds_keep_the_clips_of_a_recording_together() -> None:
    rows = np.arange(14.0).reshape(7, 2)
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    groups = ("dawn", "dusk", "dawn", "", "dawn", "dawn", "dawn")
    clips = Examples.of([{"embedding": row[None], "timbre": row[None]} for row in rows], labels, groups)
    folds = np.stack(clips.folds(FOLDS))
    # The second class has clips of one recording only, so that they are dealt one by one.
    assert [fold.tolist() for fold in folds] == [
        [True, False, True, False, True, False, False],
        [False, True, False, False, False, True, False],
        [False, False, False, True, False, False, True],
    ]
    part = clips.part(np.array([False, True, True, False, False, True, True]))
    assert part.groups == ("dusk", "dawn", "dawn", "dawn")


def test_a_copy_stays_with_its_original_if_only_one_of_them_has_a_group() -> None:
    rows = np.arange(12.0).reshape(6, 2)
    rows[3] = rows[0]  # a file of its own that is a copy of a clip of "dawn"
    rows[5] = rows[2]  # a clip of "noon" is one of "dusk"
    groups = ("dawn", "dawn", "dusk", "", "", "noon")
    clips = Examples.of([{"embedding": row[None], "timbre": row[None]} for row in rows], np.zeros(6, int), groups)
    folds = np.stack(clips.folds(FOLDS))
    assert [fold.tolist() for fold in folds] == [
        [True, True, False, True, False, False],
        [False, False, True, False, False, True],
        [False, False, False, False, True, False],
    ]


def test_a_class_of_copies_only_is_still_dealt_to_folds() -> None:
    rows = np.ones((2, 3))
    clips = Examples({"embedding": rows, "timbre": rows}, np.array([0, 1]), np.array([0, 0]))
    assert [fold.tolist() for fold in clips.folds(FOLDS)] == [[True, False], [False, True]]


def test_standardized_rows_have_mean_zero_and_the_length_of_their_block() -> None:
    clips = examples()
    standardizers = fit_standardizers(clips, BOTH)
    rows = join(standardizers, clips.features)
    assert np.average(rows, axis=0, weights=clips.weights) == pytest.approx(0, abs=1e-9)
    for block, part in (("embedding", rows[:, : WIDTHS["embedding"]]), ("timbre", rows[:, WIDTHS["embedding"] :])):
        squares = np.average(np.square(part).sum(axis=1), weights=clips.weights)
        assert np.sqrt(squares) == pytest.approx(length(block))


def test_numbers_that_never_vary_say_nothing_and_odd_ones_are_cut_off() -> None:
    rows = np.array([[0.0, 7.0], [2.0, 7.0]])
    standardizer = Standardizer.fit(rows, np.ones(2))
    assert standardizer(np.array([[2.0, 7.5], [1e9, 7.0]])).tolist() == [
        [1 / np.sqrt(2), 0.0],
        [FARTHEST / np.sqrt(2), 0.0],
    ]


@pytest.mark.parametrize("classes", [2, 5])
def test_logistic_regression_is_where_its_gradient_vanishes(classes: int) -> None:
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), 6)
    rows, weights = random.normal(size=(len(labels), 4)) + labels[:, None], random.uniform(0.5, 2, len(labels))
    emphasis = np.array([1.0, 2.0, 0.5, 1.0])
    model = Logistic.fit(rows, labels, weights, emphasis)
    errors = weights[:, None] * (softmax(model.logits(rows)) - np.eye(classes)[labels])
    # of sum(weight x -log p) + |W / emphasis|^2 / 2; of two classes the first one's row is fixed at 0
    by_class = errors.T @ rows + model.weights / emphasis**2
    free = slice(1 if classes == 2 else 0, None)
    assert by_class[free] == pytest.approx(0, abs=1e-2)
    assert errors.sum(axis=0)[free] == pytest.approx(0, abs=1e-2)


def test_numbers_that_vary_less_within_classes_count_more() -> None:
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(4), 50)
    noise = np.array([0.5, 1.0, 1.0, 2.0, 3.0, 3.0])
    clips = noise * random.normal(size=(200, 6)) + labels[:, None]
    emphasis = fit_emphasis(clips, labels, [4, 2])
    for block in (emphasis[:4], emphasis[4:]):
        assert np.square(block).mean() == pytest.approx(1)
    assert emphasis[0] / emphasis[1] == pytest.approx(noise[1] ** 4 / noise[0] ** 4, rel=0.5)
    assert emphasis[1] / emphasis[3] == pytest.approx(noise[3] ** 4 / noise[1] ** 4, rel=0.5)
    assert emphasis[4] == pytest.approx(emphasis[5], rel=0.5)


def test_clips_that_are_copies_within_classes_leave_every_number_as_it_is() -> None:
    clips = np.repeat(np.random.default_rng(0).normal(size=(3, 4)), 2, axis=0)
    assert fit_emphasis(clips, np.repeat(np.arange(3), 2), [4]) == pytest.approx(np.ones(4))


def slow_distances(clips: Floats, labels: list[int], shares: list[float], asked: Floats) -> list[list[float]]:
    """The definition in loops; every number is a block of its own share."""
    names = sorted(set(labels))
    members = {name: [row for row, label in zip(clips, labels, strict=True) if label == name] for name in names}
    freedom = len(clips) - len(names)
    means = {name: sum(rows) / len(rows) for name, rows in members.items()}
    scale = []
    for number, share in enumerate(shares):
        squares = sum((row[number] - means[name][number]) ** 2 for name in names for row in members[name])
        scale.append(np.sqrt(share / (squares / freedom)))  # a block of one number is not shrunk
    factors = np.array(scale)
    squares_of = {name: sum(float(np.sum(((r - means[name]) * factors) ** 2)) for r in members[name]) for name in names}
    common = sum(squares_of.values()) / freedom
    result = []
    for row in asked:
        line = []
        for name in names:
            count = len(members[name])
            variance = (squares_of[name] + PRIOR_CLIPS * common) / (count - 1 + PRIOR_CLIPS)
            expected = np.sqrt(variance * (1 + 1 / count))
            line.append(float(np.sqrt(np.sum(((row - means[name]) * factors) ** 2)) / expected))
        result.append(line)
    return result


def test_distances_are_those_of_the_definition() -> None:
    random = np.random.default_rng(1)
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 2]
    clips, asked, shares = random.normal(size=(9, 3)), random.normal(size=(4, 3)), [0.5, 0.3, 0.2]
    fitted = ClassDistances.fit(clips, np.array(labels), [(1, share) for share in shares])
    assert fitted(asked) == pytest.approx(np.array(slow_distances(clips, labels, shares, asked)))


def test_numbers_of_a_block_count_by_the_power_of_their_variance() -> None:
    random = np.random.default_rng(4)
    labels, noise = np.repeat(np.arange(5), 40), np.array([1.0, 2.0, 4.0])
    fitted = ClassDistances.fit(noise * random.normal(size=(200, 3)), labels, [(2, 0.4), (1, 0.6)])
    ratio = (noise[1] / noise[0]) ** 3
    assert fitted.scale[0] / fitted.scale[1] == pytest.approx(ratio, rel=0.3)


def test_a_new_clip_of_a_class_is_about_as_far_as_expected() -> None:
    random = np.random.default_rng(2)
    labels = np.repeat(np.arange(20), 5)
    means = 3 * random.normal(size=(20, 30))
    fitted = ClassDistances.fit(means[labels] + random.normal(size=(100, 30)), labels, [(10, 0.5), (20, 0.5)])
    new = fitted(means[labels] + random.normal(size=(100, 30)))[np.arange(100), labels]
    assert np.sqrt(np.square(new).mean()) == pytest.approx(1, abs=0.1)


def test_a_block_without_a_share_does_not_count() -> None:
    clips = examples()
    model = DecisionModel.fit(clips, BOTH, {"embedding": 1.0, "timbre": 0.0})
    rows = model.rows(clips.features)
    changed = rows.copy()
    changed[:, WIDTHS["embedding"] :] += 3
    assert model.distances(changed) == pytest.approx(model.distances(rows))
    changed[:, : WIDTHS["embedding"]] += 3
    assert model.distances(changed) != pytest.approx(model.distances(rows))


def test_a_clip_left_out_is_judged_by_a_model_that_never_saw_it() -> None:
    clips = examples()
    left_out = LeftOut.of(clips, BOTH, [EVEN, {"embedding": 1.0, "timbre": 0.0}])
    fold = clips.folds(FOLDS)[2]
    model = DecisionModel.fit(clips.part(~fold), BOTH, EVEN)
    rows = model.rows(clips.part(fold).features)
    assert left_out.logits[fold[clips.clip_of]] == pytest.approx(model.logistic.logits(rows))
    assert left_out.distances[0][fold] == pytest.approx(model.distances(clips.part(fold).clip_means(rows)))
    assert left_out.distances[1][fold] != pytest.approx(left_out.distances[0][fold])


def test_numbers_that_never_vary_do_not_count_beside_those_that_do() -> None:
    """An encoder with many dead outputs decides as the same encoder without them."""
    clips = examples()
    rows = clips.features["embedding"]
    padded = Examples(
        {**clips.features, "embedding": np.concatenate([rows, np.ones((len(rows), 20))], axis=1)},
        clips.clip_of,
        clips.labels,
    )
    shares = {"embedding": 0.5, "timbre": 0.5}
    width = rows.shape[1]
    own, other = (DecisionModel.fit(each, BOTH, shares) for each in (clips, padded))
    means = np.stack([clips.clip_means(join(m.standardizers, e.features)) for m, e in ((own, clips),)])[0]
    widths = [width, clips.features["timbre"].shape[1]]
    dead = np.concatenate([means[:, :width], np.zeros((len(means), 20)), means[:, width:]], axis=1)
    emphasis = fit_emphasis(dead, clips.labels, [width + 20, widths[1]])
    assert emphasis[width : width + 20].tolist() == [0.0] * 20
    assert np.delete(emphasis, range(width, width + 20)) == pytest.approx(fit_emphasis(means, clips.labels, widths))
    scale = other.distances.scale
    ratio = np.delete(scale, range(width, width + 20))[:width] / own.distances.scale[:width]
    assert ratio == pytest.approx(ratio[0])
    assert scale[width : width + 20].tolist() == [0.0] * 20
