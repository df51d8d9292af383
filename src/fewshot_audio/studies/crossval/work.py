"""Working through a cross-validation: alone, beside other processes, or with workers of its own."""

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
from filelock import FileLock

from fewshot_audio.engine.train import Interrupted
from fewshot_audio.errors import FewShotError
from fewshot_audio.files import write_json, write_text
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.crossval.compare import compare, markdown
from fewshot_audio.studies.crossval.halving import rank, standing, survivors, trainings
from fewshot_audio.studies.crossval.plan import Candidate, Plan
from fewshot_audio.studies.crossval.training import Training

JOURNAL_FILE, RESULTS_FILE, TABLE_FILE = "journal.jsonl", "crossval.json", "table.md"
WAIT_SECONDS = 1.0


def cross_validate(plan: Plan, workers: int = 1, progress: Progress = silent) -> dict[str, Any]:
    """Do all trainings that are missing and return what ``crossval.json`` holds then.

    Every decision goes into ``journal.jsonl``; ``table.md`` and ``crossval.json`` tell how things stand after every
    training. Several processes may be at the same folder, here or on machines that share it: each does what no other
    is at. With ``workers`` as many processes are started here, which share out the cores. Raises Interrupted on
    Ctrl-C: nothing that was finished is lost, a training under way goes on from its last finished epoch.
    """
    if workers == 1:
        _work(plan, progress)
    else:
        _employ(plan, workers, progress)
    return summarize(plan)


def summarize(plan: Plan) -> dict[str, Any]:
    """Write ``crossval.json`` and ``table.md`` as things stand, and return the former."""
    summary = compare(plan)
    write_json(plan.folder / RESULTS_FILE, summary)
    write_text(plan.folder / TABLE_FILE, markdown(summary))
    return summary


def _work(plan: Plan, progress: Progress) -> None:
    candidates = plan.candidates
    for number, rung in enumerate(plan.rungs):
        _finish(plan, trainings(plan, candidates, rung), f"rung {number + 1}/{len(plan.rungs)}", progress)
        if number + 1 < len(plan.rungs):
            kept = survivors(plan, candidates, rung)
            _record(plan, number, candidates, kept)
            candidates = kept


def _finish(plan: Plan, jobs: Sequence[Training], rung: str, progress: Progress) -> None:
    while missing := [job for job in jobs if not job.file.exists()]:
        worked = False
        for job in missing:
            label = f"{rung}: {job.candidate.name}, fold {job.fold + 1}"

            def report(description: str, done: int, total: int, details: str = "", label: str = label) -> None:
                progress(f"{label}: {description}", done, total, details)

            if job.run(report):
                worked = True
                summarize(plan)
        if not worked:  # others are at all that is left; should they be killed, their locks open
            progress(f"{rung}: waiting for other processes", len(jobs) - len(missing), len(jobs))
            time.sleep(WAIT_SECONDS)


def _record(plan: Plan, number: int, candidates: Sequence[Candidate], kept: Sequence[Candidate]) -> None:
    """Add a decision to the journal, unless a process has done so already."""
    rung = plan.rungs[number]
    decision = {
        "rung": str(rung),
        "shot": plan.protocol.shots[0],
        "accuracy": {candidate.name: rank(plan, candidate, rung) for candidate in candidates},
        "kept": [candidate.name for candidate in kept],
        "dropped": [candidate.name for candidate in candidates if candidate not in kept],
    }
    path = plan.folder / JOURNAL_FILE
    with FileLock(path.with_suffix(".lock")):
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        former = [{key: value for key, value in json.loads(line).items() if key != "time"} for line in lines]
        if decision not in former:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            lines.append(json.dumps({"time": now, **decision}, ensure_ascii=False))
            write_text(path, "".join(line + "\n" for line in lines))


def _employ(plan: Plan, workers: int, progress: Progress) -> None:
    """Start workers and wait for them; where one fails, the others are stopped and its error is raised here."""
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // workers)
    pipes = [context.Pipe(duplex=False) for _ in range(workers)]
    processes = [context.Process(target=_employed, args=(plan, threads, sender)) for _, sender in pipes]
    try:
        for process in processes:
            process.start()
        for _, sender in pipes:
            sender.close()  # so that a worker's death is seen as the end of its pipe
        while any(process.is_alive() for process in processes):
            number, jobs = standing(plan)
            done = sum(job.file.exists() for job in jobs)
            progress(f"rung {number + 1}/{len(plan.rungs)} ({plan.rungs[number]}): trainings", done, len(jobs))
            for process in processes:
                process.join(WAIT_SECONDS / workers)
                if process.exitcode:
                    raise FewShotError(_last_words(pipes[processes.index(process)][0]) or "a worker was killed")
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted") from error
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()  # every write is atomic and every training resumes
                process.join()


def _last_words(receiver: Connection) -> str:
    try:
        return str(receiver.recv())
    except EOFError:
        return ""


def _employed(plan: Plan, threads: int, sender: Connection) -> None:
    """A worker's life: ends with the work, with an error, or with the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the employer's business
    torch.set_num_threads(threads)
    employer = multiprocessing.parent_process()

    def report(*_: object, **__: object) -> None:
        if employer is None or not employer.is_alive():
            raise Interrupted("the process that started this worker has ended")

    try:
        _work(plan, report)
    except FewShotError as error:
        with suppress(BrokenPipeError):  # nobody is left to tell
            sender.send(str(error))
        raise SystemExit(1) from error
