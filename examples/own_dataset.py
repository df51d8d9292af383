"""Few-shot training on a data set of your own: arrays in memory, augmented as waveforms, with a contrastive loss.

python own_dataset.py
"""

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fewshot_audio import (
    CNN,
    CPLLoss,
    EpisodeSampler,
    FewShotNetwork,
    LogMel,
    ProjectionHead,
    PrototypicalLoss,
    WaveformAugment,
    WaveStats,
    evaluate_tasks,
)

RATE, SECONDS = 8000, 1.0
WAY, SHOT, QUERY = 5, 1, 3


class Chirps(Dataset):
    """Chirps under noise: a class is a pair of frequencies, where its chirps begin and end."""

    def __init__(self, classes, clips, seed):
        rng = np.random.default_rng(seed)
        self.ends = rng.uniform(200, 3000, (classes, 2))
        self.labels = np.arange(classes).repeat(clips)
        self.seeds = rng.integers(2**32, size=len(self.labels))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """One waveform (samples,), float32, and its label."""
        rng, label = np.random.default_rng(self.seeds[index]), self.labels[index]
        begin, end = self.ends[label] * rng.uniform(0.97, 1.03)
        t = np.arange(int(RATE * SECONDS)) / RATE
        phase = 2 * np.pi * (begin * t + (end - begin) * t**2 / (2 * SECONDS))
        return (np.sin(phase) + rng.normal(0, 0.5, len(t))).astype(np.float32), label


def main(epochs=3, episodes=20):
    """Train on some classes, test on others."""
    torch.manual_seed(0)
    training, test = Chirps(12, 10, seed=1), Chirps(8, 10, seed=2)
    waveforms = np.stack([waveform for waveform, _ in training])

    log_mel = LogMel(RATE, n_fft=512, hop_length=128, n_mels=64)
    features = log_mel(torch.from_numpy(waveforms))
    augment = WaveformAugment(1, RATE, stats=WaveStats.of(waveforms, RATE), pitchshift_p=0.0)
    encoder = CNN(*features.shape[1:], pool_dim=2, hidden_channels=16)
    network = FewShotNetwork(encoder, projection=ProjectionHead(encoder.out_dim))
    network.set_normalization(features.mean().item(), features.std().item())

    sampler = EpisodeSampler(training.labels, WAY, SHOT, QUERY, episodes, seed=0)
    loader = DataLoader(training, batch_sampler=sampler)
    prototypical = PrototypicalLoss(2 * SHOT)  # a recording and its augmented copy are both support, or both queries
    contrastive = CPLLoss(2 * SHOT, negatives=2, temperature=0.5)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.002)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch, labels in loader:
            views = augment(batch).flatten(0, 1)  # each recording, then its copy
            embeddings, view_labels = network(log_mel(views)), labels.repeat_interleave(2)
            loss = prototypical(embeddings, view_labels)
            loss = loss + 0.2 * contrastive(network.projection(embeddings), view_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")

    network.eval()
    result = evaluate_tasks(lambda x: network(log_mel(x)), test, WAY, SHOT, n_query=QUERY, tasks=500)
    print(f"accuracy on unseen classes: {result.accuracy:.1%} ± {result.ci95:.1%}")


if __name__ == "__main__":
    main()
