"""What earlier runs of a preparation have done, and what is left to do."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from fewshot_audio.data.manifest import Clip, Journal
from fewshot_audio.data.sources.base import Skipped
from fewshot_audio.data.work import Job, Task, prepare_all
from fewshot_audio.progress import Progress

Key: TypeAlias = tuple[str, str]  # class and clip


def bring_up_to_date(
    tasks: Sequence[Task], journal: Journal, job: Job, workers: int | None, cluster: str | None, progress: Progress
) -> tuple[set[Key], list[Skipped]]:
    """Bring journal and folder up to date; returns the clips that an earlier run had done, and what was rejected.

    Clips of classes that are too small are known by the journal alone: their files are made once it is large enough.
    """
    known = {task.key for task in tasks if _is_known(task, journal, job)}
    journal.keep(known, wave_stats=job.waveforms)
    new = [task for task in tasks if task.key not in known]
    lost = [task for task in tasks if task.key in known and not _is_on_disk(task, journal, job)]
    done, rejected = len(tasks) - len(new) - len(lost), list[Skipped]()

    def report() -> None:
        progress("preparing", done, len(tasks), f"{len(rejected)} skipped" if rejected else "")

    def work(pending: Sequence[Task]) -> None:
        nonlocal done
        for outcomes in prepare_all(pending, job, workers, cluster):
            journal.add(outcome for outcome in outcomes if isinstance(outcome, Clip))
            rejected.extend(outcome for outcome in outcomes if isinstance(outcome, Skipped))
            done += len(outcomes)
            report()

    report()
    with journal:
        work(new)
        small = job.limits.small(Counter(clip.class_name for clip in journal.done.values()))
        again = [task for task in lost if task.class_name not in small]
        earlier = known - {task.key for task in again}
        journal.keep(set(journal.done) - (known - earlier), wave_stats=job.waveforms)
        done += len(lost) - len(again)
        report()
        work(again)
    return earlier, rejected


def _is_known(task: Task, journal: Journal, job: Job) -> bool:
    """Whether an earlier run prepared this very input and it is still wanted, if its class is."""
    clip = journal.done.get(task.key)
    if clip is None or (clip.source, clip.fingerprint) != (task.recording.source, task.fingerprint):
        return False
    return job.limits.allow(clip.samples, job.preprocessing.sample_rate) and (
        clip.wave_stats is not None or not job.waveforms
    )


def _is_on_disk(task: Task, journal: Journal, job: Job) -> bool:
    """Whether the files of a known clip are there in full."""
    clip, preprocessing = journal.done[task.key], job.preprocessing
    spectrogram = preprocessing.n_mels * preprocessing.frames
    if not _holds(task.path(job.folder.features), clip.segments * spectrogram):
        return False
    wave = task.path(job.folder.waveforms)
    return not job.waveforms or _holds(wave, clip.segments * preprocessing.segment_samples)


def _holds(path: Path, numbers: int) -> bool:
    try:
        return path.stat().st_size >= 4 * numbers
    except OSError:
        return False
