"""Views of segments for frozen encoders: embedded when they are needed, or taken from a pool that was embedded once."""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot_audio.audio.augment.inputs import Change, identity
from fewshot_audio.audio.augment.waveform import waveform_views
from fewshot_audio.audio.preprocessing import Preprocessing
from fewshot_audio.audio.samples import Samples
from fewshot_audio.audio.wave_stats import WaveStats
from fewshot_audio.config import ExperimentConfig, ModelConfig, WaveAugParams
from fewshot_audio.config.frozen import frozen_references
from fewshot_audio.errors import ConfigError
from fewshot_audio.functional.seeding import Purpose, torch_generator
from fewshot_audio.models.frozen.description import EncoderDescription
from fewshot_audio.models.frozen.encoder import FrozenEncoder
from fewshot_audio.models.frozen.installed import open_encoder
from fewshot_audio.models.frozen.references import own_encoder, read_descriptions
from fewshot_audio.models.network import FewShotNetwork
from fewshot_audio.models.views import ViewMaker, WaveViews, make_views

FORMAT = 1  # to be raised if the same encoder gives other embeddings of the same segments


class EmbeddedViews(WaveViews):
    """Views of waveform segments as embeddings of frozen encoders side by side, computed whenever they are asked for.

    Args:
        params: augmentation of the waveforms.
        preprocessing: of the dataset.
        stats: of the dataset's waveforms.
        encoders: this user's, in their order.
    """

    def __init__(
        self,
        params: WaveAugParams,
        preprocessing: Preprocessing,
        stats: WaveStats | None,
        encoders: Sequence[EncoderDescription],
    ) -> None:
        super().__init__(params, preprocessing, stats)
        self._encoders = [open_encoder(own_encoder(description)) for description in encoders]

    def _input(self, network: FewShotNetwork, waveforms: Tensor) -> Tensor:
        """Embeddings of waveforms. Shape: (..., samples) -> (..., width of all encoders)."""
        rate = self.preprocessing.sample_rate
        samples = waveforms.detach().cpu().reshape(-1, waveforms.shape[-1]).numpy()
        rows = np.stack([np.concatenate([each.embed(row, rate) for each in self._encoders]) for row in samples])
        return torch.from_numpy(rows).to(waveforms).reshape(*waveforms.shape[:-1], -1)


class PooledViews:
    """Views of segments that have been embedded, each plainly and in some draws of its augmented views.

    Drawing takes one of the draws of each segment at random, as testing does; ``segment`` is (rows, width).

    Args:
        views: how the embedded views were made.
        samples: length of a segment.
        draws: how many draws of views each segment has.
    """

    def __init__(self, views: WaveViews, samples: int, draws: int) -> None:
        self.waveforms = views
        self.draws = draws
        self._input_shape = views.input_shape((samples,))
        self._more = views.params.aug_num  # views beside the original

    def input_shape(self, segment: tuple[int, ...]) -> tuple[int, int]:
        """Mel bins and frames of the segments' features, by which runs are compared."""
        return self._input_shape

    def draw(self, n: int, segment: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Choose a draw for each of ``n`` segments."""
        return torch.randint(self.draws, (n,), generator=generator)

    def select(self, draw: Tensor, segments: slice) -> Tensor:
        """One number per segment."""
        return draw[segments]

    def features(self, network: FewShotNetwork, raw: Tensor) -> Tensor:
        """Raise ConfigError: embedded segments have no spectrograms."""
        raise ConfigError("frozen encoders: their dataset is opened as embeddings, of which there are no spectrograms")

    def plain(self, network: FewShotNetwork, raw: Tensor, change: Change = identity) -> Tensor:
        """The embeddings of the originals. Shape: raw (n, rows, width) -> (n, 1, width)."""
        return raw[:, :1]

    def views(self, network: FewShotNetwork, raw: Tensor, draw: Tensor, change: Change = identity) -> Tensor:
        """The originals and the views of a draw. Shape: raw (n, rows, width) -> (n, views, width)."""
        first = 1 + self._more * draw.to(raw.device).unsqueeze(1)
        chosen = first + torch.arange(self._more, device=raw.device)
        rows = torch.cat([torch.zeros_like(first), chosen], dim=1)
        return raw.gather(1, rows.unsqueeze(-1).expand(-1, -1, raw.shape[-1]))


@dataclass(frozen=True)
class PoolEncoder:
    """Embeds a segment for the pool: plainly, and each augmented view of each draw.

    Attributes:
        description: of one of this user's encoders.
        preprocessing: of the dataset.
        draws: how many draws of views there are; 0 for none.
        params: augmentation of the waveforms.
        stats: of the dataset's waveforms, which the augmentation is scaled by.
    """

    description: EncoderDescription
    preprocessing: Preprocessing
    draws: int
    params: WaveAugParams
    stats: WaveStats | None

    def __str__(self) -> str:
        return f"encoder {self.description.name!r}"

    def __getstate__(self) -> dict[str, Any]:
        """All but the open encoder, which belongs to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_encoder"}

    @property
    def key(self) -> str:
        """Of the encoder, and of the views."""
        views = [self.draws, self.params.model_dump(), vars(self.stats) if self.stats else None] if self.draws else []
        values = [FORMAT, self.description.digest, self.preprocessing.sample_rate, views]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows of a segment: its own, and those of all draws."""
        return 1 + self.draws * self.params.aug_num, self.description.width

    def embed(self, segment: Samples, number: int) -> Samples:
        """Embed a segment; its views depend on its number alone. Shape: (samples,) -> (rows, width)."""
        sounds = segment[None]
        if self.draws:
            maker = WaveViews(self.params, self.preprocessing, self.stats)
            generator = torch_generator(0, "train", 0, number, Purpose.VIEWS)
            draw = maker.draw(self.draws, segment.shape, generator)
            views = waveform_views(torch.from_numpy(segment).expand(self.draws, -1), draw)[:, 1:]
            sounds = np.concatenate([sounds, views.flatten(0, 1).numpy()])
        return np.stack([self._encoder.embed(sound, self.preprocessing.sample_rate) for sound in sounds])

    @functools.cached_property
    def _encoder(self) -> FrozenEncoder:
        return open_encoder(own_encoder(self.description))


def make_views_of_recordings(
    experiment: ExperimentConfig, model: ModelConfig, preprocessing: Preprocessing, stats: WaveStats | None
) -> ViewMaker:
    """The view maker of an experiment for recordings, which are embedded if the network reads embeddings.

    Args:
        experiment: encoder, input type, and the parameters of its augmentation.
        model: complete.
        preprocessing: of the recordings.
        stats: of the training's waveforms, which the waveform transforms are scaled by.

    Raises:
        ConfigError: a frozen encoder is not installed.
    """
    if not frozen_references(experiment.encoder_name):
        return make_views(experiment, preprocessing, stats)
    encoders = read_descriptions(model.Frozen.definition or [], "the model config")
    return EmbeddedViews(experiment.waveaug_params, preprocessing, stats, encoders)
