"""``fewshot-audio density``: how many windows of an archive hold a sound, by site and day, with intervals."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot_audio.cli.answers import write_answers
from fewshot_audio.cli.app import app
from fewshot_audio.cli.console import print_line, progress_bar, stderr
from fewshot_audio.errors import DataError, on_one_line, plural
from fewshot_audio.files import check_writable


@app.command()
def density(
    index: Annotated[Path, typer.Argument(help="An index: the folder that `index` writes.")],
    sound: Annotated[str, typer.Argument(metavar="BUNDLE:CLASS", help="A bundle, and the class that is counted.")],
    validated: Annotated[
        Path | None, typer.Argument(help="The table of --sample, its column present filled in with yes or no.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Draw this many windows to be listened to, and write them as a table.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0.5, max=0.999, help="Share of intervals that are to hold the true density; default: 0.9."),
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File for the table; default: stdout.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the densities to this file too (png, or svg by its name).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample, and of the draws of intervals.")] = 0,
) -> None:
    """Estimate the share of windows that hold a sound, by site and day, from a sample that a person has listened to.

    First --sample N draws windows of all scores; then the same command with the filled-in table gives densities. It is
    assumed that windows of one score hold the sound equally often at all sites and on all days.
    """
    import numpy as np

    from fewshot_audio.archive import density as estimate
    from fewshot_audio.archive.classify import SILENT, answer_index
    from fewshot_audio.archive.index import Index
    from fewshot_audio.archive.queries import split_class
    from fewshot_audio.cli.quick_start import load_quickly

    own = split_class(sound)
    if own is None:
        raise typer.BadParameter(f"{on_one_line(sound)!r}: expected BUNDLE:CLASS")
    if (sample is None) == (validated is None):
        raise typer.BadParameter("give the table VALIDATED, or --sample N to draw one")
    for option, given in (("--picture", picture), ("--confidence", confidence)):
        if given is not None and sample is not None:
            raise typer.BadParameter(f"{option} concerns densities: give it with the table VALIDATED")
    for path in filter(None, (output, picture)):
        check_writable(path)
    opened, recognizer = Index(index), load_quickly(own[0], "cpu")
    if own[1] not in recognizer.classes:
        raise DataError(f"no class {on_one_line(own[1])!r} is enrolled in {own[0]}")
    if len(recognizer.classes) < 2:
        raise DataError(f"{own[0]}: only one class is enrolled, whose probability is 1 for every window")
    with progress_bar() as progress:
        answers = answer_index(opened, recognizer, progress=progress)
    scores = answers.probabilities[:, answers.classes.index(own[1])].astype(np.float64)
    scores[answers.labels == SILENT] = np.nan
    if validated is None:
        assert sample is not None
        windows = estimate.sample_windows(scores, sample, seed)
        write_answers(estimate.sample_table(opened, scores, windows), output)
        print_line(f"{plural(len(windows), 'window')} to listen to: write yes or no into the column present", stderr)
        return
    numbers, present = estimate.read_validated(opened, validated)
    if guessed := estimate.without_validated(scores, numbers):
        what = f"{plural(guessed, 'window')} of {len(opened)} have scores of which none was validated"
        print_line(f"{what}: half of them are taken to hold the sound; validate a larger sample", stderr)
    places, place_of = estimate.windows_by_place(opened)
    values = estimate.densities(scores, numbers, present, places, place_of, confidence or estimate.CONFIDENCE, seed)
    write_answers(estimate.density_table(values), output)
    if picture:
        from fewshot_audio.archive.density_picture import draw_densities

        left_out = draw_densities(values, own[1], picture)
        if left_out:
            print_line(f"{picture}: {plural(left_out, 'site')} with fewer windows left out", stderr)
    print_line(f"{plural(len(values), 'place')}, by {plural(len(numbers), 'validated window')}", stderr)
