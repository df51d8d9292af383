"""The scikit-learn classifier in scikit-learn's own tools, against the recognizer that it wraps."""

import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline

from fewshot_audio import FewShotClassifier, Recognizer
from fewshot_audio.errors import ConfigError, DataError
from tests.recognition.sounds import RATE, sound

PITCHES = (0, 4, 8)
SOUNDS = [sound(pitch, take) for take in range(4) for pitch in PITCHES]
LABELS = [f"pitch {pitch}" for _ in range(4) for pitch in PITCHES]
ASKED = [sound(pitch, 9) for pitch in PITCHES]


@pytest.fixture(scope="module")
def fitted(bundle: Path) -> FewShotClassifier:
    return FewShotClassifier(bundle, rate=RATE).fit(SOUNDS, LABELS)


def test_it_answers_as_the_recognizer_with_these_clips(fitted: FewShotClassifier, bundle: Path) -> None:
    recognizer = Recognizer.load(bundle)
    for name in recognizer.classes:
        recognizer.remove(name)
    for pitch in PITCHES:
        own = [clip for clip, label in zip(SOUNDS, LABELS, strict=True) if label == f"pitch {pitch}"]
        recognizer.enroll(f"pitch {pitch}", own, rate=RATE)
    recognizer.choose_head()
    assert fitted.classes_.tolist() == recognizer.classes == ["pitch 0", "pitch 4", "pitch 8"]
    np.testing.assert_array_equal(fitted.predict_proba(ASKED), recognizer.predict_proba(ASKED, rate=RATE))
    assert fitted.predict(ASKED).tolist() == [answer.best for answer in recognizer.classify(ASKED, rate=RATE)]
    assert fitted.score(ASKED, [f"pitch {pitch}" for pitch in PITCHES]) == 1.0


@pytest.mark.parametrize("kind", ["pairs", "paths", "matrix", "objects"])
def test_recordings_come_as_paths_pairs_or_arrays(
    kind: str, fitted: FewShotClassifier, bundle: Path, recordings: Path
) -> None:
    if kind == "paths":
        paths = [str(recordings / f"class {pitch}" / "0.wav") for pitch in PITCHES]
        assert fitted.predict(paths).tolist() == ["pitch 0", "pitch 4", "pitch 8"]
        return
    pairs = np.empty(3, dtype=object)
    pairs[:] = [(clip, RATE) for clip in ASKED]
    X: Any = {"pairs": list(pairs), "matrix": np.stack(ASKED), "objects": pairs}[kind]
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(ASKED))


def test_scikit_learns_tools_take_it(bundle: Path) -> None:
    assert is_classifier(FewShotClassifier())
    classifier = FewShotClassifier(bundle, rate=RATE)
    folds = StratifiedKFold(2)
    scores = cross_val_score(classifier, SOUNDS, LABELS, cv=folds)
    assert scores.shape == (2,)
    assert scores.mean() > 0.6
    assert cross_val_predict(classifier, SOUNDS, LABELS, cv=folds, method="predict_proba").shape == (12, 3)
    search = GridSearchCV(classifier, {"head": ["prototypes", "timbre"]}, cv=folds).fit(SOUNDS, LABELS)
    assert search.best_estimator_.recognizer_.head == search.best_params_["head"]
    copy = clone(FewShotClassifier(bundle, rate=RATE, head="timbre", unknown=True))
    assert copy.get_params() == {"model": bundle, "rate": RATE, "head": "timbre", "unknown": True, "device": "cpu"}
    assert not hasattr(copy, "classes_")
    assert make_pipeline(clone(classifier)).fit(SOUNDS, LABELS).predict(ASKED).tolist() == LABELS[:3]
    assert "head='timbre'" in repr(copy)


def test_a_pickle_is_its_bundle(fitted: FewShotClassifier) -> None:
    content = pickle.dumps(fitted)
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.predict_proba(ASKED), fitted.predict_proba(ASKED))
    assert again.get_params() == fitted.get_params()
    assert again.recognizer_.head == fitted.recognizer_.head
    named = {text for _, text, _ in pickletools.genops(content) if isinstance(text, str)}
    assert "fewshot_audio.recognition.estimator" in named
    assert not any(text.split(".")[0] in ("torch", "lightning") for text in named)
    assert not hasattr(pickle.loads(pickle.dumps(FewShotClassifier())), "classes_")


def test_classes_may_be_numbers_and_come_later(bundle: Path) -> None:
    classifier = FewShotClassifier(bundle, rate=RATE)
    classifier.partial_fit(SOUNDS[:2], [30, 4], classes=[4, 30, 8])
    assert classifier.classes_.tolist() == [4, 8, 30]
    probabilities = classifier.predict_proba(ASKED)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (probabilities[:, 1] == 0).all()
    classifier.partial_fit([SOUNDS[2]], [8]).partial_fit([sound(11, 0)], [100])
    assert classifier.classes_.tolist() == [4, 8, 30, 100]
    assert classifier.predict(ASKED).tolist() == [30, 4, 8]
    assert classifier.predict(ASKED).dtype.kind == "i"
    assert classifier.fit(SOUNDS[:2], [1, 2]).classes_.tolist() == [1, 2]


def test_unknown_is_an_answer_if_asked_for(bundle: Path) -> None:
    noise = np.random.default_rng(0).normal(size=len(ASKED[0])).astype(np.float32)
    far = [*ASKED, 0.1 * noise]
    plain = FewShotClassifier(bundle, rate=RATE, head="prototypes").fit(SOUNDS, LABELS)
    marks = [answer.label == "unknown" for answer in plain.recognizer_.classify(far, rate=RATE)]
    assert "unknown" not in plain.predict(far)
    open_set = clone(plain).set_params(unknown=True).fit(SOUNDS, LABELS)
    assert (open_set.predict(far) == "unknown").tolist() == marks
    assert any(marks)
    numbers = clone(open_set).fit(SOUNDS, [int(label[6:]) for label in LABELS]).predict(far)
    assert (numbers == "unknown").tolist() == marks
    assert [label for label in numbers.tolist() if label != "unknown"] == [
        pitch for pitch, mark in zip(PITCHES, marks, strict=False) if not mark
    ]


def test_mistakes_are_said(bundle: Path, fitted: FewShotClassifier, tmp_path: Path) -> None:
    classifier = FewShotClassifier(bundle, rate=RATE)
    with pytest.raises(NotFittedError):
        classifier.predict(ASKED)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier.fit(SOUNDS, LABELS[:-1])
    with pytest.raises(DataError, match="empty"):
        classifier.fit([], [])
    with pytest.raises(DataError, match=r"\[recording\]"):
        fitted.predict("a.wav")
    with pytest.raises(DataError, match=r"\[recording\]"):
        fitted.predict(ASKED[0])
    with pytest.raises(DataError, match="answer for sounds that are not enrolled"):
        classifier.fit(SOUNDS[:2], ["unknown", "b"])
    with pytest.raises(DataError, match="one name"):
        classifier.fit(SOUNDS[:2], ["\u00e9", "e\u0301"])
    with pytest.raises(DataError, match=r"\(array, rate\)"):
        FewShotClassifier(bundle).fit(SOUNDS, LABELS)
    with pytest.raises(ConfigError, match="head 'svm'"):
        FewShotClassifier(bundle, head="svm").fit(SOUNDS, LABELS)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="neither a shipped recognizer"):
        FewShotClassifier(tmp_path / "nothing").fit(SOUNDS, LABELS)
    with pytest.raises(DataError, match=r"missing\.wav"):
        classifier.partial_fit([SOUNDS[0], "missing.wav"], ["a", "b"])
    assert classifier.classes_.tolist() == classifier.recognizer_.classes == ["a"]
