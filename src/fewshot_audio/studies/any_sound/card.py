"""The model card of a network for any sound."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import fewshot_audio
from fewshot_audio.config.frozen import in_words
from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.recognition.recognizer import Recognizer
from fewshot_audio.studies.any_sound.measure import Measured
from fewshot_audio.studies.any_sound.training import AnySoundSettings

CARD = """# {name}

A recognizer without classes of its own: enroll a few clips of each of your sounds
(`fewshot-audio enroll --support FOLDER -o MINE`), and it recognizes them in new recordings.

## What it is
{encoder} encoder, {parameters:,} parameters, embeddings of {width} numbers; input: mono recordings at {rate:g} Hz of
any length from 20 ms, cut into segments of {seconds:g} s, the last one filled up with silence. Trained from scratch,
{steps} batches, seed {seed}, by telling each sound from the other classes of its collection, on parts of 0.5 to 5 s.

## Data
Trained on {classes} classes of {collections}.

## License
What it learned from, and what that allows:
{licenses}

## Numbers
{measured}: 5-way on its
{test_classes} test classes, by prototypes, {five:.2f} % ± {five_ci:.2f} with five clips a class,
{one:.2f} % ± {one_ci:.2f} with one (95 % over 2000 tasks).
{calibration}

## Limits
- On sounds unlike those of its training it is worse: measure on your own clips (`fewshot-audio enroll` says how well
  they separate).
- Sounds mixed in one segment get one answer.
- Do not base decisions about people or about safety on its answers.

## Made by
fewshot_audio {version}, torch {torch}: `make recognizer` trains it again.
"""


def any_sound_card(
    name: str,
    recognizer: Recognizer,
    root: Path,
    collections: Sequence[str],
    measured: Measured,
    settings: AnySoundSettings,
    licenses: Sequence[str],
) -> str:
    """The model card, in Markdown.

    Args:
        name: the recognizer's name.
        recognizer: the recognizer that is shipped.
        root: holds the dataset folders.
        collections: names of those that it was trained on.
        measured: of the network without held-out classes, or of this one, if it learned nothing of that dataset.
        settings: of the training.
        licenses: a line for each collection, or some of them.
    """
    calibration = recognizer.calibration
    sizes = {name: len(DatasetFolders.find(root, name).list_classes()) for name in collections}
    calibrated = (
        f"Calibrated on the validation classes: {100 * calibration.unknown_found:.0f} % of unknown clips are called "
        f'"unknown" there, and {100 * calibration.false_alarm:g} % of known ones.'
        if calibration
        else 'Not calibrated: with one clip of a class, nothing is called "unknown".'
    )
    return CARD.format(
        name=name,
        encoder=in_words(recognizer.experiment.encoder_name),
        parameters=sum(weights.numel() for weights in recognizer.network.parameters()),
        width=recognizer.model.out_dim(recognizer.experiment.encoder_name),
        rate=recognizer.sample_rate,
        seconds=recognizer.segment_seconds,
        steps=settings.steps,
        seed=settings.seed,
        classes=sum(sizes.values()),
        collections=", ".join(f"{name} ({size})" for name, size in sizes.items()),
        licenses="\n".join(f"- {line.strip()}" for line in licenses),
        measured=(
            f"Of a network that was trained alike, without the validation and test classes of {measured.dataset}"
            if measured.dataset in collections
            else f"It has learned nothing of {measured.dataset}"
        ),
        test_classes=measured.classes,
        five=100 * measured.five_shot.accuracy,
        five_ci=100 * measured.five_shot.ci95,
        one=100 * measured.one_shot.accuracy,
        one_ci=100 * measured.one_shot.ci95,
        calibration=calibrated,
        version=fewshot_audio.__version__,
        torch=version("torch"),
    )
