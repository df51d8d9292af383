"""The model card of a shipped recognizer, written from what its training recorded."""

from typing import Any

from fewshot_audio.config import ExperimentConfig
from fewshot_audio.recognition.recognizer import Recognizer

CARD = """# {name}

A recognizer without classes of its own: enroll a few clips of each of your sounds
(`fewshot-audio enroll --support FOLDER -o MINE`), and it tells new recordings apart.

## What it is
{encoder} encoder, {parameters:,} parameters, embeddings of {width} numbers; input: mono recordings at {rate:g} Hz,
cut into segments of {seconds:g} s. Trained from scratch by prototypical networks, {epochs} epochs, seed {seed}.

## Data
Trained on {train} classes of {dataset}; {validation} others validated and calibrated it; tested on {test} that it had
never heard.

## License
{license}

## Numbers
{way}-way {shot}-shot on the test classes: {accuracy:.2f} % ± {ci:.2f} (95 % over {tasks} tasks).
{calibration}

## Limits
- It was measured on clips like those of {dataset}. Other microphones, distances and noise lower the numbers: measure
  on your own clips (`fewshot-audio enroll` says how well they separate).
- Sounds mixed in one segment get one answer. Segments are {seconds:g} s: shorter clips are repeated, longer ones cut.
- Answers are no ground for decisions about people or about safety.

## Made by
fewshot_audio {version}, torch {torch}: `make recognizer` trains it anew.
"""


def model_card(
    name: str, recognizer: Recognizer, results: dict[str, Any], classes: dict[str, int], license: str
) -> str:
    """Return the card of a recognizer made of the first run that ``results`` (``results.json``) tells of.

    ``classes`` counts those of each split.
    """
    experiment: ExperimentConfig = recognizer.embedder.experiment
    run, known = results["runs"][0], recognizer.calibration
    calibrated = (
        f"Calibrated on the validation classes: {100 * known.unknown_found:.0f} % of unknown clips are called "
        f'"unknown" there, and {100 * known.false_alarm:g} % of known ones.'
        if known
        else 'Not calibrated: nothing is called "unknown".'
    )
    return CARD.format(
        name=name,
        encoder=experiment.encoder_name,
        parameters=sum(weights.numel() for weights in recognizer.network.parameters()),
        width=experiment.embedding_width(recognizer.model.out_dim(experiment.encoder_name)),
        rate=recognizer.sample_rate,
        seconds=recognizer.segment_seconds,
        epochs=run["epochs"],
        seed=run["seed"],
        dataset=results["dataset"],
        license=license.strip(),
        way=run["test"]["n_way"],
        shot=run["test"]["n_shot"],
        accuracy=100 * run["test"]["accuracy"],
        ci=100 * run["test"]["ci95"],
        tasks=run["test"]["tasks"],
        calibration=calibrated,
        version=results["versions"]["fewshot_audio"],
        torch=results["versions"]["torch"],
        **classes,
    )
