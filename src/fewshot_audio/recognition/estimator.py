"""A recognizer as a scikit-learn classifier."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fewshot_audio.errors import ConfigError, DataError
from fewshot_audio.recognition.answers import Answers
from fewshot_audio.recognition.bundle.write import save_bundle
from fewshot_audio.recognition.decision.choose import HEADS, Head
from fewshot_audio.recognition.enrolled import UNKNOWN, checked_name
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.recognition.scoring import Floats

_BUNDLE = "_bundle"  # where pickles keep it


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Enrolls sounds and recognizes them, as scikit-learn's classifiers do.

    ``cross_val_score``, ``GridSearchCV`` and ``clone`` work.
    X is a sequence of recordings: paths, pairs (array, rate), or with ``rate`` arrays; or an array whose rows are
    recordings. y has their classes, strings or numbers. The network is frozen: fitting embeds the clips and chooses how
    they are told apart. A pickle holds the bundle's files, not torch objects.

    Args:
        model: whose network is used: None for the shipped one, its name, a bundle's folder, or "hf:OWNER/NAME@REVISION"
            (``Recognizer.from_pretrained``). Classes enrolled in it do not count.
        rate: of arrays that come without their own, Hz.
        head: what tells the classes apart, as ``enroll --head`` has it; "auto" chooses by the clips.
        unknown: whether ``predict`` answers "unknown" for sounds that are far from every class; if not, it always
            answers a class. ``predict_proba`` and ``score`` without unknown sounds do not depend on it.
        device: "cpu", "cuda" or "auto".

    Attributes:
        classes_: the classes, sorted.
        recognizer_: the ``Recognizer``, in which classes have their names as text.

    Example:
        >>> random = np.random.default_rng(0)
        >>> time = np.arange(16_000) / 16_000
        >>> tones = [np.sin(time * pitch * 6.28) + 0.1 * random.normal(size=16_000) for pitch in 3 * [300, 2000]]
        >>> classifier = FewShotClassifier(rate=16_000).fit(tones[:4], ["low", "high", "low", "high"])
        >>> classifier.predict(tones[4:]).tolist()
        ['low', 'high']
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        rate: float | None = None,
        head: Head | Literal["auto"] = "auto",
        unknown: bool = False,
        device: str = "cpu",
    ) -> None:
        self.model = model
        self.rate = rate
        self.head = head
        self.unknown = unknown
        self.device = device

    def fit(self, X: Any, y: Any) -> Self:
        """Enroll recordings; what was fitted before is forgotten.

        Raises:
            DataError: a recording cannot be used, or a class cannot be called so, such as "unknown"; there are none.
            ConfigError: there is no such head.
        """
        self._start()
        return self._enroll(X, y, [])

    def partial_fit(self, X: Any, y: Any, classes: Sequence[Any] | None = None) -> Self:
        """Enroll further recordings, of classes that there are or of new ones.

        Args:
            X: recordings.
            y: their classes.
            classes: further classes that ``predict_proba`` is to have columns of, 0 until recordings come.

        Raises:
            DataError: as ``fit``; what was enrolled before the fault stays so.
            ConfigError: as ``fit``.
        """
        if not hasattr(self, "recognizer_"):
            self._start()
        return self._enroll(X, y, [] if classes is None else classes)

    def _start(self) -> None:
        """Take a recognizer without classes."""
        if self.head not in ("auto", *HEADS):
            raise ConfigError(f"head {self.head!r}: expected one of auto, {', '.join(HEADS)}")
        if self.model is None:
            recognizer = Recognizer.shipped(device=self.device)
        else:
            recognizer = Recognizer.from_pretrained(self.model, self.device)
        for name in recognizer.classes:
            recognizer.remove(name)
        if recognizer.background:
            recognizer.remove_background()
        self.recognizer_, self.classes_ = recognizer, np.array([])

    def _enroll(self, X: Any, y: Any, classes: Sequence[Any]) -> Self:
        recordings, labels = _recordings(X), np.asarray(y)
        check_consistent_length(recordings, labels)
        values = [part for part in (self.classes_, labels, np.asarray(classes)) if len(part)]
        if not values:
            raise DataError("X and y are empty: expected recordings and their classes")
        names = [_class_name(label) for label in np.unique(np.concatenate(values))]
        if len(set(names)) < len(names):
            raise DataError(f"y has several classes of one name as text: {', '.join(map(repr, names))}")
        self._add_classes(np.asarray(classes))
        for label in np.unique(labels):
            own = [recordings[index] for index in np.flatnonzero(labels == label)]
            self.recognizer_.enroll(_class_name(label), own, rate=self.rate)
            self._add_classes(np.array([label]))
        self.recognizer_.choose_head(None if self.head == "auto" else self.head)
        return self

    def _add_classes(self, labels: NDArray[Any]) -> None:
        self.classes_ = np.unique(np.concatenate([part for part in (self.classes_, labels) if len(part)] or [labels]))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each recording; with ``unknown``, "unknown" for those that are far from all."""
        answers = self._answers(X)
        by_name = {_class_name(label): label for label in self.classes_}
        labels = np.array([by_name[answer.best] for answer in answers], dtype=self.classes_.dtype)
        if not self.unknown:
            return labels
        is_unknown = np.array([answer.label == UNKNOWN for answer in answers], dtype=bool)
        text = self.classes_.dtype.kind == "U"  # numbers beside a text are objects
        answered = labels.astype(np.result_type(labels.dtype, f"U{len(UNKNOWN)}") if text else object)
        answered[is_unknown] = UNKNOWN
        return answered

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (n, classes), in the order of ``classes_``; rows sum to 1."""
        names = [_class_name(label) for label in self.classes_]
        rows = [[answer.probabilities.get(name, 0.0) for name in names] for answer in self._answers(X)]
        return np.array(rows).reshape(-1, len(names))

    def _answers(self, X: Any) -> Answers:
        check_is_fitted(self, "recognizer_")
        return self.recognizer_.classify(_recordings(X), rate=self.rate)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        recognizer = state.pop("recognizer_", None)
        if recognizer is not None:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-pickle-") as temporary:
                folder = Path(temporary, "bundle")
                save_bundle(folder, recognizer.parts())
                state[_BUNDLE] = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in _SUFFIXES}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop(_BUNDLE, None)
        super().__setstate__(state)
        if files is not None:
            with tempfile.TemporaryDirectory(prefix="fewshot-audio-pickle-") as temporary:
                for name, content in files.items():
                    Path(temporary, Path(name).name).write_bytes(content)
                self.recognizer_ = Recognizer.load(temporary, self.device)


_SUFFIXES = (".json", ".onnx", ".safetensors")  # of a bundle's files


def _recordings(X: Any) -> list[Any]:
    """Recordings one by one. Raises DataError for a single one."""
    if isinstance(X, str | Path) or (isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "fiu" and len(X)):
        raise DataError(f"X is {type(X).__name__}: expected a sequence of recordings; for one, write [recording]")
    return list(X)


def _class_name(label: Any) -> str:
    """The name that a class of that label is enrolled by."""
    return checked_name(str(label))
