"""Small indexes of random rows, written without a network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fewshot_audio.archive.description import IndexDescription
from fewshot_audio.archive.partition import PartitionWriter
from fewshot_audio.archive.recordings import IndexedRecording
from fewshot_audio.audio.preprocessing import Preprocessing

WIDTH = 12
DESCRIPTION = IndexDescription(
    network="0" * 64, preprocessing=Preprocessing(segment_seconds=1.0), hop=8000, rows=1, width=WIDTH
)


def recording(name: str, windows: int, **values: object) -> IndexedRecording:
    samples = (windows - 1) * DESCRIPTION.hop + DESCRIPTION.window if windows else 0
    return IndexedRecording(name, 1000, 1, windows, samples, 16_000, **values)  # type: ignore[arg-type]


def write_index(
    folder: Path, recordings: list[IndexedRecording], embeddings: NDArray[np.float16], parts: int = 1
) -> Path:
    """Write an index whose partitions take turns; rows of ``embeddings`` that are all 0 are silent windows."""
    folder.mkdir(parents=True)
    (folder / "index.json").write_text(DESCRIPTION.model_dump_json())
    first = 0
    for number in range(parts):
        with PartitionWriter(folder, number, DESCRIPTION) as writer:
            for own in recordings[number::parts]:
                rows = embeddings[first : first + own.windows]
                timbre = np.repeat(rows.any(axis=1)[:, None], 240, 1).astype(np.float16)
                if own.windows:
                    writer.add_rows({"embedding": rows, "timbre": timbre})
                writer.add(own)
                first += own.windows
            writer.commit()
    return folder
