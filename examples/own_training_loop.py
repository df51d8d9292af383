"""Train a few-shot network in a plain PyTorch loop, then test it on classes that it has not seen.

python own_training_loop.py FOLDER     with a subfolder of recordings for each of at least 10 classes
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from fewshot_audio import EpisodeSampler, FewShotNetwork, Hybrid, Preprocessing, PrototypicalLoss, evaluate_tasks

WAY, SHOT, QUERY = 5, 2, 2
EPOCHS, EPISODES = 4, 25


def read(folders, preprocessing):
    """The first segment of each recording as a log-mel spectrogram, and the number of its folder."""
    pairs = [(path, number) for number, folder in enumerate(folders) for path in sorted(folder.iterdir())]
    first = np.concatenate([preprocessing.segments(preprocessing.load(path))[:1] for path, _ in pairs])
    return TensorDataset(torch.from_numpy(preprocessing.features(first)), torch.tensor([number for _, number in pairs]))


def main(root):
    """Train on the first half of the classes, test on the others."""
    torch.manual_seed(0)
    preprocessing = Preprocessing(segment_seconds=1.0)
    folders = sorted(path for path in Path(root).iterdir() if path.is_dir())
    if len(folders) < 2 * WAY:
        sys.exit(f"{root} has {len(folders)} folders, expected at least {2 * WAY}, one for each class")
    training, test = (
        read(part, preprocessing) for part in (folders[: len(folders) // 2], folders[len(folders) // 2 :])
    )

    network = FewShotNetwork(Hybrid(preprocessing.n_mels, preprocessing.frames, pool_dim=(3, 2), hidden_channels=32))
    features, labels = training.tensors
    network.set_normalization(features.mean().item(), features.std().item())
    sampler = EpisodeSampler(labels, WAY, SHOT, QUERY, episodes=EPISODES, seed=0)
    loader = DataLoader(training, batch_sampler=sampler)
    criterion = PrototypicalLoss(SHOT)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        losses = []
        for batch, batch_labels in loader:
            loss = criterion(network(batch), batch_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch}: loss {np.mean(losses):.3f}")

    result = evaluate_tasks(network, test, WAY, SHOT, n_query=QUERY, tasks=1000)
    print(f"accuracy on unseen classes: {result.accuracy:.1%} ± {result.ci95:.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python own_training_loop.py FOLDER")
    main(sys.argv[1])
