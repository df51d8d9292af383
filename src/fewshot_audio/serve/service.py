"""The recognizer behind the server: what clients ask it. Used by one thread at a time."""

from typing import IO

from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.recognition.clips import LoadedClip
from fewshot_audio.serve import schemas
from fewshot_audio.serve.api_errors import ApiError
from fewshot_audio.serve.bundle_archive import pack_bundle
from fewshot_audio.serve.changing import LOOK_AGAIN, ChangingService
from fewshot_audio.serve.checkup import checkup
from fewshot_audio.serve.clip_picture import clip_picture
from fewshot_audio.serve.state import clip_map


class RecognizerService(ChangingService):
    """A recognizer that clients change and ask. What another program changes in its folder is taken over first.

    Args:
        backend: the recognizer.
        limits: bounds on what clients may enroll.
        folder: bundle folder into which every change is saved; None keeps changes in memory.
    """

    def state(self) -> schemas.State:
        """The enrolled classes, unsaved changes, and the limits that clients can check."""
        self._take_over()
        return self._state()

    def classify(self, clip: LoadedClip) -> schemas.ClassifyReply:
        """Answer for one clip, with its picture and its point on the map. Raises Conflict if no class is enrolled."""
        self._take_over()
        self._check_preprocessing()
        if not self.backend.classes:
            raise self._conflict("No class is enrolled yet. Enroll one first.")
        if not self._has_answers():
            raise self._conflict("Every class is ignored: nothing can be an answer.")
        answer, embedding = self.backend.classify_with_embeddings([clip])[0]
        ranking = sorted(answer.probabilities.items(), key=lambda entry: -entry[1])
        components, _ = self._current_map()
        x, y = components.project(embedding)
        return schemas.ClassifyReply(
            label=answer.label if answer.label in answer.probabilities else None,
            best=answer.best,
            probabilities=[schemas.Probability(name=name, probability=value) for name, value in ranking],
            unknown_score=answer.unknown_score,
            unknown_threshold=self.backend.unknown_threshold,
            background=answer.background,
            seconds=clip.seconds,
            segments=answer.segments,
            damage=clip.damage,
            picture=clip_picture(clip.segments, self.backend.preprocessing),
            point=schemas.Point(x=x, y=y),
            revision=self._revisions.latest,
        )

    def embedding_map(self) -> schemas.EmbeddingMap:
        """The enrolled clips on their first two principal axes."""
        self._take_over()
        if not self.backend.classes:
            return schemas.EmbeddingMap(points=[], explained=[0, 0], revision=self._revisions.latest)
        return self._current_map()[1]

    def diagnosis(self) -> schemas.Findings:
        """What the leave-one-out diagnosis says about the enrolled clips."""
        self._take_over()
        if self._findings is None:
            none = schemas.Findings(findings=[], next=None)
            self._findings = checkup(self.backend.diagnose()) if self._has_answers() else none
        return self._findings

    def keep_audio(self, keep: bool, revision: int | None = None) -> schemas.State:
        """Keep the sound of clips that are enrolled from now on; or none, and remove what is kept.

        Raises:
            Conflict: something has changed since that revision, or another program has changed the bundle.
        """
        self._refuse_if_taken_over()
        if revision is not None and revision != self._revisions.latest:
            raise self._conflict(f"Something has changed since you saw it, {LOOK_AGAIN}")
        if keep is self.backend.keeps_audio:
            return self._state()
        self.backend.keep_audio(keep)
        return self._on_change("the sound of clips kept from then on" if keep else "the sound of clips no longer kept")

    def clip_audio(self, name: str, clip: str) -> bytes:
        """The sound of a clip as FLAC. Raises ApiError if there is no such clip, or its sound is not kept."""
        self._take_over()
        self._check_clip_is_there(name, clip)
        content = self.backend.clip_audio(name, clip)
        if content is None:
            raise ApiError(404, f"The sound of “{clip}” is not kept, or its file is gone.")
        return content

    def bundle(self, with_audio: bool = False) -> tuple[IO[bytes], int]:
        """The bundle as a zip archive, and its size; see ``pack_bundle``.

        Raises:
            HTTPException: the folder for temporary files has no space for it.
        """
        self._take_over()
        return pack_bundle(self.backend, with_audio=with_audio)

    def close(self) -> None:
        """Try once more to save what could not be saved."""
        self.folder.save_rest()

    def _current_map(self) -> tuple[PrincipalComponents, schemas.EmbeddingMap]:
        if self._map is None:
            self._map = clip_map(self.backend, self._revisions.latest)
        return self._map
