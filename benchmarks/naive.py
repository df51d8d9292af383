"""The straightforward way to compute an episode, as a baseline: correct, and slow in the usual ways.

A file is opened per clip, each view and each half (support, query) passes the encoder by itself, layers are in textbook
order in fp32 NCHW, augmentation takes one example at a time, and CPL and the angular loss loop in Python.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fewshot_audio.audio.augment.spectrogram import SpecAugmentDraw, specaugment_views
from fewshot_audio.config import ExperimentConfig
from fewshot_audio.functional.losses import draw_negatives
from fewshot_audio.models.encoders import ConvEncoder, Hybrid
from fewshot_audio.models.network import FewShotNetwork


class NaiveNetwork:
    """A network's weights, applied in the straightforward way."""

    def __init__(self, network: FewShotNetwork) -> None:
        self.network = network
        for parameter in network.encoder.parameters():
            parameter.data = parameter.data.contiguous(memory_format=torch.contiguous_format)

    def encode(self, x: Tensor) -> Tensor:
        """Convolution, batch norm, ReLU, max pool, four times; then the layers that follow in this encoder."""
        encoder = self.network.encoder
        assert isinstance(encoder, ConvEncoder)
        x = x.unsqueeze(1)
        for block in encoder.blocks:
            pool = block.pool.kernel_size  # type: ignore[union-attr]
            x = F.max_pool2d(F.relu(block.norm(block.conv(x))), pool)  # type: ignore[operator, arg-type]
        if isinstance(encoder, Hybrid):
            sequence = x.flatten(1, 2).transpose(1, 2)
            x = (encoder.rnn(sequence)[0] + sequence)[:, -1]
        embedding: Tensor = encoder.linear(encoder.norm(encoder.dropout(x.flatten(1))))  # type: ignore[operator]
        return embedding

    def episode_loss(
        self,
        experiment: ExperimentConfig,
        support: Tensor,
        query: Tensor,
        support_draw: SpecAugmentDraw | None,
        query_draw: SpecAugmentDraw | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Loss of an episode. Shape: support (way, shot, mels, frames), query (way, n_query, mels, frames), raw."""
        way = len(support)
        support_views = self._views(support.flatten(0, 1), support_draw, experiment)
        query_views = self._views(query.flatten(0, 1), query_draw, experiment)
        support_tokens = [self.encode(view) for view in support_views]
        query_tokens = [self.encode(view) for view in query_views]
        attention = self.network.attention
        if attention is not None:
            support_rows = attention(torch.stack(support_tokens, 1))
            query_rows = attention(torch.stack(query_tokens, 1))
        else:
            support_rows = torch.stack(support_tokens, 1).flatten(0, 1)
            query_rows = torch.stack(query_tokens, 1).flatten(0, 1)
        labels = torch.arange(way).repeat_interleave(len(query_rows) // way)
        per_class = len(support_rows) // way
        prototypes = torch.stack([support_rows[c * per_class : (c + 1) * per_class].mean(0) for c in range(way)])
        distances = torch.stack([(query_rows - prototype).norm(dim=-1) for prototype in prototypes], 1)
        loss = F.cross_entropy(-distances, labels)
        if self.network.projection is None:
            return loss
        rows = query_rows
        if attention is not None:
            tokens = torch.stack(query_tokens, 1)
            order = torch.rand(len(tokens), tokens.shape[1] - 1, generator=generator).argsort(-1) + 1
            shuffled = [torch.cat([tokens[i, :1], tokens[i, order[i]]]) for i in range(len(tokens))]
            rows = attention(torch.stack(shuffled))
        projected, anchors = self.network.projection(rows), self.network.projection(prototypes)
        contrast = self._cpl if experiment.contrastive == "cpl" else self._angular
        return loss + experiment.loss.l_param * contrast(experiment, anchors, projected, labels, generator)

    def _views(self, flat: Tensor, draw: SpecAugmentDraw | None, experiment: ExperimentConfig) -> list[Tensor]:
        normalized = (flat - self.network.norm_mean) / self.network.norm_std
        if draw is None:
            return [normalized]
        value = experiment.specaug_params.mask_value
        examples = [specaugment_views(normalized[i : i + 1], draw[i : i + 1], value)[0] for i in range(len(flat))]
        return list(torch.stack(examples).unbind(1))

    @staticmethod
    def _cpl(
        experiment: ExperimentConfig, anchors: Tensor, rows: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        cpl = experiment.loss.cpl
        negatives = draw_negatives(labels, len(anchors), cpl.m_param, generator)
        losses = []
        for i in range(len(rows)):
            anchor = anchors[labels[i]]
            similar = [F.cosine_similarity(anchor, rows[i], dim=0)]
            similar += [F.cosine_similarity(anchor, rows[j], dim=0) for j in negatives[i]]
            losses.append(F.cross_entropy(torch.stack(similar)[None] / cpl.t_param, torch.zeros(1, dtype=torch.int64)))
        loss = torch.stack(losses).mean()
        return loss / len(rows) if cpl.reduction == "reference" else loss

    @staticmethod
    def _angular(
        experiment: ExperimentConfig, anchors: Tensor, rows: Tensor, labels: Tensor, _: torch.Generator
    ) -> Tensor:
        angular = experiment.loss.angular
        slope = torch.tan(torch.deg2rad(torch.tensor(angular.alpha))) ** 2
        threshold = torch.deg2rad(torch.tensor(angular.angle))
        way = len(anchors)
        members = rows if angular.prototypes_as_anchors else torch.cat([anchors, rows])
        member_labels = labels if angular.prototypes_as_anchors else torch.cat([torch.arange(way), labels])
        starts = anchors if angular.prototypes_as_anchors else members
        start_labels = torch.arange(way) if angular.prototypes_as_anchors else member_labels
        costs = []
        for a, anchor in enumerate(starts):
            for p, positive in enumerate(members):
                if start_labels[a] != member_labels[p] or (p == a and not angular.prototypes_as_anchors):
                    continue
                terms = []
                for n, negative in enumerate(members):
                    if member_labels[n] == start_labels[a]:
                        continue
                    height = (negative - (anchor + positive) / 2).norm()
                    if torch.atan((anchor - positive).norm() / (2 * height)) > threshold:
                        attraction = 2 * (1 + slope) * (anchor @ positive)
                        terms.append(4 * slope * ((anchor + positive) @ negative) - attraction)
                if terms:
                    costs.append(torch.stack([torch.zeros(()), *terms]).logsumexp(0))
        return torch.stack(costs).mean() if costs else torch.zeros(())


class PublishedPairsNetwork(NaiveNetwork):
    """The straightforward loop with the angular loss as the method's authors published it.

    A miner's triplets become rows of an anchor set and of a reference set twice as long, which
    pytorch-metric-learning's loss then pairs again, all with all. This loss is another and larger one than that of the
    mined triplets, so it is not ours, but it is what users of the published code compute.
    """

    @staticmethod
    def _angular(
        experiment: ExperimentConfig, anchors: Tensor, rows: Tensor, labels: Tensor, _: torch.Generator
    ) -> Tensor:
        from pytorch_metric_learning.losses import AngularLoss  # here, since `gpu.sh` runs where it is missing
        from pytorch_metric_learning.miners import AngularMiner

        angular = experiment.loss.angular
        miner, cost = AngularMiner(angle=angular.angle), AngularLoss(alpha=angular.alpha)
        classes = torch.arange(len(anchors))
        loss: Tensor
        if angular.prototypes_as_anchors:
            a, p, n = miner(anchors, classes, rows, labels)
            references, reference_labels = torch.cat([rows[p], rows[n]]), torch.cat([labels[p], labels[n]])
            loss = cost(anchors[a], classes[a], ref_emb=references, ref_labels=reference_labels)
        else:
            members, member_labels = torch.cat([anchors, rows]), torch.cat([classes, labels])
            loss = cost(members, member_labels, miner(members, member_labels))
        return loss
