"""What clients see of a recognizer: its classes, unsaved changes and limits, and the map of its clips."""

import numpy as np

from fewshot_audio import __version__
from fewshot_audio.functional.pca import PrincipalComponents
from fewshot_audio.serve import schemas
from fewshot_audio.serve.backend import Backend
from fewshot_audio.serve.limits import ServerLimits
from fewshot_audio.serve.saving import BundleFolder


def recognizer_state(
    backend: Backend, folder: BundleFolder, revision: int, limits: ServerLimits, undoable: str | None
) -> schemas.State:
    """The recognizer as it is now; ``undoable`` is the last change in words."""
    preprocessing = backend.preprocessing
    return schemas.State(
        version=__version__,
        sample_rate=preprocessing.recording_rate,
        segment_seconds=preprocessing.recording_seconds,
        classes=[_class_info(backend, name) for name in backend.classes],
        background=[schemas.BackgroundInfo(name=clip.name, segments=clip.segments) for clip in backend.background],
        revision=revision,
        unsaved=folder.unsaved,
        unknown=backend.unknown_threshold is not None,
        saves=folder.path is not None,
        save_error=folder.error,
        undoable=undoable,
        keeps_sound=backend.keeps_audio,
        sound_bytes=backend.audio_bytes,
        limits=schemas.ClientLimits(
            upload_bytes=limits.upload_bytes,
            recording_bytes=limits.recording_bytes,
            clip_seconds=limits.clip_seconds,
            clips=limits.clips_per_request,
            name_length=limits.name_length,
        ),
    )


def _class_info(backend: Backend, name: str) -> schemas.ClassInfo:
    names = [clip.name for clip in backend.clips(name)]
    return schemas.ClassInfo(
        name=name,
        clips=len(names),
        clip_names=names,
        with_sound=list(backend.clips_with_audio(name)),
        ignored=name in backend.ignored,
    )


def clip_map(backend: Backend, revision: int) -> tuple[PrincipalComponents, schemas.EmbeddingMap]:
    """The principal axes of the enrolled clips' embeddings, and the clips on the first two of them."""
    embeddings = {name: backend.support_embeddings(name) for name in backend.classes}
    components = PrincipalComponents.fit(np.concatenate(list(embeddings.values())))
    points = [
        schemas.MapPoint(name=name, x=x, y=y)
        for name, rows in embeddings.items()
        for x, y in components.project(rows).tolist()
    ]
    return components, schemas.EmbeddingMap(points=points, explained=list(components.explained), revision=revision)
