"""From a source of recordings to a dataset folder: parallel, resumable, every input accounted for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.data.clip_tables import write_clips, write_skipped
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.names import safe_name
from fewshot_audio.data.norm import Moments, write_norm
from fewshot_audio.data.part_counts import PartCounts, count_parts
from fewshot_audio.data.preparation_folder import LOCK, clear, explained_errors, prune
from fewshot_audio.data.preparation_journal import PreparationJournal
from fewshot_audio.data.preparation_plan import PreparationPlan, count_reasons, describe_reasons
from fewshot_audio.data.preparation_resume import bring_up_to_date
from fewshot_audio.data.source_limits import SourceLimits
from fewshot_audio.data.sources.base import SkippedInput, Source
from fewshot_audio.data.splits import Splits, choose_splits, read_splits, write_splits
from fewshot_audio.data.workers import PreparationJob
from fewshot_audio.errors import DataError, plural
from fewshot_audio.files import locked, write_text
from fewshot_audio.progress import Progress, silent

FORMAT = 3  # raise it whenever the same recording gives other bits


@dataclass(frozen=True)
class PrepareReport:
    """The outcome of a preparation; every input counts: ``inputs == prepared + sum(skipped.values())``.

    Attributes:
        folder: the dataset folder.
        inputs: number of inputs of the source.
        prepared: number of prepared clips.
        reused: of these, the clips that an earlier run had prepared.
        removed: clips of an earlier run that are no longer prepared.
        skipped: number of skipped inputs by reason code.
        clips: prepared clips of every class of the source.
        splits: the splits that were written.
        parts: counts before and after small classes are left out; empty if the source keeps them.
        notes: sentences for the user about classes that were left out, are small, or were renamed.
        mean: mean of the features of the training classes.
        std: their standard deviation.
    """

    folder: DatasetFolder
    inputs: int
    prepared: int
    reused: int
    removed: int
    skipped: Mapping[str, int]
    clips: Mapping[str, int]
    splits: Splits
    parts: tuple[PartCounts, ...]
    notes: tuple[str, ...]
    mean: float
    std: float


def prepare(
    source: Source,
    folder: DatasetFolder,
    preprocessing: Preprocessing,
    *,
    limits: SourceLimits = SourceLimits(),
    splits_file: Path | None = None,
    seed: int = 0,
    way: int = 5,
    waveforms: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Progress = silent,
) -> PrepareReport:
    """Prepare every recording of ``source`` into ``folder``, or account for it in ``skipped.csv``.

    Clips that an earlier run prepared from the same input with the same preprocessing are kept; clips that the source
    no longer has are removed. The files do not depend on the number of workers, or on interruptions of the work.

    Args:
        source: the recordings.
        folder: the dataset folder to write.
        preprocessing: how features are made.
        limits: clips and classes outside of them are left out; the next run tries them again.
        splits_file: a ``splits.npy`` to use, reduced to the usable classes; by default splits are made.
        seed: of the splits that are made.
        way: the least number of classes in each of them.
        waveforms: whether to keep the waveforms of the segments, and to measure the spectral statistics that waveform
            augmentation adapts to.
        workers: number of processes, by default one per core.
        cluster: address of a Dask scheduler whose workers do the work instead; they must see the same folders.
        progress: called as clips are done.

    Raises:
        DataError: there is nothing to prepare, nothing could be prepared, too few classes are left for a split,
            another process prepares ``folder``, it holds features made by other tools, or it cannot be written.
    """
    template = read_splits(splits_file).map(safe_name) if splits_file else None
    plan = PreparationPlan.of(source)
    least = limits.least_clips
    try:  # if the splits cannot be made, fail before the work
        choose_splits(plan.count_clips(plan.clips), template, seed, way, least)
    except DataError as error:
        if plan.skipped and not folder.features.is_dir():
            write_skipped(folder, plan.skipped)
        raise _with_skipped(error, plan.skipped, folder) from error
    in_use = DataError(f"{folder.path} is being prepared by another process")
    with locked(folder.path / LOCK, in_use), explained_errors(folder):
        journal = PreparationJournal(folder, {"format": FORMAT, "source": source.name, **preprocessing.model_dump()})
        if journal.fresh:
            clear(folder)
        write_text(folder.preprocessing, preprocessing.to_json())
        job = PreparationJob(folder, preprocessing, waveforms, limits)
        earlier, rejected = bring_up_to_date(plan.clips, journal, job, workers, cluster, progress)
        usable = plan.count_clips(list(journal.clips.values()))
        small = limits.small_classes(usable)
        excluded = [clip for clip in journal.clips.values() if clip.class_name in small]
        clips = sorted((clip for clip in journal.clips.values() if clip.class_name not in small), key=lambda c: c.key)
        keys = {clip.key for clip in clips}
        excluded_now = sum(clip.key not in earlier for clip in excluded)  # prepared by this run, and pruned again
        removed = prune(folder, keys, waveforms=waveforms) - excluded_now
        journal.compact()

        skipped = [*plan.skipped, *rejected]
        skipped += [SkippedInput(c.source, c.class_name, Reason.SMALL_CLASS, small[c.class_name]) for c in excluded]
        groups = {clip.key: clip.recording.group for clip in plan.clips}
        write_clips(folder, clips, groups, preprocessing.recording_rate)
        partly = Reason.PARTLY_DAMAGED
        damaged = [SkippedInput(c.source, c.class_name, partly, c.damage) for c in clips if c.damage]
        write_skipped(folder, sorted(skipped + damaged, key=lambda item: (item.source, item.class_name)))
        if not clips:
            raise DataError(f"none of the {plan.inputs} inputs could be prepared: see {folder.skipped}")
        try:
            splits, notes = choose_splits(usable, template, seed, way, least)
        except DataError as error:
            raise _with_skipped(error, skipped, folder) from error
        training_classes = set(splits.train)
        training_clips = [clip for clip in clips if clip.class_name in training_classes]
        moments = Moments.total(clip.moments for clip in training_clips)
        write_norm(folder.norm_stats, moments.mean, moments.std)
        if waveforms:
            write_wave_stats(folder.wave_stats, WaveStats.mean(c.wave_stats for c in training_clips if c.wave_stats))
        else:
            folder.wave_stats.unlink(missing_ok=True)
        write_splits(folder.splits, splits)
    return PrepareReport(
        folder,
        inputs=plan.inputs,
        prepared=len(clips),
        reused=len(keys & earlier),
        removed=removed,
        skipped=count_reasons(skipped),
        clips=plan.count_clips(clips),
        splits=splits,
        parts=count_parts(plan.recordings, usable, template or splits, least),
        notes=(*notes, *plan.renamed_classes, *_damage_note(damaged, folder)),
        mean=moments.mean,
        std=moments.std,
    )


def _with_skipped(error: DataError, skipped: Sequence[SkippedInput], folder: DatasetFolder) -> DataError:
    """The error that classes are too few, with the skipped inputs, which may be why."""
    if not skipped:
        return error
    listed = f", see {folder.skipped}" if folder.skipped.is_file() else ""
    return DataError(f"{error}; {plural(len(skipped), 'input')} skipped ({describe_reasons(skipped)}){listed}")


def _damage_note(damaged: Sequence[SkippedInput], folder: DatasetFolder) -> list[str]:
    if not damaged:
        return []
    are = "recording is" if len(damaged) == 1 else "recordings are"
    return [f"{len(damaged)} {are} damaged and prepared as far as they go, see {folder.skipped}"]
