"""``fewshot-audio evaluate --open-set``: test a run as a recognizer, with unknown sounds too."""

from pathlib import Path

from fewshot_audio.cli.console import accuracy_with_interval, percent, print_line, progress_bar
from fewshot_audio.errors import plural


def print_open_set(
    run_dir: Path,
    data_root: Path,
    n_way: int | None,
    n_shot: int | None,
    tasks: int | None,
    dataset: str | None,
    device: str,
    json_file: Path | None,
) -> None:
    """Print accuracy, calibration error, area under the ROC curve, and how many clips are called unknown."""
    from fewshot_audio.files import write_json
    from fewshot_audio.recognition.evaluate_open_set import evaluate_open_set
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()
    with progress_bar() as progress:
        result = evaluate_open_set(
            run_dir,
            data_root,
            dataset=dataset,
            enrolled=n_way,
            shot=n_shot,
            tasks=tasks or 200,
            device=device,
            progress=progress,
        )
    if json_file:
        write_json(json_file, result)
    print_line(
        f"{result['dataset']}: {result['enrolled_classes']} classes enrolled with {plural(result['n_shot'], 'clip')} "
        f"each, {result['unknown_classes']} unknown, {plural(result['tasks'], 'task')}"
    )
    print_line(
        f"Accuracy on known clips: {accuracy_with_interval(result['accuracy'], result['ci95'], result['tasks'])}"
    )
    print_line(
        f"Calibration error: {percent(result['ece_before'])} before, {percent(result['ece_after'])} after calibration"
    )
    print_line(
        f"False alarms (known clips called unknown): {percent(result['false_alarm'])}, "
        f"stated {percent(result['false_alarm_stated'])}"
    )
    if result["auroc"] is not None:
        print_line(
            f"Unknown clips found at that threshold: {percent(result['unknown_found'])}, AUROC {result['auroc']:.3f}"
        )
