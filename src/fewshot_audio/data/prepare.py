"""From a source of recordings to a dataset folder: parallel, resumable, every input accounted for."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.rejection import Reason, Rejected
from fewshot_audio.audio.wave_stats import WaveStats, write_wave_stats
from fewshot_audio.data.layout import DatasetFolder
from fewshot_audio.data.limits import Limits, PartCounts, count_parts
from fewshot_audio.data.manifest import JOURNAL, Clip, Journal, prune, write_clips, write_skipped
from fewshot_audio.data.names import safe_name, unique_names
from fewshot_audio.data.norm import Moments, write_norm
from fewshot_audio.data.resume import bring_up_to_date
from fewshot_audio.data.sources.base import Recording, Skipped, Source
from fewshot_audio.data.splits import PHASES, Splits, choose_splits, read_splits, write_splits
from fewshot_audio.data.work import Job, Task
from fewshot_audio.errors import DataError
from fewshot_audio.files import write_text
from fewshot_audio.progress import Progress, silent

FORMAT = 3  # to be raised whenever the same recording gives other bits
LOCK = ".prepare.lock"


@dataclass(frozen=True)
class PrepareReport:
    """What became of every input: ``found == prepared + sum(skipped.values())``."""

    folder: DatasetFolder
    found: int
    prepared: int
    reused: int  # of the prepared ones, those that an earlier run had done
    removed: int  # clips of an earlier run that are no longer prepared
    skipped: Mapping[str, int]  # inputs by reason code
    clips: Mapping[str, int]  # prepared clips of every class that was found
    splits: Splits
    parts: tuple[PartCounts, ...]  # before and after small classes were left out, where the source does that
    notes: tuple[str, ...]  # what a person should know (classes dropped, small, renamed), a sentence each
    mean: float
    std: float


def prepare(
    source: Source,
    folder: DatasetFolder,
    preprocessing: Preprocessing,
    *,
    limits: Limits = Limits(),
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
    no longer has are removed. What is written does not depend on ``workers`` (default: one a core), nor on how often
    the work was stopped and started again. ``cluster`` is the address of a Dask scheduler whose workers do the work
    instead; they must see the same folders. Clips and classes outside ``limits`` are left out, and tried again by the
    next run. Splits come from ``splits_file``, reduced to the classes that are there, or are made from ``seed`` with
    at least ``way`` classes each. ``waveforms`` keeps the waveforms of the segments and measures the spectral
    statistics that waveform augmentation adapts to.

    Raises:
        DataError: there is nothing to prepare, nothing could be prepared, too few classes are left for a split,
            another preparation is at work, ``folder`` holds features made by other tools, or it cannot be written.
    """
    wanted = read_splits(splits_file).map(safe_name) if splits_file else None
    inputs = list(source.recordings())
    names = _class_names(inputs)
    tasks, skipped = _plan(inputs, names)
    if not tasks:
        raise DataError(f"{source.name}: nothing to prepare among {len(inputs)} inputs {dict(_reasons(skipped)) or ''}")
    least = limits.least_clips
    choose_splits(_clips(names, tasks), wanted, seed, way, least)  # what cannot succeed fails before the work
    with _exclusive(folder), _writing(folder):
        journal = Journal(folder, {"format": FORMAT, "source": source.name, **preprocessing.model_dump()})
        if journal.fresh:
            _clear(folder)
        write_text(folder.preprocessing, preprocessing.to_json())
        job = Job(folder, preprocessing, waveforms, limits)
        earlier, rejected = bring_up_to_date(tasks, journal, job, workers, cluster, progress)
        usable = _clips(names, list(journal.done.values()))
        small = limits.small(usable)
        dropped = [clip for clip in journal.done.values() if clip.class_name in small]
        clips = sorted((clip for clip in journal.done.values() if clip.class_name not in small), key=lambda c: c.key)
        kept = {clip.key for clip in clips}
        removed = prune(folder, kept, waveforms) - sum(clip.key not in earlier for clip in dropped)
        journal.compact()

        skipped += rejected
        skipped += [Skipped(c.source, c.class_name, Reason.SMALL_CLASS, small[c.class_name]) for c in dropped]
        groups = {task.key: task.recording.group for task in tasks}
        write_clips(folder, clips, groups, preprocessing.sample_rate)
        write_skipped(folder, sorted(skipped, key=lambda item: (item.source, item.class_name)))
        if not clips:
            raise DataError(f"none of the {len(inputs)} inputs could be prepared: see {folder.skipped}")
        splits, notes = choose_splits(usable, wanted, seed, way, least)
        training = set(splits.train)
        trained_on = [clip for clip in clips if clip.class_name in training]
        moments = Moments.total(clip.moments for clip in trained_on)
        write_norm(folder.norm_stats, moments.mean, moments.std)
        if waveforms:
            write_wave_stats(folder.wave_stats, WaveStats.mean(c.wave_stats for c in trained_on if c.wave_stats))
        else:
            folder.wave_stats.unlink(missing_ok=True)
        write_splits(folder.splits, splits)
    return PrepareReport(
        folder,
        found=len(inputs),
        prepared=len(clips),
        reused=len(kept & earlier),
        removed=removed,
        skipped=_reasons(skipped),
        clips=_clips(names, clips),
        splits=splits,
        parts=_parts(inputs, names, usable, wanted or splits, limits),
        notes=(*notes, *_renamed(names)),
        mean=moments.mean,
        std=moments.std,
    )


def _class_names(inputs: Sequence[Recording | Skipped]) -> dict[str, str]:
    """The name on disk of every class that an input belongs to, by its name in the source."""
    classes = sorted({item.class_name for item in inputs if item.class_name})
    return dict(zip(classes, unique_names([(name, name) for name in classes]), strict=True))


def _plan(inputs: Sequence[Recording | Skipped], names: Mapping[str, str]) -> tuple[list[Task], list[Skipped]]:
    """What is to be done, under unique names, and what is not."""
    classes: dict[str, list[Recording]] = {}
    skipped: list[Skipped] = []
    for item in inputs:
        if isinstance(item, Recording):
            classes.setdefault(item.class_name, []).append(item)
        else:
            skipped.append(replace(item, class_name=names.get(item.class_name, "")))
    tasks: list[Task] = []
    for name, recordings in classes.items():
        clips = unique_names([(recording.clip, recording.source) for recording in recordings])
        for recording, clip in zip(recordings, clips, strict=True):
            try:
                tasks.append(Task(recording, names[name], clip, recording.sound.fingerprint()))
            except Rejected as error:
                skipped.append(Skipped(recording.source, names[name], error.reason, error.detail))
    return tasks, skipped


def _clips(names: Mapping[str, str], items: Sequence[Task] | Sequence[Clip]) -> dict[str, int]:
    """Number of clips of every class, also of those that have none."""
    counts = Counter(item.class_name for item in items)
    return {name: counts[name] for name in sorted(names.values())}


def _parts(
    inputs: Sequence[Recording | Skipped],
    names: Mapping[str, str],
    usable: Mapping[str, int],
    splits: Splits,
    limits: Limits,
) -> tuple[PartCounts, ...]:
    """Counts before and after small classes were left out: of all classes, of each split, and of those in none."""
    if not limits.least_clips:
        return ()
    classes = tuple(names.values())
    parts = {"all": classes, **{phase: splits[phase] for phase in PHASES}}
    unused = tuple(name for name in classes if name not in set(splits.classes))
    found = Counter(names[item.class_name] for item in inputs if item.class_name)
    return count_parts({**parts, **({"unused": unused} if unused else {})}, found, usable, limits.least_clips)


def _reasons(skipped: Sequence[Skipped]) -> dict[str, int]:
    return dict(sorted(Counter(item.reason.value for item in skipped).items()))


def _renamed(names: Mapping[str, str]) -> list[str]:
    return [f"class {old!r} is stored as {new!r}" for old, new in names.items() if old != new]


def _clear(folder: DatasetFolder) -> None:
    """Make room for a first preparation, or one that differs in kind: what the earlier one made goes."""
    if not (folder.path / JOURNAL).is_file() and folder.features.is_dir() and any(folder.features.iterdir()):
        raise DataError(f"{folder.features} holds features that this program did not prepare: choose another name")
    for path in (folder.splits, folder.norm_stats, folder.wave_stats, folder.clips, folder.skipped):
        path.unlink(missing_ok=True)
    for tree in (folder.features, folder.waveforms):
        if tree.is_dir():
            shutil.rmtree(tree)


@contextmanager
def _exclusive(folder: DatasetFolder) -> Iterator[None]:
    """One preparation of a folder at a time."""
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.path / LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise DataError(f"{folder.path} is being prepared by another process") from error
    except OSError as error:
        raise DataError(f"{folder.path} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(folder: DatasetFolder) -> Iterator[None]:
    """Say what stopped the work and that nothing is lost."""
    again = "what is done is kept: run the same command again to go on"
    try:
        yield
    except OSError as error:
        raise DataError(f"{error.filename or folder.path}: {error.strerror or error}; {again}") from error
    except BrokenProcessPool as error:
        raise DataError(f"a worker process died (out of memory? try fewer workers); {again}") from error
