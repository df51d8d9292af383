"""A recognizer's decision as a torch module, for ONNX graphs."""

import torch
from torch import Tensor, nn

from fewshot_audio.audio.timbre_module import TimbreStatistics
from fewshot_audio.functional.prototypes import prototypical_scores
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.decision.standardize import FARTHEST, length


class DecisionHead(nn.Module):
    """What ``Decision`` does with one segment, in float64.

    Args:
        decision: the fitted decision.
        sample_rate: of the segments, Hz.

    Shape:
        embeddings (batch, width), samples (batch, segment_samples) -> probabilities (batch, classes), unknown scores
        (batch,), float32.
    """

    def __init__(self, decision: Decision, sample_rate: int) -> None:
        super().__init__()
        model = decision.model
        self.temperature = decision.calibration.temperature
        self.timbre = TimbreStatistics(sample_rate) if decision.needs_timbre else None
        self.blocks = list(model.standardizers)
        for name, values in model.arrays.items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, embeddings: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Classify segments."""
        features = {"embedding": embeddings.double()}
        if self.timbre is not None:
            features["timbre"] = self.timbre(samples).float().double()  # as clips keep it
        parts = []
        for block in self.blocks:
            mean, scale = self.get_buffer(f"{block}_mean"), self.get_buffer(f"{block}_scale")
            standard = ((features[block] - mean) * scale).clamp(-FARTHEST, FARTHEST)
            parts.append(standard * (length(block) / len(mean) ** 0.5))
        rows = torch.cat(parts, dim=-1)
        logits = rows @ self.get_buffer("weights").mT + self.get_buffer("bias")
        distances = distances_to(self.get_buffer("means"), rows * self.get_buffer("distance_scale"))
        unknown = (distances / self.get_buffer("expected")).amin(-1)
        return (logits / self.temperature).softmax(-1).float(), unknown.float()


def distances_to(prototypes: Tensor, rows: Tensor) -> Tensor:
    """Euclidean distances, (..., width) -> (..., classes): without ``cdist``, which is no ONNX operator."""
    return (-prototypical_scores(prototypes, rows, "squared")).sqrt()
