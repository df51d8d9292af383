"""``fewshot-audio enroll``: make a recognizer of a trained run and a person's own clips, and change it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app, errors, percent, progress_bar, say, table
from fewshot_audio.errors import ConfigError, DataError

if TYPE_CHECKING:
    from fewshot_audio.progress import Progress
    from fewshot_audio.recognition.recognizer import Recognizer


@app.command()
def enroll(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="A recognizer to change, if any, then the files of --add."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A run's folder, to start from its network; default the shipped recognizer.")
    ] = None,
    support: Annotated[Path | None, typer.Option(help="A folder with a folder of clips for each class.")] = None,
    add: Annotated[str | None, typer.Option(help="Enroll the given files as this class.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Remove a class.")] = None,
    rename: Annotated[tuple[str, str] | None, typer.Option(help="Give a class another name.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to save it; default in place.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the run's dataset folder, to calibrate; default the run's own.")
    ] = None,
    false_alarm: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of known clips that may be called unknown.")
    ] = 0.05,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
) -> None:
    """Enroll sounds: a few clips of each class. Prints what the clips say about themselves."""
    from fewshot_audio.recognition.recognizer import Recognizer
    from fewshot_audio.recognition.shipped import is_bundle
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()
    given = list(paths or [])
    former = given[0] if model is None and given and is_bundle(given[0]) else None
    target = output or former
    if target is None:
        raise ConfigError("enroll needs -o FOLDER, where a new recognizer is saved, or the folder of one to change")
    files = given[1:] if former else given
    if bool(files) != (add is not None):
        raise ConfigError("--add CLASS and files belong together: one was given without the other")
    problems: list[str] = []
    with progress_bar() as progress:
        if model is not None:
            recognizer = Recognizer.from_run(
                model, device=device, data_root=data_root, false_alarm=false_alarm, progress=progress
            )
        else:
            recognizer = Recognizer.load(former, device) if former else Recognizer.pretrained(device=device)
        for name in remove or ():
            recognizer.remove(name)
        if rename:
            recognizer.rename(*rename)
        clips = _support_clips(support, problems) if support else []
        clips += [(add, path) for path in _files(files)] if add else []
        _enroll(recognizer, clips, problems, progress)
    if not recognizer.classes:
        raise DataError("\n".join([*problems, "no class is enrolled: nothing is saved"]))
    recognizer.save(target)
    _show(recognizer)
    for problem in problems:
        say(f"not used: {problem}", errors)
    say(f"Recognizer: {target}")
    if problems:
        raise typer.Exit(1)


def _support_clips(folder: Path, problems: list[str]) -> list[tuple[str, Path]]:
    """Classes and files of a folder of class folders; whatever is not in one of those is a problem."""
    from fewshot_audio.audio.decode import is_audio

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        parts = path.relative_to(folder).parts
        if len(parts) < 2:
            problems.append(f"{path}: lies in no class's folder")
        elif not is_audio(path):
            problems.append(f"{path}: not a sound file, by its extension")
        else:
            clips.append((parts[0], path))
    if not clips:
        raise DataError(f"{folder}: no sound files in folders of classes")
    return clips


def _files(paths: list[Path]) -> list[Path]:
    from fewshot_audio.recognition.scan import list_recordings

    return list_recordings(paths)[0]


def _enroll(recognizer: "Recognizer", clips: list[tuple[str, Path]], problems: list[str], progress: "Progress") -> None:
    for done, (name, path) in enumerate(clips):
        progress("enrolling", done, len(clips), name)
        try:
            recognizer.enroll(name, path)
        except DataError as error:
            problems.append(str(error))


def _show(recognizer: "Recognizer") -> None:
    """Print the diagnosis."""
    found = recognizer.diagnose()
    rows = []
    for name in recognizer.classes:
        clips = recognizer.clips(name)
        own = [clip for clip in found.clips if clip.class_name == name]
        accuracy = found.class_accuracy[name]
        taken = sorted({clip.answer for clip in own if clip.answer not in (None, name)}, key=str)
        rows.append(
            (
                name,
                str(len(clips)),
                str(sum(clip.segments for clip in clips)),
                percent(accuracy) if accuracy is not None else "one clip",
                ", ".join(map(str, taken)),
            )
        )
    overall = percent(found.accuracy) if found.accuracy is not None else "not known (one clip a class)"
    columns = ("class", "clips", "segments", "right, left out", "taken for")
    table(f"{len(rows)} classes; each clip judged with itself left out: {overall}", columns, rows)
    for pair in found.collisions:
        say(f"These collide: {pair.first} and {pair.second} ({pair.confused} of {pair.clips} clips confused)")
    for clip in found.outliers:
        say(f"Far from its class: {clip.class_name}/{clip.clip} ({clip.distance:.2f})")
    for clip in found.silent:
        say(f"Mostly silent: {clip.class_name}/{clip.clip} ({100 * clip.silence:.0f} % of it)")
    for clip in found.duplicates:
        say(f"The same recording: {clip.class_name}/{clip.clip} and {clip.duplicate_of}")
    known = recognizer.calibration
    if known:
        say(
            f'Calibrated on validation classes: "unknown" above a score of {known.threshold:.2f}, which '
            f"{100 * known.false_alarm:g} % of known clips pass there (false alarms) and "
            f"{100 * known.unknown_found:.0f} % of unknown ones; calibration error "
            f"{100 * known.ece_before:.1f} % before, {100 * known.ece_after:.1f} % after."
        )
    else:
        say('Not calibrated (its dataset was not at hand): nothing is called "unknown".')
