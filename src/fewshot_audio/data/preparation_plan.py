"""What a preparation will do: every input of a source under unique names, or skipped with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fewshot_audio.audio.rejection import Rejected
from fewshot_audio.data.names import unique_names
from fewshot_audio.data.preparation_journal import PreparedClip
from fewshot_audio.data.sources.base import Recording, SkippedInput, Source
from fewshot_audio.data.workers import PlannedClip
from fewshot_audio.errors import DataError, plural


@dataclass(frozen=True)
class PreparationPlan:
    """The clips to prepare from the inputs of a source, and the inputs that are skipped.

    Attributes:
        inputs: number of inputs, usable or not.
        names: the name on disk of every class that an input belongs to, by its name in the source.
        recordings: inputs of each class, by its name on disk.
        clips: the recordings to prepare.
        skipped: the inputs that are not usable recordings.
    """

    inputs: int
    names: dict[str, str]
    recordings: dict[str, int]
    clips: list[PlannedClip]
    skipped: list[SkippedInput]

    @classmethod
    def of(cls, source: Source) -> "PreparationPlan":
        """List the inputs of a source.

        Raises:
            DataError: there is nothing to prepare, or the source yields something else than inputs.
        """
        inputs = list(source.recordings())
        for item in inputs:
            if not isinstance(item, Recording | SkippedInput):
                raise DataError(f"source {source.name!r} yields {item!r:.100}, expected Recording or SkippedInput")
        classes = sorted({item.class_name for item in inputs if item.class_name})
        names = dict(zip(classes, unique_names([(name, name) for name in classes]), strict=True))
        by_class: dict[str, list[Recording]] = {}
        skipped: list[SkippedInput] = []
        for item in inputs:
            if isinstance(item, Recording):
                by_class.setdefault(item.class_name, []).append(item)
            else:
                skipped.append(replace(item, class_name=names.get(item.class_name, "")))
        clips: list[PlannedClip] = []
        for name, recordings in by_class.items():
            clip_names = unique_names([(recording.clip, recording.source) for recording in recordings])
            for recording, clip in zip(recordings, clip_names, strict=True):
                try:
                    clips.append(PlannedClip(recording, names[name], clip, recording.sound.fingerprint()))
                except Rejected as error:
                    skipped.append(SkippedInput(recording.source, names[name], error.reason, error.detail))
        if not clips:
            if not inputs:
                raise DataError(f"{source.name}: nothing to prepare, the folder of the recordings is empty")
            first = skipped[0]
            raise DataError(
                f"{source.name}: nothing to prepare, {plural(len(inputs), 'input')} skipped "
                f"({describe_reasons(skipped)}); the first is {first.source!r}: {first.detail}"
            )
        by_name = dict(Counter(names[item.class_name] for item in inputs if item.class_name))
        return cls(len(inputs), names, by_name, clips, skipped)

    def count_clips(self, clips: Sequence[PlannedClip] | Sequence[PreparedClip]) -> dict[str, int]:
        """Count the clips of every class, including classes without any."""
        counts = Counter(clip.class_name for clip in clips)
        return {name: counts[name] for name in sorted(self.names.values())}

    @property
    def renamed_classes(self) -> list[str]:
        """A sentence for each class that has another name on disk."""
        return [f"class {old!r} is stored as {new!r}" for old, new in self.names.items() if old != new]


def describe_reasons(skipped: Sequence[SkippedInput]) -> str:
    """List the reasons of skipped inputs for a message: "2 not_audio, 1 no_class"."""
    return ", ".join(f"{count} {reason}" for reason, count in count_reasons(skipped).items())


def count_reasons(skipped: Sequence[SkippedInput]) -> dict[str, int]:
    """Count skipped inputs by reason code."""
    return dict(sorted(Counter(item.reason.value for item in skipped).items()))
