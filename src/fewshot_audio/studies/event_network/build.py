"""From recordings to the file of an event network, and its model card."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import fewshot_audio
from fewshot_audio.data.sources.base import Source
from fewshot_audio.events.detection.network import CARD_FILE, NETWORK_FILE, save_network
from fewshot_audio.files import write_text
from fewshot_audio.models.event_network import WIDTH, EventNetwork
from fewshot_audio.progress import Progress, silent
from fewshot_audio.studies.event_network.sounds import read_sounds
from fewshot_audio.studies.event_network.soundscapes import SNR
from fewshot_audio.studies.event_network.training import EventNetworkSettings, train_event_network

CARD = """# The event network

By it `fewshot-audio detect` hears recordings: for each frame of 20 ms an embedding of {width} numbers, and the log-odds
that an event sounds in it. {parameters:,} parameters; input: mel levels above the noise floor, as
`events/detection/frames.py` makes them of mono recordings at 22,050 Hz.

## Data
{events:,} events of {classes} classes of {collections}, over {backgrounds} backgrounds, mixed at {lowest:g} to
{highest:g} dB while it learned; {steps} batches, seed {seed}.

## License
What it learned from, and what that allows:
{licenses}

## Made by
fewshot_audio {version}: `make event-network` trains it again.
"""


def build_event_network(
    folder: Path,
    sources: Mapping[str, Source],
    *,
    backgrounds: Collection[str],
    licenses: Sequence[str],
    excluded: Collection[str] = (),
    settings: EventNetworkSettings = EventNetworkSettings(),
    progress: Progress = silent,
) -> EventNetwork:
    """Train on the events in collections of recordings, and write the network and its card.

    Args:
        folder: for ``NETWORK_FILE`` and ``CARD_FILE``.
        sources: by the collections' names.
        backgrounds: classes, "collection/class", that events are heard over.
        licenses: lines for the card, of the recordings.
        excluded: classes or collections that are left out.
        settings: of the training.
        progress: called while the work goes on.

    Raises:
        DataError: a class that is named is not there, or there is no event or no background.
        WriteError: the folder cannot be written.
    """
    pool = read_sounds(sources, backgrounds, excluded, progress)
    network = train_event_network(pool, settings, progress)
    save_network(folder / NETWORK_FILE, network)
    card = CARD.format(
        width=WIDTH,
        parameters=sum(weights.numel() for weights in network.parameters()),
        events=sum(len(own) for own in pool.events),
        classes=len(pool.classes),
        collections=", ".join(pool.collections),
        backgrounds=len(pool.backgrounds),
        lowest=SNR[0],
        highest=SNR[1],
        steps=settings.steps,
        seed=settings.seed,
        licenses="\n".join(f"- {line.strip()}" for line in licenses),
        version=fewshot_audio.__version__,
    )
    write_text(folder / CARD_FILE, card)
    return network
