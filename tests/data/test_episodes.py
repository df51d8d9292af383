"""Episodes are a pure function of (seed, phase, epoch, task), and every clip and segment has its fair chance."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.config import PHASES, Phase
from fewshot_audio.data.clip_index import ClipIndex
from fewshot_audio.data.episodes import Episode, Episodes


def clip_index(classes: list[list[int]]) -> ClipIndex:
    """An index of classes c0, c1, ... whose clips have the given numbers of segments."""
    counts = [count for clips in classes for count in clips]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    bounds = np.cumsum([0, *(len(clips) for clips in classes)])
    by_class = {f"c{c}": np.arange(bounds[c], bounds[c + 1]) for c in range(len(classes))}
    return ClipIndex(offsets, by_class)


def sampler(index: ClipIndex, way: int, shot: int, query: int, seed: int = 0, phase: Phase = "train") -> Episodes:
    return Episodes(index, list(index.by_class), way, shot, query, seed=seed, phase=phase)


def equal(one: Episode, other: Episode) -> bool:
    return all(np.array_equal(values, vars(other)[name]) for name, values in vars(one).items())


def clip_of(index: ClipIndex, segment: int) -> int:
    return next(clip for clip in range(len(index.offsets) - 1) if segment in index.segments(clip))


Case = tuple[ClipIndex, int, int, int]  # way, shot, query
LARGE = clip_index([[1 + (c + i) % 3 for i in range(12)] for c in range(15)])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    way, shot, query = draw(st.integers(2, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    clips = st.lists(st.integers(1, 4), min_size=shot + query, max_size=shot + query + 3)
    return clip_index(draw(st.lists(clips, min_size=way, max_size=way + 3))), way, shot, query


@settings(deadline=None, max_examples=60)
@given(cases(), st.sampled_from(PHASES), st.integers(0, 2**32 - 1), st.integers(0, 500), st.integers(0, 5000))
def test_an_episode_is_well_formed(case: Case, phase: Phase, seed: int, epoch: int, task: int) -> None:
    index, way, shot, query = case
    names = list(index.by_class)
    episode = sampler(index, way, shot, query, seed, phase).episode(epoch, task)

    assert episode.classes.shape == (way,)
    assert episode.support.shape == (way, shot)
    assert episode.query.shape == episode.query_clips.shape == (way, query)
    assert {values.dtype for values in vars(episode).values()} == {np.dtype(np.int64)}
    assert episode.classes.tolist() == sorted(set(episode.classes.tolist()))  # split order, each class once
    for row, c in enumerate(episode.classes):
        clips = [clip_of(index, segment) for segment in (*episode.support[row], *episode.query[row])]
        assert len(set(clips)) == shot + query  # one segment per clip; support and query disjoint by clip
        assert set(clips) <= set(index.by_class[names[c]].tolist())
        assert clips[shot:] == episode.query_clips[row].tolist()


@settings(deadline=None, max_examples=30)
@given(cases(), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 9), min_size=2, max_size=6))
def test_an_episode_does_not_depend_on_those_drawn_before(case: Case, seed: int, tasks: list[int]) -> None:
    drawn = sampler(*case, seed=seed)
    alone = [sampler(*case, seed=seed).episode(3, task) for task in tasks]
    forwards = [drawn.episode(3, task) for task in tasks]
    backwards = [drawn.episode(3, task) for task in reversed(tasks)][::-1]
    assert all(map(equal, alone, forwards))
    assert all(map(equal, alone, backwards))


def test_seed_phase_epoch_and_task_each_change_the_episode() -> None:
    episodes = [
        sampler(LARGE, 5, 2, 3, seed, phase).episode(epoch, task)
        for seed in (0, 1, 2)
        for phase in PHASES
        for epoch in (0, 1, 2)
        for task in (0, 1, 2)
    ]
    alike = [(i, j) for i, one in enumerate(episodes) for j, other in enumerate(episodes[:i]) if equal(one, other)]
    assert alike == []


@pytest.mark.parametrize(("one", "other"), [((0, 0, 1), (0, 1, 0)), ((1, 0, 0), (0, 0, 1)), ((0, 12, 3), (0, 1, 23))])
def test_numbers_that_change_places_give_other_episodes(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    (seed, epoch, task), (seed2, epoch2, task2) = one, other
    assert not equal(
        sampler(LARGE, 5, 2, 3, seed).episode(epoch, task), sampler(LARGE, 5, 2, 3, seed2).episode(epoch2, task2)
    )


def test_numpys_global_generator_neither_matters_nor_changes() -> None:
    np.random.seed(1)  # noqa: NPY002 - the legacy generator is what must not matter
    state = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    one = sampler(LARGE, 5, 2, 3).episode(0, 0)
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert equal(one, sampler(LARGE, 5, 2, 3).episode(0, 0))


TASKS = 3000


@pytest.fixture(scope="module")
def many() -> tuple[ClipIndex, list[Episode]]:
    index = clip_index([[1, 2, 3, 1, 2], [3, 3, 1, 2], [1, 1, 1, 1, 4], [2, 2, 2, 2, 2, 2]])
    drawn = sampler(index, 2, 1, 2)
    return index, [drawn.episode(0, task) for task in range(TASKS)]


def within_chance(count: int, share: float, trials: int) -> bool:
    """Whether a count lies within five standard deviations of its expectation."""
    return abs(count - share * trials) <= 5 * math.sqrt(trials * share * (1 - share))


def test_classes_are_drawn_alike(many: tuple[ClipIndex, list[Episode]]) -> None:
    _, episodes = many
    pairs = Counter(tuple(episode.classes.tolist()) for episode in episodes)
    assert set(pairs) == {pair for pair in permutations(range(4), 2) if pair[0] < pair[1]}
    assert all(within_chance(count, 1 / 6, TASKS) for count in pairs.values())


@pytest.mark.parametrize("part", ["support", "query"])
def test_every_clip_and_segment_is_drawn_alike(many: tuple[ClipIndex, list[Episode]], part: str) -> None:
    index, episodes = many
    names = list(index.by_class)
    segments: Counter[int] = Counter()
    turns: Counter[int] = Counter()
    for episode in episodes:
        for row, c in enumerate(episode.classes.tolist()):
            turns[c] += 1
            segments.update(vars(episode)[part][row].tolist())
    for c, name in enumerate(names):
        clips = index.by_class[name].tolist()
        for clip in clips:
            share = (1 if part == "support" else 2) / len(clips)
            assert within_chance(sum(segments[s] for s in index.segments(clip)), share, turns[c])
            for segment in index.segments(clip):
                assert within_chance(segments[segment], share / len(index.segments(clip)), turns[c])


def test_every_order_of_clips_is_drawn_alike() -> None:
    index = clip_index([[1, 1, 1], [1, 1, 1]])
    drawn = sampler(index, 2, 1, 2)
    orders: Counter[tuple[int, ...]] = Counter()
    for task in range(TASKS):
        episode = drawn.episode(0, task)
        orders[(*episode.support[0].tolist(), *episode.query[0].tolist())] += 1
    assert set(orders) == set(permutations(range(3)))
    assert all(within_chance(count, 1 / 6, TASKS) for count in orders.values())


def test_classes_follow_the_split_not_the_alphabet() -> None:
    index = clip_index([[1] * 4, [1] * 4, [1] * 4])
    split = ["c2", "c0", "c1"]
    drawn = Episodes(index, split, 3, 2, 2, seed=0, phase="test").episode(0, 0)
    assert drawn.classes.tolist() == [0, 1, 2]
    for row, name in enumerate(split):
        assert set(drawn.support[row].tolist()) | set(drawn.query[row].tolist()) == set(index.by_class[name].tolist())
