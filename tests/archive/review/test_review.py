"""Rounds of a review, and what the recognizer learns from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fewshot_audio.archive.index import Index
from fewshot_audio.archive.review.choices import Choice
from fewshot_audio.archive.review.journal import ChoiceJournal
from fewshot_audio.archive.review.review import Candidate, Review
from fewshot_audio.archive.review.teaching import clip_name, lesson
from fewshot_audio.archive.review.window_sound import window_sound
from fewshot_audio.audio.decode import decode
from fewshot_audio.errors import DataError
from fewshot_audio.recognition.recognizer import Recognizer
from tests.archive.conftest import write

CLASS = "chirp"


@pytest.fixture
def review(indexed: Path, bundle: Path) -> Iterator[Review]:
    with ChoiceJournal(None) as journal:
        yield Review(Index(indexed), Recognizer.load(bundle), journal)


def say(review: Review, window: int, answer: str, other: str = "") -> Choice:
    choice = review.choice(window, CLASS, answer, reviewer="me", other=other)
    review.choose([choice])
    return choice


def names(review: Review) -> dict[str, list[str]]:
    sounds = review.recognizer.sounds
    return {name: [clip.name for clip in own.clips] for name, own in sounds.classes.items()} | {
        "": [clip.name for clip in sounds.background]
    }


def test_what_is_taught_is_what_embedding_would_teach(review: Review, archive: Path) -> None:
    before = names(review)
    loud = np.flatnonzero(review.index.rows("timbre", np.arange(len(review.index))).any(axis=1))
    yes, no, other, unsure = loud[[0, 4, 8, 12]].tolist()
    choices = [say(review, yes, "yes"), say(review, no, "no"), say(review, other, "other", "Käuzchen")]
    say(review, unsure, "unsure")
    assert review.teach()
    first, second, third = map(clip_name, choices)
    assert names(review) == {
        **before,
        CLASS: [*before[CLASS], first],
        "Käuzchen": [*before["Käuzchen"], third],
        "": [second],
    }
    # The same window, embedded from its recording.
    sounds = review.recognizer.sounds
    for clip, window in ((sounds.classes[CLASS].clips[-1], yes), (sounds.background[-1], no)):
        embedded = review.recognizer.embed((window_sound(review.index, window, archive), 16_000))
        np.testing.assert_allclose(clip.rows.mean(axis=0), embedded[0], atol=2e-3)
        assert clip.group == review.index.times(window)[0].file
    assert not review.teach()  # it knows that already
    choices[0] = say(review, yes, "undo")
    say(review, no, "yes")
    assert review.teach()
    assert names(review) == {
        **before,
        CLASS: [*before[CLASS], second],
        "Käuzchen": [*before["Käuzchen"], third],
        "": [],
    }
    review.recognizer.undo()
    assert names(review)[""] == [second]


def test_a_bundle_holds_what_was_taught(review: Review, tmp_path: Path) -> None:
    say(review, 0, "yes")
    review.teach()
    review.recognizer.save(tmp_path / "bundle")
    again = Review(review.index, Recognizer.load(tmp_path / "bundle"), review.journal)
    assert names(again) == names(review)
    assert not again.teach()


def test_a_class_that_lacks_one_and_holds_another(review: Review) -> None:
    """No for one class and yes for another: it is no background. Silent windows and foreign ones teach nothing."""
    silent = int(np.flatnonzero(~review.index.rows("timbre", np.arange(len(review.index))).any(axis=1))[0])
    say(review, 0, "no")
    review.choose(
        [review.choice(0, "rain, heavy", "yes", reviewer="me"), review.choice(silent, CLASS, "yes", reviewer="me")]
    )
    review.choose([Choice("gone.wav", 0, 0.5, CLASS, "yes", "", "me", "2026-01-01T00:00:00+00:00")])
    learned = lesson(review.index, review.journal.choices)
    assert learned.background == ()
    assert [len(clips) for clips in learned.classes.values()] == [0, 1]


@pytest.mark.parametrize("order", ["score", "margin", "search"])
def test_rounds_bring_each_window_once(review: Review, order: str) -> None:
    seen: list[int] = []
    while candidates := review.next_round(CLASS, order, 7):  # type: ignore[arg-type]
        assert all(candidate.window not in seen for candidate in candidates)
        for candidate in candidates:
            seen.append(candidate.window)
            say(review, candidate.window, "unsure")
    loud = review.index.rows("timbre", np.arange(len(review.index))).any(axis=1)
    assert sorted(seen) == np.flatnonzero(loud).tolist()


def is_chirp(candidate: Candidate) -> bool:
    return candidate.file == "B/chirps.flac"


def test_orders_are_what_they_say(review: Review) -> None:
    by_score = review.next_round(CLASS, "score", 8)
    scores = [candidate.score for candidate in by_score]
    assert scores == sorted(scores, reverse=True)
    assert is_chirp(by_score[0])
    by_margin = review.next_round(CLASS, "margin", 8)
    distances = [abs(candidate.score - 0.5) for candidate in by_margin]
    assert distances == sorted(distances)
    assert distances[-1] < abs(scores[0] - 0.5)
    by_search = [candidate.score for candidate in review.next_round(CLASS, "search", 8)]
    assert by_search == sorted(by_search, reverse=True)


def test_two_reviewers_get_different_windows(review: Review) -> None:
    first = {candidate.window for candidate in review.next_round(CLASS, "score", 5, "Ana")}
    second = {candidate.window for candidate in review.next_round(CLASS, "score", 5, "Ben")}
    assert len(first) == len(second) == 5
    assert not first & second


def test_refusals(review: Review, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no class 'owl' is enrolled"):
        review.next_round("owl", "score", 5)
    with pytest.raises(DataError, match="there is no window 100000"):
        say(review, 100_000, "yes")
    other = Recognizer.shipped()
    with pytest.raises(DataError, match="another network"):
        Review(review.index, other, review.journal)


def test_the_sound_is_that_of_the_window(review: Review, archive: Path) -> None:
    window = int(review.index.first_windows[[r.file for r in review.index.recordings].index("B/chirps.flac")]) + 3
    whole = decode(archive / "B" / "chirps.flac").samples
    np.testing.assert_allclose(window_sound(review.index, window, archive), whole[12_000:20_000], atol=1e-6)


def test_only_the_file_that_was_indexed_is_played(review: Review, archive: Path, tmp_path: Path) -> None:
    window = int(review.index.first_windows[[r.file for r in review.index.recordings].index("B/chirps.flac")])
    with pytest.raises(DataError, match=r"B/chirps.flac: cannot be read in the archive"):
        window_sound(review.index, window, tmp_path)
    write(tmp_path / "B" / "chirps.flac", np.ones(100_000, np.float32) * 0.5)
    with pytest.raises(DataError, match=r"B/chirps.flac: has changed since it was indexed"):
        window_sound(review.index, window, tmp_path)
    (tmp_path / "B" / "chirps.flac").unlink()
    (tmp_path / "B" / "chirps.flac").symlink_to(archive / "B" / "chirps.flac")
    with pytest.raises(DataError, match="a link that leads outside"):
        window_sound(review.index, window, tmp_path)
