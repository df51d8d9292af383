"""Doing the trainings of a cross-validation: alone, together with other processes, or with worker processes."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any

import torch

from fewshot_audio.errors import FewShotError, Interrupted
from fewshot_audio.files import locked, write_json, write_text
from fewshot_audio.progress import Progress, prefixed, silent
from fewshot_audio.studies.crossval.compare import compare, markdown
from fewshot_audio.studies.crossval.halving import mean_accuracy, started_rungs
from fewshot_audio.studies.crossval.plan import Candidate, Plan, Rung
from fewshot_audio.studies.crossval.results import Comparison
from fewshot_audio.studies.crossval.training import Training

DECISIONS_FILE, SUMMARY_FILE, TABLE_FILE = "journal.jsonl", "crossval.json", "table.md"
WAIT_SECONDS = 1.0


def cross_validate(plan: Plan, workers: int = 1, progress: Progress = silent) -> Comparison:
    """Do all trainings that are missing.

    Every decision about candidates is appended to ``journal.jsonl``; ``table.md`` and ``crossval.json`` are written
    after every training. Several processes may work on the same folder, on one machine or on machines that share it:
    each takes trainings that no other is working on.

    Args:
        plan: the cross-validation.
        workers: if more than one, start as many processes here, which share the cores.
        progress: called during every training.

    Returns:
        The comparison at the end, which ``crossval.json`` holds.

    Raises:
        Interrupted: Ctrl-C. No finished training is lost, and an unfinished one continues after its last epoch.
        FewShotError: a worker failed.
    """
    if workers == 1:
        _work(plan, progress)
    else:
        _run_workers(plan, workers, progress)
    return summarize(plan)


def summarize(plan: Plan) -> Comparison:
    """Write ``crossval.json`` and ``table.md`` from the finished trainings, and return the former's content."""
    comparison = compare(plan)
    write_json(plan.folder / SUMMARY_FILE, comparison.as_json())
    write_text(plan.folder / TABLE_FILE, markdown(comparison))
    return comparison


def _work(plan: Plan, progress: Progress) -> None:
    former: tuple[Rung, Sequence[Candidate]] | None = None
    for number, (rung, candidates, jobs) in enumerate(started_rungs(plan), start=1):
        if former:
            _record_decision(plan, *former, candidates)
        _finish(plan, jobs, f"rung {number}/{len(plan.rungs)}", progress)
        former = rung, candidates


def _finish(plan: Plan, jobs: Sequence[Training], rung: str, progress: Progress) -> None:
    while missing := [job for job in jobs if not job.file.exists()]:
        idle = True
        for job in missing:
            if job.run(prefixed(progress, f"{rung}: {job.candidate.name}, fold {job.fold + 1}: ")):
                idle = False
                summarize(plan)
        if idle:  # other processes work on all that is left; if they are killed, their locks are released
            progress(f"{rung}: waiting for other processes", len(jobs) - len(missing), len(jobs))
            time.sleep(WAIT_SECONDS)
    for job in jobs:
        job.remove_leftovers()


def _record_decision(plan: Plan, rung: Rung, candidates: Sequence[Candidate], remaining: Sequence[Candidate]) -> None:
    """Append a decision to the file of decisions, unless another process has done so."""
    decision = {
        "rung": str(rung),
        "shot": plan.protocol.shots[0],
        "accuracy": {candidate.name: mean_accuracy(plan, candidate, rung) for candidate in candidates},
        "kept": [candidate.name for candidate in remaining],
        "dropped": [candidate.name for candidate in candidates if candidate not in remaining],
    }
    path = plan.folder / DECISIONS_FILE
    with locked(path.with_suffix(".lock")):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        decisions = [_read_decision(line) for line in lines]
        if decision not in decisions:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            lines.append(json.dumps({"time": now, **decision}, ensure_ascii=False))
            write_text(path, "".join(line + "\n" for line in lines))


def _read_decision(line: str) -> dict[str, Any]:
    """A line of the file of decisions without its time; empty if it is damaged: the decision is then recorded again."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return {key: value for key, value in values.items() if key != "time"} if isinstance(values, dict) else {}


def _run_workers(plan: Plan, workers: int, progress: Progress) -> None:
    """Start workers and wait for them; if one fails, stop the others and raise its error."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [context.Process(target=_worker, args=(plan, threads, sender)) for _, sender in pipes]
    try:
        for process in processes:
            process.start()
        for _, sender in pipes:
            sender.close()  # so that a worker's death is seen as the end of its pipe
        while any(process.is_alive() for process in processes):
            rungs = list(started_rungs(plan))
            rung, _, jobs = rungs[-1]
            done = sum(job.file.exists() for job in jobs)
            progress(f"rung {len(rungs)}/{len(plan.rungs)} ({rung}): trainings", done, len(jobs))
            for process in processes:
                process.join(WAIT_SECONDS / workers)
                if process.exitcode:
                    raise FewShotError(_error_message(pipes[processes.index(process)][0]) or "a worker was killed")
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted") from error
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()  # every write is atomic and every training resumes
                process.join()


def _error_message(receiver: Connection) -> str:
    """What a worker sent before it failed; empty if it was killed."""
    try:
        return str(receiver.recv())
    except EOFError:
        return ""


def _worker(plan: Plan, threads: int, sender: Connection) -> None:
    """The main function of a worker; it also ends if the process that started it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def report(*_: object, **__: object) -> None:
        if parent is None or not parent.is_alive():
            raise Interrupted("the process that started this worker has ended")

    try:
        _work(plan, report)
    except FewShotError as error:
        with suppress(BrokenPipeError):  # the parent has ended
            sender.send(str(error))
        raise SystemExit(1) from error
