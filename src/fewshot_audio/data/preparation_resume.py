"""Resume a preparation: find the clips that earlier runs prepared, and prepare the others."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from fewshot_audio.data.clip_checksums import is_intact
from fewshot_audio.data.preparation_journal import PreparationJournal, PreparedClip
from fewshot_audio.data.sources.base import SkippedInput
from fewshot_audio.data.workers import PlannedClip, PreparationJob, prepare_clips
from fewshot_audio.progress import Progress

VERIFY_THREADS = 4  # read in parallel, because a network drive may take long for each of many files

SAME_AS_BEFORE = (".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", "")
"""Extensions of what is decoded to the same bits as in version 0.1; synthetic sounds have none."""

Key: TypeAlias = tuple[str, str]  # class and clip


def bring_up_to_date(
    clips: Sequence[PlannedClip],
    journal: PreparationJournal,
    job: PreparationJob,
    workers: int | None,
    cluster: str | None,
    progress: Progress,
) -> tuple[set[Key], list[SkippedInput]]:
    """Prepare the clips that are not up to date in the journal and the folder.

    Clips of classes that are too small are in the journal only; their files are made once the class is large enough.

    Args:
        clips: all clips that the source offers.
        journal: of the dataset folder.
        job: how clips are prepared.
        workers: number of processes, by default one per core.
        cluster: address of a Dask scheduler whose workers do the work instead.
        progress: called as clips are done.

    Returns:
        The clips that an earlier run prepared, and the inputs that were rejected now.
    """
    current = {clip.key for clip in clips if _is_current(clip, journal, job)}
    journal.keep(current, wave_stats=job.waveforms)
    new = [clip for clip in clips if clip.key not in current]
    lost = _lost_clips([clip for clip in clips if clip.key in current], journal, job, progress)
    done, rejected = len(clips) - len(new) - len(lost), list[SkippedInput]()

    def report() -> None:
        progress("preparing", done, len(clips), f"{len(rejected)} skipped" if rejected else "")

    def work(pending: Sequence[PlannedClip]) -> None:
        nonlocal done
        for outcomes in prepare_clips(pending, job, workers, cluster):
            journal.add(outcome for outcome in outcomes if isinstance(outcome, PreparedClip))
            rejected.extend(outcome for outcome in outcomes if isinstance(outcome, SkippedInput))
            done += len(outcomes)
            report()

    report()
    with journal:
        work(new)
        small = job.limits.small_classes(Counter(clip.class_name for clip in journal.clips.values()))
        again = [clip for clip in lost if clip.class_name not in small]
        again_keys = {clip.key for clip in again}
        journal.keep(set(journal.clips) - again_keys, wave_stats=job.waveforms)
        done += len(lost) - len(again)
        report()
        work(again)
    return current - again_keys, rejected


def _is_current(clip: PlannedClip, journal: PreparationJournal, job: PreparationJob) -> bool:
    """Whether an earlier run prepared this very input, and the limits still allow it."""
    prepared = journal.clips.get(clip.key)
    if prepared is None or (prepared.source, prepared.fingerprint) != (clip.recording.source, clip.fingerprint):
        return False
    if prepared.features_crc32 is None and Path(prepared.source).suffix.lower() not in SAME_AS_BEFORE:
        return False  # version 0.1 decoded lossy formats by other libraries, to other bits
    has_stats = prepared.wave_stats is not None or not job.waveforms
    return has_stats and job.limits.allow(prepared.samples, job.preprocessing.recording_rate, prepared.damage)


def _lost_clips(
    clips: Sequence[PlannedClip], journal: PreparationJournal, job: PreparationJob, progress: Progress
) -> list[PlannedClip]:
    """Those of some clips in the journal whose files are missing or damaged."""
    lost = []
    with ThreadPoolExecutor(VERIFY_THREADS) as threads:
        verdicts = threads.map(lambda clip: _is_on_disk(clip, journal, job), clips)
        for done, (clip, is_on_disk) in enumerate(zip(clips, verdicts, strict=True), start=1):
            if not is_on_disk:
                lost.append(clip)
            if done % 256 == 0 or done == len(clips):
                progress("verifying", done, len(clips), f"{len(lost)} damaged" if lost else "")
    return lost


def _is_on_disk(clip: PlannedClip, journal: PreparationJournal, job: PreparationJob) -> bool:
    """Whether the files of a clip in the journal exist and are as they were written."""
    prepared, preprocessing = journal.clips[clip.key], job.preprocessing
    numbers = prepared.segments * preprocessing.n_mels * preprocessing.frames
    if not _is_as_written(clip.path(job.folder.features), numbers, prepared.features_crc32):
        return False
    waveform, numbers = clip.path(job.folder.waveforms), prepared.segments * preprocessing.segment_samples
    return not job.waveforms or _is_as_written(waveform, numbers, prepared.waveforms_crc32)


def _is_as_written(path: Path, numbers: int, checksum: int | None) -> bool:
    if checksum is not None:
        return is_intact(path, checksum)
    try:
        return path.stat().st_size >= 4 * numbers  # version 0.1 recorded no checksums
    except OSError:
        return False
