"""How well a network for any sound does on classes that were held out of its training."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import TensorDataset

from fewshot_audio.data.joint import DatasetFolders
from fewshot_audio.engine.evaluate_tasks import TaskAccuracy, evaluate_tasks
from fewshot_audio.progress import Progress, silent
from fewshot_audio.recognition.recognizer import Recognizer

_BLOCK = 64  # segments that are embedded between two reports


class Measured(NamedTuple):
    """5-way accuracy on the test classes of a dataset, by prototypes, with five and one shot."""

    dataset: str
    classes: int
    five_shot: TaskAccuracy
    one_shot: TaskAccuracy


def held_out_classes(root: Path, dataset: str) -> list[str]:
    """Validation and test classes of a dataset, as a joint dataset names them."""
    splits = DatasetFolders.find(root, dataset).read_splits()
    return [f"{dataset}/{name}" for name in (*splits.validation, *splits.test)]


def measure(recognizer: Recognizer, root: Path, dataset: str, progress: Progress = silent) -> Measured:
    """Test the network of a recognizer on 2000 tasks of each kind."""
    folders = DatasetFolders.find(root, dataset)
    store, names = folders.open_store(progress=progress), folders.read_splits().test
    chosen, labels = [], []
    for label, name in enumerate(names):
        for clip in store.index.by_class[name]:
            segments = store.index.segments(int(clip))
            chosen += list(segments)
            labels += [label] * len(segments)
    rows = []
    for start in range(0, len(chosen), _BLOCK):
        progress("embedding test classes", start, len(chosen))
        rows.append(recognizer.embedder.rows(store.read(np.array(chosen[start : start + _BLOCK])))[:, 0])
    items = TensorDataset(torch.from_numpy(np.concatenate(rows)), torch.tensor(labels))
    five, one = (evaluate_tasks(lambda x: x, items, n_shot=shot) for shot in (5, 1))
    return Measured(folders.name, len(names), five, one)
