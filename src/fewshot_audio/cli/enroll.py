"""``fewshot-audio enroll``: make a recognizer from a trained run and your own clips, or change one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.cli.options import DataRoot, Device, LabelColumn, Strict, TableFormatOption, find_data_root
from fewshot_audio.cli.quick_start import load_quickly, prepare_quick_start
from fewshot_audio.errors import DataError, on_one_line
from fewshot_audio.files import check_writable

if TYPE_CHECKING:
    from fewshot_audio.recognition.recognizer import Recognizer

HeadOption = Literal["auto", "both", "embedding", "timbre", "prototypes"]


@app.command()
def enroll(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="A bundle to change, if any, then the files for --add.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="A run folder, whose network is used, or a shipped recognizer's name; default: any_sound."),
    ] = None,
    support: Annotated[Path | None, typer.Option(help="A folder that holds a folder of clips for each class.")] = None,
    annotations: Annotated[
        list[Path] | None, typer.Option(help="A table of events, of which clips are cut out; repeatable.")
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="Folder of the recordings of --annotations; default: that of each table.")
    ] = None,
    table_format: TableFormatOption = None,
    label_column: LabelColumn = None,
    add: Annotated[str | None, typer.Option(help="Enroll the files as this class.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Remove a class.")] = None,
    rename: Annotated[tuple[str, str] | None, typer.Option(help="Give a class another name.")] = None,
    background: Annotated[
        list[Path] | None,
        typer.Option(help="A recording, or a folder of them, of other sounds: known, and never an answer."),
    ] = None,
    clear_background: Annotated[
        bool, typer.Option("--clear-background", help="Forget the background, before any is added.")
    ] = False,
    ignore: Annotated[list[str] | None, typer.Option(help="A class that is never an answer.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="An ignored class that is to be an answer again.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to save the bundle in; default: the bundle to change.")
    ] = None,
    data_root: DataRoot = None,
    false_alarm: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of known clips that may be called unknown.")
    ] = 0.05,
    head: Annotated[
        HeadOption | None,
        typer.Option(help="What tells the classes apart; default: the best on the clips, each left out."),
    ] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(
            help="An encoder of yours (see `encoders`) that decides beside the network; or run:FOLDER, onnx:FILE, "
            "tflite:FILE, or a shipped network such as any_sound. Repeatable. auto: those that the clips choose."
        ),
    ] = None,
    embed_encoder: Annotated[
        bool, typer.Option("--embed-encoder", help="Put the encoders' files into the bundle, whose license you mind.")
    ] = False,
    keep_audio: Annotated[
        bool | None,
        typer.Option(
            "--keep-audio/--no-keep-audio",
            help="Keep the sound of the clips that are enrolled now and later, in the bundle; or none, and remove what "
            "is kept. Default: as it was decided before, at first none.",
        ),
    ] = None,
    strict: Strict = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the recognizer that -o names, if there is one already.")
    ] = False,
    device: Device = "cpu",
) -> None:
    """Enroll sounds: a few clips of each class. Prints a diagnosis of the clips.

    A background of other sounds, and classes that are ignored, save false alarms: what is more like them is unknown.

    A run's network is calibrated on the validation classes of its dataset, if that is found in the data root. The exit
    code is 1 if a recording cannot be used; it is reported, and the others are enrolled.
    """
    from fewshot_audio.audio.recordings import list_recordings
    from fewshot_audio.cli.diagnosis import show_diagnosis
    from fewshot_audio.cli.encoders import AUTO, parse_encoders, show_candidates, use_encoders
    from fewshot_audio.cli.enroll_clips import Report, enroll_clips, load_files
    from fewshot_audio.cli.enroll_events import cut_clips, list_events
    from fewshot_audio.recognition.bundle import is_bundle
    from fewshot_audio.recognition.shipped import shipped_folder
    from fewshot_audio.recognition.support import SupportClips, list_support, other_files
    from fewshot_audio.runtime.allocator import keep_pages

    keep_pages()
    if not annotations and (audio or table_format or label_column):
        raise typer.BadParameter("--audio, --table-format and --label-column belong to --annotations, which is missing")
    files = list(paths or [])
    bundle = files.pop(0) if files and is_bundle(files[0]) else None
    if bundle and model:
        raise typer.BadParameter(f"--model begins a new recognizer, but {bundle} is one: leave out one of the two")
    _check_usage(files, add, has_bundle=bundle is not None, changes=bool(remove or rename))
    encoders = parse_encoders(encoder)
    target = output or bundle
    if target is None:
        raise typer.BadParameter("enroll needs -o FOLDER, where a new recognizer is saved, or a bundle to change")
    reads_again = bundle is not None and target.resolve() == bundle.resolve()
    _check_target(target, replaces=replace or reads_again)
    is_new = not is_bundle(target)
    with progress_bar() as progress:
        is_shipped = model is not None and len(model.parts) == 1 and not model.exists()
        if model is not None and not is_shipped:
            from fewshot_audio.recognition.recognizer import Recognizer

            root = data_root or _default_root(model)
            recognizer = Recognizer.from_run(
                model, device=device, data_root=root, false_alarm=false_alarm, progress=progress
            )
        else:
            recognizer = load_quickly(bundle or shipped_folder(str(model) if is_shipped else None), device)
        if encoders is not None or embed_encoder:
            use_encoders(recognizer, encoders, embed=embed_encoder)
        if keep_audio is not None:
            recognizer.keep_audio(keep_audio)
        for name in remove or ():
            recognizer.remove(name)
        if rename:
            recognizer.rename(*rename)
        listing = list_support(support) if support else SupportClips([], [], [])
        clips: list[tuple[str | None, Path]] = list(listing.clips)
        report = Report(listing.remarks, listing.problems)
        if add:
            added, n_others = list_recordings(files)
            clips += [(add, path) for path in added]
            report.remarks.extend(other_files(n_others))
        events = list_events(annotations or (), audio, table_format, label_column, report)
        to_enroll = [name for name, _ in clips if name] + [event.label for event in events]
        _check_ignored([*(ignore or ()), *(answer or ())], recognizer, to_enroll)
        preprocessing = recognizer.preprocessing
        enroll_clips(recognizer, load_files(clips, preprocessing), len(clips), report, progress, strict=strict)
        enroll_clips(recognizer, cut_clips(events, preprocessing), len(events), report, progress, strict=strict)
        tried = recognizer.encoders
        candidates = recognizer.choose_encoders() if encoders == [AUTO] else []
        if encoders == [AUTO] and not candidates:
            report.remarks.append(
                "--encoder auto: too few clips to choose by; each of two classes or more needs two. The network's own "
                "features are kept, without encoders: enroll anew once there are more clips"
            )
        if clear_background and recognizer.background:
            recognizer.remove_background()
        if background:
            recordings, n_others = list_recordings(background)
            report.remarks.extend(other_files(n_others))
            quiet = load_files([(None, path) for path in recordings], preprocessing)
            enroll_clips(recognizer, quiet, len(recordings), report, progress, strict=strict)
        for names, ignored in ((ignore, True), (answer, False)):
            for name in names or ():
                recognizer.ignore(name, ignored)
        _choose(recognizer, head)
        if head not in (None, "auto", recognizer.head):
            report.remarks.append(
                f"--head {head}: prototypes decide until there are two classes or more of two clips or more each, "
                "all enrolled by this version"
            )
    if not recognizer.classes:
        raise DataError("\n".join([*report.problems, *report.remarks, "no class is enrolled: nothing is saved"]))
    recognizer.snapshot()  # refuses one whose classes are all ignored
    _save(recognizer, target, head, reads_again=reads_again, is_new=is_new)
    if candidates:
        show_candidates(candidates, tried)
    show_diagnosis(recognizer)
    for remark in report.remarks:
        print_line(remark, stderr)
    for problem in report.problems:
        print_line(f"not used: {problem}", stderr)
    print_line(f"Recognizer: {on_one_line(str(target))}")
    prepare_quick_start(target, recognizer)
    if report.problems:
        raise typer.Exit(1)


def _check_usage(files: list[Path], add: str | None, *, has_bundle: bool, changes: bool) -> None:
    """Refuse options that do not belong together.

    Args:
        files: the paths of the command line without the bundle.
        add: the class of ``--add``.
        has_bundle: whether the first path is a bundle.
        changes: whether classes are to be removed or renamed.
    """
    if not has_bundle and files and (changes or add is None):
        advice = "" if changes else "; --support FOLDER enrolls a folder that holds a folder of clips for each class"
        raise DataError(f"{files[0]}: not a bundle (it has no recognizer.json){advice}")
    if not has_bundle and changes:
        raise typer.BadParameter("--remove and --rename need a bundle to change: enroll BUNDLE --remove CLASS")
    if files and add is None:
        raise typer.BadParameter(f"{files[0]}: files need --add CLASS, the class that they are enrolled as")
    if add is not None and not files:
        raise typer.BadParameter(f"--add {add!r} needs files: the clips of that class")


def _check_target(target: Path, *, replaces: bool) -> None:
    """Check before any work that a bundle can be saved; saving has the last word.

    Args:
        target: the folder.
        replaces: whether it may hold a recognizer.
    """
    from fewshot_audio.recognition.bundle import BUNDLE_FILE, OWN_FILE, is_bundle

    check_writable(target / BUNDLE_FILE)
    if is_bundle(target) and not replaces:
        raise DataError(
            f"{target}: there is a recognizer already. --replace replaces it; to add to its classes, "
            f"name it first: enroll {target} ..."
        )
    if target.is_dir() and not is_bundle(target):
        for path in sorted(target.iterdir()):
            if not path.name.startswith(".") and not OWN_FILE.fullmatch(path.name):
                raise DataError(f"{target} exists and is no recognizer (it has {path.name}): it will not be replaced")


def _default_root(run_dir: Path) -> Path | None:
    """The data root that the other commands use for a run; None if it lacks the run's dataset."""
    from fewshot_audio.data.joint import DatasetFolders
    from fewshot_audio.experiments.run_folder import Run

    experiment = Run.read(run_dir).experiment
    root = find_data_root(None, experiment.data_root)
    try:
        DatasetFolders.find(root, experiment.dataset_name)
    except DataError:
        return None
    return root


def _check_ignored(names: Sequence[str], recognizer: "Recognizer", enrolled: Iterable[str]) -> None:
    """Refuse names of ``--ignore`` and ``--answer`` that are no classes, neither of the recognizer nor enrolled now."""
    import unicodedata

    from fewshot_audio.recognition.changes import enrolled_name

    classes = [*recognizer.classes, *(unicodedata.normalize("NFC", name) for name in enrolled)]
    for name in names:
        enrolled_name(classes, name)


def _choose(recognizer: "Recognizer", head: HeadOption | None) -> None:
    """Choose a head by the clips, or fix the one that is asked for, now or before."""
    recognizer.choose_head(None if head == "auto" else head or recognizer.fixed_head)


def _save(recognizer: "Recognizer", target: Path, head: HeadOption | None, *, reads_again: bool, is_new: bool) -> None:
    """Save; if another program has changed the bundle meanwhile, make the changes on its new state."""
    from fewshot_audio.recognition.bundle import BundleChanged

    while True:
        try:
            recognizer.save(target, is_new=is_new)
        except BundleChanged:
            if not reads_again:
                raise
            recognizer.refresh(target)
            _choose(recognizer, head)
            print_line(
                f"{on_one_line(str(target))} was changed by another program meanwhile; "
                "the changes are added to its new state."
            )
        else:
            return
