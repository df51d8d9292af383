"""A recognizer's decision as torch modules, for ONNX graphs."""

import torch
from torch import Tensor, nn

from fewshot_audio.audio.timbre_module import TimbreStatistics
from fewshot_audio.functional.prototypes import prototypical_scores
from fewshot_audio.recognition.answer import LEAST, MOST_ODDS
from fewshot_audio.recognition.decision.decision import Decision
from fewshot_audio.recognition.decision.standardize import FARTHEST, length
from fewshot_audio.recognition.enrolled import Enrolled


class DecisionHead(nn.Module):
    """What ``Decision`` does with one segment, in float64.

    Args:
        decision: the fitted decision.
        sample_rate: of the segments, Hz.

    Shape:
        embeddings (batch, width), samples (batch, segment_samples) -> probabilities (batch, classes), distances to the
        classes (batch, classes) and points (batch, width), as ``Decision`` has them.
    """

    def __init__(self, decision: Decision, sample_rate: int) -> None:
        super().__init__()
        model = decision.model
        self.temperature = decision.calibration.temperature
        self.timbre = TimbreStatistics(sample_rate) if decision.needs_timbre else None
        self.blocks = list(model.standardizers)
        for name, values in model.arrays.items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, embeddings: Tensor, samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
        points = rows * self.get_buffer("distance_scale")
        distances = distances_to(self.get_buffer("means"), points) / self.get_buffer("expected")
        return (logits / self.temperature).softmax(-1), distances, points


class BackgroundHead(nn.Module):
    """What ``answer`` does with the background and with classes that are ignored.

    Args:
        enrolled: what is enrolled.
        threshold: of the unknown score.
        is_calibrated: whether the threshold is one of distances.

    Shape:
        probabilities (batch, classes), distances (batch, classes), points (batch, width) -> probabilities (batch,
        classes), unknown scores (batch,).
    """

    is_answer: Tensor
    expected: Tensor
    background: Tensor

    def __init__(self, enrolled: Enrolled, threshold: float, *, is_calibrated: bool) -> None:
        super().__init__()
        decision = enrolled.decision
        expected = decision.model.distances.expected if decision else enrolled.expected_distances
        self.register_buffer("is_answer", torch.from_numpy(enrolled.sounds.is_answer))
        self.register_buffer("expected", torch.from_numpy(expected))
        self.register_buffer("background", torch.from_numpy(enrolled.background))
        self.threshold = threshold
        self.is_calibrated = is_calibrated

    def forward(self, probabilities: Tensor, distances: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Judge segments."""
        own = torch.where(self.is_answer, probabilities.double().clamp(min=LEAST), 0.0)
        of_ignored = torch.where(self.is_answer, 0.0, probabilities.double()).sum(-1)
        best, number = own.max(-1, keepdim=True)
        odds = of_ignored / best.squeeze(-1)
        if len(self.background):
            to_best = (distances.double() * self.expected).gather(-1, number).squeeze(-1)
            to_background = distances_to(self.background, points.double()).amin(-1)
            odds = torch.maximum(odds, to_best / to_background.clamp(min=LEAST))
        unknown = self.threshold * odds.clamp(max=MOST_ODDS)
        if self.is_calibrated:
            nearest = torch.where(self.is_answer, distances.double(), torch.inf).amin(-1)
            unknown = torch.maximum(unknown, nearest)
        return own / own.sum(-1, keepdim=True), unknown


def distances_to(prototypes: Tensor, rows: Tensor) -> Tensor:
    """Euclidean distances, (..., width) -> (..., classes): without ``cdist``, which is no ONNX operator."""
    return (-prototypical_scores(prototypes, rows, "squared")).sqrt()
