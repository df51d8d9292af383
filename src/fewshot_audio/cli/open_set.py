"""``fewshot-audio evaluate --open-set``: a run as a recognizer that is given unknown sounds too."""

from pathlib import Path

from fewshot_audio.cli.app import percent, progress_bar, say
from fewshot_audio.cli.train import default_data_root


def evaluate_open_set(
    run_dir: Path,
    data_root: Path | None,
    n_way: int | None,
    n_shot: int | None,
    tasks: int | None,
    dataset: str | None,
    device: str,
    json_file: Path | None,
) -> None:
    """Measure and print accuracy, calibration error, the area under the ROC curve, and the two rates."""
    from fewshot_audio.experiments.run_folder import Run
    from fewshot_audio.files import write_json
    from fewshot_audio.recognition.evaluation import evaluate_recognition
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()
    root = data_root or Path(Run.read(run_dir).experiment.data_root or default_data_root)
    with progress_bar() as progress:
        found = evaluate_recognition(
            run_dir,
            root,
            dataset=dataset,
            enrolled=n_way,
            shot=n_shot,
            tasks=tasks or 200,
            device=device,
            progress=progress,
        )
    if json_file:
        write_json(json_file, found)
    say(
        f"{found['dataset']}: {found['enrolled_classes']} classes enrolled with {found['n_shot']} clips each, "
        f"{found['unknown_classes']} unknown, {found['tasks']} tasks"
    )
    say(f"Accuracy on known clips: {percent(found['accuracy'], found['ci95'])}")
    say(f"Calibration error: {percent(found['ece_before'])} before, {percent(found['ece_after'])} after calibration")
    say(
        f"False alarms (known clips called unknown): {percent(found['false_alarm'])}, "
        f"stated {percent(found['false_alarm_stated'])}"
    )
    if found["auroc"] is not None:
        say(f"Unknown clips found at that threshold: {percent(found['unknown_found'])}, AUROC {found['auroc']:.3f}")
