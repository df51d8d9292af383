"""Asking a recognizer: embeddings, answers, and what it says about its enrolled clips."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.recognition.answer import answer
from fewshot_audio.recognition.answers import Answers
from fewshot_audio.recognition.clips import Clips, LoadedClip
from fewshot_audio.recognition.diagnosis import Diagnosis, diagnose
from fewshot_audio.recognition.encoders import Encoded
from fewshot_audio.recognition.enrolled import Classification, Enrolled
from fewshot_audio.recognition.facts import RecognizerFacts
from fewshot_audio.recognition.scoring import Floats, Rows, clip_means


class AnsweringRecognizer(RecognizerFacts):
    """The part of a ``Recognizer`` that answers. ``rate`` is that of arrays that come without their own, Hz."""

    def embed(self, clips: Clips, *, rate: float | None = None) -> NDArray[np.float32]:
        """Embed clips: (n, width), the mean over each clip's segments and rows."""
        return clip_means([rows for _, rows in self.embedder.embed_clips(clips, rate)])

    def classify(self, clips: Clips, *, rate: float | None = None) -> Answers:
        """Answer for each clip: label, probabilities of the enrolled classes, and unknown score.

        A clip that is more like the background, or like classes that are ignored, than like the best other class is
        "unknown".
        """
        answers = [(clip.name, answer) for clip, answer, _ in self._answers(clips, rate)]
        return Answers([answer for _, answer in answers], [name for name, _ in answers])

    def classify_with_embeddings(
        self, clips: Clips, *, rate: float | None = None
    ) -> list[tuple[Classification, NDArray[np.float32]]]:
        """Answer for each clip as ``classify`` does, with its embedding (width,) as ``embed`` gives it."""
        return [(answer, clip_means([rows])[0]) for _, answer, rows in self._answers(clips, rate)]

    def _answers(self, clips: Clips, rate: float | None) -> Iterator[tuple[LoadedClip, Classification, Rows]]:
        enrolled = self.snapshot()
        for clip, rows in self.embedder.embed_clips(clips, rate):
            # It takes longer than embedding.
            timbre = clip.timbre(self.preprocessing) if enrolled.needs_timbre else None
            encoded = clip.encoded(self.encoders, self.preprocessing, enrolled.encoders)
            yield clip, self.judge(enrolled, rows, len(clip.segments), timbre, encoded), rows

    def predict(self, clips: Clips, *, rate: float | None = None) -> list[str]:
        """Answer for each clip: the name of an enrolled class, or "unknown"."""
        return [answer.label for answer in self.classify(clips, rate=rate)]

    def predict_proba(self, clips: Clips, *, rate: float | None = None) -> Floats:
        """Probabilities (n, n_classes) of the enrolled classes, in the order of ``classes``; rows sum to 1."""
        return np.array([list(answer.probabilities.values()) for answer in self.classify(clips, rate=rate)])

    def diagnose(self) -> Diagnosis:
        """Classify each enrolled clip by the others: accuracy, outliers, collisions, silence, duplicates."""
        return diagnose(self.snapshot(), self.calibration, self.judge, self._decision_state.choice)

    def judge(
        self,
        enrolled: Enrolled,
        rows: Rows,
        segments: int,
        timbre: NDArray[np.float32] | None = None,
        encoded: Encoded | None = None,
    ) -> Classification:
        """Answer, by a ``snapshot``, for a clip that is embedded as rows (segments x rows, width).

        Its timbre, and its rows by frozen encoders, are needed if they count in the decision.
        """
        return answer(enrolled, rows, segments, timbre, self.embedder, self.calibration, encoded)
