"""The model card of a shipped recognizer, from the results of its training."""

from fewshot_audio.config.frozen import in_words
from fewshot_audio.experiments.results import ExperimentResults
from fewshot_audio.recognition.recognizer import Recognizer

CARD = """# {name}

A recognizer without classes of its own: enroll a few clips of each of your sounds
(`fewshot-audio enroll --support FOLDER -o MINE`), and it recognizes them in new recordings.

## What it is
{encoder} encoder, {parameters:,} parameters, embeddings of {width} numbers; input: mono recordings at {rate:g} Hz,
cut into segments of {seconds:g} s. Trained from scratch by prototypical networks, {epochs} epochs, seed {seed}.

## Data
Trained on {train} classes of {dataset}, validated and calibrated on {validation} others, and tested on {test} further
ones.

## License
{license}

## Numbers
{way}-way {shot}-shot on the test classes: {accuracy:.2f} % ± {ci:.2f} (95 % over {tasks} tasks).
{calibration}

## Limits
- It was measured on clips like those of {dataset}. Other microphones, distances and noise lower the numbers: measure
  on your own clips (`fewshot-audio enroll` says how well they separate).
- Sounds mixed in one segment get one answer. Segments are {seconds:g} s: shorter clips are repeated, longer ones cut.
- Do not base decisions about people or about safety on its answers.

## Made by
fewshot_audio {version}, torch {torch}: `make recognizer` trains it again.
"""


def model_card(
    name: str, recognizer: Recognizer, results: ExperimentResults, classes: dict[str, int], license: str
) -> str:
    """The model card, in Markdown.

    Args:
        name: the recognizer's name.
        recognizer: the recognizer, made of the experiment's first run.
        results: the experiment's ``results.json``.
        classes: how many classes each split has.
        license: what the recordings' licenses allow.
    """
    experiment, calibration = recognizer.experiment, recognizer.calibration
    run = results.runs[0]
    calibrated = (
        f"Calibrated on the validation classes: {100 * calibration.unknown_found:.0f} % of unknown clips are called "
        f'"unknown" there, and {100 * calibration.false_alarm:g} % of known ones.'
        if calibration
        else 'Not calibrated: nothing is called "unknown".'
    )
    return CARD.format(
        name=name,
        encoder=in_words(experiment.encoder_name),
        parameters=sum(weights.numel() for weights in recognizer.network.parameters()),
        width=experiment.embedding_width(recognizer.model.out_dim(experiment.encoder_name)),
        rate=recognizer.sample_rate,
        seconds=recognizer.segment_seconds,
        epochs=run.epochs,
        seed=run.seed,
        dataset=results.dataset,
        license=license.strip(),
        way=run.test.n_way,
        shot=run.test.n_shot,
        accuracy=100 * run.test.accuracy,
        ci=100 * run.test.ci95,
        tasks=run.test.tasks,
        calibration=calibrated,
        version=results.versions["fewshot_audio"],
        torch=results.versions["torch"],
        **classes,
    )
